"""Gold: tables people and models read. Every column at session t uses only rows available by t's close, labels apart.

Rolling columns are null until their window is full. Recursive columns (EMA, RSI, OBV, running extremes) carry their
state in the previous row, so one session's increment reads a bounded number of sessions.
"""

from dataclasses import replace

from spark.contracts import speed
from spark.contracts.bronze import SESSION_DATE, TICKER, prices
from spark.contracts.table import Check, Column, ColumnType, Freshness, Input, Partitioning, Table

_PRICES = "silver.prices_daily"
_CLOSE = (f"{_PRICES}.close_usd",)
_VOLUME = (f"{_PRICES}.volume_shares",)
_HLC = (f"{_PRICES}.high_usd", f"{_PRICES}.low_usd", f"{_PRICES}.close_usd")
_BY_SESSION = Partitioning(column="session_date", transform="month")


def _value(name: str, unit: str, formula: str, *sources: str, note: str = "", type_: ColumnType = "double") -> Column:
    """A nullable computed column: null until its window is full."""
    return Column(
        name=name,
        type=type_,
        unit=unit,
        note=note or "Null until the window is full",
        nullable=True,
        sources=sources,
        formula=formula,
    )


INDICATORS = Table(
    layer="gold",
    name="indicators",
    summary="Technical indicators per ticker and session, on adjusted prices, with the recursion state.",
    grain=("ticker", "session_date"),
    columns=(
        TICKER,
        SESSION_DATE,
        Column(
            name="close_usd",
            type="double",
            unit="USD, split and dividend adjusted",
            note="Basis of the indicators",
            sources=_CLOSE,
        ),
        *(_value(f"sma_{n}_usd", "USD", f"mean of the last {n} closes", *_CLOSE) for n in (5, 10, 20, 50, 200)),
        *(
            _value(f"ema_{n}_usd", "USD", f"EMA, alpha 2/({n}+1), seeded with the SMA of the first {n} closes", *_CLOSE)
            for n in (12, 20, 26, 50, 200)
        ),
        _value("macd_usd", "USD", "ema_12_usd - ema_26_usd (Appel)", *_CLOSE),
        _value("macd_signal_usd", "USD", "EMA of 9 MACD values, seeded with the SMA of the first 9", *_CLOSE),
        _value("macd_hist_usd", "USD", "macd_usd - macd_signal_usd", *_CLOSE),
        _value(
            "rsi_14",
            "0..100",
            "100 - 100 / (1 + g / l), Wilder averages of 14 gains and losses seeded with their "
            "mean; 100 when l = 0 < g, 50 when both are 0 (Wilder 1978)",
            *_CLOSE,
        ),
        _value("stoch_k_14_pct", "0..100", "100 (C - min L14) / (max H14 - min L14); 50 when the range is 0", *_HLC),
        _value("stoch_d_3_pct", "0..100", "mean of the last 3 stoch_k_14_pct", *_HLC),
        _value("roc_12_pct", "percent", "100 (C / C[12 sessions before] - 1)", *_CLOSE),
        _value("bb_upper_usd", "USD", "sma_20_usd + 2 sample sd of 20 closes (Bollinger)", *_CLOSE),
        _value("bb_lower_usd", "USD", "sma_20_usd - 2 sample sd of 20 closes", *_CLOSE),
        _value("bb_width_usd", "USD", "bb_upper_usd - bb_lower_usd", *_CLOSE),
        _value(
            "atr_14_usd",
            "USD",
            "simple mean of the last 14 true ranges; the first bar's true range is high - low",
            *_HLC,
            note="Not Wilder's average, which is atr_wilder_14_usd: they differ by up to a half after a shock",
        ),
        Column(
            name="obv_shares",
            type="double",
            unit="shares",
            note="State: continues the previous row",
            sources=(*_CLOSE, *_VOLUME),
            formula="cumulative sum of sign(C - previous C) * volume, from 0 (Granville)",
        ),
        _value("obv_change_shares", "shares", "obv_shares - previous obv_shares", *_CLOSE, *_VOLUME),
        _value(
            "vwap_20_usd",
            "USD",
            "sum of (H + L + C) / 3 * V over 20 sessions / sum of V; null when no volume",
            *_HLC,
            *_VOLUME,
            note="20 sessions, not since the first row, so that old prices do not weigh for ever",
        ),
        _value("volume_sma_20_shares", "shares", "mean of the last 20 volumes", *_VOLUME),
        _value("return_1d", "fraction", "C / previous C - 1", *_CLOSE),
        _value("log_return_1d", "fraction", "ln(C / previous C)", *_CLOSE),
        _value("price_change_usd", "USD", "C - previous C", *_CLOSE),
        _value("price_change_pct", "percent", "100 (C / previous C - 1)", *_CLOSE),
        Column(name="high_low_range_usd", type="double", unit="USD", note="High - low", sources=_HLC),
        Column(
            name="open_close_range_usd", type="double", unit="USD", note="Close - open", sources=(f"{_PRICES}.open_usd", *_CLOSE)
        ),
        Column(name="bar_number", type="long", unit="1-based", note="State: bars of this ticker up to this row"),
        _value("rsi_avg_gain_usd", "USD", "Wilder average gain", *_CLOSE, note="State of rsi_14"),
        _value("rsi_avg_loss_usd", "USD", "Wilder average loss", *_CLOSE, note="State of rsi_14"),
        _value(
            "atr_wilder_14_usd",
            "USD",
            "average true range (Wilder 1978): the mean of the first 14 true ranges, then (13 * previous + true range) / 14",
            *_HLC,
            note="State: continues the previous row. Null until the window is full, and in rows written before the column "
            "was there, until they are built again",
        ),
    ),
    window="session",
    window_column="session_date",
    partitioning=_BY_SESSION,
    sort_order=("ticker", "session_date"),
    rows_equal=_PRICES,
    inputs=(Input(_PRICES, sessions_back=199),),
    freshness=Freshness(due_hours=9),
    checks=(
        Check(name="rsi_in_range", predicate="rsi_14 between 0 and 100", why="bounded by definition"),
        Check(name="stochastic_in_range", predicate="stoch_k_14_pct between 0 and 100", why="bounded by definition"),
        Check(name="bands_in_order", predicate="bb_lower_usd <= bb_upper_usd", why="a standard deviation is not negative"),
        Check(name="bars_numbered", predicate="bar_number >= 1", why="state must start at one"),
    ),
    notes=(
        "EMA, MACD and RSI follow the SMA-seeded convention; RSI on adjusted closes differs from RSI on raw ones.",
        "atr_14_usd kept its name and its meaning, and Wilder's average stands beside it: to rename a column would have "
        "changed what stored queries and stored rows say. "
        "A ticker whose newest row lacks the new state is read from its first bar.",
    ),
)

