"""A job's report as the metadata people look at: counts, snapshots and how to travel to them, rejected rows, a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import dagster as dg

from spark.contracts.report import CheckOutcome, JobReport, TableReport

Metadata = dict[str, dg.MetadataValue]

PLOT_COLUMNS = 72
BLOCKS = "▁▂▃▄▅▆▇█"
CELL_CHARACTERS = 120
NOTE_CHARACTERS = 2000


def report_metadata(report: JobReport, address: str) -> Metadata:
    """Everything worth showing about one table of a job's report; below 20 kB whatever the window."""
    table = table_report(report, address)
    metadata: Metadata = {
        "dagster/row_count": dg.IntMetadataValue(table.row_count),
        "published": dg.BoolMetadataValue(table.is_changed),
        "quarantined_rows": dg.IntMetadataValue(report.quarantined_count),
        **snapshot_metadata(table),
    }
    if table.window is not None:
        metadata["window"] = dg.TextMetadataValue(f"{table.window.start} to {table.window.end}")
    if table.snapshot_id is not None:
        metadata["time_travel"] = dg.MarkdownMetadataValue(time_travel(address, table.snapshot_id))
    if report.input_snapshots:
        metadata["input_snapshots"] = dg.JsonMetadataValue(
            {name: str(snapshot) for name, snapshot in sorted(report.input_snapshots.items())}
        )
    if report.quarantine_samples:
        metadata["quarantine_samples"] = samples_table(report.quarantine_samples)
    if report.recompute_from:
        metadata["recompute_from"] = dg.JsonMetadataValue(
            {ticker: day.isoformat() for ticker, day in sorted(report.recompute_from.items())}
        )
    if report.notes:
        notes = (f"- {note[:NOTE_CHARACTERS]}" for note in report.notes[:3])
        metadata["notes"] = dg.MarkdownMetadataValue("\n".join(notes))
    if len(table.row_count_by_date) > 1:
        metadata["rows_by_date"] = dg.MarkdownMetadataValue(plot(table.row_count_by_date))
    return metadata


def snapshot_metadata(table: TableReport) -> Metadata:
    """The snapshots a write left and found; ids are text, because they exceed what a browser's numbers hold."""
    found = {"iceberg/snapshot_id": table.snapshot_id, "iceberg/previous_snapshot_id": table.previous_snapshot_id}
    return {name: dg.TextMetadataValue(str(value)) for name, value in found.items() if value is not None}


def table_report(report: JobReport, address: str) -> TableReport:
    """What became of one table over all commits of the job; raises `KeyError` when the job did not write it."""
    commits = [each for each in report.tables if each.address == address]
    if not commits:
        raise KeyError(f"the job wrote {', '.join(each.address for each in report.tables)}, not {address}")
    first, last = commits[0], commits[-1]
    by_date: dict[str, int] = {}
    for commit in commits:
        for day, count in commit.row_count_by_date.items():
            by_date[str(day)] = by_date.get(str(day), 0) + count
    windows = [commit.window for commit in commits if commit.window is not None]
    return replace(
        last,
        row_count=sum(commit.row_count for commit in commits),
        row_count_by_date=by_date,
        previous_snapshot_id=first.previous_snapshot_id,
        is_changed=any(commit.is_changed for commit in commits),
        window=replace(windows[0], start=min(w.start for w in windows), end=max(w.end for w in windows)) if windows else None,
        checks=_merged([outcome for commit in commits for outcome in commit.checks]),
    )


def _merged(outcomes: Sequence[CheckOutcome]) -> tuple[CheckOutcome, ...]:
    """One outcome per check name: failing rows added up, the first samples kept."""
    merged: dict[str, CheckOutcome] = {}
    for outcome in outcomes:
        seen = merged.get(outcome.name)
        merged[outcome.name] = (
            outcome
            if seen is None
            else replace(
                seen,
                failing_count=seen.failing_count + outcome.failing_count,
                samples=(*seen.samples, *outcome.samples)[:10],
                judged_count=None
                if None in (seen.judged_count, outcome.judged_count)
                else (seen.judged_count or 0) + (outcome.judged_count or 0),
            )
        )
    return tuple(merged.values())


def time_travel(address: str, snapshot_id: int) -> str:
    """How to see the table as this write left it, on the command line and in Spark."""
    return (
        f'```sh\nfinlake sql --snapshot {snapshot_id} "select * from {address} limit 20"\n```\n'
        f"```sql\nSELECT * FROM lake.{address} VERSION AS OF {snapshot_id}\n```"
    )


def samples_table(samples: Sequence[Mapping[str, str]]) -> dg.TableMetadataValue:
    """At most ten rows as a table; long cells are cut."""
    columns = list(dict.fromkeys(name for sample in samples for name in sample))
    return dg.TableMetadataValue(
        records=[dg.TableRecord({name: sample.get(name, "")[:CELL_CHARACTERS] for name in columns}) for sample in samples[:10]],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=name, type="string") for name in columns]),
    )


def plot(row_count_by_date: Mapping[str, int]) -> str:
    """Rows over time as one line of blocks, each the mean of its dates, with the scale beside it."""
    days = sorted(row_count_by_date)
    width = min(PLOT_COLUMNS, len(days))
    means = []
    for column in range(width):
        part = days[column * len(days) // width : (column + 1) * len(days) // width]
        means.append(sum(row_count_by_date[day] for day in part) / len(part))
    top = max(means) or 1
    line = "".join(BLOCKS[min(len(BLOCKS) - 1, int(mean / top * len(BLOCKS)))] for mean in means)
    lowest, highest = min(row_count_by_date.values()), max(row_count_by_date.values())
    return f"```\n{line}\n{days[0]} … {days[-1]}   {lowest} to {highest} rows a date, {len(days)} dates\n```"
