"""The made-up prices: real sessions, possible bars, the same ones in every file, read by finlake's own parser."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from finlake_clients.calendar import TradingCalendar
from finlake_clients.stooq.content import classify
from finlake_clients.stooq.prices_file import StooqFile
from finlake_proofs.bench.lake_steps import History
from finlake_proofs.bench.synthetic_prices import random_walk, stooq_file, universe_of
from spark.transforms.bronze.stooq_prices import parse
from spark.transforms.silver.prices_daily import is_possible

SESSIONS = TradingCalendar().sessions(date(2020, 1, 1), date(2022, 12, 31))
HISTORY = History(walk_start=date(2020, 1, 1), first_date=date(2022, 1, 1), last_date=date(2022, 12, 31), ticker_count=3)


def rows(file: StooqFile) -> pl.DataFrame:
    parsed = parse(
        file.content, ticker=file.ticker, file_sha256=file.sha256, fetched_ts=file.fetched_ts, source_name=file.source_name
    )
    assert parsed.rejected.num_rows == 0
    return pl.DataFrame(pl.from_arrow(parsed.rows))


def bars(file: StooqFile) -> pl.DataFrame:
    return rows(file).drop("file_sha256", "fetched_ts", "line_number")


def test_a_walk_is_the_same_each_time_and_another_for_each_ticker() -> None:
    assert random_walk("T0000", SESSIONS).equals(random_walk("T0000", SESSIONS))
    assert not random_walk("T0000", SESSIONS).equals(random_walk("T0001", SESSIONS))


def test_more_sessions_leave_the_earlier_bars_as_they_were() -> None:
    longer = random_walk("T0000", SESSIONS)
    assert random_walk("T0000", SESSIONS[:-1]).equals(longer[:-1])


def test_a_file_is_one_that_the_connector_and_the_parser_accept_in_full() -> None:
    file = stooq_file(universe_of(1).tickers[0], random_walk("T0000", SESSIONS))
    classify(file.content)
    read = rows(file)
    assert tuple(read["session_date"]) == SESSIONS
    assert read.select(is_possible().all()).item()


def test_an_overlapping_file_repeats_the_bars_of_the_earlier_one() -> None:
    """Else the increments of the benchmark would be rejected downloads instead of new sessions."""
    earlier = HISTORY.files(HISTORY.first_date, HISTORY.last_date)
    later = HISTORY.files(date(2022, 10, 3), date(2023, 1, 3))
    for old, new in zip(earlier, later, strict=True):
        assert old.ticker == new.ticker
        assert bars(new)[:-1].equals(bars(old).filter(pl.col("session_date") >= date(2022, 10, 3)))
        assert bars(new)["session_date"][-1] == date(2023, 1, 3)
        assert new.fetched_ts > old.fetched_ts


def test_two_histories_of_different_length_have_the_same_bars_where_they_overlap() -> None:
    longer = replace(HISTORY, first_date=HISTORY.walk_start)
    for long, short in zip(
        longer.files(longer.first_date, longer.last_date), HISTORY.files(HISTORY.first_date, HISTORY.last_date), strict=True
    ):
        assert bars(long).filter(pl.col("session_date") >= HISTORY.first_date).equals(bars(short))


def test_bars_with_other_columns_are_no_stooq_file() -> None:
    with pytest.raises(ValueError, match="random walk"):
        stooq_file(universe_of(1).tickers[0], random_walk("T0000", SESSIONS).rename({"Open": "open_usd"}))