_THEME_COUNTS = (
    ("earnings_count", "ECON_EARNINGSREPORT"),
    ("stock_market_count", "ECON_STOCKMARKET"),
    ("legal_count", "TRIAL, LEGISLATION or WB_2024_ANTI_CORRUPTION_AUTHORITIES"),
    ("layoff_count", "UNEMPLOYMENT or STRIKE"),
    ("cyber_count", "CYBER_ATTACK"),
)
_MENTIONS = "silver.news_mentions"

NEWS_DAILY = Table(
    layer="gold",
    name="news_daily",
    summary="News volume, tone and themes per ticker and session; a row of zeros where nothing was written.",
    grain=("ticker", "session_date"),
    columns=(
        TICKER,
        SESSION_DATE,
        Column(
            name="article_count",
            type="long",
            unit="articles",
            note="Articles available for the session, bots included",
            sources=(f"{_MENTIONS}.gkg_record_id",),
        ),
        Column(
            name="distinct_story_count",
            type="long",
            unit="stories",
            note="Syndicated copies count once",
            sources=(f"{_MENTIONS}.syndication_group",),
        ),
        Column(
            name="stock_bot_count",
            type="long",
            unit="articles",
            note="Template articles, left out of tone columns",
            sources=(f"{_MENTIONS}.is_stock_bot",),
        ),
        *(
            _value(name, "percent of words", formula, f"{_MENTIONS}.tone", note="Null without articles")
            for name, formula in (
                ("tone_mean", "mean tone of the distinct stories"),
                ("tone_sd", "sample sd of the stories' tone"),
                ("tone_min", "lowest tone"),
                ("tone_max", "highest tone"),
            )
        ),
        *(
            Column(name=name, type="long", unit="stories", note=f"Stories with theme {theme}", sources=(f"{_MENTIONS}.themes",))
            for name, theme in _THEME_COUNTS
        ),
        Column(
            name="tone_decayed",
            type="double",
            unit="percent of words",
            sources=(f"{_MENTIONS}.tone",),
            note="0 without news",
            formula="sum over the last 20 sessions of 0.5^(age / 3) * story count * tone_mean / the same sum of "
            "0.5^(age / 3) * story count",
        ),
        Column(
            name="sentiment_sum",
            type="double",
            unit="stories",
            sources=(f"{_MENTIONS}.tone",),
            note="0 without news",
            formula="stories with tone > 1 minus stories with tone < -1",
        ),
        Column(
            name="sentiment_avg",
            type="double",
            unit="-1..1",
            sources=(f"{_MENTIONS}.tone",),
            note="0 without news",
            formula="sentiment_sum / distinct_story_count",
        ),
        Column(
            name="polarity_ratio",
            type="double",
            unit="0..1",
            sources=(f"{_MENTIONS}.tone",),
            note="0.5 where undefined",
            formula="positive stories / (positive + negative stories)",
        ),
    ),
    window="session",
    window_column="session_date",
    partitioning=_BY_SESSION,
    sort_order=("ticker", "session_date"),
    # A session's own news lie in the last of these, also after the longest closure, and are waited for. The older ones, which
    # only decay into it, are read where they exist, so that news can begin anywhere in the history.
    inputs=(Input(_MENTIONS, sessions_back=7),),
    freshness=Freshness(due_hours=9),
    checks=(
        Check(name="stories_not_above_articles", predicate="distinct_story_count <= article_count", why="copies count once"),
        Check(name="polarity_in_range", predicate="polarity_ratio between 0 and 1", why="bounded by definition"),
        Check(name="sentiment_in_range", predicate="sentiment_avg between -1 and 1", why="bounded by definition"),
    ),
    notes=(
        "Tone is counted per distinct story: a syndicated story weighs once, with the mean tone of its copies.",
        "Stock-bot articles count in article_count and stock_bot_count only; stories, themes and tone leave them out.",
        "News of week-ends and holidays belongs to the next session.",
    ),
)

