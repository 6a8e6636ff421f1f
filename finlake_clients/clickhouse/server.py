"""ClickHouse: questions as `reader`, and as `admin` the tables of database `serving`, which change as a whole or not at all.

Belongs here: the order of statements and what is checked between them. Does not belong here: the statements themselves
(spark/contracts/clickhouse_serving.py); clickhouse_connect is imported when a verb runs.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finlake_clients.clickhouse.connection import open_client
from finlake_clients.lake_client import PublishedSnapshot
from finlake_clients.service_client import ServiceClient
from finlake_clients.service_errors import ServiceUnavailableError
from spark.contracts.clickhouse_serving import LOADING, Origin, engine_over, loaded_table, origin_of, rows_of_snapshot
from spark.contracts.column_sums import TableSums, clickhouse_sums, sums_of
from spark.contracts.table import Table

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SERVICE = "clickhouse"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CONNECT_TIMEOUT_S = 5
QUESTION_TIMEOUT_S = 30
LOAD_TIMEOUT_S = 1800
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")


class ClickHouseRefusedError(Exception):
    """ClickHouse answers that it cannot or must not carry out a statement; the message is its own."""


class ServingRejectedError(Exception):
    """What was made is not what the lake holds, so that readers go on seeing what they saw; the message says what differs."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What readers see of a served table now: which snapshot, if it tells, and how many rows."""

    snapshot_id: int
    row_count: int
    is_changed: bool
    previous_snapshot_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class TableState:
    """A table as ClickHouse lists it; `row_count` None where it does not keep count."""

    engine: str
    comment: str
    row_count: int | None
    definition: str


@dataclass(frozen=True, kw_only=True)
class ServerHealth:
    """A server that answers: its version, seconds since its start, and bytes of memory it tracks."""

    version: str
    uptime_s: int
    memory_bytes: int


