"""Speed: trades and quotes as ClickHouse holds them within a second of their commit, and what it keeps up to date from them.

Belongs here: the columns that readers see. Does not belong here: how ClickHouse stores them (spark/contracts/clickhouse.py).

Sums are exact whatever the order of arrival: a number is first made an integer, `rint(number * 1e8)`, and whole numbers
are added. Every engine that recomputes a candle or compares tables does the same.
"""

from operator import attrgetter

from spark.contracts.stream_rows import FLAW_FORMULA, FLAWS
from spark.contracts.table import Column, Input, Table

UNITS_PER_ONE = 100_000_000
"""Integer units of one dollar or share in exact sums: `rint(number * 1e8)`, halves to the even neighbour."""

FINAL_AFTER_S = 60
"""A minute or window is final when a trade has come that was received so many seconds after its end, of whatever symbol.

The feed writes in the order of receipt: by then everything is there that was received up to so many seconds after the end.
What the vendor sends later still corrects the minute. Nothing but a trade proves it: a clock goes on when the stream stands.
"""

TICK_KEPT_DAYS = 30
"""Trades and quotes go this many days after they were inserted; whatever is older is in the lake."""

WINDOW_KEPT_DAYS, CANDLE_KEPT_DAYS = 30, 400
_KEPT_NOTE = "A window goes so many days after its last trade was inserted."

SYMBOL = Column(name="symbol", type="string", note="Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT")
PRICE_USD = Column(name="price_usd", type="double", unit="USD", note="Price per share or coin, unadjusted")
VOLUME_SHARES = Column(name="volume_shares", type="double", unit="shares", note="Traded volume; fractional for coins")
TRADE_TS = Column(name="trade_ts", type="timestamp", unit="UTC, milliseconds", note="When the trade happened, as Finnhub says")
RECEIVED_TS = Column(name="received_ts", type="timestamp", unit="UTC", note="When the feed received the message or the answer")
FLAW = Column(
    name="flaw",
    type="string",
    formula=FLAW_FORMULA,
    note=f"Why a row is kept out of everything computed: {', '.join(FLAWS)}; else empty",
)
TRADE_ID = (
    Column(name="connection_id", type="string", note="The websocket connection the message came through"),
    Column(name="message_seq", type="long", note="Number of the message within its connection, from 1"),
    Column(name="trade_index", type="int", note="Position of the trade within its message, from 0"),
)
QUOTE_ID = (
    Column(name="poller_id", type="string", note="The feed process that asked"),
    Column(name="poll_seq", type="long", note="Number of the answer within its process, from 1"),
)
QUOTE_NUMBERS = (
    PRICE_USD,
    Column(name="change_usd", type="double", unit="USD", nullable=True, note="Since the previous close"),
    Column(name="change_pct", type="double", unit="percent", nullable=True, note="Since the previous close"),
    Column(name="high_usd", type="double", unit="USD", note="Highest price of the session so far"),
    Column(name="low_usd", type="double", unit="USD", note="Lowest price of the session so far"),
    Column(name="open_usd", type="double", unit="USD", note="First price of the session"),
    Column(name="previous_close_usd", type="double", unit="USD", note="Close of the previous session"),
)
numbers_of_quote = attrgetter(*(column.name for column in QUOTE_NUMBERS))
"""These numbers of a row whose attributes have the columns' names."""
QUOTE_TS = Column(name="quote_ts", type="timestamp", unit="UTC, seconds", note="Time of the last trade the quote knows")
HOPS = (
    Column(name="lsn", type="long", note="Postgres log sequence number of the change"),
    Column(name="committed_ts", type="timestamp", unit="UTC", note="When Postgres committed"),
    Column(name="captured_ts", type="timestamp", unit="UTC", note="When Debezium saw the change"),
    Column(name="appended_ts", type="timestamp", unit="UTC", note="Kafka's time of the record"),
    Column(name="consumed_ts", type="timestamp", unit="UTC", note="When the sink had the record"),
    Column(name="kafka_partition", type="int", note="Partition of the topic"),
    Column(name="kafka_offset", type="long", note="Offset within the partition"),
    Column(name="inserted_ts", type="timestamp", unit="UTC", note="When ClickHouse began to insert the row's block"),
)

