"""Which prices are still wanted over HTTP, and from when."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_assets.sources import OVERLAP_SESSIONS, missing_downloads, newest_date, reached_by
from finlake_resources.calendar import TradingCalendar
from finlake_resources.stooq import SourceKind, StooqFile
from spark.contracts.universe import Ticker, Universe

CALENDAR = TradingCalendar()
START = date(2000, 1, 3)
UNIVERSE = Universe(tickers=tuple(
    Ticker(symbol=symbol, company=symbol, stooq_code=f"{symbol.lower()}.us", title_patterns=(), company_words=(), aliases=())
    for symbol in ("AAPL", "MSFT")
))


def file_of(content: bytes, kind: SourceKind = "drop") -> StooqFile:
    return StooqFile("AAPL", content, "0" * 64, kind, "aapl_us_d.csv", datetime(2018, 3, 28, tzinfo=UTC))


@pytest.mark.parametrize(("content", "kind", "newest"), [
    (b"Date,Open,High,Low,Close,Volume\r\n2018-03-26,1,1,1,1,1\r\n2018-03-27,1,1,1,1,1\r\n", "drop", date(2018, 3, 27)),
    (b"<TICKER>,<PER>,<DATE>\r\nAAPL.US,D,20180327,000000,1,1,1,1,1,0\r\n", "bulk", date(2018, 3, 27)),
    (b"Date,Open,High,Low,Close,Volume\r\n", "drop", None),
    (b"", "drop", None),
    (b"\xff\xfe\r\n", "bulk", None),
])
def test_newest_date_is_in_the_last_line(content: bytes, kind: SourceKind, newest: date | None) -> None:
    assert newest_date(file_of(content, kind)) == newest


def test_a_dropped_file_counts_before_it_is_ingested() -> None:
    dropped = file_of(b"Date,Open,High,Low,Close,Volume\n2018-03-27,1,1,1,1,1\n")
    assert reached_by([dropped], {"AAPL": date(2018, 1, 2), "MSFT": date(2018, 1, 3)}) == {
        "AAPL": date(2018, 3, 27), "MSFT": date(2018, 1, 3),
    }


def test_an_older_dropped_file_does_not_set_a_ticker_back() -> None:
    dropped = file_of(b"Date,Open,High,Low,Close,Volume\n2018-01-02,1,1,1,1,1\n")
    assert reached_by([dropped], {"AAPL": date(2018, 3, 27)}) == {"AAPL": date(2018, 3, 27)}


def test_an_unknown_ticker_is_wanted_from_the_beginning() -> None:
    wanted = missing_downloads(UNIVERSE, {"MSFT": date(2018, 3, 27)}, date(2018, 3, 27), START, CALENDAR)
    assert [(each.ticker, each.vendor_code, each.start, each.end) for each in wanted] == [
        ("AAPL", "aapl.us", START, date(2018, 3, 27)),
    ]


@given(st.dates(date(2001, 1, 1), date(2020, 1, 1)), st.dates(date(2001, 1, 1), date(2020, 1, 1)))
def test_a_download_overlaps_what_is_known_by_65_sessions(known: date, end: date) -> None:
    wanted = missing_downloads(UNIVERSE, {"AAPL": known, "MSFT": end}, end, START, CALENDAR)
    if known >= end:
        assert wanted == []
    else:
        (only,) = wanted
        assert len([day for day in CALENDAR.sessions(only.start, known) if day < known]) == OVERLAP_SESSIONS
        assert only.end == end
