"""What the sink asks of ClickHouse: insert a block once, say what is held, note a gap. Every failure is worth another try."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from finlake_clients.clickhouse.connection import open_client
from finlake_clients.secret_files import SecretUnreadableError
from finlake_services.clickhouse_sink.blocks import Arrived, as_stream
from finlake_services.clickhouse_sink.exactly_once import Gap, Partition
from spark.contracts.clickhouse import SINK_GAPS
from spark.contracts.speed import QUOTES_REALTIME, STOCK_REALTIME
from spark.contracts.table import Table

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

# The token decides what is new, in the rows' table and in each table a materialized view fills. One thread and one
# format block make one part per partition; a block is inserted wholly into each or not at all.
ONCE = {
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_insert_threads": 1,
    "async_insert": 0,
}
_IDENTITIES = {
    STOCK_REALTIME.address: ("connection_id, message_seq, trade_index", "trade_ts"),
    QUOTES_REALTIME.address: ("poller_id, poll_seq", "quote_ts"),
}
_KNOWN_CODES = {
    "241": "its memory limit is reached",
    "243": "its disk is full",
    "252": "it has too many parts to merge",
    "516": "the password of the user sink is refused",
    "497": "the user sink lacks a right",
    "60": "the table does not exist: apply the migrations",
    "81": "the database does not exist: apply the migrations",
}
Answer = TypeVar("Answer")


class ClickHouseUnavailableError(Exception):
    """ClickHouse did not do what it was asked; the message says what and why, in one line."""


class SinkConnection:
    """One connection as the user `sink`, made at first use and again after a failure."""

    def __init__(self, url: str, password_file: Path, *, timeout_s: int = 30) -> None:
        self._url, self._password_file, self._timeout_s = url, password_file, timeout_s
        self._client: Client | None = None

    def insert(self, table: Table, rows: pa.Table, token: str) -> None:
        """Insert one block under its deduplication token. Raises ClickHouseUnavailableError; the outcome is then unknown."""
        self._ask(
            "insert a block",
            lambda client: client.raw_insert(
                table.address,
                column_names=rows.column_names,
                insert_block=as_stream(rows),
                fmt="ArrowStream",
                settings={**ONCE, "insert_deduplication_token": token},
            ),
        )

    def held_identities(
        self,
        table: Table,
        partition: Partition,
        before_offset: int,
        rows: Sequence[Arrived],
    ) -> set[tuple[str | int, ...]]:
        """Identities among those of `rows` that the partition brought before `before_offset`."""
        identity, happened = _IDENTITIES[table.address]
        received_ts, happened_ts = [each.row.received_ts for each in rows], [each.row.happened_ts for each in rows]
        query = (
            f"SELECT {identity} FROM {table.address} WHERE kafka_partition = {{partition:Int32}} "
            "AND kafka_offset < {before_offset:Int64} AND symbol IN {symbols:Array(String)} "
            f"AND {happened} BETWEEN {{from_ts:DateTime64(6, 'UTC')}} AND {{to_ts:DateTime64(6, 'UTC')}} "
            "AND received_ts BETWEEN {received_from:DateTime64(6, 'UTC')} AND {received_to:DateTime64(6, 'UTC')}"
        )
        parameters = {
            "partition": partition.number,
            "before_offset": before_offset,
            "symbols": sorted({each.row.symbol for each in rows}),
            "from_ts": min(happened_ts),
            "to_ts": max(happened_ts),
            "received_from": min(received_ts),
            "received_to": max(received_ts),
        }
        found = self._ask("look up rows read again", lambda client: client.query(query, parameters=parameters).result_rows)
        return {tuple(row) for row in found}

    def last_offset(self, table: Table, partition: Partition) -> int | None:
        """The highest offset of the partition that the table holds, None for none."""
        rows = self._ask(
            "look up the last offset",
            lambda client: (
                client.query(
                    f"SELECT count(), max(kafka_offset) FROM {table.address} WHERE kafka_partition = {{partition:Int32}}",
                    parameters={"partition": partition.number},
                ).result_rows
            ),
        )
        return int(rows[0][1]) if rows[0][0] else None

    def note_gap(self, partition: Partition, gap: Gap, reason: str) -> None:
        """Add the gap to speed.sink_gaps; noting it again changes nothing."""
        self._ask(
            "note a gap",
            lambda client: client.insert(
                SINK_GAPS,
                [(partition.topic, partition.number, gap.first, gap.last, reason)],
                column_names=["topic", "kafka_partition", "first_offset", "last_offset", "reason"],
                settings={**ONCE, "insert_deduplication_token": f"gap:{partition}:{gap.first}-{gap.last}"},
            ),
        )

    def _ask(self, what: str, question: Callable[["Client"], Answer]) -> Answer:
        try:
            if self._client is None:
                self._client = open_client(
                    self._url, "sink", self._password_file, connect_timeout_s=5, answer_timeout_s=self._timeout_s
                )
            return question(self._client)
        except (ClickHouseError, OSError, SecretUnreadableError) as error:
            self._client = None
            raise ClickHouseUnavailableError(f"ClickHouse at {self._url} did not {what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What is wrong, known codes in words; details that differ between attempts stand in brackets at the end."""
    text = " ".join(str(error).split())
    code = re.search(r"Code: (\d+)", text, re.IGNORECASE)
    if code:
        return f"{_KNOWN_CODES.get(code[1], f'error {code[1]}')} ({text[:400]})"
    number = re.search(r"\[Errno \d+\] ([^'\")]+)", text)
    return f"{number[1] if number else type(error).__name__} ({text[:400]})"