STOCK_REALTIME = Table(
    layer="speed",
    name="stock_realtime",
    summary="One row per trade, with the time it passed each hop.",
    grain=("kafka_partition", "kafka_offset"),
    columns=(
        SYMBOL,
        TRADE_TS,
        PRICE_USD,
        VOLUME_SHARES,
        Column(name="conditions", type="list<string>", note="Finnhub's condition codes; empty for coins"),
        FLAW,
        RECEIVED_TS,
        *TRADE_ID,
        *HOPS,
    ),
    window="none",
    window_column="trade_ts",
    partitioning=None,
    sort_order=("symbol", "trade_ts"),
    retention_days=TICK_KEPT_DAYS,
    notes=(
        "Equal trades are kept: they are real. A trade's identity is its connection, message and position.",
        "Trades may arrive out of order, also within a message.",
    ),
)

QUOTES_REALTIME = Table(
    layer="speed",
    name="quotes_realtime",
    summary="One row per polled quote, with the time it passed each hop.",
    grain=("kafka_partition", "kafka_offset"),
    columns=(SYMBOL, QUOTE_TS, *QUOTE_NUMBERS, RECEIVED_TS, *QUOTE_ID, *HOPS),
    window="none",
    window_column="quote_ts",
    partitioning=None,
    sort_order=("symbol", "quote_ts"),
    retention_days=TICK_KEPT_DAYS,
)

_TRADES = STOCK_REALTIME.address


def _made_of(*names: str) -> tuple[str, ...]:
    return tuple(f"{_TRADES}.{name}" for name in names)


CANDLE_COLUMNS = (
    Column(name="symbol", type="string", note=SYMBOL.note, sources=_made_of("symbol")),
    Column(name="minute_ts", type="timestamp", unit="UTC", note="Start of the minute", sources=_made_of("trade_ts")),
    Column(
        name="open_usd",
        type="double",
        unit="USD",
        note="First price",
        formula="price of the smallest (trade_ts, kafka_partition, kafka_offset)",
        sources=_made_of("price_usd"),
    ),
    Column(name="high_usd", type="double", unit="USD", note="Highest price", sources=_made_of("price_usd")),
    Column(name="low_usd", type="double", unit="USD", note="Lowest price", sources=_made_of("price_usd")),
    Column(
        name="close_usd",
        type="double",
        unit="USD",
        note="Last price",
        formula="price of the largest (trade_ts, kafka_partition, kafka_offset)",
        sources=_made_of("price_usd"),
    ),
    Column(
        name="volume_shares",
        type="double",
        unit="shares",
        note="Sum of volumes",
        formula="sum(rint(volume * 1e8)) / 1e8",
        sources=_made_of("volume_shares"),
    ),
    Column(name="trade_count", type="long", unit="trades", note="Number of trades"),
)

IS_FINAL = Column(
    name="is_final",
    type="boolean",
    note="False while the window is not over: its numbers still change",
    formula=f"a trade has come that was received {FINAL_AFTER_S} s after the end of the window or later",
    sources=_made_of("received_ts"),
)

CANDLES_1M = Table(
    layer="speed",
    name="candles_1m",
    summary="One-minute candles of trades without a flaw; a late trade corrects the candle it belongs to.",
    grain=("symbol", "minute_ts"),
    columns=(*CANDLE_COLUMNS, IS_FINAL),
    window="none",
    window_column="minute_ts",
    partitioning=None,
    sort_order=("symbol", "minute_ts"),
    inputs=(Input(_TRADES),),
    retention_days=CANDLE_KEPT_DAYS,
    notes=(_KEPT_NOTE,),
)

