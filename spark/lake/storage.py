"""The lake's tables opened and read, and the verbs that write them (spark/lake/publish.py).

Rows come as they stand in one snapshot: as Arrow by pyiceberg, or as a frame of the engine.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import cast

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchTableError,
)
from pyiceberg.expressions import AlwaysFalse, AlwaysTrue, BooleanExpression, GreaterThan
from pyiceberg.table import Table as IcebergTable
from pyspark.sql import DataFrame, SparkSession
from sqlalchemy.exc import OperationalError

from spark.contracts import lake as contracts
from spark.contracts.report import CheckOutcome, OffsetRange, Provenance, TableReport, Window
from spark.contracts.table import Table
from spark.lake import embedded
from spark.lake.audit import RowsAudit, WindowContent, audit, audit_rows, content_of
from spark.lake.catalog import CATALOG, LakeLocation, catalog_at, create_table
from spark.lake.commits import is_of_the_stream, main_of, repeated_after
from spark.lake.expressions import as_sql, between
from spark.lake.later_columns import ScanByTodaysColumns, lacks_columns, with_later_columns
from spark.lake.publish import publish, same_rows
from spark.lake.session import connect
from spark.lake.snapshots import (
    Progress,
    inputs_of,
    offset_gaps,
    positions_of,
    says_position,
    summary_of,
    windows_between,
    windows_rewritten,
)
from spark.lake.write import Held, Rows, Write
from spark.schemas import arrow_schema, iceberg_schema

__all__ = ["Lake", "between"]

EPOCH = date(1970, 1, 1)


class Lake:
    """A lake at a location, opened lazily: the Iceberg catalog through pyiceberg, computation through an engine.

    `for_one_job`: what the catalog says of a table is read once and kept until this lake has written it, or another writer has
    come before. A job then sees one state of its inputs, and asks the catalog a tenth as often.
    """

    def __init__(self, location: LakeLocation, *, for_one_job: bool = False) -> None:
        self.location = location
        self._tables: dict[str, IcebergTable] | None = {} if for_one_job else None

    @cached_property
    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog; see `catalog_at`."""
        return catalog_at(self.location)

    @property
    def has_spark(self) -> bool:
        """Whether Apache Spark computes, and not the engine of this process."""
        return self.location.engine == "spark"

    @property
    def spark(self) -> SparkSession:
        """The session of the engine; another one after the server has lost it and `forget` was called."""
        if self.has_spark:
            return connect(self.location.spark_remote, self.location.spark_token)
        return embedded.session(self.location.catalog_properties)

    # Reading ---------------------------------------------------------------------------------------------------

    def table(self, address: str) -> IcebergTable:
        """The Iceberg table, created from its contract when it is not there yet and widened by new contract columns."""
        if self._tables is not None and address in self._tables:
            return self._tables[address]
        contract = contracts.table(address)
        try:
            found = self.catalog.load_table(address)
        except NoSuchTableError:
            found = create_table(self.catalog, contract)
        wanted = arrow_schema(contract)
        if any(name not in found.schema().column_names for name in wanted.names):
            with found.update_schema() as update:
                update.union_by_name(iceberg_schema(contract))
        self.committed(found)
        return found

    def committed(self, table: IcebergTable) -> None:
        """Take a table as it is after a commit for what the catalog says of it, within one job."""
        if self._tables is not None:
            self._tables[".".join(table.name())] = table

    def forget_tables(self) -> None:
        """Ask the catalog again for every table."""
        if self._tables is not None:
            self._tables.clear()

    def snapshot_id(self, address: str) -> int:
        """Snapshot `main` points to now."""
        return main_of(self.table(address))

    def frame(self, address: str, window: Window | None = None, snapshot_id: int | None = None) -> DataFrame:
        """Rows of one snapshot (default: where `main` is now) as a frame, of `window` by the contract's window column."""
        frame = self.frame_at(address, snapshot_id or self.snapshot_id(address))
        return frame if window is None else frame.where(as_sql(between(contracts.table(address).window_column, window)))

    def frame_at(self, address: str, snapshot_id: int) -> DataFrame:
        """All rows of a snapshot as a frame, with the columns that the table has today."""
        table = self.table(address)
        if self.has_spark:
            frame = self.spark.read.option("versionAsOf", str(snapshot_id)).table(self.spark_name(address, None))
        else:
            # Without its name the metadata file would be looked for in the folder, where others lie that lost a race.
            reader = self.spark.read.format("iceberg").option("metadata-location", table.metadata_location)
            frame = reader.option("snapshot-id", str(snapshot_id)).load(table.location())
        if lacks_columns(table, snapshot_id):
            frame = with_later_columns(frame, contracts.table(address))
        return frame

    def spark_name(self, address: str, branch: str | None) -> str:
        """What Apache Spark calls a table, or a branch of it."""
        return f"{CATALOG}.{address}" + (f".branch_{branch}" if branch else "")

    def rows(
        self,
        address: str,
        row_filter: BooleanExpression = AlwaysTrue(),  # noqa: B008 - an immutable constant
        columns: Sequence[str] = ("*",),
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """Rows of `main` (or of one snapshot) as Arrow, for reads that need no engine."""
        return self.scan(address, row_filter, columns, snapshot_id).to_arrow()

    def scan(
        self, address: str, row_filter: BooleanExpression, columns: Sequence[str], snapshot_id: int | None
    ) -> ScanByTodaysColumns:
        """What `rows` reads; its files are looked up once."""
        table = self.table(address)
        return ScanByTodaysColumns(
            table.metadata, table.io, row_filter=row_filter, selected_fields=tuple(columns), snapshot_id=snapshot_id
        )

    def built(self, address: str, after: date | None = None) -> Window | None:
        """First and last value of the table's window column, from file statistics alone; None when there is no row.

        With `after` of the files with a later value only, so that others are not looked up.
        """
        table, column = self.table(address), contracts.table(address).window_column
        field_id = table.schema().find_field(column).field_id
        later = AlwaysTrue() if after is None else GreaterThan(column, after.isoformat())
        files = [task.file for task in table.scan(row_filter=later).plan_files()]
        days = [
            int.from_bytes(bounds[field_id], "little", signed=True)
            for file in files
            for bounds in (file.lower_bounds, file.upper_bounds)
            if field_id in bounds
        ]
        if not days:
            return None
        return Window(start=EPOCH + timedelta(days=min(days)), end=EPOCH + timedelta(days=max(days)))

    def newest(self, address: str, after: date | None = None) -> date | None:
        """Largest value of the table's window column; None when there is no row, or none later than `after`."""
        built = self.built(address, after)
        return None if built is None else built.end

    def changed_since_built(self, address: str, inputs: Mapping[str, int]) -> Window | None:
        """Dates on which `inputs` (snapshots by address) changed after the newest snapshot of a table was built from them.

        Read from the windows that snapshots record. None when nothing changed, or when the table was never built; all
        dates when an input's snapshots no longer tell.
        """
        table = self.table(address)
        built_from = inputs_of(table)
        changed = [
            window
            for name, snapshot_id in inputs.items()
            if name in built_from
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
        windows = list(windows_rewritten(table, snapshot_id, main_of(table)))
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
        return content_of(self._audited_rows(contract, window, None, branch), contract)

    def shows(self, address: str, window: Window, rows: Rows) -> bool:
        """Whether `main` holds exactly these rows in a window."""
        contract = contracts.table(address)
        if self.has_spark:
            return content_of(cast(DataFrame, rows), contract) == self.content(address, window)
        held = self.rows(address, between(contract.window_column, window), contract.column_names)
        return same_rows(held, rows.toArrow(), contract)

    # Judging ---------------------------------------------------------------------------------------------------

    def check(self, address: str, window: Window | None = None, branch: str | None = None) -> tuple[CheckOutcome, ...]:
        """The contract's checks over the rows of `main` (or a branch) in a window: predicates, grain, required columns."""
        return self.audit(contracts.table(address), window, None, branch)[0]

    def audit(
        self, contract: Table, window: Window | None, audited: BooleanExpression | None, branch: str | None
    ) -> tuple[tuple[CheckOutcome, ...], WindowContent]:
        """The contract's checks over what is audited of `main` or a branch, and the fingerprint of its rows."""
        return audit(self._audited_rows(contract, window, audited, branch), contract)

    def audit_rows(self, rows: pa.Table, contract: Table, kept_keys: pa.Table | None) -> RowsAudit:
        """The contract's checks over rows that are not published yet; see `spark.lake.audit.audit_rows`."""
        return audit_rows(rows, contract, lambda: self.spark, kept_keys)

    def _audited_rows(
        self, contract: Table, window: Window | None, audited: BooleanExpression | None, branch: str | None
    ) -> DataFrame:
        table = self.table(contract.address)
        if branch is None:
            frame = self.frame_at(contract.address, main_of(table))
        elif self.has_spark:
            frame = self.spark.table(self.spark_name(contract.address, branch))
        else:
            self.forget_tables()
            frame = self.frame_at(contract.address, self.table(contract.address).metadata.refs[branch].snapshot_id)
        if window is not None:
            frame = frame.where(as_sql(between(contract.window_column, window)))
        return frame if audited is None else frame.where(as_sql(audited))

    def _may_hold(self, contract: Table, window: Window) -> bool:
        """Whether a file of `main` can hold rows of the window, by its statistics alone: an engine need not look into none."""
        row_filter = between(contract.window_column, window)
        return any(True for _ in self.table(contract.address).scan(row_filter=row_filter).plan_files())

    # Writing ---------------------------------------------------------------------------------------------------

    def replace_rows(
        self,
        address: str,
        rows: pa.Table,
        *,
        replaced: BooleanExpression,
        provenance: Provenance,
        input_snapshots: Mapping[str, int] | None = None,
        progress: Progress | None = None,
        audited: BooleanExpression | None = None,
    ) -> TableReport:
        """Replace the rows matching `replaced` by `rows` (Arrow, any column order), also when `rows` is empty.

        `progress` is committed with the rows, and alone when they are there already. `audited` narrows the look for other rows
        of the same keys; the report then counts no rows by date. Raises `AuditFailedError` when a blocking check fails on the new
        rows, and `PublishConflictError` after repeated collisions with another writer.
        """
        return publish(
            self,
            Write(
                table=contracts.table(address),
                rows_on=lambda _: Held(lambda: rows),
                replaced=replaced,
                provenance=provenance,
                summary=summary_of(provenance, input_snapshots),
                audited=audited,
                progress=progress,
            ),
        )

    def append_rows(
        self,
        address: str,
        rows_on: Callable[[int], Rows],
        *,
        audited: BooleanExpression,
        window: Window | None,
        provenance: Provenance,
        progress: Progress,
        input_snapshots: Mapping[str, int] | None = None,
    ) -> TableReport:
        """Add rows, and how far the table has come with them; nothing when it stands as far already.

        `rows_on` gives the rows that a snapshot lacks, and is asked again when another writer came first. `audited`
        narrows the audit to rows that may have been added, `window` holds their dates. Raises like `replace_rows`.
        """
        return publish(
            self,
            Write(
                table=contracts.table(address),
                rows_on=rows_on,
                replaced=AlwaysFalse(),
                provenance=provenance,
                window=window,
                summary=summary_of(provenance, input_snapshots),
                audited=audited,
                progress=progress,
            ),
        )

    def replace_window(
        self,
        address: str,
        rows: Rows,
        *,
        window: Window,
        provenance: Provenance,
        input_snapshots: Mapping[str, int] | None = None,
    ) -> TableReport:
        """Replace the window's rows by `rows` (of the window only), also when there are none.

        Nothing is computed when the newest snapshot says that this window was built by this code from these inputs. Raises
        like `replace_rows`.
        """
        contract = contracts.table(address)
        return publish(
            self,
            Write(
                table=contract,
                rows_on=lambda _: rows,
                replaced=between(contract.window_column, window),
                provenance=provenance,
                window=window,
                is_window_build=True,
                summary=summary_of(provenance, input_snapshots, window),
            ),
        )

    def keep_positions(self, address: str) -> None:
        """Have the newest snapshot of a table say how far it stands in the stream, if only an earlier one says so."""
        if not is_of_the_stream(address):
            return
        for attempt in repeated_after(CommitFailedException, OperationalError):
            with attempt:
                self.forget_tables()
                table = self.table(address)
                held, newest = positions_of(table), table.current_snapshot()
                if held and newest is not None and not says_position(newest):
                    table.append(
                        arrow_schema(contracts.table(address)).empty_table(),
                        snapshot_properties=Progress(positions=held).properties({}),
                    )
