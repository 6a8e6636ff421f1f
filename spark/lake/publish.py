"""How rows reach readers: written, audited, published by moving `main`; or not at all.

Rows that are in memory are audited there, and one commit makes them what `main` shows. Rows that Spark computes are written to a
branch and audited on it, and `main` is moved to the branch. Either way rows that fail a blocking check stay on a branch to be
looked at and `main` is where it was; and a write that another writer has come before is made again, on top of what that one has
left.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import AlwaysFalse, And, BooleanExpression, Not
from pyiceberg.expressions.visitors import bind, extract_field_ids
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyspark.sql import DataFrame
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from spark.contracts import lake as contracts
from spark.contracts.report import AuditFailedError, Provenance, PublishConflictError, TableReport, Window
from spark.contracts.runs import LONGEST_RUN
from spark.contracts.table import Table
from spark.lake.data_files import Touched, is_true, touched_by, write_rows
from spark.lake.expressions import as_sql, between
from spark.lake.snapshots import Progress, positions_of, was_built_so
from spark.schemas import arrow_schema

if TYPE_CHECKING:
    from spark.lake.storage import Lake

KEPT_BRANCH_DAYS = 7
"""How long a branch that has failed its audit is there to be looked at."""

# What Dagster needs to end a run that has taken too long, and two clocks that differ.
_RUN_GRACE = timedelta(hours=1)
_BRANCH = re.compile(r"audit_\w*_(?P<began>[0-9]{14})_[0-9a-f]{8}", re.ASCII)

# Other tables have no position: the search for one would read their whole history.
_OF_THE_STREAM = frozenset(address for address, table in contracts.TABLES.items() if table.window == "stream_day")

logger = logging.getLogger(__name__)


class Rows(Protocol):
    """Rows that are there or can be computed: a Spark frame, or what `held` makes of rows in memory."""

    def toArrow(self) -> pa.Table:  # noqa: N802 - the name in pyspark
        """All of them, in memory."""


@dataclass(frozen=True)
class Held:
    """Rows in memory, or what computes them when they are first asked for."""

    compute: Callable[[], pa.Table]
    _computed: list[pa.Table] = field(default_factory=list, repr=False, compare=False)

    def toArrow(self) -> pa.Table:  # noqa: N802 - see Rows
        """The rows; computed once."""
        if not self._computed:
            self._computed.append(self.compute())
        return self._computed[0]


@dataclass(frozen=True, kw_only=True)
class Write:
    """Rows of a table and what they replace: `rows_on` gives them, for the snapshot on top of which they will be.

    `window` are the dates that the report names, and of a table that is built window by window the rows replaced: then equal
    rows are audited and not published. `audited` says where else a row might stand that one of the new rows contradicts, where
    the dates alone would be too many. `summary` is what the snapshot will say of itself; `progress` how far into the stream the
    table stands with it.
    """

    table: Table
    rows_on: Callable[[int], Rows]
    replaced: BooleanExpression
    provenance: Provenance
    summary: Mapping[str, str]
    window: Window | None = None
    is_window_build: bool = False
    audited: BooleanExpression | None = None
    progress: Progress | None = None

    @property
    def only_adds(self) -> bool:
        """Whether no row is replaced."""
        return bool(self.replaced == AlwaysFalse())

    def scope(self, window: Window | None) -> BooleanExpression:
        """The rows that an audit looks at."""
        parts = [
            each
            for each in (None if window is None else between(self.table.window_column, window), self.audited)
            if each is not None
        ]
        return And(*parts) if len(parts) > 1 else parts[0] if parts else AlwaysFalse()


def publish(lake: "Lake", write: Write) -> TableReport:
    """Make a write's rows what `main` shows, again from the start when another writer published first.

    Raises `AuditFailedError` when a blocking check fails, and `PublishConflictError` after repeated collisions.
    """
    once = _publish_by_spark if lake.has_spark and _is_computed_by_spark(write) else _publish_rows
    for attempt in repeated_after(PublishConflictError, CommitFailedException, OperationalError):
        with attempt:
            if attempt.retry_state.attempt_number > 1:
                lake.forget_tables()
            return once(lake, write)
    raise AssertionError("unreachable: Retrying returns or raises")


def _is_computed_by_spark(write: Write) -> bool:
    return write.is_window_build or write.only_adds


# Rows in memory ----------------------------------------------------------------------------------------------------


def _publish_rows(lake: "Lake", write: Write) -> TableReport:
    contract, table = write.table, lake.table(write.table.address)
    base = main_of(table)
    count = _count_if_there(table, write)
    if count is not None:
        return _unchanged(write, base, count)
    rows = _conform(write.rows_on(base).toArrow(), contract)
    touched = touched_by(table, write.replaced, contract, base)
    is_there = not write.only_adds and same_rows(touched.matched, rows, contract)
    if is_there and not write.is_window_build and _shows_progress(table, write):
        return _unchanged(write, base, rows.num_rows)
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
        raise AuditFailedError(replace(report, snapshot_id=_ref(lake, contract, branch)), branch)
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


def _count_if_there(table: IcebergTable, write: Write) -> int | None:
    """Rows of a write that needs not be computed, because the table says that it has them; None when it does not say so."""
    if write.is_window_build:
        if any(name.startswith("finlake.input.") for name in write.summary) and was_built_so(table, write.summary):
            return int(table.scan(row_filter=write.replaced).count())
        return None
    return 0 if write.only_adds and write.progress is not None and _shows_progress(table, write) else None


def _shows_progress(table: IcebergTable, write: Write) -> bool:
    return write.progress is None or write.progress.is_shown_by(positions_of(table))


def _unchanged(write: Write, base: int, count: int) -> TableReport:
    return TableReport(address=write.table.address, row_count=count, snapshot_id=base, is_changed=False, window=write.window)


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


def commit_files(
    table: IcebergTable, added: Sequence[DataFile], removed: Sequence[DataFile], summary: Mapping[str, str], branch: str = "main"
) -> None:
    """One snapshot on a branch, with these files and without those.

    Raises `CommitFailedException` or `PublishConflictError` when the branch has moved since the table was loaded.
    """
    # pyiceberg would lay the rows on top of what another writer has committed meanwhile, which no audit has seen.
    table.metadata.properties["commit.retry.num-retries"] = "0"
    try:
        with _Transaction(table) as transaction:
            update = transaction.update_snapshot(snapshot_properties=dict(summary), branch=branch)
            with update.overwrite() if removed else update.fast_append() as producer:
                for each in removed:
                    producer.delete_data_file(each)
                for each in added:
                    producer.append_data_file(each)
    except ValidationException as error:
        name = ".".join(table.name())
        raise PublishConflictError(f"{name}: another writer committed meanwhile ({error}); writing again") from error


class _Transaction(Transaction):
    """A transaction that does not copy the table's metadata, which are large, each time when it is asked for them."""

    @property
    def table_metadata(self) -> TableMetadata:
        """Those of the table, until a change is staged."""
        return super().table_metadata if self._updates else self._table.metadata


