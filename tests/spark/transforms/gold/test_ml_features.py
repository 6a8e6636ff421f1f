"""gold.ml_features: scale-free, point in time, neutral without news."""

from collections.abc import Callable

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spark.contracts.gold import ML_FEATURES, NEWS_DAILY
from spark.transforms.gold import indicators, ml_features, stock_analytics
from spark.transforms.polars_schema import polars_schema

Bars = Callable[..., pl.DataFrame]
Same = Callable[[pl.DataFrame, pl.DataFrame], None]
NO_NEWS = pl.DataFrame(schema=polars_schema(NEWS_DAILY))
SEEDS = st.integers(0, 10_000)


def news_of(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.select(
        "ticker",
        "session_date",
        article_count=7,
        distinct_story_count=5,
        tone_decayed=-1.5,
        sentiment_sum=2.0,
        sentiment_avg=0.4,
        polarity_ratio=0.9,
    ).cast({"article_count": pl.Int64, "distinct_story_count": pl.Int64})


def features_of(bars: pl.DataFrame, news: pl.DataFrame = NO_NEWS) -> pl.DataFrame:
    analytics = stock_analytics.compute_window(bars, news, None, bars["session_date"][0])
    return ml_features.compute(indicators.compute(bars, None), analytics, news)


def restated(bars: pl.DataFrame, factor: float) -> pl.DataFrame:
    prices = ("open_usd", "high_usd", "low_usd", "close_usd")
    return bars.with_columns(*(pl.col(name) * factor for name in prices), pl.col("volume_shares") / factor)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, exponent=st.integers(-12, 12))
def test_a_restatement_by_a_power_of_two_changes_no_bit(
    random_bars: Bars,
    assert_same_bits: Same,
    seed: int,
    exponent: int,
) -> None:
    bars = random_bars(seed, 240)
    assert_same_bits(features_of(restated(bars, 2.0**exponent)), features_of(bars))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.02, 20))
def test_a_restatement_by_any_constant_changes_features_by_rounding_only(
    random_bars: Bars,
    seed: int,
    factor: float,
) -> None:
    bars = random_bars(seed, 240)
    assert_frame_equal(features_of(restated(bars, factor)), features_of(bars), rel_tol=1e-9, abs_tol=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 260), data=st.data())
def test_no_row_looks_ahead(
    random_bars: Bars,
    assert_same_bits: Same,
    seed: int,
    count: int,
    data: st.DataObject,
) -> None:
    bars = random_bars(seed, count)
    known = data.draw(st.integers(1, count))
    assert_same_bits(features_of(bars[:known], news_of(bars[:known])), features_of(bars, news_of(bars))[:known])


def test_levels_are_divided_by_the_close_of_their_session(random_bars: Bars) -> None:
    bars = random_bars(3, 230)
    levels = indicators.compute(bars, None).row(-1, named=True)
    features = features_of(bars).row(-1, named=True)
    close = levels["close_usd"]
    expected = {
        "close_to_sma_20": close / levels["sma_20_usd"] - 1,
        "close_to_sma_50": close / levels["sma_50_usd"] - 1,
        "close_to_sma_200": close / levels["sma_200_usd"] - 1,
        "close_to_ema_26": close / levels["ema_26_usd"] - 1,
        "macd_to_close": levels["macd_usd"] / close,
        "macd_signal_to_close": levels["macd_signal_usd"] / close,
        "macd_hist_to_close": levels["macd_hist_usd"] / close,
        "bb_width_to_close": levels["bb_width_usd"] / close,
        "atr_14_to_close": levels["atr_14_usd"] / close,
        "close_to_vwap_20": close / levels["vwap_20_usd"] - 1,
        "obv_change_to_volume": levels["obv_change_shares"] / levels["volume_sma_20_shares"],
        "high_low_range_to_close": levels["high_low_range_usd"] / close,
        "open_close_range_to_close": levels["open_close_range_usd"] / close,
    }
    assert {name: features[name] for name in expected} == expected
    same = ("return_1d", "log_return_1d", "rsi_14", "stoch_k_14_pct", "stoch_d_3_pct", "roc_12_pct", "price_change_pct")
    assert {name: features[name] for name in same} == {name: levels[name] for name in same}


def test_no_price_level_is_among_the_features() -> None:
    assert [name for name in ML_FEATURES.column_names if name.endswith(("_usd", "_shares"))] == []


def test_without_news_features_are_zero_and_polarity_is_even(random_bars: Bars) -> None:
    bars = random_bars(3, 5)
    features = features_of(bars, news_of(bars[1:]))
    names = ("news_volume", "distinct_story_count", "tone_decayed", "sentiment_sum", "polarity_ratio")
    assert features.select(names).row(0) == (0, 0, 0.0, 0.0, 0.5)
    assert features.select(names).row(1) == (7, 5, -1.5, 2.0, 0.9)
    assert features.schema == polars_schema(ML_FEATURES)


def test_only_sessions_with_both_inputs_are_kept_in_key_order(random_bars: Bars) -> None:
    both = [random_bars(1, 6, "BBB"), random_bars(2, 6, "AAA")]
    first = both[0]["session_date"][0]
    rows = pl.concat([indicators.compute(bars, None) for bars in both])
    analytics = pl.concat([stock_analytics.compute_window(bars, NO_NEWS, None, first) for bars in both])
    features = ml_features.compute(rows, analytics[1:], NO_NEWS)
    assert features.select("ticker", "session_date").rows() == sorted(analytics[1:].select("ticker", "session_date").rows())


def test_without_volume_the_obv_ratio_is_null(bars_of_closes: Bars) -> None:
    features = features_of(bars_of_closes([10.0 + day for day in range(25)], volume=0.0))
    assert features["obv_change_to_volume"].null_count() == 25