_INDICATORS = "gold.indicators"
_NEWS = "gold.news_daily"

STOCK_ANALYTICS = Table(
    layer="gold",
    name="stock_analytics",
    summary="Prices, returns, trend, drawdown, volume, volatility, regime and news per ticker and session.",
    grain=("ticker", "session_date"),
    columns=(
        TICKER,
        SESSION_DATE,
        Column(name="month", type="string", note="YYYY-MM of the session"),
        *prices(_PRICES),
        _value("return_1d", "fraction", "C / previous C - 1", *_CLOSE),
        _value("return_30d", "fraction", "C / C[30 sessions before] - 1", *_CLOSE),
        _value("return_90d", "fraction", "C / C[90 sessions before] - 1", *_CLOSE),
        Column(
            name="cumulative_return",
            type="double",
            unit="fraction",
            sources=_CLOSE,
            formula="C / first C - 1",
            note="0 on the first row",
        ),
        *(_value(f"ma_{n}_usd", "USD", f"mean of the last {n} closes", *_CLOSE) for n in (7, 50, 100, 200)),
        Column(
            name="trend",
            type="string",
            note="up, down or sideway; sideway until ma_200_usd exists",
            sources=_CLOSE,
            formula="up when ma_50_usd > ma_200_usd, down when below",
        ),
        _value("trend_strength", "fraction", "(ma_50_usd - ma_200_usd) / C", *_CLOSE),
        _value("momentum_10_usd", "USD", "C - C[10 sessions before]", *_CLOSE),
        Column(
            name="drawdown",
            type="double",
            unit="fraction",
            sources=_CLOSE,
            note="0 at a new high",
            formula="C / running maximum of C - 1",
        ),
        Column(
            name="max_drawdown",
            type="double",
            unit="fraction",
            sources=_CLOSE,
            note="So far, not over the whole history, which would look ahead",
            formula="running minimum of drawdown",
        ),
        _value("volume_ma_20_shares", "shares", "mean of the last 20 volumes", *_VOLUME),
        _value("volume_ratio", "ratio", "V / volume_ma_20_shares; null when the mean is 0", *_VOLUME),
        Column(name="is_volume_spike", type="boolean", note="volume_ratio > 2; false until the window is full", sources=_VOLUME),
        _value("volatility_7", "fraction per day", "sample sd of the last 7 return_1d", *_CLOSE),
        _value("volatility_21", "fraction per day", "sample sd of the last 21 return_1d", *_CLOSE),
        Column(
            name="market_regime",
            type="string",
            sources=_CLOSE,
            note="bull, bear, high_vol or normal",
            formula="by trailing volatility_21 v: high_vol when v > 0.05, else bull when ma_50 > ma_200 and v < 0.02, "
            "else bear when ma_50 < ma_200 and v > 0.03, else normal",
        ),
        Column(name="news_volume", type="long", unit="articles", note="0 without news", sources=(f"{_NEWS}.article_count",)),
        Column(
            name="distinct_story_count",
            type="long",
            unit="stories",
            note="0 without news",
            sources=(f"{_NEWS}.distinct_story_count",),
        ),
        Column(name="sentiment_avg", type="double", unit="-1..1", note="0 without news", sources=(f"{_NEWS}.sentiment_avg",)),
        Column(name="sentiment_sum", type="double", unit="stories", note="0 without news", sources=(f"{_NEWS}.sentiment_sum",)),
        Column(name="polarity_ratio", type="double", unit="0..1", note="0.5 without news", sources=(f"{_NEWS}.polarity_ratio",)),
        Column(name="bar_number", type="long", unit="1-based", note="State: bars of this ticker up to this row"),
        Column(name="first_close_usd", type="double", unit="USD", note="State of cumulative_return", sources=_CLOSE),
        Column(name="running_max_close_usd", type="double", unit="USD", note="State of drawdown", sources=_CLOSE),
    ),
    window="session",
    window_column="session_date",
    partitioning=_BY_SESSION,
    sort_order=("ticker", "session_date"),
    rows_equal=_PRICES,
    inputs=(Input(_PRICES, sessions_back=199), Input(_NEWS)),
    freshness=Freshness(due_hours=9),
    checks=(
        Check(name="drawdown_in_range", predicate="drawdown between -1 and 0", why="a close is not above its running maximum"),
        Check(name="max_drawdown_is_lowest", predicate="max_drawdown <= drawdown", why="running minimum"),
        Check(name="trend_is_known", predicate="trend in ('up', 'down', 'sideway')", why="readers branch on it"),
        Check(
            name="regime_is_known",
            predicate="market_regime in ('bull', 'bear', 'high_vol', 'normal')",
            why="readers branch on it",
        ),
    ),
    notes=(
        "The regime uses trailing volatility: the volatility of the whole calendar month, known only at its end, is in "
        "gold.monthly_summary.",
        "The next session's return is in gold.ml_labels, so that nothing joins it by accident.",
    ),
)

