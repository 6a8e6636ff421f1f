"""Rows that Apache Spark computes: written to a branch, audited on it, and `main` is moved to the branch.

Spark has the rows; nothing of them comes into this process. Rows that fail a blocking check stay on the branch.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import And, Not
from pyspark.sql import DataFrame
from sqlalchemy.exc import OperationalError

from spark.contracts.report import AuditFailedError, PublishConflictError, TableReport, Window
from spark.contracts.table import Table
from spark.lake.branches import drop_branch, drop_left_behind, keep_branch, new_branch, snapshot_of
from spark.lake.commits import carried, main_of, repeated_after
from spark.lake.expressions import as_sql, between
from spark.lake.write import Write, count_if_there, unchanged

if TYPE_CHECKING:
    from spark.lake.storage import Lake


def publish_by_spark(lake: "Lake", write: Write) -> TableReport:
    """Make a write's rows what `main` shows, in one attempt. Raises as `spark.lake.publish.publish`, for each collision."""
    contract, table = write.table, lake.table(write.table.address)
    base = main_of(table)
    count = count_if_there(table, write)
    if count is not None:
        return unchanged(write, base, count)
    drop_left_behind(lake, table, write.provenance)
    branch = new_branch(write.provenance)
    table.manage_snapshots().create_branch(base, branch).commit()
    try:
        _write_by_spark(lake, write, branch, base, {**write.summary, **carried(table, write.progress)})
        checks, content = lake.audit(contract, write.window, write.audited, branch)
    except Exception:
        drop_branch(lake, contract.address, branch)
        raise
    report = TableReport(
        address=contract.address,
        row_count=content.row_count,
        previous_snapshot_id=base,
        window=write.window,
        row_count_by_date={str(day): count for day, (count, _) in sorted(content.by_date.items(), key=str) if day},
        snapshot_id=snapshot_of(lake, contract, branch),
        checks=checks,
    )
    if any(not check.passed and check.severity == "error" for check in checks):
        keep_branch(lake, contract.address, branch)
        raise AuditFailedError(report, branch)
    if write.is_window_build and content == lake.content(contract.address, write.window):
        drop_branch(lake, contract.address, branch)
        return replace(report, snapshot_id=base, is_changed=False)
    _fast_forward(lake, contract.address, branch, base)
    lake.forget_tables()
    if write.only_adds:
        return replace(report, row_count=_added_count(lake, contract, report.snapshot_id), row_count_by_date={})
    return report


def _write_by_spark(lake: "Lake", write: Write, branch: str, base: int, summary: Mapping[str, str]) -> None:
    """Write to the branch. Spark replaces whole partitions only, so that the rows around a window are written again."""
    contract = write.table
    rows = cast(DataFrame, write.rows_on(base)).select(*contract.column_names)
    replaced = write.replaced
    if not write.only_adds and write.window is not None:
        replaced = between(contract.window_column, partition_bounds(contract, write.window))
        kept = lake.frame_at(contract.address, base).where(as_sql(And(replaced, Not(write.replaced))))
        rows = rows.unionByName(kept.select(*contract.column_names))
    writer = rows.writeTo(lake.spark_name(contract.address, branch)).option("check-nullability", "false")
    for key, value in summary.items():
        writer = writer.option(f"snapshot-property.{key}", value)
    if write.only_adds:
        writer.append()
    else:
        from pyspark.sql import functions as F  # noqa: N812, PLC0415

        writer.overwrite(F.expr(as_sql(replaced)))
    _require_one_commit(lake, contract.address, branch, base)


def _require_one_commit(lake: "Lake", address: str, branch: str, base: int) -> None:
    """Raise `PublishConflictError` when a branch has more than one commit after `base`.

    When the answer to a commit is lost on its way from Postgres, Iceberg's catalog asks again, takes the commit for another
    writer's and lays its own rows on top of itself.
    """
    table = lake.catalog.load_table(address)
    written = table.snapshot_by_id(table.metadata.refs[branch].snapshot_id)
    if written is not None and base not in (written.snapshot_id, written.parent_snapshot_id):
        raise PublishConflictError(f"{address}: {branch} was written twice, because an answer was lost; writing again")


def _added_count(lake: "Lake", contract: Table, snapshot_id: int | None) -> int:
    """Rows that a snapshot added."""
    snapshot = None if snapshot_id is None else lake.catalog.load_table(contract.address).snapshot_by_id(snapshot_id)
    if snapshot is None or snapshot.summary is None:
        return 0
    return int(snapshot.summary.additional_properties.get("added-records", "0"))


def _fast_forward(lake: "Lake", address: str, branch: str, base: int) -> None:
    """Move `main` to the branch if `main` still is at `base`; the branch goes away.

    Raises `PublishConflictError` when `main` is elsewhere. A commit to another branch in between is no conflict.
    """
    for attempt in repeated_after(CommitFailedException, OperationalError):
        with attempt:
            table = lake.catalog.load_table(address)
            main = main_of(table)
            if main == table.metadata.refs[branch].snapshot_id:
                # An attempt that seemed to fail has moved it.
                break
            if main != base:
                drop_branch(lake, address, branch)
                raise PublishConflictError(f"{address}: another writer published during the audit of {branch}; writing again")
            # Fails when `main` moves after it was read above.
            table.manage_snapshots().set_current_snapshot(ref_name=branch).commit()
    drop_branch(lake, address, branch)


def partition_bounds(table: Table, window: Window) -> Window:
    """The smallest run of whole partitions that holds the window."""
    layout = table.partitioning
    if layout is None or layout.column != table.window_column or layout.transform not in ("day", "month"):
        raise ValueError(f"{table.address} is not partitioned by its window column; replace its rows with replace_rows")
    return window if layout.transform == "day" else window.whole_months
