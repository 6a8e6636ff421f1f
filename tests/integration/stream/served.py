"""Small tables of gold for ClickHouse to show, and trades that ClickHouse is given without the stream before it."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from finlake_clients.clickhouse.server import ClickHouse
from spark.contracts import lake as contracts
from spark.contracts import speed
from spark.contracts.column_sums import ColumnSum, TableSums
from spark.contracts.table import Column, Table
from spark.lake.storage import Lake
from spark.schemas import arrow_schema

FRIDAY = date(2018, 3, 23)
WORDS = {"trend": "up", "market_regime": "normal", "month": "2018-03"}


def rows_of(address: str, tickers: Sequence[str], days: Sequence[date], **values: object) -> pa.Table:
    """One row per ticker and day, made up: required columns from `values` or something harmless, others null."""
    table = contracts.table(address)
    return pa.Table.from_pylist(
        [_row(table, {"ticker": ticker, "session_date": day, **values}) for ticker in tickers for day in days],
        arrow_schema(table),
    )


def _row(table: Table, told: Mapping[str, object]) -> dict[str, object]:
    return {column.name: told.get(column.name, _harmless(column)) for column in table.columns}


def _harmless(column: Column) -> object:
    if column.nullable:
        return None
    harmless = {"string": WORDS.get(column.name, "x"), "boolean": False, "long": 1, "int": 1, "double": 0.0, "date": FRIDAY}
    return harmless[column.type]


def publish(lake: Lake, address: str, rows: pa.Table) -> TableSums:
    """Let these rows be the table's only ones, without an audit; their sums."""
    lake.table(address).overwrite(rows)
    return sums_of(address, rows)


def sums_of(address: str, rows: pa.Table) -> TableSums:
    """What the columns add up to, computed a third way."""
    return TableSums(
        row_count=rows.num_rows,
        columns={
            column.name: _sum_of([value for value in rows[column.name].to_pylist() if value is not None])
            for column in contracts.table(address).columns
        },
    )


def _sum_of(values: Sequence[object]) -> ColumnSum:
    return ColumnSum(present=len(values), total=sum(_whole_number(value) for value in values))


def _whole_number(value: object) -> int:
    match value:
        case bool():
            return int(value)
        case float():
            return round(value * 1e8) if abs(value * 1e8) < 2**63 else 0
        case str():
            return int(hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()[:15], 16)
        case datetime():
            return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        case date():
            return (value - date(1970, 1, 1)).days
        case _:
            return int(str(value))


def insert_trades(
    clickhouse: ClickHouse,
    symbol: str,
    trades: Sequence[tuple[datetime, float, float]],
    first_offset: int,
) -> None:
    """Trades of a symbol at times (UTC), prices and volumes, received an hour later, as the sink would insert them."""
    columns = [column.name for column in speed.STOCK_REALTIME.columns if column.name != "inserted_ts"]
    rows = []
    for number, (trade_ts, price, volume) in enumerate(trades):
        moment = f"'{trade_ts:%Y-%m-%d %H:%M:%S}'"
        told = {
            "symbol": f"'{symbol}'",
            "price_usd": str(price),
            "volume_shares": str(volume),
            "conditions": "[]",
            "flaw": "''",
            "received_ts": f"'{trade_ts + timedelta(hours=1):%Y-%m-%d %H:%M:%S}'",
            "connection_id": f"'{symbol}'",
            "message_seq": str(first_offset + number),
            "trade_index": "0",
            "lsn": "1",
            "kafka_partition": "0",
            "kafka_offset": str(first_offset + number),
        }
        rows.append(f"({', '.join(told.get(name, moment) for name in columns)})")
    clickhouse.define(f"INSERT INTO speed.stock_realtime ({', '.join(columns)}) VALUES {', '.join(rows)}")


def days_from(first: date, count: int) -> list[date]:
    """Days in a row, week-ends included."""
    return [first + timedelta(days=number) for number in range(count)]