WINDOWS_30S = Table(
    layer="speed",
    name="windows_30s",
    summary="30-second windows of trades without a flaw.",
    grain=("symbol", "window_start_ts"),
    columns=(
        Column(name="symbol", type="string", note=SYMBOL.note, sources=_made_of("symbol")),
        Column(
            name="window_start_ts",
            type="timestamp",
            unit="UTC",
            note="Start of the window, a multiple of 30 s",
            sources=_made_of("trade_ts"),
        ),
        Column(name="window_end_ts", type="timestamp", unit="UTC", note="End of the window, not part of it"),
        Column(
            name="avg_price_usd",
            type="double",
            unit="USD",
            note="Mean price",
            formula="sum(rint(price * 1e8)) / count / 1e8",
            sources=_made_of("price_usd"),
        ),
        Column(name="min_price_usd", type="double", unit="USD", note="Lowest price", sources=_made_of("price_usd")),
        Column(name="max_price_usd", type="double", unit="USD", note="Highest price", sources=_made_of("price_usd")),
        Column(name="volume_shares", type="double", unit="shares", note="Sum of volumes", sources=_made_of("volume_shares")),
        Column(name="trade_count", type="long", unit="trades", note="Number of trades"),
        Column(
            name="price_sd_usd",
            type="double",
            unit="USD",
            nullable=True,
            note="Sample standard deviation of the price; null for a single trade",
            formula="sqrt((n * sum(x^2) - sum(x)^2) / (n * (n - 1))) / 1e8 with x = rint(price * 1e8)",
            sources=_made_of("price_usd"),
        ),
        IS_FINAL,
    ),
    window="none",
    window_column="window_start_ts",
    partitioning=None,
    sort_order=("symbol", "window_start_ts"),
    inputs=(Input(_TRADES),),
    retention_days=WINDOW_KEPT_DAYS,
    notes=(_KEPT_NOTE,),
)

PRICE_VOLUME_15S = Table(
    layer="speed",
    name="price_volume_15s",
    summary="Mean of price times volume in true 15-second windows, beside the mean of all trades up to the window's end.",
    grain=("symbol", "window_start_ts"),
    columns=(
        Column(name="symbol", type="string", note=SYMBOL.note, sources=_made_of("symbol")),
        Column(
            name="window_start_ts",
            type="timestamp",
            unit="UTC",
            note="Start of the window, a multiple of 15 s",
            sources=_made_of("trade_ts"),
        ),
        Column(
            name="price_volume_avg_usd",
            type="double",
            unit="USD",
            note="Mean of price * volume of the window's trades",
            formula="sum(rint(price * volume * 1e8)) / count / 1e8",
            sources=_made_of("price_usd", "volume_shares"),
        ),
        Column(
            name="running_price_volume_avg_usd",
            type="double",
            unit="USD",
            note="The same mean over the symbol's windows up to and with this one",
            sources=_made_of("price_usd", "volume_shares"),
        ),
        Column(name="trade_count", type="long", unit="trades", note="Number of trades in the window"),
        IS_FINAL,
    ),
    window="none",
    window_column="window_start_ts",
    partitioning=None,
    sort_order=("symbol", "window_start_ts"),
    inputs=(Input(_TRADES),),
    retention_days=WINDOW_KEPT_DAYS,
    notes=("The running mean has no window: what others call their 15-second average is this number.", _KEPT_NOTE),
)

ANOMALIES = Table(
    layer="speed",
    name="anomalies",
    summary="30-second windows that differ from the mean of the symbol's five windows before them.",
    grain=("symbol", "window_start_ts"),
    columns=(
        Column(name="symbol", type="string", note=SYMBOL.note),
        Column(name="window_start_ts", type="timestamp", unit="UTC", note="Start of the 30-second window"),
        Column(
            name="anomaly_types",
            type="list<string>",
            note="PRICE_SPIKE_UP, PRICE_SPIKE_DOWN, VOLUME_SPIKE, HIGH_VOLATILITY, PRICE_GAP, in this order",
            formula="mean price more than 5 % above or below the baseline; volume > 3 x baseline; price_sd > 0.03 USD; "
            "(max - min) / mean > 2 %",
        ),
        Column(name="severity", type="int", unit="0 to 4", note="Number of types"),
        Column(
            name="price_change_pct",
            type="double",
            unit="percent",
            nullable=True,
            note="Mean price against the baseline's; null without a window before",
        ),
        Column(name="volume_ratio", type="double", unit="1", nullable=True, note="Volume against the baseline's"),
        Column(name="price_sd_usd", type="double", unit="USD", nullable=True, note="Standard deviation in the window"),
        Column(name="price_range_pct", type="double", unit="percent", note="Highest less lowest price, of the mean price"),
        IS_FINAL,
    ),
    window="none",
    window_column="window_start_ts",
    partitioning=None,
    sort_order=("symbol", "window_start_ts"),
    inputs=(Input(WINDOWS_30S.address),),
    retention_days=WINDOW_KEPT_DAYS,
    notes=(_KEPT_NOTE,),
)

TABLES: tuple[Table, ...] = (STOCK_REALTIME, QUOTES_REALTIME, CANDLES_1M, WINDOWS_30S, PRICE_VOLUME_15S, ANOMALIES)
