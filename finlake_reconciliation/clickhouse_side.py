"""ClickHouse's side: sums and rows of the live tables, and whether their candles and windows follow from their rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finlake_clients.clickhouse.connection import open_client
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_reconciliation.buckets import US_PER_HOUR, Bucket, Buckets, Content, Sums
from finlake_reconciliation.comparison import Rows
from finlake_reconciliation.derived import Derived, TradeSums
from finlake_reconciliation.derived import Rows as DerivedRows
from spark.contracts.clickhouse import SINK_GAPS, exact_units, window_start
from spark.contracts.column_sums import HASH_DIGITS, UNITS_LIMIT
from spark.contracts.speed import CANDLES_1M, STOCK_REALTIME, TICK_KEPT_DAYS, UNITS_PER_ONE
from spark.contracts.streams import CapturedTable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Offsets = Mapping[int, int]
"""By partition of a topic, an offset."""


class LiveTables:
    """The tables of database `speed`, as user `reader`. Every verb raises `ServiceUnavailableError` when nobody answers.

    Connects when first asked; to be closed.
    """

    def __init__(self, url: str, password_file: Path) -> None:
        self._url = url
        self._password_file = password_file
        self._connection: Client | None = None

    def close(self) -> None:
        """Leave the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def buckets(self, relation: CapturedTable, *, below_lsn: int, below: Offsets | None = None) -> Buckets:
        """Sums of the rows below an LSN; with `below` only of those below an offset of each partition named."""
        sums = ", ".join(f"sum(toInt128({_units(number)}))" for number in relation.numbers)
        query = (
            f"SELECT symbol, {_hour()}, count(), {_microseconds(f'min({relation.event_ts.name})')}, "
            f"{_microseconds(f'max({relation.event_ts.name})')}, sum(toInt128({_id_hash(relation)})), {sums} "
            f"FROM {relation.realtime.address} WHERE lsn < {{lsn:Int64}} AND {_below(below)} GROUP BY 1, 2"
        )
        with self._client() as client:
            return {
                Bucket(symbol, hour): Sums(count, tuple(numbers), first, last, hashes)
                for symbol, hour, count, first, last, hashes, *numbers in client.query(
                    query, parameters={"lsn": below_lsn}
                ).result_rows
            }

    def rows(self, relation: CapturedTable, bucket: Bucket, *, below_lsn: int, below: Offsets | None = None) -> Rows:
        """The rows of one bucket below an LSN; with `below` only of those below an offset of each partition named."""
        numbers = ", ".join(_units(number) for number in relation.numbers)
        query = (
            f"SELECT {_id(relation)}, {_microseconds(relation.event_ts.name)}, {numbers} FROM {relation.realtime.address} "
            f"WHERE symbol = {{symbol:String}} AND {_hour()} = {{hour:Int64}} AND lsn < {{lsn:Int64}} AND {_below(below)}"
        )
        parameters = {"symbol": bucket.symbol, "hour": bucket.hour, "lsn": below_lsn}
        found: dict[str, list[Content]] = {}
        with self._client() as client, client.query_rows_stream(query, parameters=parameters) as stream:
            for row_id, event_us, *units in stream:
                found.setdefault(row_id, []).append(Content(tuple(units), event_us))
        return found

    def id_hashes(self, relation: CapturedTable, *, below: Offsets) -> Iterator[int]:
        """Hashes of the ids of rows below an offset of each partition."""
        query = f"SELECT {_id_hash(relation)} FROM {relation.realtime.address} WHERE {_below(below)}"
        with self._client() as client, client.query_rows_stream(query) as stream:
            yield from (row[0] for row in stream)

    def gaps(self, relation: CapturedTable) -> int:
        """Offsets of the relation's topic that Kafka had deleted before the sink could read them."""
        query = f"SELECT sum(last_offset - first_offset + 1) FROM {SINK_GAPS} WHERE topic = {{topic:String}}"
        return int(self._query(query, {"topic": relation.topic})[0][0])

    def symbols(self) -> list[str]:
        """Symbols with a trade or a candle."""
        found = self._query(
            f"SELECT symbol FROM {STOCK_REALTIME.address} WHERE flaw = '' GROUP BY symbol "
            f"UNION DISTINCT SELECT symbol FROM {CANDLES_1M.address} GROUP BY symbol"
        )
        return sorted(row[0] for row in found)

    def trades_whole_since(self) -> datetime | None:
        """Start of the first day whose trades are all still there; None when no trade can have expired yet."""
        oldest, is_old = self._query(
            "SELECT toUnixTimestamp(toStartOfDay(min(received_ts))), "
            f"count() > 0 AND min(inserted_ts) < now() - INTERVAL {TICK_KEPT_DAYS - 1} DAY FROM {STOCK_REALTIME.address}"
        )[0]
        return datetime.fromtimestamp(oldest, UTC) + timedelta(days=1) if is_old else None

    def trade_sums(self, symbol: str, seconds: int) -> list[TradeSums]:
        """Trades without a flaw of a symbol, added up in windows of `seconds`, in order of time."""
        position = "(trade_ts, kafka_partition, kafka_offset)"
        price = exact_units("price_usd")
        query = (
            f"SELECT {_microseconds(window_start(seconds))} AS start, count(), argMin(price_usd, {position}), max(price_usd), "
            f"min(price_usd), argMax(price_usd, {position}), sum({exact_units('volume_shares')}), sum({price}), "
            f"sum(toInt256({price}) * toInt256({price})), sum({exact_units('price_usd * volume_shares')}) "
            f"FROM {STOCK_REALTIME.address} WHERE symbol = {{symbol:String}} AND flaw = '' GROUP BY start ORDER BY start"
        )
        names = [field.name for field in fields(TradeSums)]
        return [TradeSums(**dict(zip(names, row, strict=True))) for row in self._query(query, {"symbol": symbol})]

    def derived_rows(self, derived: Derived, symbol: str) -> DerivedRows:
        """What a reader sees of a derived table for one symbol."""
        start = derived.table.grain[1]
        columns = [_microseconds(f"{name.removesuffix('_us')}_ts") if name.endswith("_us") else name for name in derived.columns]
        query = (
            f"SELECT {_microseconds(start)}, {', '.join(columns)} FROM {derived.table.address} WHERE symbol = {{symbol:String}}"
        )
        return {row[0]: tuple(row[1:]) for row in self._query(query, {"symbol": symbol})}

    def _query(self, query: str, parameters: Mapping[str, object] | None = None) -> Sequence[Sequence[Any]]:
        with self._client() as client:
            return client.query(query, parameters=dict(parameters or {})).result_rows

    @contextmanager
    def _client(self) -> "Iterator[Client]":
        from clickhouse_connect.driver.exceptions import OperationalError

        try:
            if self._connection is None:
                self._connection = open_client(self._url, "reader", self._password_file)
            yield self._connection
        except (OSError, OperationalError) as error:
            self.close()
            raise ServiceUnavailableError("clickhouse", self._url, error) from error


