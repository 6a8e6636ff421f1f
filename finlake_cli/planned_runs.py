"""Which Dagster runs cover a span of dates, one by calendar day, one by session, one by month; and what none can cover."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from finlake_settings.variable_names import variable
from spark.contracts import lake
from spark.contracts.bronze import GDELT_START
from spark.contracts.runs import BY_DAY, BY_MONTH, BY_SESSION, JOBS, STREAM_ARCHIVE

NEW_YORK = ZoneInfo("America/New_York")
ASSETS_OF: Mapping[str, tuple[str, ...]] = {
    JOBS[window]: tuple(address.replace(".", "/") for address in lake.of_window(window)) for window in ("day", "session", "month")
}
"""By job, the tables it fills, as `layer/table`."""
ONE_DAY = timedelta(days=1)
ARCHIVED_BY = (
    "The sensor stream_ranges brings the stream to the lake every minute where work is unattended: `finlake down`, then "
    f"`{variable('unattended')}=1 finlake up`. Once, by hand: the job {STREAM_ARCHIVE} in Dagster, for today's UTC day"
)
"""What fills the tables of the live stream, and how it is switched on."""


class NothingToRunError(ValueError):
    """No run covers what was asked for; the message says why, and which dates or tables would."""


class Calendar(Protocol):
    """What is asked of the exchange's calendar; finlake_clients.calendar.TradingCalendar answers."""

    @property
    def last_session(self) -> date: ...
    def sessions(self, start: date, end: date) -> tuple[date, ...]: ...
    def previous(self, day: date) -> date: ...
    def last_closed(self, now: datetime) -> date: ...


@dataclass(frozen=True, kw_only=True)
class Buildable:
    """What can be built at a moment: the exchange's calendar, where the history begins, where the sources end.

    `sources_end` is None where they go on. Beyond it only dropped files have prices.
    """

    calendar: Calendar
    now: datetime
    history_start: date
    sources_end: date | None = None

    @property
    def last_closed(self) -> date:
        """The newest session that is over."""
        return self.calendar.last_closed(self.now)

    @property
    def last_day(self) -> date:
        """The newest calendar day that is over in New York."""
        return self.now.astimezone(NEW_YORK).date() - ONE_DAY

    @property
    def last_month(self) -> date:
        """First day of the newest month that is over in New York."""
        return ((self.last_day + ONE_DAY).replace(day=1) - ONE_DAY).replace(day=1)


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run to launch: a job over a range of partition keys, or without partitions; all its assets when `assets` is empty."""

    job: str
    first_key: date | None = None
    last_key: date | None = None
    assets: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The run in words."""
        return self.job if self.first_key is None else f"{self.job} {self.first_key} to {self.last_key}"


