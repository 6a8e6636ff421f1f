"""Rows into schema ods of Postgres: in order, each once, with a log position of its own.

A batch is one transaction of one INSERT … SELECT per table over a JSON array. Unlike COPY, which writes many rows under
one log record, that gives every row its own LSN, on which change data capture depends; and it is the fastest of the
statements that do. Keys come from the feed, so a batch whose commit is in doubt is simply written again: ON CONFLICT DO
NOTHING.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from time import perf_counter
from typing import LiteralString

import msgspec
import psycopg
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from finlake_clients.secret_files import secret_of
from finlake_services.trade_feed.clock import wall_us
from finlake_services.trade_feed.messages import RAW_TEXT_LIMIT, storable
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.row_buffer import RowBuffer
from finlake_services.trade_feed.rows import GapRow, QuoteRow, RejectedRow, Row, TradeRow
from spark.contracts.ods import FEED_GAPS, FINNHUB_QUOTES, FINNHUB_TRADES, INTERVALS, REJECTED_MESSAGES, OdsTable

DEFAULT_BATCH_ROWS = 500
DEFAULT_BUFFER_ROWS = 100_000

_DAY = timedelta(days=1)

# In this order within a transaction: a connection's gap is never committed after its trades.
_TABLES: Mapping[type[Row], OdsTable] = {
    GapRow: FEED_GAPS,
    TradeRow: FINNHUB_TRADES,
    QuoteRow: FINNHUB_QUOTES,
    RejectedRow: REJECTED_MESSAGES,
}
# Whatever proves that the feed was alive; a gap's end is the first message of a connection.
_NEWEST: LiteralString = """
    SELECT (extract(epoch FROM greatest(
        (SELECT max(received_ts) FROM ods.finnhub_trades), (SELECT max(gap_end_ts) FROM ods.feed_gaps)
    )) * 1000000)::bigint"""

_log = structlog.get_logger()


def insert_statement(table: OdsTable) -> bytes:
    """INSERT of rows that are sent as one JSON array, the statement's parameter; a row whose key is there is left alone."""
    names = ", ".join(column.name for column in table.columns)
    fields = ", ".join(f"{column.feed_name} {'bigint' if column.feed_unit else column.type}" for column in table.columns)
    values = ", ".join(
        column.name
        if column.feed_unit is None
        else f"'epoch'::timestamptz + {column.feed_name} * interval '1 {INTERVALS[column.feed_unit]}'"
        for column in table.columns
    )
    return (
        f"INSERT INTO {table.address} ({names}) SELECT {values} "
        f"FROM json_to_recordset(%s::json) AS r ({fields}) ON CONFLICT DO NOTHING"
    ).encode()


_INSERTS: Mapping[type[Row], bytes] = {kind: insert_statement(table) for kind, table in _TABLES.items()}


class OdsError(Exception):
    """Postgres refuses what the feed wants to do, and asking again would not help."""


class _RowRefusedError(Exception):
    """Postgres refuses some row of a batch for what the row says."""

    def __init__(self, cause: psycopg.Error) -> None:
        super().__init__(_first_line(cause))
        self.cause = cause


@dataclass(frozen=True)
class OdsAccess:
    """Where Postgres is; the password is read at every connection. `uri` names neither user nor password."""

    uri: str
    user: str
    password_file: Path

    async def connect(self) -> psycopg.AsyncConnection:
        """A connection in autocommit mode that notices a dead server within seconds.

        Raises psycopg.OperationalError and `SecretUnreadableError`.
        """
        return await psycopg.AsyncConnection.connect(
            self.uri,
            user=self.user,
            password=secret_of("postgres", self.password_file),
            autocommit=True,
            application_name="trade_feed",
            connect_timeout=5,
            tcp_user_timeout=10_000,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            options="-c statement_timeout=30s",
        )


