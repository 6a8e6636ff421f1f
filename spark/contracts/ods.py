"""Schema `ods` of the database market: the tables that the feed fills, each column declared once with its SQL type.

The vendor's times (`trade_ts`, `quote_ts`) are whole milliseconds. Of trades and quotes, what follows `received_ts` in the key is
the row's id, once for each row: the feed draws a new name for each connection or poller and counts its messages. Postgres alone
does not enforce that, since the key of a partitioned table must hold `received_ts`: one id at two times of receipt is two rows
there. Every reader takes them for one, and `finlake reconcile` calls it a fault (docs/unequal-rows.md).

From it come the feed's INSERT and the types that Avro must give a captured column. What is text or a type of Python for good
reason (deploy/postgres/market.sql, the rows of feed, sink and archive, the readers' columns of speed.py and bronze.py) is
compared with it by tests. Does not belong here: limits of a row (stream_rows.py), what captured rows become (streams.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SCHEMA = "ods"

SqlType = Literal["timestamptz", "text", "bigint", "integer", "float8", "text[]"]
TimeUnit = Literal["us", "ms", "s"]

INTERVALS: Mapping[TimeUnit, str] = {"us": "microsecond", "ms": "millisecond", "s": "second"}
"""Units in which the feed writes Unix times, as Postgres's intervals name them."""


@dataclass(frozen=True, kw_only=True)
class OdsColumn:
    """A column as Postgres has it. `feed_unit` is the unit in which the feed writes a time, None for whatever is no time."""

    name: str
    type: SqlType
    nullable: bool = False
    feed_unit: TimeUnit | None = None

    @property
    def feed_name(self) -> str:
        """Its name in the feed's row: `trade_ts`, in milliseconds, is `trade_ms` there."""
        return self.name if self.feed_unit is None else f"{self.name.removesuffix('_ts')}_{self.feed_unit}"


@dataclass(frozen=True, kw_only=True)
class OdsTable:
    """A table of schema `ods`, its columns in Postgres's order; the first `key_length` of them are the primary key."""

    name: str
    columns: tuple[OdsColumn, ...]
    key_length: int

    @property
    def address(self) -> str:
        """Its name in SQL."""
        return f"{SCHEMA}.{self.name}"

    @property
    def key(self) -> tuple[OdsColumn, ...]:
        """The columns of the primary key, in its order."""
        return self.columns[: self.key_length]


_RECEIVED_TS = OdsColumn(name="received_ts", type="timestamptz", feed_unit="us")

FINNHUB_TRADES = OdsTable(
    name="finnhub_trades",
    key_length=4,
    columns=(
        _RECEIVED_TS,
        OdsColumn(name="connection_id", type="text"),
        OdsColumn(name="message_seq", type="bigint"),
        OdsColumn(name="trade_index", type="integer"),
        OdsColumn(name="symbol", type="text"),
        OdsColumn(name="price_usd", type="float8"),
        OdsColumn(name="volume_shares", type="float8"),
        OdsColumn(name="trade_ts", type="timestamptz", feed_unit="ms"),
        OdsColumn(name="conditions", type="text[]", nullable=True),
    ),
)
FINNHUB_QUOTES = OdsTable(
    name="finnhub_quotes",
    key_length=3,
    columns=(
        _RECEIVED_TS,
        OdsColumn(name="poller_id", type="text"),
        OdsColumn(name="poll_seq", type="bigint"),
        OdsColumn(name="symbol", type="text"),
        OdsColumn(name="price_usd", type="float8"),
        OdsColumn(name="change_usd", type="float8", nullable=True),
        OdsColumn(name="change_pct", type="float8", nullable=True),
        OdsColumn(name="high_usd", type="float8"),
        OdsColumn(name="low_usd", type="float8"),
        OdsColumn(name="open_usd", type="float8"),
        OdsColumn(name="previous_close_usd", type="float8"),
        OdsColumn(name="quote_ts", type="timestamptz", feed_unit="s"),
    ),
)
FEED_GAPS = OdsTable(
    name="feed_gaps",
    key_length=1,
    columns=(
        OdsColumn(name="connection_id", type="text"),
        OdsColumn(name="gap_start_ts", type="timestamptz", nullable=True, feed_unit="us"),
        OdsColumn(name="gap_end_ts", type="timestamptz", feed_unit="us"),
        OdsColumn(name="reason", type="text"),
        OdsColumn(name="symbols", type="text[]"),
    ),
)
REJECTED_MESSAGES = OdsTable(
    name="rejected_messages",
    key_length=3,
    columns=(
        _RECEIVED_TS,
        OdsColumn(name="connection_id", type="text"),
        OdsColumn(name="message_seq", type="bigint"),
        OdsColumn(name="reason", type="text"),
        OdsColumn(name="raw_text", type="text"),
    ),
)
