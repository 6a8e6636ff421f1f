"""What snapshots say of themselves: who wrote them, from which inputs, which window they replaced; and how that is read.

Does not belong here: rows. Those are read and committed in storage.py.
"""

from collections.abc import Iterator, Mapping
from datetime import date

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Operation, Snapshot

from spark.jobs.report import Provenance, Window

WINDOW_PROPERTY, INPUT_PROPERTY = "finlake.window", "finlake.input."
ALL_DATES = Window(start=date.min, end=date.max)


def summary_of(
    provenance: Provenance, input_snapshots: Mapping[str, int] | None, window: Window | None = None,
) -> dict[str, str]:
    """Snapshot properties: who wrote, from which snapshots, and which window was replaced."""
    return {
        "dagster.run_id": provenance.run_id, "dagster.partition": provenance.partition,
        "finlake.code_version": provenance.code_version,
        **{f"{INPUT_PROPERTY}{address}": str(snapshot) for address, snapshot in (input_snapshots or {}).items()},
        **({} if window is None else {WINDOW_PROPERTY: f"{window.start}..{window.end}"}),
    }


def inputs_of(table: IcebergTable) -> dict[str, int]:
    """The input snapshots of the newest snapshot that names any."""
    for snapshot in _ancestors(table, table.current_snapshot()):
        told = [item for item in _properties(snapshot).items() if item[0].startswith(INPUT_PROPERTY)]
        inputs = {name.removeprefix(INPUT_PROPERTY): int(value) for name, value in told}
        if inputs:
            return inputs
    return {}


def windows_between(table: IcebergTable, after: int, until: int) -> Iterator[Window]:
    """The windows written after one snapshot up to another; all dates where a snapshot between them says none."""
    for snapshot in _ancestors(table, table.snapshot_by_id(until)):
        if snapshot.snapshot_id == after:
            return
        if snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE:
            # Compaction: the same rows in other files.
            continue
        start, _, end = _properties(snapshot).get(WINDOW_PROPERTY, "").partition("..")
        yield Window(start=date.fromisoformat(start), end=date.fromisoformat(end)) if start else ALL_DATES
    # The snapshot it was built from is not in this history, or has expired.
    yield ALL_DATES


def _ancestors(table: IcebergTable, snapshot: Snapshot | None) -> Iterator[Snapshot]:
    """A snapshot and those before it, newest first, as far as they are kept."""
    while snapshot is not None:
        yield snapshot
        snapshot = None if snapshot.parent_snapshot_id is None else table.snapshot_by_id(snapshot.parent_snapshot_id)


def _properties(snapshot: Snapshot) -> Mapping[str, str]:
    """What the writer of a snapshot said about it."""
    return {} if snapshot.summary is None else snapshot.summary.additional_properties


def was_built_so(table: IcebergTable, summary: Mapping[str, str]) -> bool:
    """Whether the newest snapshot says that it was written with these properties, whatever the run."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return False
    told = _properties(snapshot)
    return all(told.get(key) == value for key, value in summary.items() if key != "dagster.run_id")