_ANALYTICS = "gold.stock_analytics"
_DAILY_CLOSE = f"{_ANALYTICS}.close_usd"

MONTHLY_SUMMARY = Table(
    layer="gold",
    name="monthly_summary",
    summary="One row per ticker and calendar month: bar, returns, volatility, drawdown, news.",
    grain=("ticker", "month_date"),
    columns=(
        TICKER,
        Column(name="month_date", type="date", note="First calendar day of the month"),
        Column(name="first_session_date", type="date", note="First session with a bar"),
        Column(name="last_session_date", type="date", note="Last session with a bar"),
        Column(name="session_count", type="long", unit="sessions", note="Sessions with a bar"),
        *prices(_ANALYTICS),
        _value(
            "monthly_return",
            "fraction",
            "last C / last C of the previous month - 1",
            _DAILY_CLOSE,
            note="Null in a ticker's first month",
        ),
        Column(
            name="monthly_return_within",
            type="double",
            unit="fraction",
            sources=(_DAILY_CLOSE,),
            note="Within the month only",
            formula="(last C - first C) / first C of the month",
        ),
        _value(
            "monthly_volatility",
            "fraction per day",
            "sample sd of return_1d in the calendar month",
            _DAILY_CLOSE,
            note="Known only when the month is over; null below two returns",
        ),
        Column(
            name="max_drawdown_within",
            type="double",
            unit="fraction",
            sources=(_DAILY_CLOSE,),
            note="0 when the month only rose",
            formula="lowest C / running maximum of C within the month - 1",
        ),
        Column(
            name="volume_spike_count",
            type="long",
            unit="sessions",
            note="Sessions with is_volume_spike",
            sources=(f"{_ANALYTICS}.is_volume_spike",),
        ),
        Column(
            name="news_volume", type="long", unit="articles", note="Sum over the month", sources=(f"{_ANALYTICS}.news_volume",)
        ),
        Column(
            name="sentiment_sum",
            type="double",
            unit="stories",
            note="Sum over the month",
            sources=(f"{_ANALYTICS}.sentiment_sum",),
        ),
        Column(
            name="market_regime",
            type="string",
            note="Regime of the month's last session",
            sources=(f"{_ANALYTICS}.market_regime",),
        ),
    ),
    window="month",
    window_column="month_date",
    partitioning=None,
    sort_order=("ticker", "month_date"),
    inputs=(Input(_ANALYTICS, months_back=1),),
    checks=(
        Check(name="high_is_highest", predicate="high_usd >= greatest(open_usd, close_usd, low_usd)", why="range"),
        Check(name="has_sessions", predicate="session_count between 1 and 23", why="a month has at most 23 sessions"),
    ),
)

