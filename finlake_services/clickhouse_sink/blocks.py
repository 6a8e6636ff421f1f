"""A block of records as columns for ClickHouse: judged, freed of what a snapshot read again, in the contract's order."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from finlake_services.clickhouse_sink.exactly_once import Partition
from finlake_services.clickhouse_sink.records import Change, Decoder, LogRecord, PoisonError, QuoteChange, Row, TradeChange
from spark.contracts import streams
from spark.contracts.clickhouse import FILLED_BY_CLICKHOUSE
from spark.contracts.table import Table
from spark.transforms.avro_values import JSON_ALONE, AvroValues

_ARROW_TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us", "UTC"),
    "list<string>": pa.list_(pa.string()),
}
_READ_AGAIN = "r"


@dataclass(frozen=True)
class Shape:
    """One topic: the table its rows go to and how its records are read."""

    topic: str
    table: Table
    decoder: Decoder


TRADES = Shape(streams.TRADES.topic, streams.TRADES.realtime, Decoder(TradeChange))
QUOTES = Shape(streams.QUOTES.topic, streams.QUOTES.realtime, Decoder(QuoteChange))


@dataclass(frozen=True)
class DeadLetter:
    """A record that cannot become a row."""

    partition: Partition
    offset: int
    value: bytes
    reason: str
    detail: str


@dataclass(frozen=True)
class Arrived:
    """A row with what Kafka says about its record."""

    offset: int
    appended_ms: int
    consumed_us: int
    change: Change
    row: Row


@dataclass(frozen=True)
class Block:
    """What one block inserts (None: no row), what it sends to the dead letters, and what it leaves out, counted."""

    rows: pa.Table | None
    dead_letters: tuple[DeadLetter, ...]
    read_again: int
    not_applied: int


def build(
    shape: Shape,
    partition: Partition,
    records: Sequence[LogRecord],
    held: Callable[[Sequence[Arrived]], Collection[tuple[str | int, ...]]],
    values: AvroValues = JSON_ALONE,
) -> Block:
    """The block of `records`. `held` says which identities ClickHouse has from before the block's first record, and `values`
    reads those that are Avro; what either raises passes through.

    `held` is asked only about rows that a snapshot read again: Postgres gives any other row once. Rebuilt from the same
    records, the rows are the same but for consumed_ts.
    """
    arrived: list[Arrived] = []
    dead: list[DeadLetter] = []
    not_applied = 0
    for record in records:
        try:
            change = shape.decoder.new_row(record.value, values)
        except PoisonError as error:
            dead.append(DeadLetter(partition, record.offset, record.value or b"", error.reason, str(error)))
            continue
        if change is None or change.after is None:
            not_applied += 1
            continue
        arrived.append(Arrived(record.offset, record.appended_ms, record.consumed_us, change, change.after))
    fresh = _without_read_again(arrived, held)
    return Block(
        rows=_columns(shape.table, partition.number, fresh) if fresh else None,
        dead_letters=tuple(dead),
        read_again=len(arrived) - len(fresh),
        not_applied=not_applied,
    )


def _without_read_again(
    arrived: list[Arrived],
    held: Callable[[Sequence[Arrived]], Collection[tuple[str | int, ...]]],
) -> list[Arrived]:
    """`arrived` without rows read again whose identity came before, in an earlier block or earlier in this one."""
    read_again = [each for each in arrived if each.change.op == _READ_AGAIN]
    if not read_again:
        return arrived
    seen = set(held(read_again))
    fresh = []
    for each in arrived:
        if each.change.op != _READ_AGAIN or each.row.identity not in seen:
            fresh.append(each)
        seen.add(each.row.identity)
    return fresh


def _columns(table: Table, partition: int, arrived: Sequence[Arrived]) -> pa.Table:
    about_log: dict[str, list[int]] = {
        "lsn": [each.change.source.lsn for each in arrived],
        "committed_ts": [each.change.source.ts_us for each in arrived],
        "captured_ts": [each.change.ts_us for each in arrived],
        "appended_ts": [each.appended_ms * 1000 for each in arrived],
        "consumed_ts": [each.consumed_us for each in arrived],
        "kafka_partition": [partition] * len(arrived),
        "kafka_offset": [each.offset for each in arrived],
    }
    rows = [each.row for each in arrived]
    columns = {}
    for column in table.columns:
        if column.name == FILLED_BY_CLICKHOUSE:
            continue
        values: Sequence[object] = about_log.get(column.name) or [getattr(row, column.name) for row in rows]
        if column.type == "list<string>":
            values = [value or () for value in values]
        columns[column.name] = pa.array(values, _ARROW_TYPES[column.type])
    return pa.table(columns)


def as_stream(rows: pa.Table) -> bytes:
    """The rows in Arrow's stream format, as one batch, so that ClickHouse makes one block of them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return bytes(sink.getvalue())
