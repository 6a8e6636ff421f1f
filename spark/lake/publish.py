"""How rows reach readers: written, audited, published by moving `main`; or not at all.

Rows that are in memory are audited there, and one commit makes them what `main` shows. Rows that Apache Spark computes are
written to a branch and audited on it (publish_by_spark.py). Either way rows that fail a blocking check stay on a branch to be
looked at and `main` is where it was; and a write that another writer has come before is made again, on top of what that one has
left.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import And, Not
from pyiceberg.expressions.visitors import bind, extract_field_ids
from pyiceberg.table import Table as IcebergTable
from sqlalchemy.exc import OperationalError

from spark.contracts.report import AuditFailedError, PublishConflictError, TableReport, Window
from spark.contracts.table import Table
from spark.lake.branches import drop_left_behind, keep_branch, new_branch, snapshot_of
from spark.lake.commits import carried, commit_files, main_of, repeated_after
from spark.lake.data_files import Touched, is_true, touched_by, write_rows
from spark.lake.publish_by_spark import publish_by_spark
from spark.lake.write import Write, count_if_there, shows_progress, unchanged
from spark.schemas import arrow_schema

if TYPE_CHECKING:
    from spark.lake.storage import Lake


def publish(lake: "Lake", write: Write) -> TableReport:
    """Make a write's rows what `main` shows, again from the start when another writer published first.

    Raises `AuditFailedError` when a blocking check fails, and `PublishConflictError` after repeated collisions.
    """
    once = publish_by_spark if lake.has_spark and _is_computed_by_spark(write) else _publish_rows
    for attempt in repeated_after(PublishConflictError, CommitFailedException, OperationalError):
        with attempt:
            if attempt.retry_state.attempt_number > 1:
                lake.forget_tables()
            return once(lake, write)
    raise AssertionError("unreachable: Retrying returns or raises")


def _is_computed_by_spark(write: Write) -> bool:
    return write.is_window_build or write.only_adds


def _publish_rows(lake: "Lake", write: Write) -> TableReport:
    contract, table = write.table, lake.table(write.table.address)
    base = main_of(table)
    count = count_if_there(table, write)
    if count is not None:
        return unchanged(write, base, count)
    rows = _conform(write.rows_on(base).toArrow(), contract)
    touched = touched_by(table, write.replaced, contract, base)
    is_there = not write.only_adds and same_rows(touched.matched, rows, contract)
    if is_there and not write.is_window_build and shows_progress(table, write):
        return unchanged(write, base, rows.num_rows)
    window = write.window or window_of(rows, contract)
    found = lake.audit_rows(rows, contract, _keys_kept(table, write, rows, window, base))
    report = TableReport(
        address=contract.address,
        row_count=rows.num_rows,
        previous_snapshot_id=base,
        window=window,
        checks=found.checks,
        row_count_by_date={}
        if write.audited is not None
        else {str(day): count for day, count in sorted(found.count_by_date.items(), key=str) if day},
    )
    drop_left_behind(lake, table, write.provenance)
    if any(not check.passed and check.severity == "error" for check in found.checks):
        branch = _keep_for_inspection(lake, table, write, rows, touched, base)
        raise AuditFailedError(replace(report, snapshot_id=snapshot_of(lake, contract, branch)), branch)
    if is_there and write.is_window_build:
        return replace(report, snapshot_id=base, is_changed=False)
    if is_there:
        rows, touched = rows.slice(0, 0), Touched(matched=rows.slice(0, 0), files=(), kept=rows.slice(0, 0))
    table = lake.table(contract.address)
    if main_of(table) != base:
        raise PublishConflictError(f"{contract.address}: another writer published during the audit; writing again")
    _commit(table, rows, touched, contract, {**write.summary, **carried(table, write.progress)})
    lake.committed(table)
    return replace(report, snapshot_id=main_of(table))


def _conform(rows: pa.Table, contract: Table) -> pa.Table:
    return rows.select(list(contract.column_names)).cast(arrow_schema(contract))


def _keys_kept(table: IcebergTable, write: Write, rows: pa.Table, window: Window | None, base: int) -> pa.Table | None:
    """Keys of rows that stay and that a new row might have too; None where the keys alone decide what is replaced."""
    grain = list(write.table.grain)
    if not rows.num_rows:
        return None
    if not write.only_adds:
        decided_by = {table.schema().find_field(name).field_id for name in grain}
        bound = bind(table.schema(), write.replaced, case_sensitive=True)
        if extract_field_ids(bound) <= decided_by and rows.filter(is_true(table, write.replaced)).num_rows == rows.num_rows:
            return None
    scope = write.scope(window)
    kept = table.scan(row_filter=And(scope, Not(write.replaced)), selected_fields=tuple(grain), snapshot_id=base)
    return kept.to_arrow().select(grain)


def _commit(
    table: IcebergTable, rows: pa.Table, touched: Touched, contract: Table, summary: Mapping[str, str], branch: str = "main"
) -> None:
    """The files that were touched go, the new rows come, and those beside them are written again."""
    commit_files(table, write_rows(table, pa.concat_tables([touched.kept, rows]), contract), touched.files, summary, branch)


def _keep_for_inspection(lake: "Lake", table: IcebergTable, write: Write, rows: pa.Table, touched: Touched, base: int) -> str:
    """The branch on which rows that failed their audit can be looked at, for `KEPT_BRANCH_DAYS`."""
    branch = new_branch(write.provenance)
    table.manage_snapshots().create_branch(base, branch).commit()
    _commit(table, rows, touched, write.table, {**write.summary, **carried(table, write.progress)}, branch)
    lake.forget_tables()
    keep_branch(lake, write.table.address, branch)
    return branch


def window_of(rows: pa.Table, table: Table) -> Window | None:
    """Window that holds the rows, None when they have no dates."""
    bounds = pc.min_max(rows[table.window_column])
    start, end = bounds["min"].as_py(), bounds["max"].as_py()
    if start is None or rows[table.window_column].null_count:
        return None
    return Window(start=start, end=end)


def same_rows(old: pa.Table, new: pa.Table, table: Table) -> bool:
    """Whether two tables hold the same rows in any order."""
    if old.num_rows != new.num_rows:
        return False
    if not new.num_rows:
        return True
    order = [(name, "ascending") for name in table.grain]
    cast_rows = old.select(new.column_names).cast(new.schema)
    return bool(cast_rows.sort_by(order).combine_chunks().equals(new.sort_by(order).combine_chunks()))
