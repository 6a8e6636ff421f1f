"""What snapshots say of themselves: who wrote them, from which inputs, which window they replaced, how far into the topics
of the stream their table stands; and how that is read.

Does not belong here: rows. Those are read and committed in storage.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Operation, Snapshot

from spark.contracts.report import OffsetRange, Positions, Provenance, Window

WINDOW_PROPERTY, INPUT_PROPERTY = "finlake.window", "finlake.input."
# Of each topic and partition: the range that a snapshot brought, and the end of all ranges up to it.
OFFSETS_PROPERTY, POSITION_PROPERTY = "finlake.offsets.", "finlake.position."
SAME_ROWS = "finlake.same_rows"
"""Said by a snapshot in which rows stand in other files and are the same; Spark calls that an operation of its own."""
ALL_DATES = Window(start=date.min, end=date.max)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a commit brings of the stream: how far its table then stands, and the ranges of offsets that it adds."""

    positions: Positions
    ranges: tuple[OffsetRange, ...] = ()

    def is_shown_by(self, held: Positions) -> bool:
        """Whether a table at these positions stands as far already."""
        return all(held.get(partition, -1) >= end for partition, end in self.positions.items())

    def properties(self, held: Positions) -> dict[str, str]:
        """Snapshot properties of the commit to a table at these positions; a position never goes back."""
        merged = {**held, **{key: max(end, held.get(key, 0)) for key, end in self.positions.items()}}
        return {
            **{f"{POSITION_PROPERTY}{topic}.{partition}": str(end) for (topic, partition), end in merged.items()},
            **{f"{OFFSETS_PROPERTY}{each.topic}.{each.partition}": f"{each.first}-{each.end}" for each in self.ranges},
        }


def summary_of(
    provenance: Provenance,
    input_snapshots: Mapping[str, int] | None,
    window: Window | None = None,
) -> dict[str, str]:
    """Snapshot properties: who wrote, from which snapshots, and which window was replaced."""
    return {
        "dagster.run_id": provenance.run_id,
        "dagster.partition": provenance.partition,
        "finlake.code_version": provenance.code_version,
        **{f"{INPUT_PROPERTY}{address}": str(snapshot) for address, snapshot in (input_snapshots or {}).items()},
        **({} if window is None else {WINDOW_PROPERTY: f"{window.start}..{window.end}"}),
    }


def inputs_of(table: IcebergTable) -> dict[str, int]:
    """The input snapshots of the newest snapshot that names any."""
    for snapshot in _ancestors(table, table.current_snapshot()):
        named = [item for item in _properties(snapshot).items() if item[0].startswith(INPUT_PROPERTY)]
        inputs = {name.removeprefix(INPUT_PROPERTY): int(value) for name, value in named}
        if inputs:
            return inputs
    return {}


def windows_between(table: IcebergTable, after: int, until: int) -> Iterator[Window]:
    """The windows written after one snapshot up to another; all dates where a snapshot between them says none."""
    for snapshot in _ancestors(table, table.snapshot_by_id(until)):
        if snapshot.snapshot_id == after:
            return
        if _has_same_rows(snapshot):
            continue
        start, _, end = _properties(snapshot).get(WINDOW_PROPERTY, "").partition("..")
        yield Window(start=date.fromisoformat(start), end=date.fromisoformat(end)) if start else ALL_DATES
    # The snapshot it was built from is not in this history, or has expired.
    yield ALL_DATES


def windows_rewritten(table: IcebergTable, after: int, until: int) -> Iterator[Window]:
    """Like `windows_between`, without the snapshots that only added rows to those there were."""
    for snapshot in _ancestors(table, table.snapshot_by_id(until)):
        if snapshot.snapshot_id == after:
            return
        window = _properties(snapshot).get(WINDOW_PROPERTY, "")
        is_addition = snapshot.summary is not None and snapshot.summary.operation == Operation.APPEND
        if _has_same_rows(snapshot) or (is_addition and not window):
            continue
        start, _, end = window.partition("..")
        yield Window(start=date.fromisoformat(start), end=date.fromisoformat(end)) if start else ALL_DATES
    yield ALL_DATES


def positions_of(table: IcebergTable, snapshot_id: int | None = None) -> dict[tuple[str, int], int]:
    """How far into each topic and partition the table stood at a snapshot (default: the newest); empty when it never said.

    Commits carry it on. Compaction does not, so that a few snapshots may have to be gone back.
    """
    newest = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
    for snapshot in _ancestors(table, newest):
        positions = {
            _partition_of(name, POSITION_PROPERTY): int(value)
            for name, value in _properties(snapshot).items()
            if name.startswith(POSITION_PROPERTY)
        }
        if positions:
            return positions
    return {}


def says_position(snapshot: Snapshot) -> bool:
    """Whether a snapshot says by itself how far its table stood."""
    return any(name.startswith(POSITION_PROPERTY) for name in _properties(snapshot))


def offset_gaps(table: IcebergTable) -> list[OffsetRange]:
    """Offsets between the ranges that the kept snapshots brought, which no snapshot has; oldest first."""
    kept = [*_ancestors(table, table.current_snapshot())][::-1]
    ranges = [each for snapshot in kept for each in _ranges_of(snapshot)]
    # The first snapshot of a table is empty: what was there before the first range is missing as well.
    return gaps_between(ranges, is_whole_history=bool(kept) and kept[0].parent_snapshot_id is None)


def gaps_between(ranges: Iterable[OffsetRange], *, is_whole_history: bool) -> list[OffsetRange]:
    """Offsets that lie between ranges in the order of their commits; from 0 on when the history is whole."""
    ends: dict[tuple[str, int], int] = {}
    gaps = []
    for each in ranges:
        end = ends.get((each.topic, each.partition), 0 if is_whole_history else each.first)
        if each.first > end:
            gaps.append(OffsetRange(topic=each.topic, partition=each.partition, first=end, end=each.first))
        ends[each.topic, each.partition] = max(end, each.end)
    return gaps


def _ranges_of(snapshot: Snapshot) -> Iterator[OffsetRange]:
    for name, value in _properties(snapshot).items():
        if name.startswith(OFFSETS_PROPERTY):
            topic, partition = _partition_of(name, OFFSETS_PROPERTY)
            first, _, end = value.partition("-")
            yield OffsetRange(topic=topic, partition=partition, first=int(first), end=int(end))


def _partition_of(name: str, prefix: str) -> tuple[str, int]:
    topic, _, partition = name.removeprefix(prefix).rpartition(".")
    return topic, int(partition)


def _ancestors(table: IcebergTable, snapshot: Snapshot | None) -> Iterator[Snapshot]:
    """A snapshot and those before it, newest first, as far as they are kept."""
    by_id = {each.snapshot_id: each for each in table.metadata.snapshots}
    while snapshot is not None:
        yield snapshot
        snapshot = None if snapshot.parent_snapshot_id is None else by_id.get(snapshot.parent_snapshot_id)


def _has_same_rows(snapshot: Snapshot) -> bool:
    """Whether a snapshot is one of compaction."""
    is_replacement = snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE
    return is_replacement or SAME_ROWS in _properties(snapshot)


def _properties(snapshot: Snapshot) -> Mapping[str, str]:
    """What the writer of a snapshot said about it."""
    return {} if snapshot.summary is None else snapshot.summary.additional_properties


def was_built_so(table: IcebergTable, summary: Mapping[str, str]) -> bool:
    """Whether the newest snapshot says that it was written with these properties, whatever the run."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return False
    properties = _properties(snapshot)
    return all(properties.get(key) == value for key, value in summary.items() if key != "dagster.run_id")
