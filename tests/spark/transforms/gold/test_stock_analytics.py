"""gold.stock_analytics: an independent loop, news joined by session, and the same bits however history is cut."""

import statistics
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.gold import NEWS_DAILY, STOCK_ANALYTICS
from spark.transforms.gold import stock_analytics
from spark.transforms.gold.stock_analytics import LOOKBACK_BARS
from spark.transforms.polars_schema import polars_schema
from spark.transforms.resume import StateGapError

Bars = Callable[..., pl.DataFrame]
Same = Callable[[pl.DataFrame, pl.DataFrame], None]
NO_NEWS = pl.DataFrame(schema=polars_schema(NEWS_DAILY))
SEEDS = st.integers(0, 10_000)


def news_of(bars: pl.DataFrame, every: int) -> pl.DataFrame:
    """News on every `every`-th session of the bars."""
    return pl.DataFrame(
        [
            {
                "ticker": "TEST",
                "session_date": day,
                "article_count": 3 + index,
                "distinct_story_count": 2 + index,
                "sentiment_avg": 0.25,
                "sentiment_sum": -1.0 * index,
                "polarity_ratio": 0.75,
            }
            for index, day in enumerate(bars["session_date"][::every])
        ],
        schema_overrides=polars_schema(NEWS_DAILY),
    )


def whole_of(bars: pl.DataFrame, news: pl.DataFrame = NO_NEWS) -> pl.DataFrame:
    return stock_analytics.compute_window(bars, news, None, bars["session_date"][0])


def naive(bars: pl.DataFrame) -> list[dict[str, object]]:
    """The contract's formulas as loops over plain numbers."""
    close, volume = bars["close_usd"].to_list(), bars["volume_shares"].to_list()
    returns = [close[t] / close[t - 1] - 1 for t in range(1, len(close))]
    rows: list[dict[str, object]] = []
    worst = 0.0
    for t in range(len(close)):
        mean = {n: statistics.fmean(close[t - n + 1 : t + 1]) if t >= n - 1 else None for n in (7, 50, 100, 200)}
        v = statistics.stdev(returns[t - 21 : t]) if t >= 21 else None
        fast, slow = mean[50], mean[200]
        trend = "sideway" if fast is None or slow is None or fast == slow else "up" if fast > slow else "down"
        regime = "normal"
        if v is not None and v > 0.05:
            regime = "high_vol"
        elif v is not None and trend == "up" and v < 0.02:
            regime = "bull"
        elif v is not None and trend == "down" and v > 0.03:
            regime = "bear"
        drawdown = close[t] / max(close[: t + 1]) - 1
        worst = min(worst, drawdown)
        volume_mean = statistics.fmean(volume[t - 19 : t + 1]) if t >= 19 else None
        ratio = volume[t] / volume_mean if volume_mean else None
        rows.append(
            {
                "month": f"{bars['session_date'][t]:%Y-%m}",
                "return_1d": returns[t - 1] if t else None,
                "return_30d": close[t] / close[t - 30] - 1 if t >= 30 else None,
                "return_90d": close[t] / close[t - 90] - 1 if t >= 90 else None,
                "cumulative_return": close[t] / close[0] - 1,
                **{f"ma_{n}_usd": value for n, value in mean.items()},
                "trend": trend,
                "trend_strength": None if slow is None or fast is None else (fast - slow) / close[t],
                "momentum_10_usd": close[t] - close[t - 10] if t >= 10 else None,
                "drawdown": drawdown,
                "max_drawdown": worst,
                "volume_ma_20_shares": volume_mean,
                "volume_ratio": ratio,
                "is_volume_spike": ratio is not None and ratio > 2,
                "volatility_7": statistics.stdev(returns[t - 7 : t]) if t >= 7 else None,
                "volatility_21": v,
                "market_regime": regime,
                "bar_number": t + 1,
                "first_close_usd": close[0],
                "running_max_close_usd": max(close[: t + 1]),
            }
        )
    return rows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("calm", [1.0, 0.5, 4.0])
def test_values_are_those_of_a_plain_loop(random_bars: Bars, seed: int, calm: float) -> None:
    bars = random_bars(seed, 320).with_columns(pl.col("close_usd").pow(calm))
    computed = whole_of(bars)
    for row, expected in zip(computed.iter_rows(named=True), naive(bars), strict=True):
        for name, value in expected.items():
            wanted = pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value
            assert row[name] == wanted, (name, row["session_date"])