@dataclass(frozen=True, kw_only=True)
class NotRun:
    """A part of what was asked for that no run covers: its dates and the reason."""

    first: date
    last: date
    why: str

    def __str__(self) -> str:
        return f"{dates(self.first, self.last)}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The runs for a span, the parts of it that are not run, and remarks on what is run all the same."""

    runs: tuple[PlannedRun, ...]
    not_run: tuple[NotRun, ...]
    remarks: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What is run and what is not, a line each; nothing when all of a span is run as asked."""
        if not self.not_run and not self.remarks:
            return ()
        return (*(f"run: {run.title}" for run in self.runs), *(f"not run: {part}" for part in self.not_run), *self.remarks)


def dates(first: date, last: date) -> str:
    """A span in words."""
    return f"{first}" if first == last else f"{first} to {last}"


def planned_runs(first: date, last: date, known: Buildable, select: Collection[str] = ()) -> RunPlan:
    """Runs for the dates `first` to `last`, as far as they can be built.

    News days begin after the session before the first one, because news of a week-end belongs to the next session.
    Raises `NothingToRunError` for swapped dates, an unknown table, or a span of which nothing can be built.
    """
    if last < first:
        raise NothingToRunError(f"--from {first} is after --to {last}: the dates are swapped; write --from {last} --to {first}")
    known_tables = [table for tables in ASSETS_OF.values() for table in tables]
    unknown = sorted(set(select) - set(known_tables))
    streamed = [table for table in unknown if table.replace("/", ".") in lake.of_window("stream_day")]
    if streamed:
        raise NothingToRunError(
            f"{', '.join(streamed)}: filled from the live stream and not by sessions. {ARCHIVED_BY}; `finlake run` builds "
            f"{', '.join(known_tables)}"
        )
    if unknown:
        raise NothingToRunError(f"`finlake run` fills no table {', '.join(unknown)}; it builds {', '.join(known_tables)}")
    outside = _outside(first, last, known)
    sessions = known.calendar.sessions(max(first, known.history_start), min(last, known.last_closed))
    runs, not_run = [], list(outside)
    for job, assets in ASSETS_OF.items():
        wanted = tuple(asset for asset in assets if asset in select)
        if select and not wanted:
            continue
        span = _SPANS[job](first, last, sessions, known)
        not_run += span.missed
        if span.start <= span.end:
            runs.append(PlannedRun(job=job, first_key=span.start, last_key=span.end, assets=wanted))
    # News of days without a session are a run only where they alone are asked for.
    if not runs or (not sessions and not set(select) & set(ASSETS_OF[BY_DAY])):
        raise NothingToRunError("nothing to run: " + "; ".join(map(str, outside or [_no_session(first, last)])))
    if not sessions and not outside:
        not_run.insert(0, _no_session(first, last))
    return RunPlan(runs=tuple(runs), not_run=tuple(not_run), remarks=_remarks(sessions, known))


@dataclass(frozen=True, kw_only=True)
class _Span:
    """Keys of one job (none when they are the wrong way round), and what of them cannot be."""

    start: date
    end: date
    missed: tuple[NotRun, ...] = ()


_NOTHING = _Span(start=date.max, end=date.min)


def _no_session(first: date, last: date) -> NotRun:
    return NotRun(first=first, last=last, why="the exchange has no session; choose a span with one")


def _outside(first: date, last: date, known: Buildable) -> list[NotRun]:
    """The parts of a span in which no session can be built, in order of time."""
    horizon, closed = known.calendar.last_session, known.last_closed
    parts = []
    if first < known.history_start:
        parts.append(
            NotRun(
                first=first,
                last=min(last, known.history_start - ONE_DAY),
                why=f"before the history that finlake keeps, which begins {known.history_start}",
            )
        )
    if known.calendar.sessions(max(first, closed + ONE_DAY), last):
        parts.append(
            NotRun(
                first=max(first, closed + ONE_DAY),
                last=min(last, horizon),
                why=f"not traded yet; the newest session that has closed is {closed}",
            )
        )
    if last > horizon:
        parts.append(
            NotRun(
                first=max(first, horizon + ONE_DAY),
                last=last,
                why=f"beyond the exchange's calendar, which is known up to {horizon}",
            )
        )
    return parts


def _days(first: date, last: date, _: Sequence[date], known: Buildable) -> _Span:
    """News days, from the session before the first one on."""
    missed = []
    if first < GDELT_START:
        missed.append(
            NotRun(
                first=first, last=min(last, GDELT_START - ONE_DAY), why=f"no news; GDELT's 15-minute files begin {GDELT_START}"
            )
        )
    if last > known.last_day:
        missed.append(
            NotRun(
                first=max(first, known.last_day + ONE_DAY),
                last=last,
                why=f"no news; the newest day that is over in New York is {known.last_day}",
            )
        )
    if first > known.last_day:
        return _Span(start=date.max, end=date.min, missed=tuple(missed))
    before = known.calendar.previous(max(first, known.history_start))
    return _Span(start=max(before, GDELT_START), end=min(last, known.last_day), missed=tuple(missed))


def _sessions(_first: date, _last: date, sessions: Sequence[date], _: Buildable) -> _Span:
    return _Span(start=sessions[0], end=sessions[-1]) if sessions else _NOTHING


def _months(_first: date, _last: date, sessions: Sequence[date], known: Buildable) -> _Span:
    """The months of the sessions, as far as they are over."""
    if not sessions:
        return _NOTHING
    start, end = sessions[0].replace(day=1), sessions[-1].replace(day=1)
    late = NotRun(first=end, last=sessions[-1], why="no gold/monthly_summary; the month is not over")
    return _Span(start=start, end=min(end, known.last_month), missed=(late,) if end > known.last_month else ())


_SPANS = {BY_DAY: _days, BY_SESSION: _sessions, BY_MONTH: _months}


def _remarks(sessions: Sequence[date], known: Buildable) -> tuple[str, ...]:
    beyond = [session for session in sessions if known.sources_end is not None and session > known.sources_end]
    if not beyond:
        return ()
    return (f"{dates(beyond[0], beyond[-1])}: the sample sources end {known.sources_end}; prices come from dropped files alone",)
