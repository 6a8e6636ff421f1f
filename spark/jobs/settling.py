"""How archived changes reach the silver table of their rows: new rows are added, days with other changes are rebuilt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts.engine import require_room
from spark.contracts.report import JobReport, Positions, Provenance, TableReport, Window
from spark.contracts.table import Table
from spark.jobs.distribute import Kernel, map_by_key
from spark.lake.snapshots import Progress
from spark.lake.storage import Lake

NOT_NEEDED = ("key_json", "before_json", "after_json")


@dataclass(frozen=True, kw_only=True)
class _Day:
    """Changes of rows received on one UTC day: between which times, and whether they alter rows that are there."""

    day: date
    first_us: int
    last_us: int
    alters_rows: bool


def settle_changes(
    lake: Lake, window: Window, provenance: Provenance, *, table: Table, changes: Table, kernel: Kernel, rebuild: bool
) -> JobReport:
    """Bring `table` to where the archive of its `changes` stands; `kernel` makes its rows of all changes of some rows.

    A row's day is part of its key, so that a day can be built from its own changes, whenever they were archived.
    """
    snapshots = {changes.address: lake.snapshot_id(changes.address)}
    archived = lake.positions(changes.address, snapshots[changes.address])
    shown = lake.positions(table.address)
    if not lake.has_spark:
        require_room(changes.address, added_count(shown, archived))
    everything = lake.frame(changes.address, snapshot_id=snapshots[changes.address]).drop(*NOT_NEEDED)
    fresh = everything.where(between_positions(shown, archived))
    days = _days(fresh) if archived != shown else []
    rebuilt = {each.day for each in days if each.alters_rows} | (set(window.days) if rebuild else set())
    reports = [
        lake.replace_window(
            table.address,
            map_by_key(everything.where(_received_in(part)), kernel, table, table.grain),
            window=part,
            provenance=provenance,
            input_snapshots=snapshots,
        )
        for part in runs_of_days(rebuilt)
    ]
    added = [each for each in days if each.day not in rebuilt]
    reports.append(_append(lake, table, fresh, added, kernel, provenance, archived, snapshots))
    if len(reports) > 1 and not reports[-1].row_count:
        # Its audit has looked at nothing.
        reports.pop()
    return JobReport(tables=tuple(reports), input_snapshots=snapshots)


def _append(
    lake: Lake,
    table: Table,
    fresh: DataFrame,
    days: list[_Day],
    kernel: Kernel,
    provenance: Provenance,
    archived: Positions,
    snapshots: dict[str, int],
) -> TableReport:
    """Rows of these days that are not there yet; with none, only how far the table has come."""
    first_us, last_us = min((each.first_us for each in days), default=0), max((each.last_us for each in days), default=-1)
    around = (F.col("received_ts") >= F.timestamp_micros(F.lit(first_us))) & (
        F.col("received_ts") <= F.timestamp_micros(F.lit(last_us))
    )

    def rows_on(snapshot_id: int) -> DataFrame:
        chosen = fresh.where(F.to_date("received_ts").isin([each.day for each in days]))
        known = lake.frame(table.address, snapshot_id=snapshot_id).where(around).select(*table.grain)
        return map_by_key(chosen, kernel, table, table.grain).join(known, list(table.grain), "left_anti")

    return lake.append_rows(
        table.address,
        rows_on,
        provenance=provenance,
        input_snapshots=snapshots,
        progress=Progress(positions=archived),
        audited=And(GreaterThanOrEqual("received_ts", _iso(first_us)), LessThanOrEqual("received_ts", _iso(last_us))),
        window=Window(start=min(each.day for each in days), end=max(each.day for each in days)) if days else None,
    )


def added_count(after: Positions, until: Positions) -> int:
    """Offsets from the positions of one moment up to those of a later one; a topic's records are at most as many."""
    before = {partition: at for (_, partition), at in after.items()}
    return sum(max(0, end - before.get(partition, 0)) for (_, partition), end in until.items())


def between_positions(after: Positions, until: Positions) -> Column:
    """Rows of these offsets: from the positions of one moment up to those of a later one."""
    found = F.lit(False)
    for (_, partition), end in sorted(until.items()):
        first = max((at for (_, known), at in after.items() if known == partition), default=0)
        offsets = (F.col("kafka_offset") >= first) & (F.col("kafka_offset") < end)
        found = found | ((F.col("kafka_partition") == partition) & offsets)
    return found


def runs_of_days(days: Iterable[date]) -> Iterator[Window]:
    """The fewest windows that hold these dates and no other."""
    start = end = None
    for day in sorted(days):
        if start is not None and end is not None and day > end + timedelta(days=1):
            yield Window(start=start, end=end)
            start = None
        start, end = start or day, day
    if start is not None and end is not None:
        yield Window(start=start, end=end)


def _days(changes: DataFrame) -> list[_Day]:
    micros = F.unix_micros("received_ts")
    rows = (
        changes.groupBy(F.to_date("received_ts")).agg(F.min(micros), F.max(micros), F.max(F.col("op").isin("u", "d"))).collect()
    )
    return [_Day(day=row[0], first_us=row[1], last_us=row[2], alters_rows=row[3]) for row in rows]


def _iso(unix_micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=unix_micros)).isoformat()


def _received_in(window: Window) -> Column:
    """Rows received on these dates. By time and not by date, so that files are passed over by what they say of it."""
    start, end = (datetime.combine(day, datetime.min.time()) for day in (window.start, window.end + timedelta(days=1)))
    return (F.col("received_ts") >= F.lit(f"{start} UTC").cast("timestamp")) & (
        F.col("received_ts") < F.lit(f"{end} UTC").cast("timestamp")
    )
