"""Which prices are still wanted over HTTP, and from when."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_assets.sources import OVERLAP_SESSIONS, KnownDates, known_with, last_closed, missing_downloads, newest_date
from finlake_clients.calendar import TradingCalendar
from finlake_clients.stooq.prices_file import SourceKind, StooqFile
from spark.contracts.report import Window
from spark.contracts.universe import Ticker, Universe

BULK = b"<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\r\n"
CALENDAR = TradingCalendar()
START = date(2000, 1, 3)
UNIVERSE = Universe(
    tickers=tuple(
        Ticker(symbol=symbol, company=symbol, stooq_code=f"{symbol.lower()}.us", title_patterns=(), company_words=(), aliases=())
        for symbol in ("AAPL", "MSFT")
    )
)


def file_of(content: bytes, kind: SourceKind = "drop") -> StooqFile:
    return StooqFile("AAPL", content, "0" * 64, kind, "aapl_us_d.csv", datetime(2018, 3, 28, tzinfo=UTC))


@pytest.mark.parametrize(
    ("content", "kind", "newest"),
    [
        (b"Date,Open,High,Low,Close,Volume\r\n2018-03-26,1,1,1,1,1\r\n2018-03-27,1,1,1,1,1\r\n", "drop", date(2018, 3, 27)),
        (BULK + b"AAPL.US,D,20180326,000000,1,1,1,1,1,0\r\nAAPL.US,D,20180327,000000,1,1,1,1,1,0\r\n", "bulk", date(2018, 3, 27)),
        (b"Date,Open,High,Low,Close\r\n2018-03-27,1,1,1,1\r\n2018-03-26,1,1,1,1\r\n", "drop", date(2018, 3, 27)),
        (b"\nDate,Open,High,Low,Close\n2018-03-27,1,1,1,1\n2018-09-31,1,1,1,1\n2019-01-02,1\nend\n", "drop", date(2018, 3, 27)),
        (b"Date,Open,High,Low,Close\r\n2018-03-27,1,1,1,1\r\n2018-03-27,1,1,1,2\r\n", "drop", None),
        (b"Date,Open,High,Low,Close,Volume\r\n", "drop", None),
        (b"", "drop", None),
        (b"\xff\xfe\r\n", "bulk", None),
    ],
)
def test_newest_date_is_found_wherever_it_stands(content: bytes, kind: SourceKind, newest: date | None) -> None:
    assert newest_date(file_of(content, kind)) == newest


def test_a_dropped_file_counts_before_it_is_ingested() -> None:
    dropped = file_of(b"Date,Open,High,Low,Close,Volume\n2018-03-27,1,1,1,1,1\n")
    ledger = {"AAPL": KnownDates(START, date(2018, 1, 2)), "MSFT": KnownDates(START, date(2018, 1, 3))}
    closed = last_closed([dropped], CALENDAR)
    assert known_with([dropped], ledger, closed) == {"AAPL": KnownDates(date.min, date(2018, 3, 27)), "MSFT": ledger["MSFT"]}


def test_an_older_dropped_file_does_not_set_a_ticker_back() -> None:
    dropped = file_of(b"Date,Open,High,Low,Close,Volume\n2018-01-02,1,1,1,1,1\n")
    ledger, closed = {"AAPL": KnownDates(START, date(2018, 3, 27))}, last_closed([dropped], CALENDAR)
    assert known_with([dropped], ledger, closed)["AAPL"].last == date(2018, 3, 27)


@pytest.mark.parametrize(
    ("obtained", "newest"),
    [
        (datetime(2018, 3, 27, 20, 0, tzinfo=UTC), date(2018, 3, 27)),
        (datetime(2018, 3, 27, 19, 59, tzinfo=UTC), date(2018, 3, 26)),
        (datetime(1970, 1, 1, tzinfo=UTC), date.min),
    ],
)
def test_a_bar_whose_session_had_not_closed_does_not_count_as_known(obtained: datetime, newest: date) -> None:
    content = b"Date,Open,High,Low,Close,Volume\n2018-03-26,1,1,1,1,1\n2018-03-27,1,1,1,1,1\n"
    file = replace(file_of(content), fetched_ts=obtained)
    assert known_with([file], {}, last_closed([file], CALENDAR))["AAPL"].last == newest


@given(st.dates(date(2001, 1, 1), date(2020, 1, 1)), st.integers(0, 400))
def test_a_download_begins_65_sessions_before_the_window_and_ends_with_it(start: date, days: int) -> None:
    window = Window(start=start, end=start + timedelta(days=days))
    wanted = missing_downloads(UNIVERSE, {}, window, CALENDAR)
    assert [(each.ticker, each.vendor_code, each.end) for each in wanted] == [
        ("AAPL", "aapl.us", window.end),
        ("MSFT", "msft.us", window.end),
    ]
    for each in wanted:
        before = [day for day in CALENDAR.sessions(each.start or date.min, start) if day < start]
        assert len(before) == OVERLAP_SESSIONS


WINDOW = Window(start=date(2018, 3, 1), end=date(2018, 3, 27))


@pytest.mark.parametrize(
    ("span", "is_wanted"),
    [
        (KnownDates(date(2018, 3, 1), date(2018, 3, 27)), False),
        (KnownDates(date(2018, 3, 2), date(2018, 3, 27)), True),
        (KnownDates(date(2018, 3, 1), date(2018, 3, 26)), True),
    ],
)
def test_what_spans_the_window_is_not_asked_for(span: KnownDates, is_wanted: bool) -> None:
    wanted = missing_downloads(UNIVERSE, {"AAPL": span, "MSFT": KnownDates(START, date(2020, 1, 2))}, WINDOW, CALENDAR)
    assert [each.ticker for each in wanted] == (["AAPL"] if is_wanted else [])


def test_a_rewritten_past_is_asked_for_from_the_first_bar_whatever_is_known() -> None:
    whole = KnownDates(START, date(2020, 1, 2))
    (wanted,) = missing_downloads(UNIVERSE, {"AAPL": whole, "MSFT": whole}, WINDOW, CALENDAR, ["AAPL"])
    assert (wanted.ticker, wanted.start, wanted.end) == ("AAPL", None, WINDOW.end)
