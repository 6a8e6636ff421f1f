"""What Debezium's records say: changes of trades and quotes as typed rows, or the reason why a record cannot be one.

The archive reads the same records by types of its own (spark/transforms/bronze/finnhub_changes.py), in the order of its columns,
so that each can be the other's proof; tests/finlake_services/test_one_fate.py holds both to the same answer.
"""

from datetime import datetime
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from spark.contracts.speed import numbers_of_quote
from spark.contracts.stream_rows import (
    EARLIEST_TS,
    LATEST_TS,
    MAX_VALUE_BYTES,
    Objection,
    flaw_of,
    objection_to_quote,
    objection_to_trade,
)
from spark.transforms.avro_values import JSON_ALONE, AvroValues, UnreadableAvroError

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
EpochMicroseconds = Annotated[int, msgspec.Meta(ge=0, le=10**16)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class LogRecord(NamedTuple):
    """One Kafka record: its offset, its value (None: a tombstone), Kafka's time of it and when the sink had it."""

    offset: int
    value: bytes | None
    appended_ms: int
    consumed_us: int


class PoisonError(Exception):
    """A record that can never become a row. `reason` is one word, the message says more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class TradeValues(msgspec.Struct, gc=False):
    """`after` of a change in ods.finnhub_trades."""

    received_ts: Instant
    connection_id: str
    message_seq: Int64
    trade_index: Int32
    symbol: str
    price_usd: float
    volume_shares: float
    trade_ts: Instant
    conditions: list[str] | None = None

    @property
    def identity(self) -> tuple[str, int, int]:
        """What makes it the same trade wherever it turns up."""
        return self.connection_id, self.message_seq, self.trade_index

    @property
    def happened_ts(self) -> datetime:
        return self.trade_ts

    @property
    def flaw(self) -> str:
        """The contract's flaw; empty for a good trade."""
        return flaw_of(self.price_usd, self.volume_shares, self.trade_ts, self.received_ts)

    @property
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


class Quote(msgspec.Struct, gc=False):
    """`after` of a change in ods.finnhub_quotes."""

    received_ts: Instant
    poller_id: str
    poll_seq: Int64
    symbol: str
    price_usd: float
    high_usd: float
    low_usd: float
    open_usd: float
    previous_close_usd: float
    quote_ts: Instant
    change_usd: float | None = None
    change_pct: float | None = None

    @property
    def identity(self) -> tuple[str, int]:
        """What makes it the same quote wherever it turns up."""
        return self.poller_id, self.poll_seq

    @property
    def happened_ts(self) -> datetime:
        return self.quote_ts

    @property
    def objection(self) -> Objection | None:
        """Why the contract refuses it."""
        return objection_to_quote(
            poller_id=self.poller_id,
            symbol=self.symbol,
            quote_ts=self.quote_ts,
            numbers=numbers_of_quote(self),
        )


class ChangeSource(msgspec.Struct, gc=False):
    """Where in Postgres's log a change is, and when it was committed."""

    lsn: Int64
    ts_us: EpochMicroseconds


class TradeChange(msgspec.Struct, gc=False):
    """Debezium's envelope: `op` is c (created), r (read again by a snapshot), u (updated), d (deleted) or t (truncated)."""

    op: str
    source: ChangeSource
    ts_us: EpochMicroseconds
    after: TradeValues | None = None


class QuoteChange(msgspec.Struct, gc=False):
    """The same envelope around a quote."""

    op: str
    source: ChangeSource
    ts_us: EpochMicroseconds
    after: Quote | None = None


Row: TypeAlias = TradeValues | Quote
Change: TypeAlias = TradeChange | QuoteChange


class Decoder:
    """Bytes to changes of one kind of row, JSON or Avro."""

    def __init__(self, change_type: type[Change]) -> None:
        self._decoder = msgspec.json.Decoder(change_type)

    def new_row(self, value: bytes | None, values: AvroValues = JSON_ALONE) -> Change | None:
        """The change when it brings a row, None for an update, delete, truncation or tombstone; `values` reads what is Avro.

        Raises PoisonError: too_large, not_json, unknown_schema, unreadable_schema, broken_avro, wrong_shape, unknown_op, no_row,
        or the reason of the contract's objection; and ServiceUnavailableError when the schema registry cannot be asked.
        """
        if value is None:
            return None
        if len(value) > MAX_VALUE_BYTES:
            raise PoisonError("too_large", f"the record has {len(value)} bytes, more than {MAX_VALUE_BYTES}")
        try:
            change = self._decoder.decode(values.as_json(value))
        except UnreadableAvroError as error:
            raise PoisonError(error.reason, str(error)) from error
        except msgspec.ValidationError as error:
            raise PoisonError("wrong_shape", str(error)) from error
        # msgspec reports what is not UTF-8 by Python's own error.
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PoisonError("not_json", str(error)) from error
        if change.op not in ("c", "r"):
            if change.op in ("u", "d", "t"):
                return None
            raise PoisonError("unknown_op", f"op is {change.op!r}")
        self._judge(change.after)
        return change

    @staticmethod
    def _judge(row: Row | None) -> None:
        if row is None:
            raise PoisonError("no_row", "after is null in a change that brings a row")
        if (objection := row.objection) is not None:
            raise PoisonError(objection.reason, objection.detail)
        if not EARLIEST_TS <= row.received_ts < LATEST_TS:
            raise PoisonError("time_out_of_range", "the time of receipt is one that not every engine can hold")