ML_FEATURES = Table(
    layer="gold",
    name="ml_features",
    summary="Scale-free, point-in-time features per ticker and session: no restatement by a constant changes them.",
    grain=("ticker", "session_date"),
    columns=(
        TICKER,
        SESSION_DATE,
        _value("return_1d", "fraction", "C / previous C - 1", f"{_INDICATORS}.return_1d"),
        _value("log_return_1d", "fraction", "ln(C / previous C)", f"{_INDICATORS}.log_return_1d"),
        _value("return_30d", "fraction", "C / C[30 sessions before] - 1", f"{_ANALYTICS}.return_30d"),
        _value("return_90d", "fraction", "C / C[90 sessions before] - 1", f"{_ANALYTICS}.return_90d"),
        *(_value(f"close_to_sma_{n}", "fraction", f"C / sma_{n}_usd - 1", f"{_INDICATORS}.sma_{n}_usd") for n in (20, 50, 200)),
        _value("close_to_ema_26", "fraction", "C / ema_26_usd - 1", f"{_INDICATORS}.ema_26_usd"),
        _value("macd_to_close", "fraction", "macd_usd / C", f"{_INDICATORS}.macd_usd"),
        _value("macd_signal_to_close", "fraction", "macd_signal_usd / C", f"{_INDICATORS}.macd_signal_usd"),
        _value("macd_hist_to_close", "fraction", "macd_hist_usd / C", f"{_INDICATORS}.macd_hist_usd"),
        _value("rsi_14", "0..100", "as in gold.indicators", f"{_INDICATORS}.rsi_14"),
        _value("stoch_k_14_pct", "0..100", "as in gold.indicators", f"{_INDICATORS}.stoch_k_14_pct"),
        _value("stoch_d_3_pct", "0..100", "as in gold.indicators", f"{_INDICATORS}.stoch_d_3_pct"),
        _value("roc_12_pct", "percent", "as in gold.indicators", f"{_INDICATORS}.roc_12_pct"),
        _value("bb_width_to_close", "fraction", "bb_width_usd / C", f"{_INDICATORS}.bb_width_usd"),
        _value("atr_14_to_close", "fraction", "atr_14_usd / C", f"{_INDICATORS}.atr_14_usd"),
        _value(
            "obv_change_to_volume",
            "ratio",
            "obv_change_shares / volume_sma_20_shares; null when the mean is 0",
            f"{_INDICATORS}.obv_change_shares",
            f"{_INDICATORS}.volume_sma_20_shares",
        ),
        _value("close_to_vwap_20", "fraction", "C / vwap_20_usd - 1", f"{_INDICATORS}.vwap_20_usd"),
        _value("price_change_pct", "percent", "as in gold.indicators", f"{_INDICATORS}.price_change_pct"),
        _value("high_low_range_to_close", "fraction", "high_low_range_usd / C", f"{_INDICATORS}.high_low_range_usd"),
        _value("open_close_range_to_close", "fraction", "open_close_range_usd / C", f"{_INDICATORS}.open_close_range_usd"),
        _value("trend_strength", "fraction", "as in gold.stock_analytics", f"{_ANALYTICS}.trend_strength"),
        _value("volume_ratio", "ratio", "as in gold.stock_analytics", f"{_ANALYTICS}.volume_ratio"),
        _value("volatility_7", "fraction per day", "as in gold.stock_analytics", f"{_ANALYTICS}.volatility_7"),
        _value("volatility_21", "fraction per day", "as in gold.stock_analytics", f"{_ANALYTICS}.volatility_21"),
        Column(
            name="drawdown",
            type="double",
            unit="fraction",
            note="As in gold.stock_analytics",
            sources=(f"{_ANALYTICS}.drawdown",),
        ),
        Column(name="news_volume", type="long", unit="articles", note="0 without news", sources=(f"{_NEWS}.article_count",)),
        Column(
            name="distinct_story_count",
            type="long",
            unit="stories",
            note="0 without news",
            sources=(f"{_NEWS}.distinct_story_count",),
        ),
        Column(
            name="tone_decayed", type="double", unit="percent of words", note="0 without news", sources=(f"{_NEWS}.tone_decayed",)
        ),
        Column(name="sentiment_sum", type="double", unit="stories", note="0 without news", sources=(f"{_NEWS}.sentiment_sum",)),
        Column(name="polarity_ratio", type="double", unit="0..1", note="0.5 without news", sources=(f"{_NEWS}.polarity_ratio",)),
    ),
    window="session",
    window_column="session_date",
    partitioning=_BY_SESSION,
    sort_order=("ticker", "session_date"),
    rows_equal=_PRICES,
    inputs=(Input(_INDICATORS), Input(_ANALYTICS), Input(_NEWS)),
    freshness=Freshness(due_hours=10),
    checks=(Check(name="rsi_in_range", predicate="rsi_14 between 0 and 100", why="bounded by definition"),),
    notes=("Back-adjusted price levels are a look ahead (each later dividend rescales the past), so no level is here.",),
)

