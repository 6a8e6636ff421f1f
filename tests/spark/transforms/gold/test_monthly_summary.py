"""gold.monthly_summary: an independent loop over each month, and the same bits in any company."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.gold import MONTHLY_SUMMARY, NEWS_DAILY
from spark.transforms.gold import monthly_summary, stock_analytics
from spark.transforms.polars_schema import polars_schema

Bars = Callable[..., pl.DataFrame]
Same = Callable[[pl.DataFrame, pl.DataFrame], None]


def days_of(bars: pl.DataFrame) -> pl.DataFrame:
    news = bars.select(
        "ticker",
        "session_date",
        article_count=pl.int_range(pl.len()),
        distinct_story_count=pl.lit(1),
        sentiment_avg=pl.lit(0.1),
        sentiment_sum=pl.int_range(pl.len()) * 0.1,
        polarity_ratio=pl.lit(0.5),
    )
    typed = news.cast({"distinct_story_count": pl.Int64, "article_count": pl.Int64})
    assert set(typed.columns) <= set(NEWS_DAILY.column_names)
    return stock_analytics.compute_window(bars, typed, None, bars["session_date"][0])


@pytest.fixture(scope="module")
def days(random_bars: Bars) -> pl.DataFrame:
    return pl.concat([days_of(random_bars(seed, 150, ticker)) for seed, ticker in ((4, "AAA"), (5, "BBB"))])


def naive(days: pl.DataFrame) -> dict[tuple[str, date], dict[str, object]]:
    """The contract's formulas as loops over the rows of each month."""
    months: dict[tuple[str, date], list[dict[str, float]]] = defaultdict(list)
    for row in days.sort("ticker", "session_date").iter_rows(named=True):
        months[row["ticker"], row["session_date"].replace(day=1)].append(row)
    answers: dict[tuple[str, date], dict[str, object]] = {}
    last_close: dict[str, float] = {}
    for (ticker, month), rows in months.items():
        closes = [row["close_usd"] for row in rows]
        returns = [row["return_1d"] for row in rows if row["return_1d"] is not None]
        answers[ticker, month] = {
            "first_session_date": rows[0]["session_date"],
            "last_session_date": rows[-1]["session_date"],
            "session_count": len(rows),
            "open_usd": rows[0]["open_usd"],
            "close_usd": closes[-1],
            "high_usd": max(row["high_usd"] for row in rows),
            "low_usd": min(row["low_usd"] for row in rows),
            "volume_shares": sum(row["volume_shares"] for row in rows),
            "monthly_return": closes[-1] / last_close[ticker] - 1 if ticker in last_close else None,
            "monthly_return_within": (closes[-1] - closes[0]) / closes[0],
            "monthly_volatility": statistics.stdev(returns) if len(returns) > 1 else None,
            "max_drawdown_within": min(close / max(closes[: i + 1]) - 1 for i, close in enumerate(closes)),
            "volume_spike_count": sum(row["is_volume_spike"] for row in rows),
            "news_volume": sum(row["news_volume"] for row in rows),
            "sentiment_sum": sum(row["sentiment_sum"] for row in rows),
            "market_regime": rows[-1]["market_regime"],
        }
        last_close[ticker] = closes[-1]
    return answers


def test_values_are_those_of_a_plain_loop(days: pl.DataFrame) -> None:
    summary = monthly_summary.compute(days.sample(fraction=1, shuffle=True, seed=1), days.head(0))
    assert summary.schema == polars_schema(MONTHLY_SUMMARY)
    answers = naive(days)
    assert summary.select("ticker", "month_date").rows() == sorted(answers)
    for row in summary.iter_rows(named=True):
        for name, value in answers[row["ticker"], row["month_date"]].items():
            assert row[name] == (pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value), name


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_range_of_months_and_tickers_gives_the_same_bits(
    days: pl.DataFrame,
    assert_same_bits: Same,
    data: st.DataObject,
) -> None:
    whole = monthly_summary.compute(days, days.head(0))
    months = whole["month_date"].unique().sort().to_list()
    first = data.draw(st.integers(0, len(months) - 1))
    last = data.draw(st.integers(first, len(months) - 1))
    tickers = data.draw(st.sampled_from([["AAA"], ["BBB"], ["AAA", "BBB"]]))
    rows = days.filter(pl.col("ticker").is_in(tickers))
    month = pl.col("session_date").dt.truncate("1mo")
    previous = rows.filter(month < months[first]).group_by("ticker").tail(1)
    part = monthly_summary.compute(rows.filter(month.is_between(months[first], months[last])), previous)
    assert_same_bits(
        part, whole.filter(pl.col("ticker").is_in(tickers), pl.col("month_date").is_between(months[first], months[last]))
    )


def test_a_month_after_a_missing_month_has_no_return_however_it_is_cut(bars_of_closes: Bars) -> None:
    bars = bars_of_closes([10.0, 11.0, 22.0])
    days = days_of(bars.with_columns(session_date=pl.Series([date(2020, 1, 6), date(2020, 1, 7), date(2020, 3, 2)])))
    assert monthly_summary.compute(days, days.head(0))["monthly_return"].to_list() == [None, None]
    assert monthly_summary.compute(days[2:], days[1:2])["monthly_return"].to_list() == [None]


def test_a_month_of_one_session_has_no_volatility_and_no_drawdown(bars_of_closes: Bars) -> None:
    bars = bars_of_closes([10.0, 11.0]).with_columns(session_date=pl.Series([date(2020, 1, 31), date(2020, 2, 3)]))
    days = days_of(bars)
    row = monthly_summary.compute(days[1:], days[:1]).row(0, named=True)
    assert (row["monthly_volatility"], row["max_drawdown_within"], row["session_count"]) == (None, 0, 1)
    assert row["monthly_return"] == 11 / 10 - 1


def test_a_tickers_first_session_alone_in_its_month_has_neither_return_nor_volatility(bars_of_closes: Bars) -> None:
    days = days_of(bars_of_closes([10.0]))
    row = monthly_summary.compute(days, days.head(0)).row(0, named=True)
    assert (row["monthly_return"], row["monthly_volatility"], row["monthly_return_within"]) == (None, None, 0)


def test_no_days_give_no_months(days: pl.DataFrame) -> None:
    assert monthly_summary.compute(days.head(0), days[:1]).height == 0
