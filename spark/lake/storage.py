"""The one place that reads and commits lake tables: write to a branch, audit it, publish it by moving `main`.

A write replaces exactly the rows of its window. It lands on a branch of its own, the contract's checks run there, and
`main` is fast-forwarded only when every blocking check passed and `main` has not moved meanwhile; otherwise readers
keep seeing what they saw. Rows equal to what `main` holds are not published again, so a repeated run changes nothing.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.expressions import AlwaysFalse, AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, LessThanOrEqual
from pyiceberg.table import Table as IcebergTable
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, DataFrameWriterV2, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows
from sqlalchemy.exc import IntegrityError, OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from spark.contracts import lake as contracts
from spark.contracts.report import (
    AuditFailed,
    CheckOutcome,
    OffsetRange,
    Provenance,
    PublishConflict,
    TableReport,
    Window,
)
from spark.contracts.runs import LONGEST_RUN
from spark.contracts.table import Table
from spark.lake.audit import WindowContent, audit, content_of
from spark.lake.later_columns import ScanByTodaysColumns, lacks_columns, with_later_columns
from spark.lake.session import connect
from spark.lake.snapshots import (
    Progress,
    inputs_of,
    offset_gaps,
    positions_of,
    says_position,
    summary_of,
    was_built_so,
    windows_between,
    windows_rewritten,
)
from spark.schemas import arrow_schema, iceberg_schema, partition_spec, sort_order

CATALOG = "lake"
EPOCH = date(1970, 1, 1)
KEPT_BRANCH_DAYS = 7
"""How long a branch that has failed its audit is there to be looked at."""

# What Dagster needs to end a run that has taken too long, and two clocks that differ.
_RUN_GRACE = timedelta(hours=1)
_BRANCH = re.compile(r"audit_\w*_(?P<began>[0-9]{14})_[0-9a-f]{8}", re.ASCII)

# Other tables have no position: the search for one would read their whole history.
_OF_THE_STREAM = frozenset(address for address, table in contracts.TABLES.items() if table.window == "stream_day")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LakeLocation:
    """Where the lake is: catalog database, warehouse, Spark Connect server. `spark_token` and `catalog_properties` are secret."""

    warehouse: str
    spark_remote: str
    spark_token: str | None = field(default=None, repr=False)
    catalog_properties: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Audited:
    """What an audit looks at: the rows of a window, or only those a Spark SQL predicate is true for.

    Without the predicate, every commit to a day of the stream would read the whole day.
    """

    window: Window | None
    predicate: str | None = None


class Lake:
    """A lake at a location, opened lazily: the Iceberg catalog through pyiceberg, computation through Spark Connect."""

    def __init__(self, location: LakeLocation) -> None:
        self.location = location

    @cached_property
    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog."""
        return SqlCatalog(CATALOG, **{"warehouse": self.location.warehouse, **self.location.catalog_properties})

    @property
    def spark(self) -> SparkSession:
        """The Spark session; another one after the server has lost it and `forget` was called."""
        return connect(self.location.spark_remote, self.location.spark_token)

    # Reading ---------------------------------------------------------------------------------------------------

    def table(self, address: str) -> IcebergTable:
        """The Iceberg table, created from its contract when it is not there yet and widened by new contract columns."""
        contract = contracts.table(address)
        try:
            found = self.catalog.load_table(address)
        except NoSuchTableError:
            found = self._create(contract)
        wanted = arrow_schema(contract)
        if any(name not in found.schema().column_names for name in wanted.names):
            with found.update_schema() as update:
                update.union_by_name(iceberg_schema(contract))
        return found

    def snapshot_id(self, address: str) -> int:
        """Snapshot `main` points to now."""
        return _main_of(self.table(address))

    def frame(self, address: str, window: Window | None = None, snapshot_id: int | None = None) -> DataFrame:
        """Rows of one snapshot (default: where `main` is now) as a Spark frame, of `window` by the contract's window column."""
        return self._frame_at(address, snapshot_id or self.snapshot_id(address), window)

    def rows(self, address: str, row_filter: BooleanExpression = AlwaysTrue(),  # noqa: B008 - an immutable constant
             columns: Sequence[str] = ("*",), snapshot_id: int | None = None) -> pa.Table:
        """Rows of `main` (or of one snapshot) as Arrow, for small reads that need no Spark."""
        table = self.table(address)
        return ScanByTodaysColumns(table.metadata, table.io, row_filter=row_filter, selected_fields=tuple(columns),
                                   snapshot_id=snapshot_id).to_arrow()

    def built(self, address: str) -> Window | None:
        """First and last value of the table's window column, from file statistics alone; None when there is no row."""
        table = self.table(address)
        field_id = table.schema().find_field(contracts.table(address).window_column).field_id
        files = [task.file for task in table.scan().plan_files()]
        days = [int.from_bytes(bounds[field_id], "little", signed=True)
                for file in files for bounds in (file.lower_bounds, file.upper_bounds) if field_id in bounds]
        if not days:
            return None
        return Window(start=EPOCH + timedelta(days=min(days)), end=EPOCH + timedelta(days=max(days)))

    def newest(self, address: str) -> date | None:
        """Largest value of the table's window column; None when there is no row."""
        built = self.built(address)
        return None if built is None else built.end

    def changed_since_built(self, address: str, inputs: Mapping[str, int]) -> Window | None:
        """Dates on which `inputs` (snapshots by address) changed after the newest snapshot of a table was built from them.

        Read from the windows that snapshots record. None when nothing changed, or when the table was never built; all
        dates when an input's snapshots no longer tell.
        """
        table = self.table(address)
        built_from = inputs_of(table)
        changed = [
            window for name, snapshot_id in inputs.items() if name in built_from
            for window in windows_between(self.table(name), built_from[name], snapshot_id)
        ]
        if not changed:
            return None
        return Window(start=min(window.start for window in changed), end=max(window.end for window in changed))

    def inputs(self, address: str) -> dict[str, int]:
        """The snapshots, by address, that the newest rows of a table were computed from."""
        return inputs_of(self.table(address))

    def rewritten_since(self, address: str, snapshot_id: int) -> Window | None:
        """Dates whose rows were replaced after a snapshot, not only added to; None when there are none."""
        table = self.table(address)
        windows = list(windows_rewritten(table, snapshot_id, _main_of(table)))
        if not windows:
            return None
        return Window(start=min(window.start for window in windows), end=max(window.end for window in windows))

    def positions(self, address: str, snapshot_id: int | None = None) -> dict[tuple[str, int], int]:
        """By topic and partition, the offset up to which a table of the stream shows everything; empty before its first rows."""
        return positions_of(self.table(address), snapshot_id)

    def offset_gaps(self, address: str) -> list[OffsetRange]:
        """Offsets that the archive of a topic lacks, as far back as snapshots are kept."""
        return offset_gaps(self.table(address))

    def content(self, address: str, window: Window | None = None, branch: str | None = None) -> WindowContent:
        """Fingerprint of the rows of `main`, or of a branch, within a window."""
        contract = contracts.table(address)
        if window is not None and branch is None and not self._may_hold(contract, window):
            return WindowContent(by_date={})
        return content_of(self._audited_rows(contract, _Audited(window=window), branch), contract)

    # Writing ---------------------------------------------------------------------------------------------------

    def replace_rows(self, address: str, rows: pa.Table, *, replaced: BooleanExpression, provenance: Provenance,
                     input_snapshots: Mapping[str, int] | None = None, progress: Progress | None = None,
                     audited: str | None = None) -> TableReport:
        """Replace the rows matching `replaced` by `rows` (Arrow, any column order), also when `rows` is empty.

        `progress` is committed with the rows, and alone when they are there already. `audited` is a Spark SQL predicate that
        narrows the audit to `rows`; the report then counts them alone, and none by date. Raises `AuditFailed` when a
        blocking check fails on the new rows, and `PublishConflict` after repeated collisions with another writer.
        """
        contract = contracts.table(address)
        rows = rows.select(list(contract.column_names)).cast(arrow_schema(contract))

        def is_there(table: IcebergTable) -> bool:
            return _same_rows(table.scan(row_filter=replaced).to_arrow(), rows, contract)

        def unchanged_count(table: IcebergTable) -> int | None:
            if progress is not None and not progress.is_shown_by(positions_of(table)):
                return None
            return rows.num_rows if is_there(table) else None

        def stage(table: IcebergTable, branch: str) -> None:
            summary = summary_of(provenance, input_snapshots) | _carried(table, progress)
            written, removed = (rows.slice(0, 0), AlwaysFalse()) if progress and is_there(table) else (rows, replaced)
            try:
                with warnings.catch_warnings():
                    # A first write replaces nothing.
                    warnings.filterwarnings("ignore", message="Delete operation did not match any records")
                    table.overwrite(written, overwrite_filter=removed, branch=branch, snapshot_properties=summary)
            except ValueError as error:
                # How pyiceberg says that another commit has taken the sequence number of this one.
                if "older than last sequence number" not in str(error):
                    raise
                raise PublishConflict(f"{address}: another writer committed meanwhile; writing {branch} again") from error

        scope = _Audited(window=_window_of(rows, contract), predicate=audited)
        report = self._publish(contract, stage, unchanged_count, scope, provenance, None)
        return report if audited is None else replace(report, row_count=rows.num_rows, row_count_by_date={})

    def append_rows(self, address: str, rows_on: Callable[[int], DataFrame], *, audited: str, window: Window | None,
                    provenance: Provenance, progress: Progress,
                    input_snapshots: Mapping[str, int] | None = None) -> TableReport:
        """Add rows, and how far the table has come with them; nothing when it stands as far already.

        `rows_on` gives the rows (Spark) that a snapshot lacks, and is asked again when another writer came first. `audited`
        narrows the audit to rows that may have been added, `window` holds their dates. Raises like `replace_rows`.
        """
        contract = contracts.table(address)

        def stage(table: IcebergTable, branch: str) -> None:
            base = table.metadata.refs[branch].snapshot_id
            rows = rows_on(base).select(*contract.column_names)
            summary = summary_of(provenance, input_snapshots) | _carried(table, progress)
            self._writer(rows, address, branch, summary).append()
            self._require_one_commit(address, branch, base)

        def unchanged_count(table: IcebergTable) -> int | None:
            return 0 if progress.is_shown_by(positions_of(table)) else None

        scope = _Audited(window=window, predicate=audited)
        report = self._publish(contract, stage, unchanged_count, scope, provenance, None)
        if not report.is_changed:
            return report
        return replace(report, row_count=self._added_count(address, report.snapshot_id), row_count_by_date={})

    def keep_positions(self, address: str) -> None:
        """Have the newest snapshot of a table say how far it stands in the stream, if only an earlier one says so."""
        if address not in _OF_THE_STREAM:
            return
        for attempt in _repeated_after(CommitFailedException, OperationalError):
            with attempt:
                table = self.table(address)
                held, newest = positions_of(table), table.current_snapshot()
                if held and newest is not None and not says_position(newest):
                    table.append(arrow_schema(contracts.table(address)).empty_table(),
                                 snapshot_properties=Progress(positions=held).properties({}))

    def replace_window(self, address: str, frame: DataFrame, *, window: Window, provenance: Provenance,
                       input_snapshots: Mapping[str, int] | None = None) -> TableReport:
        """Replace the window's rows by `frame` (Spark, rows of the window only), also when it is empty.

        Spark replaces whole partitions only, so the window is widened to partition bounds and the rows around it are
        written again unchanged, in one commit. Nothing is computed when the newest snapshot says that this window was
        built by this code from these inputs. Raises like `replace_rows`.
        """
        contract = contracts.table(address)
        wide = partition_bounds(contract, window)
        summary = summary_of(provenance, input_snapshots, window)

        def stage(table: IcebergTable, branch: str) -> None:
            columns = list(contract.column_names)
            base = table.metadata.refs[branch].snapshot_id
            kept = self._frame_at(address, base, wide).where(~_in_window(contract, window)).select(*columns)
            writer = self._writer(frame.select(*columns).unionByName(kept), address, branch, summary | _carried(table, None))
            writer.overwrite(_in_window(contract, wide))
            self._require_one_commit(address, branch, base)

        def unchanged_count(table: IcebergTable) -> int | None:
            if not input_snapshots or not was_built_so(table, summary):
                return None
            return table.scan(row_filter=between(contract.window_column, window)).count()

        return self._publish(contract, stage, unchanged_count, _Audited(window=window), provenance, window)

    def check(self, address: str, window: Window | None = None, branch: str | None = None) -> tuple[CheckOutcome, ...]:
        """The contract's checks over the rows of `main` (or a branch) in a window: predicates, grain, required columns."""
        return self._audit(contracts.table(address), _Audited(window=window), branch)[0]

    def _writer(self, rows: DataFrame, address: str, branch: str, summary: Mapping[str, str]) -> DataFrameWriterV2:
        writer = rows.writeTo(_spark_name(address, branch)).option("check-nullability", "false")
        for key, value in summary.items():
            writer = writer.option(f"snapshot-property.{key}", value)
        return writer

    def _require_one_commit(self, address: str, branch: str, base: int) -> None:
        """Raise `PublishConflict` when a branch has more than one commit after `base`.

        When the answer to a commit is lost on its way from Postgres, Iceberg's catalog asks again, takes the commit for another
        writer's and lays its own rows on top of itself.
        """
        table = self.catalog.load_table(address)
        written = table.snapshot_by_id(table.metadata.refs[branch].snapshot_id)
        if written is not None and base not in (written.snapshot_id, written.parent_snapshot_id):
            raise PublishConflict(f"{address}: {branch} was written twice, because an answer was lost; writing again")

    def _added_count(self, address: str, snapshot_id: int | None) -> int:
        """Rows that a snapshot added."""
        snapshot = None if snapshot_id is None else self.catalog.load_table(address).snapshot_by_id(snapshot_id)
        if snapshot is None or snapshot.summary is None:
            return 0
        return int(snapshot.summary.additional_properties.get("added-records", "0"))

    def _publish(self, contract: Table, stage: Callable[[IcebergTable, str], None],
                 unchanged_count: Callable[[IcebergTable], int | None], audited: _Audited, provenance: Provenance,
                 compared: Window | None) -> TableReport:
        """Write–audit–publish, again from the start when another writer published first."""
        for attempt in _repeated_after(PublishConflict, CommitFailedException, OperationalError):
            with attempt:
                return self._publish_once(contract, stage, unchanged_count, audited, provenance, compared)
        raise AssertionError("unreachable: Retrying returns or raises")

    def _publish_once(self, contract: Table, stage: Callable[[IcebergTable, str], None],
                      unchanged_count: Callable[[IcebergTable], int | None], audited: _Audited, provenance: Provenance,
                      compared: Window | None) -> TableReport:
        table = self.table(contract.address)
        base = _main_of(table)
        unchanged = unchanged_count(table)
        if unchanged is not None:
            return TableReport(address=contract.address, row_count=unchanged, snapshot_id=base, is_changed=False,
                               window=audited.window)
        prefix, now = branches_of(provenance), _now()
        # Those of an attempt of this very step that could not drop them, because its process died or the catalog was away;
        # and those of other runs that are over, which come back under another name if at all.
        for left in [name for name in table.metadata.refs
                     if (provenance.step and name.startswith(prefix)) or is_left_behind(table, name, now)]:
            self._drop_branch(contract.address, left)
        branch = f"{prefix}{now:%Y%m%d%H%M%S}_{uuid4().hex[:8]}"
        table.manage_snapshots().create_branch(base, branch).commit()
        try:
            stage(table, branch)
            checks, content = self._audit(contract, audited, branch)
        except Exception:
            self._drop_branch(contract.address, branch)
            raise
        report = TableReport(
            address=contract.address, row_count=content.row_count, previous_snapshot_id=base, window=audited.window,
            row_count_by_date={str(day): count for day, (count, _) in sorted(content.by_date.items(), key=str) if day},
            snapshot_id=self.catalog.load_table(contract.address).metadata.refs[branch].snapshot_id, checks=checks,
        )
        if any(not check.passed and check.severity == "error" for check in checks):
            self._keep_branch(contract.address, branch)
            raise AuditFailed(report, branch)
        if compared is not None and content == self.content(contract.address, compared):
            self._drop_branch(contract.address, branch)
            return TableReport(**{**vars(report), "snapshot_id": base, "is_changed": False})
        self._fast_forward(contract.address, branch, base)
        return report

    def _audit(self, contract: Table, audited: _Audited,
               branch: str | None) -> tuple[tuple[CheckOutcome, ...], WindowContent]:
        """The contract's checks over what is audited, and the fingerprint of its rows."""
        return audit(self._audited_rows(contract, audited, branch), contract)

    def _audited_rows(self, contract: Table, audited: _Audited, branch: str | None) -> DataFrame:
        self.table(contract.address)
        frame = self.spark.table(_spark_name(contract.address, branch))
        if audited.window is not None:
            frame = frame.where(_in_window(contract, audited.window))
        if audited.predicate is not None:
            frame = frame.where(audited.predicate)
        return frame

    def _may_hold(self, contract: Table, window: Window) -> bool:
        """Whether a file of `main` can hold rows of the window, by its statistics alone: Spark need not look into none."""
        row_filter = between(contract.window_column, window)
        return any(True for _ in self.table(contract.address).scan(row_filter=row_filter).plan_files())

    def _fast_forward(self, address: str, branch: str, base: int) -> None:
        """Move `main` to the branch if `main` still is at `base`; the branch goes away.

        Raises `PublishConflict` when `main` is elsewhere. A commit to another branch in between is no conflict.
        """
        for attempt in _repeated_after(CommitFailedException, OperationalError):
            with attempt:
                table = self.catalog.load_table(address)
                main = _main_of(table)
                if main == table.metadata.refs[branch].snapshot_id:
                    # An attempt that seemed to fail has moved it.
                    break
                if main != base:
                    self._drop_branch(address, branch)
                    raise PublishConflict(f"{address}: another writer published during the audit of {branch}; writing again")
                # Fails when `main` moves after it was read above.
                table.manage_snapshots().set_current_snapshot(ref_name=branch).commit()
        self._drop_branch(address, branch)

    def _drop_branch(self, address: str, branch: str) -> None:
        """Remove a branch. Repeated on its own: what the branch was for has happened, and must not happen again."""
        for attempt in _repeated_after(CommitFailedException, OperationalError):
            with attempt:
                table = self.catalog.load_table(address)
                if branch in table.metadata.refs:
                    table.manage_snapshots().remove_branch(branch).commit()

    def _keep_branch(self, address: str, branch: str) -> None:
        """Have a branch stay for `KEPT_BRANCH_DAYS`, which is Iceberg's own word that it was not left behind."""
        for attempt in _repeated_after(CommitFailedException, OperationalError):
            with attempt:
                table = self.catalog.load_table(address)
                kept_ms = KEPT_BRANCH_DAYS * 86_400_000
                table.manage_snapshots().create_branch(
                    table.metadata.refs[branch].snapshot_id, branch, max_ref_age_ms=kept_ms).commit()

    def _frame_at(self, address: str, snapshot_id: int, window: Window | None) -> DataFrame:
        contract = contracts.table(address)
        frame = self.spark.read.option("versionAsOf", str(snapshot_id)).table(_spark_name(address, None))
        if lacks_columns(self.table(address), snapshot_id):
            frame = with_later_columns(frame, contract)
        return frame if window is None else frame.where(_in_window(contract, window))

    def _create(self, contract: Table) -> IcebergTable:
        """Create the table with an empty first snapshot, so that a branch can start from it; safe beside other creators."""
        try:
            self.catalog.create_namespace(contract.layer)
        except (NamespaceAlreadyExistsError, IntegrityError):
            logger.debug("namespace %s exists", contract.layer)
        schema = iceberg_schema(contract)
        try:
            transaction = self.catalog.create_table_transaction(
                contract.address, schema=schema, partition_spec=partition_spec(contract, schema),
                sort_order=sort_order(contract, schema),
                properties={
                    "format-version": "2", "write.parquet.compression-codec": "zstd", "comment": contract.summary,
                    "owner": contract.owner, "write.metadata.delete-after-commit.enabled": "true",
                    "write.metadata.previous-versions-max": "50", "write.distribution-mode": "hash",
                    # Small daily files are many: counted at 4 MB each (the default) they become a task for every few.
                    "read.split.open-file-cost": "1048576",
                    # Measured values hardly repeat: a dictionary of them is a third of a large write and saves no byte.
                    **{f"write.parquet.dict-encoding-enabled.column.{column.name}": "false"
                       for column in contract.columns if column.type == "double"},
                },
            )
            with transaction:
                transaction.append(arrow_schema(contract).empty_table())
        except (TableAlreadyExistsError, IntegrityError, CommitFailedException):
            logger.debug("table %s was created by another writer", contract.address)
        return self.catalog.load_table(contract.address)


