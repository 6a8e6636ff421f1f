"""gold.ml_features: scale-free features per ticker and session, joined row by row.

Price levels are themselves a look ahead, because every later dividend rescales the past; so each level is divided by
the close of its own session.
"""

import polars as pl

from spark.contracts.gold import ML_FEATURES
from spark.transforms.polars_schema import conform

_KEY = ["ticker", "session_date"]
_INDICATOR_COLUMNS = (
    "close_usd",
    "return_1d",
    "log_return_1d",
    "sma_20_usd",
    "sma_50_usd",
    "sma_200_usd",
    "ema_26_usd",
    "macd_usd",
    "macd_signal_usd",
    "macd_hist_usd",
    "rsi_14",
    "stoch_k_14_pct",
    "stoch_d_3_pct",
    "roc_12_pct",
    "bb_width_usd",
    "atr_14_usd",
    "obv_change_shares",
    "volume_sma_20_shares",
    "vwap_20_usd",
    "price_change_pct",
    "high_low_range_usd",
    "open_close_range_usd",
)
_ANALYTICS_COLUMNS = (
    "return_30d",
    "return_90d",
    "trend_strength",
    "volume_ratio",
    "volatility_7",
    "volatility_21",
    "drawdown",
)
_NEWS_COLUMNS = ("distinct_story_count", "tone_decayed", "sentiment_sum", "polarity_ratio")


def compute(indicators: pl.DataFrame, analytics: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
    """Rows of gold.ml_features, by ticker and session, for every key that has both an indicator and an analytics row.

    Inputs are rows of gold.indicators, gold.stock_analytics and gold.news_daily of any tickers and sessions; a session
    without a news row is without news (zeros, polarity 0.5). Raises Polars' `ComputeError` for a repeated key.
    """
    joined = (
        indicators.select(*_KEY, *_INDICATOR_COLUMNS)
        .join(
            analytics.select(*_KEY, *_ANALYTICS_COLUMNS),
            on=_KEY,
            how="inner",
            validate="1:1",
        )
        .join(
            news.select(*_KEY, *_NEWS_COLUMNS, news_volume="article_count"),
            on=_KEY,
            how="left",
            validate="1:1",
        )
    )
    volume_mean = pl.col("volume_sma_20_shares")
    return conform(
        joined.sort(_KEY).with_columns(
            *(_to_close(f"sma_{n}_usd").alias(f"close_to_sma_{n}") for n in (20, 50, 200)),
            _to_close("ema_26_usd").alias("close_to_ema_26"),
            _to_close("vwap_20_usd").alias("close_to_vwap_20"),
            *(
                _by_close(name)
                for name in (
                    "macd_usd",
                    "macd_signal_usd",
                    "macd_hist_usd",
                    "bb_width_usd",
                    "atr_14_usd",
                    "high_low_range_usd",
                    "open_close_range_usd",
                )
            ),
            pl.when(volume_mean != 0).then(pl.col("obv_change_shares") / volume_mean).alias("obv_change_to_volume"),
            pl.col("polarity_ratio").fill_null(0.5),
            *(pl.col(name).fill_null(0) for name in ("news_volume", "distinct_story_count", "tone_decayed", "sentiment_sum")),
        ),
        ML_FEATURES,
    )


def _to_close(level: str) -> pl.Expr:
    """How far the close lies above a price level, as a fraction of the level."""
    return pl.col("close_usd") / pl.col(level) - 1


def _by_close(amount: str) -> pl.Expr:
    """An amount in USD as a fraction of the close, named `<amount>_to_close`."""
    return (pl.col(amount) / pl.col("close_usd")).alias(f"{amount.removesuffix('_usd')}_to_close")
