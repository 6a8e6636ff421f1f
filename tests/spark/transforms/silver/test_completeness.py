"""What is expected and what is there: every case that must, and must not, raise an alarm."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_assets.silver.completeness import due_sessions
from finlake_clients.calendar import TradingCalendar
from spark.contracts import silver
from spark.contracts.report import Window
from spark.contracts.universe import Suspension, Ticker
from spark.transforms.polars_schema import polars_schema
from spark.transforms.silver.completeness import MESSAGES, completeness, gaps

CALENDAR = TradingCalendar()
# Good Friday is 30 March; Monday, 2 April, is the first session after the week-end.
MARCH = Window(start=date(2018, 3, 26), end=date(2018, 4, 6))
SESSIONS = CALENDAR.sessions(MARCH.start, MARCH.end)
GOOD_FRIDAY, MONDAY = date(2018, 3, 30), date(2018, 4, 2)
LATER = datetime(2018, 6, 1, tzinfo=UTC)
FIRST = date(2000, 1, 3)


def ticker(
    symbol: str, *, listed: date | None = None, delisted: date | None = None, suspended: tuple[Suspension, ...] = ()
) -> Ticker:
    return Ticker(
        symbol=symbol,
        company=symbol,
        stooq_code=f"{symbol.lower()}.us",
        title_patterns=(),
        company_words=(),
        aliases=(),
        listed=listed,
        delisted=delisted,
        suspended=suspended,
    )


def bars(found: Mapping[str, tuple[date, ...] | list[date]]) -> pl.DataFrame:
    rows = [(symbol, day) for symbol, days in found.items() for day in days]
    return pl.DataFrame(rows, schema={"ticker": pl.String, "session_date": pl.Date}, orient="row")


def judged(
    tickers: list[Ticker],
    agreed: Mapping[str, tuple[date, ...] | list[date]],
    downloaded: Mapping[str, tuple[date, ...] | list[date]] | None = None,
    first_bars: Mapping[str, date] | None = None,
    window: Window = MARCH,
) -> pl.DataFrame:
    due = due_sessions(window, CALENDAR)
    firsts = {each.symbol: FIRST for each in tickers} if first_bars is None else first_bars
    within = pl.col("session_date").is_between(CALENDAR.previous(window.start) + timedelta(days=1), window.end)
    sent = bars(agreed if downloaded is None else downloaded)
    return completeness(tickers, due, bars(agreed).filter(within), sent.filter(within), firsts)


def alarms(rows: pl.DataFrame, now: datetime = LATER) -> list[tuple[str, str, str, date, date, int]]:
    return gaps(rows, now).select("ticker", "state", "reason", "first_date", "last_date", "count").rows()


def without(*days: date) -> list[date]:
    return [session for session in SESSIONS if session not in days]


def test_a_complete_window_raises_no_alarm_and_has_the_contracts_columns() -> None:
    rows = judged([ticker("KO"), ticker("PG")], {"KO": SESSIONS, "PG": SESSIONS})
    assert dict(rows.schema) == polars_schema(silver.COMPLETENESS)
    assert rows["status"].to_list() == ["present"] * 2 * len(SESSIONS)
    assert alarms(rows) == []


def test_a_ticker_without_a_bar_is_found() -> None:
    rows = judged([ticker("KO"), ticker("PG")], {"KO": SESSIONS, "PG": without(date(2018, 3, 28))})
    assert alarms(rows) == [("PG", "missing", "no_bar", date(2018, 3, 28), date(2018, 3, 28), 1)]


def test_a_ticker_without_any_file_is_found() -> None:
    rows = judged([ticker("KO"), ticker("NEW")], {"KO": SESSIONS}, first_bars={"KO": FIRST})
    assert alarms(rows) == [("NEW", "missing", "no_bar", SESSIONS[0], SESSIONS[-1], len(SESSIONS))]


def test_a_bar_that_a_verdict_keeps_out_is_told_from_one_that_nobody_sent() -> None:
    day = date(2018, 3, 28)
    rows = judged([ticker("KO")], {"KO": without(day)}, downloaded={"KO": SESSIONS})
    assert alarms(rows) == [("KO", "missing", "bar_not_accepted", day, day, 1)]


@pytest.mark.parametrize("closed", [GOOD_FRIDAY, date(2018, 3, 31), date(2018, 4, 1)])
def test_a_bar_on_a_closed_day_is_found(closed: date) -> None:
    rows = judged([ticker("KO")], {"KO": SESSIONS}, downloaded={"KO": [*SESSIONS, closed]})
    assert alarms(rows) == [("KO", "unexpected", "closed_day", closed, closed, 1)]
    (stray,) = rows.filter(pl.col("session_date") == closed).iter_rows(named=True)
    assert (stray["is_expected"], stray["is_present"], stray["due_ts"]) == (False, False, None)


def test_a_delisted_ticker_raises_no_alarm() -> None:
    last = date(2018, 3, 28)
    rows = judged([ticker("GONE", delisted=last)], {"GONE": [day for day in SESSIONS if day <= last]})
    assert alarms(rows) == []
    after = rows.filter(pl.col("session_date") > last)
    assert set(after["status"]) == {"not_expected"}
    assert set(after["reason"]) == {"delisted"}


def test_a_suspended_week_raises_no_alarm() -> None:
    week = Suspension(start=date(2018, 4, 2), end=date(2018, 4, 6))
    rows = judged(
        [ticker("KO", suspended=(week,)), ticker("PG")], {"KO": [day for day in SESSIONS if day < week.start], "PG": SESSIONS}
    )
    assert alarms(rows) == []
    assert set(rows.filter(pl.col("reason") == "suspended")["ticker"]) == {"KO"}


def test_before_its_listing_or_its_first_bar_nothing_is_expected_of_a_ticker() -> None:
    day = date(2018, 4, 3)
    since = [session for session in SESSIONS if session >= day]
    rows = judged(
        [ticker("IPO"), ticker("SAID", listed=day)], {"IPO": since, "SAID": since}, first_bars={"IPO": day, "SAID": day}
    )
    assert alarms(rows) == []
    before = rows.filter(pl.col("session_date") < day)
    assert dict(before.select("ticker", "reason").unique().iter_rows()) == {"IPO": "before_first_bar", "SAID": "not_listed"}


def test_where_the_file_says_since_when_a_ticker_is_listed_its_first_bar_excuses_nothing() -> None:
    day = date(2018, 4, 3)
    rows = judged(
        [ticker("SAID", listed=FIRST)], {"SAID": [session for session in SESSIONS if session >= day]}, first_bars={"SAID": day}
    )
    assert alarms(rows) == [("SAID", "missing", "no_bar", SESSIONS[0], MONDAY, 5)]


@pytest.mark.parametrize(
    ("listing", "reason"),
    [
        (ticker("KO", delisted=date(2018, 4, 5)), "delisted"),
        (ticker("KO", listed=date(2018, 4, 9)), "not_listed"),
        (ticker("KO", suspended=(Suspension(start=date(2018, 4, 6)),)), "suspended"),
    ],
)
def test_a_bar_that_the_file_does_not_expect_is_found(listing: Ticker, reason: str) -> None:
    last = SESSIONS[-1]
    found = alarms(judged([listing], {"KO": [last]}, window=Window(start=last, end=last)))
    assert found == [("KO", "unexpected", reason, last, last, 1)]


def test_a_vendor_a_day_late_is_late_then_missing_then_present() -> None:
    # The close of Wednesday is 20:00 UTC; eight hours later its bar is due, and missing once Thursday's is.
    wednesday = date(2018, 3, 28)
    rows = judged([ticker("KO")], {"KO": without(wednesday)}, window=Window(start=wednesday, end=wednesday))
    states = {
        datetime(2018, 3, 28, 20, 0, tzinfo=UTC): "not_due",
        datetime(2018, 3, 29, 3, 59, tzinfo=UTC): "not_due",
        datetime(2018, 3, 29, 4, 0, tzinfo=UTC): "late",
        datetime(2018, 3, 30, 3, 59, tzinfo=UTC): "late",
        datetime(2018, 3, 30, 4, 0, tzinfo=UTC): "missing",
    }
    assert {now: gaps(rows, now)["state"][0] for now in states} == states
    arrived = judged([ticker("KO")], {"KO": SESSIONS}, window=Window(start=wednesday, end=wednesday))
    assert alarms(arrived, max(states)) == []


def test_over_a_long_week_end_a_bar_is_late_until_the_next_session_is_due() -> None:
    thursday = date(2018, 3, 29)
    rows = judged([ticker("KO")], {"KO": []}, window=Window(start=thursday, end=thursday))
    assert [gaps(rows, datetime(2018, 4, day, 12, tzinfo=UTC))["state"][0] for day in (1, 2, 3)] == ["late", "late", "missing"]


def test_an_empty_session_is_found_for_every_ticker() -> None:
    names = ["AAPL", "MSFT"]
    rows = judged([ticker(name) for name in names], {}, window=Window(start=MONDAY, end=MONDAY))
    assert rows["status"].to_list() == ["absent", "absent"]
    assert alarms(rows) == [(name, "missing", "no_bar", MONDAY, MONDAY, 1) for name in names]


def test_every_reason_has_its_message() -> None:
    rows = judged([ticker("KO", delisted=date(2018, 3, 28))], {"KO": []})
    assert [row for row in rows.iter_rows(named=True) if not row["message"]] == []
    assert set(gaps(rows, LATER)["message"]) == {MESSAGES["no_bar"]}


DAYS = st.sets(st.sampled_from([MARCH.start + timedelta(days=n) for n in range(-2, 12)]))


@given(agreed=DAYS, stray=DAYS, listed=st.none() | st.sampled_from(SESSIONS), delisted=st.none() | st.sampled_from(SESSIONS))
def test_every_session_has_one_row_and_every_bar_is_accounted_for(
    agreed: set[date],
    stray: set[date],
    listed: date | None,
    delisted: date | None,
) -> None:
    """Oracle: the definition in words, a day at a time."""
    in_silver = sorted(agreed & set(SESSIONS))
    rows = judged([ticker("KO", listed=listed, delisted=delisted)], {"KO": in_silver}, {"KO": sorted({*in_silver, *stray})})
    by_day = {row["session_date"]: row for row in rows.iter_rows(named=True)}
    assert len(by_day) == rows.height
    assert set(by_day) == {*SESSIONS, *stray}
    for day, row in by_day.items():
        alive = day in SESSIONS and (listed is None or listed <= day) and (delisted is None or day <= delisted)
        there = day in in_silver
        expected = {(True, True): "present", (True, False): "absent", (False, False): "not_expected", (False, True): "unexpected"}
        assert row["status"] == ("unexpected" if day not in SESSIONS else expected[alive, there])
    assert gaps(rows, LATER)["count"].sum() == sum(row["status"] in ("absent", "unexpected") for row in by_day.values())