def test_every_trend_and_regime_occurs_among_the_compared_rows(random_bars: Bars) -> None:
    rows = pl.concat(
        [
            whole_of(random_bars(seed, 320).with_columns(pl.col("close_usd").pow(calm)))
            for seed in range(4)
            for calm in (1.0, 0.5, 4.0)
        ]
    )
    assert set(rows["trend"]) == {"up", "down", "sideway"}
    assert set(rows["market_regime"]) == {"bull", "bear", "high_vol", "normal"}
    assert set(rows["is_volume_spike"]) == {True, False}


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, count=st.integers(2, 460), data=st.data())
def test_any_cut_restarted_from_its_state_gives_the_same_bits(
    random_bars: Bars,
    assert_same_bits: Same,
    seed: int,
    count: int,
    data: st.DataObject,
) -> None:
    bars = random_bars(seed, count)
    news = news_of(bars, 3)
    whole = whole_of(bars, news)
    first = data.draw(st.integers(1, count - 1))
    until = data.draw(st.integers(first + 1, count))
    window = bars["session_date"][first:until]
    part = stock_analytics.compute_window(
        bars[max(0, first - LOOKBACK_BARS) : until],
        news.filter(pl.col("session_date").is_in(window.to_list())),
        whole[first - 1 : first],
        window[0],
    )
    assert_same_bits(part, whole[first:until])


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 300), data=st.data())
def test_no_row_looks_ahead(
    random_bars: Bars,
    assert_same_bits: Same,
    seed: int,
    count: int,
    data: st.DataObject,
) -> None:
    bars = random_bars(seed, count)
    news = news_of(bars, 2)
    known = data.draw(st.integers(1, count))
    assert_same_bits(whole_of(bars[:known], news), whole_of(bars, news)[:known])


def test_news_belongs_to_its_session_and_a_session_without_is_neutral(bars_of_closes: Bars) -> None:
    bars = bars_of_closes([10.0, 11.0, 12.0])
    rows = whole_of(bars, news_of(bars, 2))
    assert rows["news_volume"].to_list() == [3, 0, 4]
    assert rows["distinct_story_count"].to_list() == [2, 0, 3]
    assert rows["sentiment_avg"].to_list() == [0.25, 0.0, 0.25]
    assert rows["sentiment_sum"].to_list() == [0.0, 0.0, -1.0]
    assert rows["polarity_ratio"].to_list() == [0.75, 0.5, 0.75]


def test_a_single_bar_is_complete_but_for_its_windows(bars_of_closes: Bars) -> None:
    rows = whole_of(bars_of_closes([10.0]))
    assert rows.schema == polars_schema(STOCK_ANALYTICS)
    row = rows.row(0, named=True)
    required = {column.name for column in STOCK_ANALYTICS.columns if not column.nullable}
    assert {name for name in required if row[name] is None} == set()
    assert (row["cumulative_return"], row["drawdown"], row["max_drawdown"]) == (0, 0, 0)
    assert (row["trend"], row["market_regime"], row["is_volume_spike"]) == ("sideway", "normal", False)


def test_without_volume_the_ratio_is_null_and_no_spike(bars_of_closes: Bars) -> None:
    row = whole_of(bars_of_closes([10.0] * 25, volume=0.0)).row(-1, named=True)
    assert (row["volume_ma_20_shares"], row["volume_ratio"], row["is_volume_spike"]) == (0, None, False)


def test_a_state_that_is_not_of_the_preceding_bar_is_refused(random_bars: Bars) -> None:
    bars = random_bars(3, 60)
    state = whole_of(bars)[38:39]
    with pytest.raises(StateGapError, match="TEST"):
        stock_analytics.compute_window(bars, NO_NEWS, state, bars["session_date"][40])


def test_a_window_after_the_last_bar_is_empty(random_bars: Bars) -> None:
    bars = random_bars(3, 30)
    after = bars["session_date"][-1] + timedelta(days=1)
    assert stock_analytics.compute_window(bars, NO_NEWS, whole_of(bars)[-1:], after).height == 0
