"""The trading calendar against the recorded table of sessions and closes, and its edges."""

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_clients.calendar import OutsideCalendarError, TradingCalendar

DATA = Path(__file__).parents[1] / "data" / "calendar"
CALENDAR = TradingCalendar()


def recorded_sessions() -> list[dict[str, str]]:
    with (DATA / "XNYS_sessions_2015_2026.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_sessions_equal_the_recorded_table() -> None:
    recorded = tuple(date.fromisoformat(row["session"]) for row in recorded_sessions())
    assert CALENDAR.sessions(date(2015, 1, 1), date(2026, 12, 31)) == recorded


def test_closes_equal_the_recorded_table_half_days_included() -> None:
    for row in recorded_sessions():
        close = datetime.fromisoformat(row["close_utc"].replace("Z", "+00:00"))
        assert CALENDAR.close_ts(date.fromisoformat(row["session"])) == close


def test_closures_equal_the_recorded_table() -> None:
    with (DATA / "XNYS_closed_weekdays_2015_2026.csv").open(newline="") as lines:
        recorded = tuple(date.fromisoformat(row["closed_weekday"]) for row in csv.DictReader(lines))
    assert CALENDAR.closures(date(2015, 1, 1), date(2026, 12, 31)) == recorded


@pytest.mark.parametrize(
    ("available_ts", "session"),
    [
        ("2026-03-09T20:00:00+00:00", date(2026, 3, 9)),  # at the close in summer time
        ("2026-03-09T20:00:01+00:00", date(2026, 3, 10)),  # a second after it
        ("2026-03-06T20:30:00+00:00", date(2026, 3, 6)),  # winter time: the close is 21:00Z
        ("2025-11-28T18:15:00+00:00", date(2025, 12, 1)),  # after an early close
        ("2026-11-26T12:00:00+00:00", date(2026, 11, 27)),  # Thanksgiving
        ("2018-12-05T16:00:00+00:00", date(2018, 12, 6)),  # day of mourning
    ],
)
def test_news_belongs_to_the_session_it_was_available_for(available_ts: str, session: date) -> None:
    assert CALENDAR.session_of(datetime.fromisoformat(available_ts)) == session


@given(st.integers(978_307_200, 1_767_225_600))
def test_every_time_lies_between_the_previous_close_and_its_own(epoch_seconds: int) -> None:
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    session = CALENDAR.session_of(moment)
    assert CALENDAR.close_ts(CALENDAR.previous(session)) < moment <= CALENDAR.close_ts(session)


@given(st.dates(date(2000, 1, 1), date(2026, 1, 1)))
def test_next_and_previous_are_the_neighbours_of_any_day(day: date) -> None:
    assert CALENDAR.previous(day) < day < CALENDAR.next(day)
    assert CALENDAR.before(day, 1) == (CALENDAR.previous(day),)
    between = CALENDAR.sessions(CALENDAR.previous(day) + timedelta(days=1), CALENDAR.next(day) - timedelta(days=1))
    assert between == ((day,) if CALENDAR.is_session(day) else ())


def test_last_closed_session_changes_at_the_close() -> None:
    close = CALENDAR.close_ts(date(2025, 11, 28))
    assert CALENDAR.last_closed(close - timedelta(seconds=1)) == date(2025, 11, 26)
    assert CALENDAR.last_closed(close) == date(2025, 11, 28)


def test_asking_for_the_close_of_a_holiday_names_the_day() -> None:
    with pytest.raises(OutsideCalendarError, match="2026-07-03 is not a session"):
        CALENDAR.close_ts(date(2026, 7, 3))


def test_times_outside_the_calendar_are_refused() -> None:
    with pytest.raises(OutsideCalendarError, match="ends with"):
        CALENDAR.session_of(datetime(2150, 1, 1, tzinfo=UTC))
    with pytest.raises(OutsideCalendarError, match="ends with"):
        CALENDAR.next(date(2150, 1, 1))
    with pytest.raises(OutsideCalendarError, match="begins with"):
        CALENDAR.previous(date(1990, 1, 1))
    with pytest.raises(OutsideCalendarError, match="begins with"):
        CALENDAR.last_closed(datetime(1980, 1, 1, tzinfo=UTC))