class OdsWriter:
    """Writes what is put into it until it is closed and drained. One task runs it, any number put.

    Postgres may go and come back: rows wait in the buffer, and `put` waits once that is full.
    """

    def __init__(
        self,
        access: OdsAccess,
        metrics: FeedMetrics | None = None,
        *,
        batch_rows: int = DEFAULT_BATCH_ROWS,
        buffer_rows: int = DEFAULT_BUFFER_ROWS,
    ) -> None:
        self._access, self._batch_rows = access, batch_rows
        self._buffer = RowBuffer(buffer_rows)
        self._metrics = metrics or FeedMetrics()
        self._metrics.buffered_rows.set_function(lambda: self._buffer.depth)
        self._metrics.buffer_capacity_rows.set(buffer_rows)
        self._connection: psycopg.AsyncConnection | None = None
        self._partitioned_until_us = 0

    @property
    def depth(self) -> int:
        """Rows put and not yet committed."""
        return self._buffer.depth

    async def put(self, rows: Sequence[Row]) -> None:
        """Hand rows over; waits while the buffer is full. Rows of a cancelled caller are kept."""
        await self._buffer.put(rows)

    def close(self) -> None:
        """No more rows will come: `run` ends when all are written."""
        self._buffer.close()

    async def newest_us(self) -> int | None:
        """Unix microseconds of the newest stored sign of life, None when there is none; waits for Postgres.

        Also makes the partitions of yesterday, today and tomorrow. Raises OdsError.
        """
        newest: int | None = None
        async for attempt in self._attempts():
            with attempt:
                newest = await self._read_newest()
        return newest

    async def run(self) -> None:
        """Write batches as soon as there are rows. Raises OdsError when Postgres refuses them for good."""
        try:
            while batch := await self._buffer.take(self._batch_rows):
                await self._write_all(batch)
                self._buffer.settle(len(batch))
        finally:
            await self._disconnect()

    def _attempts(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(psycopg.OperationalError),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            before_sleep=self._note_failure,
            reraise=True,
        )

    def _note_failure(self, state: RetryCallState) -> None:
        self._metrics.postgres_errors.inc()
        reason = _first_line(state.outcome.exception()) if state.outcome else ""
        _log.warning(
            "postgres does not answer, trying again",
            reason=reason,
            attempt=state.attempt_number,
            buffered_rows=self.depth,
        )

    async def _write_all(self, batch: Sequence[Row]) -> None:
        """Write a batch; a row of it that Postgres's constraints refuse is stored as a rejection, and the others as rows."""
        try:
            async for attempt in self._attempts():
                with attempt:
                    await self._write(batch)
        except _RowRefusedError as refused:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write_all(batch[:middle])
                await self._write_all(batch[middle:])
            elif isinstance(batch[0], TradeRow):
                self._metrics.trades_rejected.inc()
                await self._write_all([_rejection_of(batch[0], refused)])
            else:
                raise _refusal(refused.cause) from refused

    async def _write(self, batch: Sequence[Row]) -> None:
        started = perf_counter()
        try:
            connection = await self._connected()
            await self._partition(connection, [row.received_us for row in batch if not isinstance(row, GapRow)])
            async with connection.pipeline(), connection.transaction():
                for kind, statement in _INSERTS.items():
                    rows = [row for row in batch if type(row) is kind]
                    if rows:
                        await connection.execute(statement, [msgspec.json.encode(rows).decode()])
        except psycopg.OperationalError:
            await self._disconnect()
            raise
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise _RowRefusedError(error) from error
        except psycopg.Error as error:
            raise _refusal(error) from error
        self._metrics.insert_seconds.observe(perf_counter() - started)
        for kind, table in _TABLES.items():
            self._metrics.rows_written.labels(table.name).inc(sum(type(row) is kind for row in batch))

    async def _read_newest(self) -> int | None:
        try:
            connection = await self._connected()
            await self._partition(connection, [wall_us()])
            row = await (await connection.execute(_NEWEST)).fetchone()
        except psycopg.OperationalError:
            await self._disconnect()
            raise
        except psycopg.Error as error:
            raise _refusal(error) from error
        return row[0] if row else None

    async def _partition(self, connection: psycopg.AsyncConnection, received_us: Sequence[int]) -> None:
        """See that partitions exist for these times, and for the days around them: midnight finds its partition made."""
        if not received_us or max(received_us) < self._partitioned_until_us:
            return
        first, last = (datetime.fromtimestamp(limit // 1_000_000, UTC).date() for limit in (min(received_us), max(received_us)))
        await connection.execute("SELECT ods.ensure_partitions(%s, %s)", [first - _DAY, last + _DAY])
        # The first row of the last day that is made makes the next one.
        self._partitioned_until_us = int(datetime.combine(last + _DAY, time.min, UTC).timestamp()) * 1_000_000

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None:
            self._connection = await self._access.connect()
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _rejection_of(row: TradeRow, refused: _RowRefusedError) -> RejectedRow:
    """The rejection in place of a trade. Its number is negative: the message may have a rejection of its own."""
    number = -(row.message_seq * 1_000_000 + row.trade_index)
    text = storable(msgspec.json.encode(row).decode(), RAW_TEXT_LIMIT)
    return RejectedRow(row.received_us, row.connection_id, number, f"trade {row.trade_index}: {refused}", text)


def _refusal(error: psycopg.Error) -> OdsError:
    return OdsError(
        f"Postgres refuses the feed's rows ({error.sqlstate}: {_first_line(error)}). Apply deploy/postgres/market.sql "
        "(`finlake up` does) and see that role feed may insert into schema ods",
    )


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
