"""Serving: gold as ClickHouse shows it to people, and its prices with the days that the stream alone knows.

Belongs here: the columns that readers see. Does not belong here: statements that make them (clickhouse_serving.py).
"""

from dataclasses import replace

from spark.contracts import gold
from spark.contracts.bronze import SESSION_DATE, TICKER
from spark.contracts.gold import ML_FEATURES, STOCK_ANALYTICS
from spark.contracts.speed import CANDLES_1M, FINAL_AFTER_S, STOCK_REALTIME
from spark.contracts.table import Column, Input, Table

BATCH, SPEED = "batch", "speed"
"""Where a bar of serving.prices_unified comes from."""


def _served(table: Table, summary: str, *notes: str) -> Table:
    """A gold table as ClickHouse serves it: the same columns, each made of the one of its name."""
    return Table(
        layer="serving",
        name=f"{table.layer}_{table.name}",
        summary=summary,
        grain=table.grain,
        columns=tuple(replace(column, sources=(f"{table.address}.{column.name}",)) for column in table.columns),
        window="none",
        window_column=table.window_column,
        partitioning=None,
        sort_order=table.sort_order,
        inputs=(Input(table.address),),
        notes=notes,
    )


GOLD_STOCK_ANALYTICS = _served(
    STOCK_ANALYTICS,
    "One published snapshot of gold.stock_analytics, held by ClickHouse itself, by ticker and session.",
    "Replaced as a whole: a reader sees one snapshot or the next, never a part of either. The table's comment names it.",
)

GOLD_ML_FEATURES = _served(
    ML_FEATURES,
    "One published snapshot of gold.ml_features, read from the lake's own files: nothing is copied.",
    "Every column is nullable here, because ClickHouse declares what Iceberg files hold; the promises of the lake's table hold.",
    "Points at the metadata of one snapshot. The lake keeps that file for its next fifty commits.",
)


def _bar(name: str, unit: str, note: str, formula: str, candle: str) -> Column:
    return Column(
        name=name,
        type="double",
        unit=unit,
        note=note,
        formula=formula,
        sources=(f"{GOLD_STOCK_ANALYTICS.address}.{name}", f"{CANDLES_1M.address}.{candle}"),
    )


PRICES_UNIFIED = Table(
    layer="serving",
    name="prices_unified",
    summary="One bar per ticker and day: published sessions from the batch, the days after a ticker's last one from the stream.",
    grain=("ticker", "session_date"),
    columns=(
        replace(TICKER, sources=(f"{GOLD_STOCK_ANALYTICS.address}.ticker", f"{CANDLES_1M.address}.symbol")),
        replace(SESSION_DATE, sources=(f"{GOLD_STOCK_ANALYTICS.address}.session_date", f"{CANDLES_1M.address}.minute_ts")),
        _bar("open_usd", "USD", "First price", "speed: open of the day's first minute", "open_usd"),
        _bar("high_usd", "USD", "Highest price", "speed: highest of the day's minutes", "high_usd"),
        _bar("low_usd", "USD", "Lowest price", "speed: lowest of the day's minutes", "low_usd"),
        _bar("close_usd", "USD", "Last price", "speed: close of the day's last minute so far", "close_usd"),
        _bar(
            "volume_shares",
            "shares",
            "Traded volume; of one venue only where source is speed",
            "speed: sum(rint(volume * 1e8)) / 1e8 over the day's minutes",
            "volume_shares",
        ),
        Column(name="source", type="string", note=f"{BATCH} or {SPEED}"),
        Column(
            name="is_final",
            type="boolean",
            note="False while the day of a speed bar is not over: its numbers still change",
            formula=f"batch: true; speed: a trade has come that was received {FINAL_AFTER_S} s after the end of the day in "
            "New York or later",
            sources=(f"{STOCK_REALTIME.address}.received_ts",),
        ),
    ),
    window="none",
    window_column="session_date",
    partitioning=None,
    sort_order=("ticker", "session_date"),
    inputs=(Input(GOLD_STOCK_ANALYTICS.address), Input(CANDLES_1M.address), Input(STOCK_REALTIME.address)),
    notes=(
        "No ticker has a day twice: a speed bar is there only after the ticker's last batch session.",
        "Volumes of the two sources are not comparable: the stream knows the trades of one venue (IEX), the batch all of them.",
        "Batch prices are adjusted for splits and dividends, speed prices are not; they meet because nothing is adjusted after "
        "the last session.",
        "A speed day is the America/New_York date of its minutes, trades before and after regular hours included.",
        "Symbols with a colon (coins, such as BINANCE:BTCUSDT) have no sessions and are left out.",
    ),
)

TABLES: tuple[Table, ...] = (GOLD_STOCK_ANALYTICS, GOLD_ML_FEATURES, PRICES_UNIFIED)

LAKE_TABLES: dict[str, Table] = {
    GOLD_STOCK_ANALYTICS.address: gold.STOCK_ANALYTICS,
    GOLD_ML_FEATURES.address: gold.ML_FEATURES,
}
"""By served table, the lake's table it shows."""