def _keep_for_inspection(lake: "Lake", table: IcebergTable, write: Write, rows: pa.Table, touched: Touched, base: int) -> str:
    """The branch on which rows that failed their audit can be looked at, for `KEPT_BRANCH_DAYS`."""
    branch = new_branch(write.provenance)
    table.manage_snapshots().create_branch(base, branch).commit()
    _commit(table, rows, touched, write.table, {**write.summary, **carried(table, write.progress)}, branch)
    lake.forget_tables()
    keep_branch(lake, write.table.address, branch)
    return branch


# Rows that Spark computes -------------------------------------------------------------------------------------------


def _publish_by_spark(lake: "Lake", write: Write) -> TableReport:
    contract, table = write.table, lake.table(write.table.address)
    base = main_of(table)
    count = _count_if_there(table, write)
    if count is not None:
        return _unchanged(write, base, count)
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
        snapshot_id=_ref(lake, contract, branch),
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


# Branches -----------------------------------------------------------------------------------------------------------


def branches_of(provenance: Provenance) -> str:
    """What the names of a step's branches begin with."""
    step = hashlib.sha256(provenance.step.encode()).hexdigest()[:4]
    return f"audit_{provenance.run_id.replace('-', '')[:12]}_{step}_"


def new_branch(provenance: Provenance) -> str:
    """A name that no other branch has, and that says when it began."""
    return f"{branches_of(provenance)}{_now():%Y%m%d%H%M%S}_{uuid4().hex[:8]}"