def _hour() -> str:
    return f"intDiv({_microseconds('received_ts')}, {US_PER_HOUR})"


def _microseconds(moment: str) -> str:
    return f"toUnixTimestamp64Micro({moment})"


def _units(number: str) -> str:
    """`buckets.units` in ClickHouse: rounding a Float64 takes the even neighbour."""
    scaled = f"({number} * {UNITS_PER_ONE})"
    return f"if(abs({scaled}) < {UNITS_LIMIT}, toInt64(round({scaled})), 0)"


def _id(relation: CapturedTable) -> str:
    texts = [f"toString({column})" for column in relation.id_columns]
    separated = ", ':', ".join(texts)
    return f"concat({separated})"


def _id_hash(relation: CapturedTable) -> str:
    """`buckets.id_hash` in ClickHouse: the first eight bytes of the MD5 without their last four bits."""
    surplus_bits = 64 - 4 * HASH_DIGITS
    return f"bitShiftRight(reinterpretAsUInt64(reverse(substring(MD5({_id(relation)}), 1, 8))), {surplus_bits})"


def _below(offsets: Offsets | None) -> str:
    """Condition that a row lies below the offset of its partition; a partition that is not named has none."""
    if offsets is None:
        return "true"
    named = [f"(kafka_partition = {partition} AND kafka_offset < {offset})" for partition, offset in offsets.items()]
    return f"({' OR '.join(named) or 'false'})"
