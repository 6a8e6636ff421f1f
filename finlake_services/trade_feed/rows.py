"""The rows that the feed writes, one type per table of schema ods.

Times are integers: `_us` and `_ms` are Unix micro- and milliseconds, UTC. Postgres makes timestamps of them. Names
and order are those of spark/contracts/ods.py, which a test compares.
"""

import msgspec


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    """ods.finnhub_trades. The first four fields are the key: equal trades are different trades."""

    received_us: int
    connection_id: str
    message_seq: int
    trade_index: int
    symbol: str
    price_usd: float
    volume_shares: float
    trade_ms: int
    conditions: list[str] | None


class QuoteRow(msgspec.Struct, frozen=True, gc=False):
    """ods.finnhub_quotes. The first three fields are the key."""

    received_us: int
    poller_id: str
    poll_seq: int
    symbol: str
    price_usd: float
    change_usd: float | None
    change_pct: float | None
    high_usd: float
    low_usd: float
    open_usd: float
    previous_close_usd: float
    quote_s: int


class GapRow(msgspec.Struct, frozen=True, gc=False):
    """ods.feed_gaps: what happened between the two times was not received. `connection_id` is the one that ended it.

    `gap_start_us` None: nothing was ever received before.
    """

    connection_id: str
    gap_start_us: int | None
    gap_end_us: int
    reason: str
    symbols: list[str]


class RejectedRow(msgspec.Struct, frozen=True, gc=False):
    """ods.rejected_messages: a message of which something could not be stored, cut to a bounded length."""

    received_us: int
    connection_id: str
    message_seq: int
    reason: str
    raw_text: str


Row = TradeRow | QuoteRow | GapRow | RejectedRow