class ClickHouse(ServiceClient):
    """A ClickHouse server. Passwords are read from files when a client is made; `s3_endpoint` is that of an S3 warehouse.

    Every verb raises `ServiceUnavailableError` when the server does not answer, and `ClickHouseRefusedError` when it refuses.
    """

    url: str
    admin_password_file: str
    reader_password_file: str
    s3_endpoint: str | None = None

    # Asking ----------------------------------------------------------------------------------------------------

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """The answer to a question, as `reader`: one mapping per row. `parameters` fill `{name:Type}`."""
        with self._client("reader") as client:
            answer = client.query(sql, parameters=dict(parameters or {}))
            return [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]

    def exists(self, address: str) -> bool:
        """Whether `database.name` is there, as a table or a view."""
        return self.state(address) is not None

    def state(self, address: str) -> TableState | None:
        """What ClickHouse knows of `database.name`; None when it is not there."""
        with self._client("admin") as client:
            return _state(client, address)

    def health(self) -> ServerHealth:
        """The server's version, age and memory."""
        (row,) = self.rows(
            "SELECT version() AS version, toInt64(uptime()) AS uptime_s, "
            "toInt64((SELECT value FROM system.metrics WHERE metric = 'MemoryTracking')) AS memory_bytes"
        )
        return ServerHealth(**row)

    def metrics(self) -> dict[str, float]:
        """What the server's /metrics tells, by name; of a name with labels the sum over them."""
        import httpx
        from prometheus_client.parser import text_string_to_metric_families

        try:
            answer = httpx.get(f"{self.url}/metrics", timeout=QUESTION_TIMEOUT_S, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(SERVICE, self.url, error) from error
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def newest(self, address: str, column: str) -> datetime | None:
        """The largest time in a column, with its zone (UTC); None for a table without rows."""
        (row,) = self.rows(
            f"SELECT count() AS row_count, toUnixTimestamp64Micro(max({_name(column)})) AS newest_us FROM {_name(address)}"
        )
        return EPOCH + timedelta(microseconds=row["newest_us"]) if row["row_count"] else None

    def row_count(self, address: str) -> int:
        """Rows that a reader sees."""
        (row,) = self.rows(f"SELECT count() AS row_count FROM {_name(address)}")
        return int(row["row_count"])

    # Serving ---------------------------------------------------------------------------------------------------

    def load_snapshot(self, table: Table, snapshot: PublishedSnapshot, expected: Callable[[], TableSums]) -> Served:
        """Let `table` hold the rows of a snapshot: ClickHouse reads the lake's files into a table beside it, which then
        takes its place in one step.

        Nothing is read when the table already holds this snapshot. Raises `ServingRejectedError`, and leaves the table as it
        was, when what was read is not what the lake says (`expected`, asked only when rows were read).
        """
        making = f"{table.address}{LOADING}"
        statement, origin = loaded_table(table, making, snapshot.address, snapshot.snapshot_id)
        columns = ", ".join(table.column_names)
        with self._client("admin") as client:
            before = _state(client, table.address)
            origin_before = None if before is None else origin_of(before.comment)
            if origin_before == origin and before is not None:
                return Served(
                    snapshot_id=snapshot.snapshot_id,
                    row_count=before.row_count or 0,
                    is_changed=False,
                    previous_snapshot_id=snapshot.snapshot_id,
                )
            client.command(f"DROP TABLE IF EXISTS {making} SYNC")
            client.command(statement)
            # A null where the contract has none is an error, not a zero.
            client.command(
                f"INSERT INTO {making} ({columns}) SELECT {columns} FROM {self._rows_of(snapshot)} "
                "SETTINGS insert_null_as_default = 0"
            )
            found = _sums(client, table, making)
            self._take_place(client, table, making, expected().differences(found), is_there=before is not None)
        return Served(
            snapshot_id=snapshot.snapshot_id,
            row_count=found.row_count,
            is_changed=True,
            previous_snapshot_id=_snapshot_of(origin_before),
        )

    def point_at_snapshot(self, table: Table, snapshot: PublishedSnapshot, row_count: int) -> Served:
        """Let `table` read a snapshot's files where they lie; nothing is copied.

        A table's columns are fixed when it is made, so it is recreated beside the old one and takes its place in one
        step. Raises `ServingRejectedError`, and leaves the table as it was, when rows or columns are not those of the lake.
        """
        making = f"{table.address}{LOADING}"
        with self._client("admin") as client:
            before = _state(client, table.address)
            if before is not None and snapshot.metadata_path in before.definition:
                return Served(
                    snapshot_id=snapshot.snapshot_id,
                    row_count=row_count,
                    is_changed=False,
                    previous_snapshot_id=snapshot.snapshot_id,
                )
            client.command(f"DROP TABLE IF EXISTS {making} SYNC")
            engine = engine_over(snapshot.location, snapshot.metadata_path, self.s3_endpoint)
            client.command(f"CREATE TABLE {making} {engine}")
            found = int(client.query(f"SELECT count() FROM {making}").result_rows[0][0])
            columns = [str(row[0]) for row in client.query(f"DESCRIBE TABLE {making}").result_rows]
            differences = [f"{found} rows instead of {row_count}"] if found != row_count else []
            differences += [f"no column {name}" for name in table.column_names if name not in columns]
            self._take_place(client, table, making, differences, is_there=before is not None)
        return Served(snapshot_id=snapshot.snapshot_id, row_count=row_count, is_changed=True)

    def sums(self, table: Table) -> TableSums:
        """Sums of what readers see of a loaded table."""
        with self._client("admin") as client:
            return _sums(client, table, table.address)

    def define(self, statement: str) -> None:
        """Carry out one DDL statement, as `admin`."""
        with self._client("admin") as client:
            client.command(statement)

    def read_lake(self, sql: str, **snapshots: PublishedSnapshot) -> list[dict[str, Any]]:
        """The answer to a question over the lake and ClickHouse's own tables, as `admin`: one mapping per row.

        `{name}` in the SQL stands for the rows of the snapshot given by that name.
        """
        tables = {name: self._rows_of(snapshot) for name, snapshot in snapshots.items()}
        with self._client("admin") as client:
            answer = client.query(sql.format(**tables))
            return [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]

    def _take_place(
        self,
        client: "Client",
        table: Table,
        making: str,
        differences: Sequence[str],
        *,
        is_there: bool,
    ) -> None:
        """Let `making` become the table that readers see; or drop it, when it differs from what it should be."""
        if differences:
            client.command(f"DROP TABLE {making} SYNC")
            raise ServingRejectedError(
                f"{table.address} was not replaced: what ClickHouse read differs from the lake: {'; '.join(differences)}. "
                "Readers see what they saw. Run `finlake check` for the lake's table, then this step again"
            )
        if is_there:
            client.command(f"EXCHANGE TABLES {making} AND {table.address}")
            client.command(f"DROP TABLE {making}")
        else:
            client.command(f"RENAME TABLE {making} TO {table.address}")

    def _rows_of(self, snapshot: PublishedSnapshot) -> str:
        return rows_of_snapshot(snapshot.location, snapshot.metadata_path, self.s3_endpoint)

    @contextmanager
    def _client(self, user: Literal["admin", "reader"]) -> "Iterator[Client]":
        from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

        password_file = Path(self.admin_password_file if user == "admin" else self.reader_password_file)
        answer_timeout_s = LOAD_TIMEOUT_S if user == "admin" else QUESTION_TIMEOUT_S
        try:
            client = open_client(
                self.url, user, password_file, connect_timeout_s=CONNECT_TIMEOUT_S, answer_timeout_s=answer_timeout_s
            )
        except (OSError, ClickHouseError) as error:
            raise ServiceUnavailableError(SERVICE, self.url, error) from error
        try:
            yield client
        except OperationalError as error:
            raise ServiceUnavailableError(SERVICE, self.url, error) from error
        except ClickHouseError as error:
            raise ClickHouseRefusedError(str(error)) from error
        finally:
            client.close()


def _state(client: "Client", address: str) -> TableState | None:
    database, _, name = _name(address).partition(".")
    found = client.query(
        "SELECT engine, comment, total_rows, create_table_query FROM system.tables "
        "WHERE database = {database:String} AND name = {name:String}",
        parameters={"database": database, "name": name},
    ).result_rows
    if not found:
        return None
    engine, comment, row_count, definition = found[0]
    return TableState(engine=engine, comment=comment, row_count=row_count, definition=definition)


def _sums(client: "Client", table: Table, name: str) -> TableSums:
    return sums_of(table, client.query(f"SELECT {', '.join(clickhouse_sums(table))} FROM {name}").result_rows[0])


def _snapshot_of(origin: Origin | None) -> int | None:
    return None if origin is None else int(origin.snapshot_id)


def _name(name: str) -> str:
    """A name that is safe in SQL; raises `ValueError` for any other."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of a table or column")
    return name