ML_LABELS = Table(
    layer="gold",
    name="ml_labels",
    summary="What happened after each session: the next day's return and the return of a trade that could be made.",
    grain=("ticker", "session_date"),
    columns=(
        TICKER,
        SESSION_DATE,
        _value("next_day_return", "fraction", "C[t+1] / C[t] - 1", *_CLOSE, note="Null until the next session is known"),
        _value(
            "tradable_return",
            "fraction",
            "C[t+2] / C[t+1] - 1: enter at t+1's close, leave at t+2's",
            *_CLOSE,
            note="Null until two further sessions are known",
        ),
        _value("entry_date", "America/New_York date", "session t+1", *_CLOSE, note="Null until known", type_="date"),
        _value("exit_date", "America/New_York date", "session t+2", *_CLOSE, note="Null until known", type_="date"),
    ),
    window="session",
    window_column="session_date",
    partitioning=_BY_SESSION,
    sort_order=("ticker", "session_date"),
    rows_equal=_PRICES,
    inputs=(Input(_PRICES, sessions_ahead=2),),
    freshness=Freshness(due_hours=10),
    checks=(
        Check(
            name="label_after_session",
            predicate="entry_date > session_date and exit_date > entry_date",
            why="a label lies in the future of its features",
        ),
    ),
    notes=(
        "Building a window also completes the labels of the fortnight before it.",
        "t+1 and t+2 are the ticker's next bars, at most 14 days after t; a later bar leaves the label null.",
    ),
)

