"""Debezium's change records into rows of bronze: the envelope as columns, the row as text and as columns.

Records are Debezium's, as JSON without schemas or as Avro: `{before, after, op, source: {lsn, ts_us}, ts_us}`, times as ISO 8601
text. What Avro says is kept as the JSON of the same record.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa

from spark.contracts import bronze
from spark.contracts.connectors import Record
from spark.contracts.speed import numbers_of_quote
from spark.contracts.stream_rows import (
    EARLIEST_TS,
    LATEST_TS,
    MAX_VALUE_BYTES,
    Objection,
    objection_to_quote,
    objection_to_trade,
)
from spark.contracts.table import Table
from spark.schemas import arrow_schema
from spark.transforms.avro_values import JSON_ALONE, AvroValues, UnreadableAvroError
from spark.transforms.quarantine import RAW_TEXT_LIMIT, Rejection, rejections_table

NEW_YORK = ZoneInfo("America/New_York")
DELETE = "d"
OPS = ("c", "r", "u", DELETE)

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
EpochMicroseconds = Annotated[int, msgspec.Meta(ge=0, le=10**16)]


class TradeKey(msgspec.Struct):
    """Primary key of ods.finnhub_trades, in the order of bronze's columns."""

    received_ts: Instant
    connection_id: str
    message_seq: Int64
    trade_index: Int32


class CapturedTrade(TradeKey):
    """A row of ods.finnhub_trades, in the order of bronze's columns."""

    symbol: str
    price_usd: float
    volume_shares: float
    conditions: list[str] | None
    trade_ts: Instant

    def objection(self) -> Objection | None:
        """Why the contract refuses it."""
        return objection_to_trade(
            connection_id=self.connection_id,
            symbol=self.symbol,
            price_usd=self.price_usd,
            volume_shares=self.volume_shares,
            trade_ts=self.trade_ts,
            conditions=self.conditions or (),
        )


class QuoteKey(msgspec.Struct):
    """Primary key of ods.finnhub_quotes, in the order of bronze's columns."""

    received_ts: Instant
    poller_id: str
    poll_seq: Int64


class CapturedQuote(QuoteKey):
    """A row of ods.finnhub_quotes, in the order of bronze's columns."""

    symbol: str
    price_usd: float
    change_usd: float | None
    change_pct: float | None
    high_usd: float
    low_usd: float
    open_usd: float
    previous_close_usd: float
    quote_ts: Instant

    def objection(self) -> Objection | None:
        """Why the contract refuses it."""
        return objection_to_quote(
            poller_id=self.poller_id,
            symbol=self.symbol,
            quote_ts=self.quote_ts,
            numbers=numbers_of_quote(self),
        )


class _Source(msgspec.Struct):
    lsn: Int64
    ts_us: EpochMicroseconds


class _Envelope(msgspec.Struct):
    op: str
    ts_us: EpochMicroseconds
    source: _Source
    before: msgspec.Raw = msgspec.Raw(b"null")
    after: msgspec.Raw = msgspec.Raw(b"null")


class UnreadableChangeError(ValueError):
    """A record that is no change of the table, or brings a row that the contract refuses; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Rows of bronze and, with quarantine's columns, the records that could not be read."""

    rows: pa.Table
    rejected: pa.Table


class ChangeDecoder:
    """Reads the change records of one table; `key` and `row` are structs whose fields are columns of `table`."""

    def __init__(self, table: Table, key: type[msgspec.Struct], row: type[CapturedTrade] | type[CapturedQuote]) -> None:
        self._table = table
        self._envelopes = msgspec.json.Decoder(_Envelope)
        self._keys = msgspec.json.Decoder(key)
        self._rows: msgspec.json.Decoder[CapturedTrade | CapturedQuote] = msgspec.json.Decoder(row)
        self._deleted_values = (None,) * (len(row.__struct_fields__) - len(key.__struct_fields__))

    def decode(self, records: Iterable[Record], topic: str, partition: int, values: AvroValues = JSON_ALONE) -> Changes:
        """Every record is a row or a rejection, none is passed over; `values` reads those that are Avro."""
        rows: list[tuple[object, ...]] = []
        rejected: list[Rejection] = []
        for record in records:
            try:
                rows.append(self._row(record, topic, partition, values))
            except (msgspec.MsgspecError, UnicodeDecodeError, UnreadableAvroError, UnreadableChangeError) as error:
                rejected.append(self._rejection(record, topic, partition, str(error)))
        return Changes(rows=_table(rows, self._table), rejected=rejections_table(rejected))

    def _row(self, record: Record, topic: str, partition: int, values: AvroValues) -> tuple[object, ...]:
        if record.value is None:
            raise UnreadableChangeError("the record has no value")
        if len(record.value) > MAX_VALUE_BYTES:
            raise UnreadableChangeError(f"the record has {len(record.value)} bytes, more than {MAX_VALUE_BYTES}")
        change = self._envelopes.decode(values.as_json(record.value))
        if change.op not in OPS:
            raise UnreadableChangeError(f"op {change.op!r} is none of {', '.join(OPS)}")
        before, after = bytes(change.before), bytes(change.after)
        return (
            topic,
            partition,
            record.offset,
            record.appended_ts.astimezone(UTC).date(),
            change.op,
            change.source.lsn,
            change.source.ts_us,
            change.ts_us,
            record.appended_ts,
            _text(record.key),
            _text(before),
            _text(after),
            *self._columns(change.op, record.key, before, after),
        )

    def _columns(self, op: str, key: bytes | None, before: bytes, after: bytes) -> tuple[object, ...]:
        """Key and values of the row; of a deleted row the key, because Postgres tells nothing else of it."""
        if op == DELETE:
            return (*msgspec.structs.astuple(self._keys.decode(key or before)), *self._deleted_values)
        row = self._rows.decode(after)
        if (objection := row.objection()) is not None:
            raise UnreadableChangeError(f"{objection.reason}: {objection.detail}")
        if not EARLIEST_TS <= row.received_ts < LATEST_TS:
            raise UnreadableChangeError("time_out_of_range: the time of receipt is one that not every engine can hold")
        return msgspec.structs.astuple(row)

    def _rejection(self, record: Record, topic: str, partition: int, why: str) -> Rejection:
        value = record.value or b""
        cut = f" (the begin of {len(value)} bytes is kept here)" if len(value) > RAW_TEXT_LIMIT else ""
        return Rejection(
            source_table=self._table.address,
            source_name=topic,
            reference=f"{partition}@{record.offset}",
            # A character has four bytes at most: what is cut anyway need not be decoded.
            reason="unreadable_change",
            raw_text=value[: 4 * RAW_TEXT_LIMIT].decode(errors="replace"),
            ticker=None,
            message=f"{why}{cut}; look at the record and at the connector that wrote it",
            day_date=record.appended_ts.astimezone(NEW_YORK).date(),
        )


def trade_decoder() -> ChangeDecoder:
    """The decoder of bronze.finnhub_trades_cdc."""
    return ChangeDecoder(bronze.FINNHUB_TRADES_CDC, TradeKey, CapturedTrade)


def quote_decoder() -> ChangeDecoder:
    """The decoder of bronze.finnhub_quotes_cdc."""
    return ChangeDecoder(bronze.FINNHUB_QUOTES_CDC, QuoteKey, CapturedQuote)


def _text(json: bytes | None) -> str | None:
    return None if json is None or json == b"null" else json.decode()


def _table(rows: Sequence[tuple[object, ...]], table: Table) -> pa.Table:
    schema = arrow_schema(table)
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema)