def drop_left_behind(lake: "Lake", table: IcebergTable, provenance: Provenance) -> None:
    """Drop branches that nobody else will: of an attempt of this very step whose process died, or for which the catalog was
    away; and of other runs that are over, which come back under another name if at all."""
    prefix, now = branches_of(provenance), _now()
    left = [
        name for name in table.metadata.refs if (provenance.step and name.startswith(prefix)) or is_left_behind(table, name, now)
    ]
    for name in left:
        drop_branch(lake, ".".join(table.name()), name)
    if left:
        lake.forget_tables()


def drop_branch(lake: "Lake", address: str, branch: str) -> None:
    """Remove a branch. Repeated on its own: what the branch was for has happened, and must not happen again."""
    for attempt in repeated_after(CommitFailedException, OperationalError):
        with attempt:
            table = lake.catalog.load_table(address)
            if branch in table.metadata.refs:
                table.manage_snapshots().remove_branch(branch).commit()


def keep_branch(lake: "Lake", address: str, branch: str) -> None:
    """Have a branch stay for `KEPT_BRANCH_DAYS`, which is Iceberg's own word that it was not left behind."""
    for attempt in repeated_after(CommitFailedException, OperationalError):
        with attempt:
            table = lake.catalog.load_table(address)
            kept_ms = KEPT_BRANCH_DAYS * 86_400_000
            table.manage_snapshots().create_branch(
                table.metadata.refs[branch].snapshot_id, branch, max_ref_age_ms=kept_ms
            ).commit()


def is_left_behind(table: IcebergTable, branch: str, now: datetime) -> bool:
    """Whether a branch of an audit is of a process that died: of no run that could be running, and not kept on purpose.

    `now` must be aware. A branch that does not say when it began, as those of earlier versions, is not judged.
    """
    began = _began(branch)
    is_kept = table.metadata.refs[branch].max_ref_age_ms is not None
    return began is not None and not is_kept and now - began > LONGEST_RUN + _RUN_GRACE


def branch_age(table: IcebergTable, branch: str, now: datetime) -> timedelta:
    """Time since a branch was made or written to, whichever was later: one without a commit shows the past of `main`."""
    snapshot = table.metadata.snapshot_by_id(table.metadata.refs[branch].snapshot_id)
    written = datetime.fromtimestamp(snapshot.timestamp_ms / 1000 if snapshot else 0, UTC)
    return now - max(written, _began(branch) or written)


def _began(branch: str) -> datetime | None:
    found = _BRANCH.fullmatch(branch)
    try:
        return datetime.strptime(found["began"], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _now() -> datetime:
    return datetime.now(UTC)


def _ref(lake: "Lake", contract: Table, branch: str) -> int:
    return lake.catalog.load_table(contract.address).metadata.refs[branch].snapshot_id


# What both ways need --------------------------------------------------------------------------------------------------


def main_of(table: IcebergTable) -> int:
    """Snapshot of `main`."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        name = ".".join(table.name())
        raise PublishConflictError(f"{name} has no snapshot although it was created with one; run the step again")
    return snapshot.snapshot_id


def carried(table: IcebergTable, progress: Progress | None) -> dict[str, str]:
    """How far into the stream the table stands after a commit, so that its newest snapshot always says it."""
    if ".".join(table.name()) not in _OF_THE_STREAM:
        return {}
    return (progress or Progress(positions={})).properties(positions_of(table))


def is_of_the_stream(address: str) -> bool:
    """Whether a table's snapshots say how far into the stream it stands."""
    return address in _OF_THE_STREAM


def repeated_after(*errors: type[Exception]) -> Retrying:
    """Attempts with growing random pauses, as long as they end with these errors."""
    return Retrying(
        retry=retry_if_exception_type(errors),
        stop=stop_after_attempt(8),
        reraise=True,
        wait=wait_random_exponential(multiplier=0.2, max=5),
    )


def partition_bounds(table: Table, window: Window) -> Window:
    """The smallest run of whole partitions that holds the window."""
    layout = table.partitioning
    if layout is None or layout.column != table.window_column or layout.transform not in ("day", "month"):
        raise ValueError(f"{table.address} is not partitioned by its window column; replace its rows with replace_rows")
    return window if layout.transform == "day" else window.whole_months


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