_TRADES = "silver.trades"


def _from_trades(column: Column) -> Column:
    """A candle's column, computed from the archived trades instead of the live ones."""
    return replace(column, sources=tuple(f"{_TRADES}.{source.rpartition('.')[2]}" for source in column.sources))


CANDLES_1M = Table(
    layer="gold",
    name="candles_1m",
    summary="One-minute candles of the archived trades without a flaw, final minutes only: the live candles, computed again.",
    grain=("symbol", "minute_ts"),
    columns=(
        *(_from_trades(column) for column in speed.CANDLE_COLUMNS),
        Column(name="trade_date", type="date", unit="UTC date", note="Day of minute_ts", sources=(f"{_TRADES}.trade_ts",)),
    ),
    window="stream_day",
    window_column="trade_date",
    partitioning=Partitioning(column="trade_date", transform="day"),
    sort_order=("symbol", "minute_ts"),
    inputs=(Input(_TRADES),),
    checks=(
        Check(name="minute_is_whole", predicate="date_trunc('minute', minute_ts) = minute_ts", why="a candle is one minute"),
        Check(name="minute_on_its_date", predicate="to_date(minute_ts) = trade_date", why="files are found by it"),
        Check(name="prices_positive", predicate="low_usd > 0", why="a trade without a flaw has a price"),
        Check(
            name="high_is_highest",
            predicate="high_usd >= greatest(open_usd, close_usd, low_usd)",
            why="open, close and low lie within the minute's range",
        ),
        Check(
            name="low_is_lowest",
            predicate="low_usd <= least(open_usd, close_usd, high_usd)",
            why="open, close and high lie within the minute's range",
        ),
        Check(
            name="made_of_trades", predicate="trade_count >= 1 and volume_shares >= 0", why="a minute without trades has no row"
        ),
    ),
    notes=(
        "A trade counts on the day it happened, whenever it was received: a run builds the minutes whose trades have changed, "
        "on whatever day they are.",
        f"A minute is here when it is over: when a trade is archived that was received {speed.FINAL_AFTER_S} s after its end or "
        "later. A trade that comes later still corrects it.",
        "Equal to speed.candles_1m to the last bit, once silver.trades has come as far.",
    ),
)

TABLES: tuple[Table, ...] = (
    INDICATORS,
    NEWS_DAILY,
    STOCK_ANALYTICS,
    MONTHLY_SUMMARY,
    ML_FEATURES,
    ML_LABELS,
    CANDLES_1M,
)
