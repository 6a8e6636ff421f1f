"""The lake's calendars as Dagster partitions: sessions, days, days of the stream, months; the dates a run stands for."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

import dagster as dg

from finlake_clients.calendar import NEW_YORK, TradingCalendar
from spark.contracts.bronze import GDELT_START
from spark.contracts.report import Window
from spark.contracts.table import Input, WindowKind

STREAM_START = date(2024, 1, 1)
WEEKENDS = "0 0 * * 6,0"


@dataclass(frozen=True)
class Timeline:
    """Which dates exist. `sources_end_date` is the last date the sources know, None when they go on."""

    calendar: TradingCalendar
    history_start: date
    sources_end_date: date | None = None

    @cached_property
    def sessions(self) -> dg.DailyPartitionsDefinition:
        """One key per session. The key of the session under way exists too, so that it can be filled after its close.

        Dagster makes that key as soon as the session before has ended (on a Saturday there is one for Monday): what
        fills tables asks the calendar, not the newest key, and automation waits for inputs.
        """
        horizon = self.calendar.last_session
        closures = (datetime.combine(day, time()) for day in self.calendar.closures(self.history_start, horizon))
        return dg.DailyPartitionsDefinition(
            start_date=self.history_start.isoformat(),
            end_date=(horizon + timedelta(days=1)).isoformat(),
            timezone=str(NEW_YORK),
            end_offset=1,
            exclusions=[WEEKENDS, *closures],
        )

    @cached_property
    def days(self) -> dg.DailyPartitionsDefinition:
        """One key per calendar day of GDELT 2.0, the day under way included.

        That key stays empty until its day is over and so holds back the session that waits for it: Dagster's
        automation does not count a key that does not exist as missing.
        """
        return dg.DailyPartitionsDefinition(start_date=GDELT_START.isoformat(), timezone=str(NEW_YORK), end_offset=1)

    @cached_property
    def stream_days(self) -> dg.DailyPartitionsDefinition:
        """One key per UTC day of the stream, the day under way included.

        The stream is of now, also where the other sources are samples that end years ago: their end does not bound it. Its
        days are those of Postgres's partitions. A trade may have happened before the first key, when it is replayed: its
        candle is built by the run that follows the change, and shown under that run's key.
        """
        return dg.DailyPartitionsDefinition(start_date=STREAM_START.isoformat(), timezone="UTC", end_offset=1)

    @cached_property
    def months(self) -> dg.MonthlyPartitionsDefinition:
        """One key per calendar month, named by its first day; it exists once the month is over."""
        start = self.history_start.replace(day=1).isoformat()
        return dg.MonthlyPartitionsDefinition(start_date=start, timezone=str(NEW_YORK))

    def partitions(self, window: WindowKind) -> dg.TimeWindowPartitionsDefinition | None:
        """The partitions of a table whose contract has this window."""
        match window:
            case "session":
                return self.sessions
            case "day":
                return self.days
            case "stream_day":
                return self.stream_days
            case "month":
                return self.months
            case "none":
                return None

    def newest_session(self, now: datetime) -> date:
        """The last session that has closed by `now` and that the sources know."""
        closed = self.calendar.last_closed(now)
        if self.sources_end_date is None or closed <= self.sources_end_date:
            return closed
        return self.calendar.previous(self.sources_end_date + timedelta(days=1))


def dates_of(keys: dg.PartitionKeyRange, window: WindowKind) -> Window:
    """The dates a range of keys stands for, both ends inclusive; months reach to their last day."""
    dates = Window(start=date.fromisoformat(keys.start), end=date.fromisoformat(keys.end))
    return dates.whole_months if window == "month" else dates


def mapping_of(each: Input) -> dg.TimeWindowPartitionMapping | None:
    """How much of an input a partition waits for: its own dates, and those before and after as far as they exist.

    None where its own dates are all. Offsets count keys, so that closures do not shorten a reach in sessions; months reach over
    every session in them.
    """
    back = each.sessions_back or each.months_back
    if not back and not each.sessions_ahead:
        return None
    return dg.TimeWindowPartitionMapping(
        start_offset=-back, end_offset=each.sessions_ahead, allow_nonexistent_upstream_partitions=True
    )
