"""State and bars must belong together before anything is computed from them."""

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from spark.transforms import resume
from spark.transforms.resume import StateGapError

LOOKBACK = 10
Bars = Callable[..., pl.DataFrame]


def state_of(bars: pl.DataFrame, position: int, **changed: object) -> pl.DataFrame:
    row = {
        "ticker": bars["ticker"][position],
        "session_date": bars["session_date"][position],
        "close_usd": bars["close_usd"][position],
        "bar_number": position + 1,
    }
    return pl.DataFrame([row | changed])


@pytest.fixture(scope="module")
def bars(random_bars: Bars) -> pl.DataFrame:
    return random_bars(1, 40)


def test_without_state_the_bars_are_the_whole_history(bars: pl.DataFrame) -> None:
    start = resume.start(bars, None, LOOKBACK, bars["session_date"][7])
    assert (start.first, start.first_bar_number, start.carried) == (7, 1, None)


def test_with_state_production_begins_after_it_and_bars_keep_their_numbers(bars: pl.DataFrame) -> None:
    start = resume.start(bars[15:], state_of(bars, 29), LOOKBACK, bars["session_date"][30])
    assert (start.first, start.first_bar_number) == (15, 16)
    assert start.number("close_usd") == bars["close_usd"][29]


def test_a_state_whose_whole_history_is_there_is_not_needed(bars: pl.DataFrame) -> None:
    assert resume.start(bars, state_of(bars, 29), LOOKBACK).carried is None


def test_a_state_that_skips_a_bar_is_refused_by_name_and_dates(bars: pl.DataFrame) -> None:
    with pytest.raises(StateGapError, match="TEST") as error:
        resume.start(bars, state_of(bars, 28), LOOKBACK, bars["session_date"][30])
    for position in (28, 29, 30):
        assert str(bars["session_date"][position]) in str(error.value)


def test_a_state_after_the_first_row_to_produce_is_refused(bars: pl.DataFrame) -> None:
    with pytest.raises(StateGapError):
        resume.start(bars, state_of(bars, 30), LOOKBACK, bars["session_date"][30])


def test_a_state_of_a_session_that_is_not_among_the_bars_is_refused(bars: pl.DataFrame) -> None:
    with pytest.raises(StateGapError, match="not among the bars"):
        resume.start(bars[30:], state_of(bars, 29), LOOKBACK)


def test_a_state_of_another_ticker_is_refused(bars: pl.DataFrame) -> None:
    with pytest.raises(StateGapError, match="OTHER"):
        resume.start(bars, state_of(bars, 29, ticker="OTHER"), LOOKBACK)


def test_a_state_computed_before_a_restatement_is_refused(bars: pl.DataFrame) -> None:
    with pytest.raises(StateGapError, match="restatement"):
        resume.start(bars, state_of(bars, 29, close_usd=bars["close_usd"][29] / 2), LOOKBACK)


def test_a_state_from_before_a_bar_was_inserted_is_refused(bars: pl.DataFrame) -> None:
    with pytest.raises(StateGapError, match="inserted"):
        resume.start(bars, state_of(bars, 29, bar_number=29), LOOKBACK)


def test_too_few_bars_before_the_first_row_are_refused(bars: pl.DataFrame) -> None:
    with pytest.raises(StateGapError, match="9 bars precede"):
        resume.start(bars[21:], state_of(bars, 29), LOOKBACK)


def test_a_state_without_a_carried_value_is_refused(bars: pl.DataFrame) -> None:
    start = resume.start(bars[15:], state_of(bars, 29, ema_200_usd=None), LOOKBACK)
    with pytest.raises(StateGapError, match="ema_200_usd"):
        start.number("ema_200_usd")


def test_a_state_of_no_or_two_rows_is_refused(bars: pl.DataFrame) -> None:
    for state in (state_of(bars, 29).head(0), pl.concat([state_of(bars, 28), state_of(bars, 29)])):
        with pytest.raises(ValueError, match="give the one row"):
            resume.start(bars, state, LOOKBACK)


def test_bars_of_two_tickers_out_of_order_or_none_are_refused(bars: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match="one ticker"):
        resume.start(pl.concat([bars, bars.with_columns(ticker=pl.lit("OTHER"))]), None, LOOKBACK)
    with pytest.raises(ValueError, match="session order"):
        resume.start(bars.reverse(), None, LOOKBACK)
    with pytest.raises(ValueError, match="session order"):
        resume.start(pl.concat([bars[:3], bars[2:]]), None, LOOKBACK)
    with pytest.raises(ValueError, match="no bars"):
        resume.start(bars.head(0), None, LOOKBACK)


def test_nothing_is_to_be_produced_after_the_last_bar(bars: pl.DataFrame) -> None:
    assert resume.start(bars, None, LOOKBACK, date(2100, 1, 1)).first == bars.height
    assert resume.start(bars[15:], state_of(bars, 39), LOOKBACK, date(2100, 1, 1)).first == 25
