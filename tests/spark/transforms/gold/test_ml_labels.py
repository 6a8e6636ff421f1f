"""gold.ml_labels: what the next two bars of the same ticker did."""

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl

from spark.contracts.gold import ML_LABELS
from spark.transforms.gold import ml_labels
from spark.transforms.polars_schema import polars_schema

Bars = Callable[..., pl.DataFrame]
Same = Callable[[pl.DataFrame, pl.DataFrame], None]


def test_labels_are_the_returns_of_the_next_two_bars(bars_of_closes: Bars) -> None:
    bars = bars_of_closes([10.0, 11.0, 22.0, 11.0])
    days = bars["session_date"].to_list()
    labels = ml_labels.compute(bars, days[0], days[-1])
    assert labels.schema == polars_schema(ML_LABELS)
    assert labels["next_day_return"].to_list() == [11 / 10 - 1, 1.0, -0.5, None]
    assert labels["tradable_return"].to_list() == [1.0, -0.5, None, None]
    assert labels["entry_date"].to_list() == [*days[1:], None]
    assert labels["exit_date"].to_list() == [*days[2:], None, None]


def test_labels_follow_the_ticker_and_not_the_row_order(bars_of_closes: Bars) -> None:
    bars = pl.concat([bars_of_closes([10.0, 20.0], "AAA"), bars_of_closes([7.0, 7.0], "BBB")])
    first, last = bars["session_date"][0], bars["session_date"][1]
    labels = ml_labels.compute(bars.reverse(), first, last)
    assert labels["ticker"].to_list() == ["AAA", "AAA", "BBB", "BBB"]
    assert labels["next_day_return"].to_list() == [1.0, None, 0.0, None]


def test_a_window_with_two_bars_after_it_equals_the_whole(random_bars: Bars, assert_same_bits: Same) -> None:
    bars = pl.concat([random_bars(1, 40, "AAA"), random_bars(2, 40, "BBB")])
    days = bars["session_date"].unique().sort().to_list()
    whole = ml_labels.compute(bars, days[0], days[-1])
    window = ml_labels.compute(bars.filter(pl.col("session_date").is_between(days[10], days[22])), days[10], days[20])
    assert_same_bits(window, whole.filter(pl.col("session_date").is_between(days[10], days[20])))


def test_the_next_bar_may_be_days_away_but_not_more_than_a_fortnight(bars_of_closes: Bars) -> None:
    bars = bars_of_closes([10.0, 20.0, 10.0])
    last_in_reach = date(2020, 1, 1) + timedelta(days=ml_labels.REACH_DAYS)
    for second, third, expected in (
        (last_in_reach, last_in_reach + timedelta(days=1), (1.0, None, last_in_reach, None)),
        (date(2020, 1, 2), last_in_reach, (1.0, -0.5, date(2020, 1, 2), last_in_reach)),
        (last_in_reach + timedelta(days=1), last_in_reach + timedelta(days=2), (None, None, None, None)),
    ):
        days = bars.with_columns(session_date=pl.Series([date(2020, 1, 1), second, third]))
        labels = ml_labels.compute(days, date(2020, 1, 1), date(2020, 1, 1))
        assert labels.select("next_day_return", "tradable_return", "entry_date", "exit_date").row(0) == expected


def test_the_reach_is_the_contracts() -> None:
    assert any(f"at most {ml_labels.REACH_DAYS} days" in note for note in ML_LABELS.notes)