def branches_of(provenance: Provenance) -> str:
    """What the names of a step's branches begin with."""
    step = hashlib.sha256(provenance.step.encode()).hexdigest()[:4]
    return f"audit_{provenance.run_id.replace('-', '')[:12]}_{step}_"


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


def _carried(table: IcebergTable, progress: Progress | None) -> dict[str, str]:
    """How far into the stream the table stands after a commit, so that its newest snapshot always says it."""
    if ".".join(table.name()) not in _OF_THE_STREAM:
        return {}
    return (progress or Progress(positions={})).properties(positions_of(table))


def _main_of(table: IcebergTable) -> int:
    """Snapshot of `main`."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        name = ".".join(table.name())
        raise PublishConflict(f"{name} has no snapshot although it was created with one; run the step again")
    return snapshot.snapshot_id


def _repeated_after(*errors: type[Exception]) -> Retrying:
    """Attempts with growing random pauses, as long as they end with these errors."""
    return Retrying(retry=retry_if_exception_type(errors), stop=stop_after_attempt(8), reraise=True,
                    wait=wait_random_exponential(multiplier=0.2, max=5))


def between(column: str, window: Window) -> BooleanExpression:
    """Iceberg filter: `column` lies within the window."""
    return And(GreaterThanOrEqual(column, window.start.isoformat()), LessThanOrEqual(column, window.end.isoformat()))


def partition_bounds(table: Table, window: Window) -> Window:
    """The smallest run of whole partitions that holds the window."""
    layout = table.partitioning
    if layout is None or layout.column != table.window_column or layout.transform not in ("day", "month"):
        raise ValueError(f"{table.address} is not partitioned by its window column; replace its rows with replace_rows")
    return window if layout.transform == "day" else window.whole_months


def _spark_name(address: str, branch: str | None) -> str:
    return f"{CATALOG}.{address}" + (f".branch_{branch}" if branch else "")


def _in_window(table: Table, window: Window) -> SparkColumn:
    column = F.col(table.window_column)
    return (column >= F.lit(window.start)) & (column <= F.lit(window.end))


def _window_of(rows: pa.Table, table: Table) -> Window | None:
    """Window that holds the rows, None when they have no dates."""
    bounds = pc.min_max(rows[table.window_column])
    start, end = bounds["min"].as_py(), bounds["max"].as_py()
    if start is None or rows[table.window_column].null_count:
        return None
    return Window(start=start, end=end)


def _same_rows(old: pa.Table, new: pa.Table, table: Table) -> bool:
    """Whether two tables hold the same rows in any order."""
    if old.num_rows != new.num_rows:
        return False
    if not new.num_rows:
        return True
    order = [(name, "ascending") for name in table.grain]
    cast = old.select(new.column_names).cast(new.schema)
    return bool(cast.sort_by(order).combine_chunks().equals(new.sort_by(order).combine_chunks()))
