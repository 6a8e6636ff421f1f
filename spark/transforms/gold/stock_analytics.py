"""gold.stock_analytics: returns, trend, drawdown, volume, volatility, regime and news of one ticker.

The formulas are in the contract. Every column looks back only: the drawdown's worst is the worst so far, the regime
uses the volatility of the last 21 returns.
"""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spark.contracts.gold import STOCK_ANALYTICS
from spark.transforms import resume
from spark.transforms.polars_schema import assemble
from spark.transforms.resume import ResumePoint
from spark.transforms.rolling import Floats, lag, running_max, running_min, window_mean, window_means, window_sample_sd

LOOKBACK_BARS = STOCK_ANALYTICS.input("silver.prices_daily").sessions_back
"""Bars needed before the first row to produce besides the state: the mean of 200 closes is the longest window."""

_HIGH_VOLATILITY = 0.05
_BULL_VOLATILITY = 0.02
_BEAR_VOLATILITY = 0.03
_SPIKE_RATIO = 2.0


def compute_window(
    bars: pl.DataFrame,
    news: pl.DataFrame,
    state: pl.DataFrame | None,
    first_date: date,
) -> pl.DataFrame:
    """Rows of gold.stock_analytics from `first_date` on.

    `bars` are rows of silver.prices_daily of one ticker in session order, the rows to produce preceded by up to
    `LOOKBACK_BARS` earlier ones; `news` the ticker's gold.news_daily rows of the sessions to produce, a session without
    one counts as without news. `state` is None when the bars begin at the ticker's first bar, else the
    gold.stock_analytics row of the bar right before `first_date`. Raises as `spark.transforms.resume.start`.
    """
    start = resume.start(bars, state, LOOKBACK_BARS, first_date)
    first = max(start.first, bars["session_date"].search_sorted(first_date))
    columns = {name: column[first:] for name, column in _columns(bars, start).items()}
    produced = bars[first:]
    given = {
        name: produced[name]
        for name in ("ticker", "session_date", "open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")
    }
    month = produced["session_date"].dt.strftime("%Y-%m")
    return assemble({**given, "month": month, **columns, **_news(produced, news)}, STOCK_ANALYTICS)


def _columns(bars: pl.DataFrame, start: ResumePoint) -> dict[str, NDArray[np.generic]]:
    """All columns computed from bars over all positions of `bars`, NaN where not defined."""
    close, volume = bars["close_usd"].to_numpy(), bars["volume_shares"].to_numpy()
    daily = close / lag(close, 1) - 1
    means = window_means(close, (7, 50, 100, 200))
    volatility = window_sample_sd(daily, 21)
    volume_mean = window_mean(volume, 20)
    with np.errstate(divide="ignore", invalid="ignore"):
        volume_ratio = np.where(volume_mean == 0, np.nan, volume / volume_mean)
    return {
        "return_1d": daily,
        "return_30d": close / lag(close, 30) - 1,
        "return_90d": close / lag(close, 90) - 1,
        **{f"ma_{n}_usd": mean for n, mean in means.items()},
        "trend": np.select([means[50] > means[200], means[50] < means[200]], ["up", "down"], "sideway"),
        "trend_strength": (means[50] - means[200]) / close,
        "momentum_10_usd": close - lag(close, 10),
        "volume_ma_20_shares": volume_mean,
        "volume_ratio": volume_ratio,
        "is_volume_spike": volume_ratio > _SPIKE_RATIO,
        "volatility_7": window_sample_sd(daily, 7),
        "volatility_21": volatility,
        "market_regime": _regime(means[50], means[200], volatility),
        "bar_number": start.first_bar_number + np.arange(len(close)),
        **_since_first_bar(close, start),
    }


def _since_first_bar(close: Floats, start: ResumePoint) -> dict[str, Floats]:
    """Columns that remember the whole history, from the first bar or from the carried row at `start.first - 1`."""
    if start.carried is None:
        origin, first_close, highest, deepest = 0, float(close[0]), float(close[0]), 0.0
    else:
        origin, first_close = start.first - 1, start.number("first_close_usd")
        highest, deepest = start.number("running_max_close_usd"), start.number("max_drawdown")
    maximum = running_max(close, origin, highest)
    drawdown = close / maximum - 1
    return {
        "cumulative_return": close / first_close - 1,
        "first_close_usd": np.full(len(close), first_close),
        "running_max_close_usd": maximum,
        "drawdown": drawdown,
        "max_drawdown": running_min(drawdown, origin, deepest),
    }


def _regime(ma_50: Floats, ma_200: Floats, volatility: Floats) -> NDArray[np.str_]:
    """Market regime; an undefined average or volatility compares false, so early rows are `normal`."""
    return np.select(
        [
            volatility > _HIGH_VOLATILITY,
            (ma_50 > ma_200) & (volatility < _BULL_VOLATILITY),
            (ma_50 < ma_200) & (volatility > _BEAR_VOLATILITY),
        ],
        ["high_vol", "bull", "bear"],
        "normal",
    )


def _news(produced: pl.DataFrame, news: pl.DataFrame) -> dict[str, pl.Series]:
    """The news columns for every produced session; sessions without a news row are without news."""
    joined = (
        produced.select("ticker", "session_date")
        .join(
            news.select(
                "ticker",
                "session_date",
                "distinct_story_count",
                "sentiment_avg",
                "sentiment_sum",
                "polarity_ratio",
                news_volume="article_count",
            ),
            on=["ticker", "session_date"],
            how="left",
            maintain_order="left",
            validate="1:1",
        )
        .with_columns(pl.col("polarity_ratio").fill_null(0.5))
        .fill_null(0)
    )
    return {
        name: joined[name] for name in ("news_volume", "distinct_story_count", "sentiment_avg", "sentiment_sum", "polarity_ratio")
    }
