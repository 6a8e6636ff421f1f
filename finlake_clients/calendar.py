"""The one trading calendar: New York Stock Exchange sessions (XNYS) for partitions, schedules, freshness and joins.

Source: exchange_calendars. Early closes, holidays and days of mourning are taken from its table, never from rules.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EXCHANGE = "XNYS"
NEW_YORK = ZoneInfo("America/New_York")
FIRST_DATE = date(1990, 1, 1)


class OutsideCalendarError(LookupError):
    """A date or time before the first or after the last session the calendar knows."""


@dataclass(frozen=True)
class _Sessions:
    """Sessions in order, and beside each its close in UTC."""

    dates: tuple[date, ...]
    closes: tuple[datetime, ...]


@lru_cache(maxsize=4)
def _load(first: date) -> _Sessions:
    """The exchange's table from `first` to a year from now, once per process."""
    import exchange_calendars

    closes = exchange_calendars.get_calendar(EXCHANGE, start=first.isoformat()).closes
    return _Sessions(
        dates=tuple(session.date() for session in closes.index),
        closes=tuple(close.to_pydatetime() for close in closes),
    )


@dataclass(frozen=True)
class TradingCalendar:
    """XNYS sessions from `first_date` to about a year from now. Dates are exchange dates, times are UTC."""

    first_date: date = FIRST_DATE

    @property
    def last_session(self) -> date:
        """The horizon: no session after it is known."""
        return _load(self.first_date).dates[-1]

    def is_session(self, day: date) -> bool:
        """Whether the exchange trades on `day`."""
        dates = _load(self.first_date).dates
        position = bisect_left(dates, day)
        return position < len(dates) and dates[position] == day

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """Sessions from `start` to `end`, both inclusive."""
        dates = _load(self.first_date).dates
        return dates[bisect_left(dates, start) : bisect_right(dates, end)]

    def before(self, day: date, count: int) -> tuple[date, ...]:
        """The `count` sessions before `day`, oldest first; fewer where the calendar begins."""
        dates = _load(self.first_date).dates
        position = bisect_left(dates, day)
        return dates[max(0, position - count) : position]

    def next(self, day: date) -> date:
        """The first session after `day`; raises `OutsideCalendarError` beyond the horizon."""
        dates = _load(self.first_date).dates
        position = bisect_right(dates, day)
        if position == len(dates):
            raise OutsideCalendarError(f"no session after {day} is known; the calendar ends with {dates[-1]}")
        return dates[position]

    def previous(self, day: date) -> date:
        """The last session before `day`; raises `OutsideCalendarError` before the first one."""
        dates = _load(self.first_date).dates
        position = bisect_left(dates, day)
        if position == 0:
            raise OutsideCalendarError(f"no session before {day} is known; the calendar begins with {dates[0]}")
        return dates[position - 1]

    def close_ts(self, session: date) -> datetime:
        """Close of a session in UTC, early closes included; raises `OutsideCalendarError` for a day without trading."""
        if not self.is_session(session):
            raise OutsideCalendarError(f"{session} is not a session of {EXCHANGE}; it has no close")
        loaded = _load(self.first_date)
        return loaded.closes[bisect_left(loaded.dates, session)]

    def session_of(self, available_ts: datetime) -> date:
        """Session in whose (previous close, this close] the time lies; raises `OutsideCalendarError` beyond the horizon."""
        loaded = _load(self.first_date)
        position = bisect_left(loaded.closes, available_ts)
        if position == len(loaded.dates):
            raise OutsideCalendarError(f"{available_ts} is after the last close; the calendar ends with {loaded.dates[-1]}")
        return loaded.dates[position]

    def last_closed(self, now: datetime) -> date:
        """The newest session whose close is not after `now`; raises `OutsideCalendarError` before the first close."""
        loaded = _load(self.first_date)
        position = bisect_right(loaded.closes, now)
        if position == 0:
            raise OutsideCalendarError(f"no session had closed by {now}; the calendar begins with {loaded.dates[0]}")
        return loaded.dates[position - 1]

    def closures(self, start: date, end: date) -> tuple[date, ...]:
        """Weekdays from `start` to `end` (both inclusive) without a session: holidays and days of mourning."""
        days = (start + timedelta(days=n) for n in range((end - start).days + 1))
        return tuple(day for day in days if day.weekday() < 5 and not self.is_session(day))
