"""Whether to run now, decided from what was observed: pure functions over plain values, standard library only.

A cursor is the record of what was already asked for; it comes in as text and goes out as text.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
# Data, and what someone packed otherwise: a run says that it is not read. Notes that lie beside it ask for no run.
COMPLETE_SUFFIXES = (".csv", ".txt", ".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz")
RESTATEMENT_ATTEMPTS = 3
# A vendor needs a while after the close; the two ticks serve early closes (13:00) and ordinary ones (16:00).
SETTLING = timedelta(hours=2)
# A range of offsets is asked for when it is long enough to be worth a run, or old enough not to wait any longer.
WORTH_OFFSETS = 250_000
WAITED = timedelta(minutes=5)
# The longest range of one run, which cuts it into commits that fit into memory.
RANGE_OFFSETS = 1_000_000
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=30)
AFTER_CLOSE_HOURS = (15, 18)


class DropFile(Protocol):
    """A file as a listing shows it; `mtime` is UTC, `size` in bytes."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def mtime(self) -> datetime: ...


class Restatement(Protocol):
    """A download that rewrote history and whose effect is not in silver.prices_daily yet.

    `needs_whole_history` when it restates the newest sessions only, so that the rest has to be downloaded again.
    """

    @property
    def ticker(self) -> str: ...
    @property
    def file_sha256(self) -> str: ...
    @property
    def recompute_from_date(self) -> date: ...
    @property
    def needs_whole_history(self) -> bool: ...


class SessionCalendar(Protocol):
    """The part of the trading calendar that plans need."""

    def is_session(self, day: date) -> bool: ...
    def sessions(self, start: date, end: date) -> tuple[date, ...]: ...
    def close_ts(self, session: date) -> datetime: ...


@dataclass(frozen=True, kw_only=True)
class Skip:
    """Nothing to do now, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class PartitionRange:
    """Partitions to run in one run, first and last one."""

    start: date
    end: date


@dataclass(frozen=True, kw_only=True)
class ArrivalPlan:
    """Files that are new or changed and no longer grow, files that still may, and the cursor to keep."""

    arrived: tuple[str, ...]
    waiting: tuple[str, ...]
    key: str
    cursor: str


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What a partition holds beyond the archive: offsets from `first` up to `end`, which is not part of it.

    `gone_from` is where the archive stands when Kafka has deleted the offsets from there up to `first`.
    """

    first: int
    end: int
    gone_from: int | None = None


@dataclass(frozen=True, kw_only=True)
class ArchivePlan:
    """The ranges to archive in one run, by partition, or why there are none; `key` names the request, `day` (UTC) its run.

    `cursor` remembers the last request of the topic.
    """

    decision: Mapping[int, tuple[int, int]] | Skip
    cursor: str
    key: str = ""
    day: date | None = None


@dataclass(frozen=True, kw_only=True)
class RestatementPlan:
    """The span to recompute, or why there is none; `key` names the request; `cursor` counts requests per download.

    `whole_history` are the tickers to download again from the beginning before anything can be recomputed.
    """

    decision: PartitionRange | Skip
    cursor: str
    key: str = ""
    whole_history: tuple[str, ...] = ()


def plan_arrivals(entries: Iterable[DropFile], cursor: str | None) -> ArrivalPlan:
    """A file has arrived when two listings in a row show the same size and time and no run was asked for that state."""
    before = json.loads(cursor) if cursor else {}
    seen, taken = before.get("seen", {}), before.get("taken", {})
    listed = {
        entry.name: f"{entry.size}@{entry.mtime.isoformat()}"
        for entry in entries
        if entry.name.lower().endswith(COMPLETE_SUFFIXES)
    }
    open_ = {name: state for name, state in sorted(listed.items()) if taken.get(name) != state}
    arrived = {name: state for name, state in open_.items() if seen.get(name) == state}
    kept = {name: state for name, state in taken.items() if name in listed}
    return ArrivalPlan(
        arrived=tuple(arrived),
        waiting=tuple(name for name in open_ if name not in arrived),
        key=_key(arrived),
        cursor=json.dumps({"seen": listed, "taken": {**kept, **arrived}}, sort_keys=True),
    )


def arrival_span(
    tickers: Iterable[str],
    last_known: Mapping[str, date],
    newest: date,
    history_start: date,
    calendar: SessionCalendar,
) -> PartitionRange:
    """Sessions that files of these tickers can fill: after the last one known of each, all of them for a new ticker.

    A file that brings no session beyond `newest` is judged in a run of the newest session: if it rewrote history, the
    recomputation is requested once that is known.
    """
    unknown_from = (last_known[t] + timedelta(days=1) if t in last_known else history_start for t in tickers)
    first = min(unknown_from, default=newest)
    sessions = calendar.sessions(min(first, newest), newest)
    return PartitionRange(start=sessions[0], end=newest) if sessions else PartitionRange(start=newest, end=newest)


def plan_restatements(
    pending: Sequence[Restatement],
    cursor: str | None,
    *,
    history_start: date,
    newest: date,
    is_running: bool,
    calendar: SessionCalendar,
) -> RestatementPlan:
    """One span for all pending restatements, from the earliest session of the history they change to the newest one.

    While a recomputation runs nothing is asked for; one that left a restatement pending is asked for again, at most
    three times, and then waits for a person.
    """
    before: dict[str, int] = json.loads(cursor) if cursor else {}
    named = {f"{each.ticker} {each.file_sha256}": each for each in pending}
    counts = {name: before.get(name, 0) for name in named}
    if not named:
        return RestatementPlan(decision=Skip(reason="no restatement is pending"), cursor=json.dumps({}))
    if is_running:
        return _waiting("a recomputation is under way", before)
    wanted = {name: each for name, each in named.items() if counts[name] < RESTATEMENT_ATTEMPTS}
    if not wanted:
        tickers = ", ".join(sorted({each.ticker for each in pending}))
        return _waiting(
            f"{tickers}: still pending after {RESTATEMENT_ATTEMPTS} recomputations; look at the failed runs of "
            "lake_by_session, mend the cause and launch the range by hand",
            before,
        )
    first = min(each.recompute_from_date for each in wanted.values())
    sessions = calendar.sessions(max(first, history_start), newest)
    if not sessions:
        return _waiting(f"the restated sessions are after the newest one, {newest}", before)
    counts |= {name: counts[name] + 1 for name in wanted}
    return RestatementPlan(
        decision=PartitionRange(start=sessions[0], end=newest),
        key=_key({name: str(counts[name]) for name in wanted}),
        cursor=json.dumps(counts, sort_keys=True),
        whole_history=tuple(sorted({each.ticker for each in wanted.values() if each.needs_whole_history})),
    )


def backlogs(
    marks: Mapping[int, tuple[int, int]],
    archived: Mapping[int, int],
) -> tuple[dict[int, Backlog], list[int]]:
    """Partitions that hold more than is archived, and those that end before the archive does: their topic was made anew.

    `marks` are the first offset that is kept and the end, `archived` the end of the archive; partitions without one begin
    at 0.
    """
    found, made_anew = {}, []
    for partition, (low, end) in sorted(marks.items()):
        at = archived.get(partition, 0)
        if end < at:
            made_anew.append(partition)
        elif end > at:
            found[partition] = Backlog(first=max(at, low), end=end, gone_from=at if low > at else None)
    return found, made_anew


def oldest_day(appended: Mapping[int, datetime | None], now: datetime) -> date:
    """The UTC day of the oldest of some partitions' first records; today where there are only offsets without records."""
    return min((moment.astimezone(UTC).date() for moment in appended.values() if moment is not None), default=now.date())


def midnight_after(day: date) -> datetime:
    """The end of a UTC day."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def plan_archive(
    topic: str,
    found: Mapping[int, Backlog],
    appended: Mapping[int, datetime | None],
    day_ends: Mapping[int, int],
    cursor: str | None,
    *,
    now: datetime,
    is_running: bool,
) -> ArchivePlan:
    """One run over what all partitions hold of their oldest day, cut at `day_ends` and at `RANGE_OFFSETS`.

    `appended` is when the first record of each backlog was, `day_ends` are the first offsets after its day (see
    `oldest_day`). While a run is under way the range grows. A range whose run left the archive where it was is asked for
    again under another key, after a pause that doubles with every attempt: retention goes on meanwhile, so that it is never
    given up.
    """
    before = json.loads(cursor) if cursor else {}
    if not found:
        return ArchivePlan(decision=Skip(reason=f"{topic} is archived"), cursor=json.dumps({}))
    if is_running:
        return _unasked(f"{topic}: a run is under way; its next range grows", before)
    if pause := _pause_left(before, found, now):
        return _unasked(
            f"{topic}: attempt {before['attempt']} left the archive where it was; the next one in {pause}. "
            "Look at the failed runs of stream_archive",
            before,
        )
    ranges = {
        partition: (backlog.first, end)
        for partition, backlog in found.items()
        if (end := min(backlog.end, backlog.first + RANGE_OFFSETS, max(day_ends.get(partition, 0), backlog.first)))
        > backlog.first
        or backlog.gone_from is not None
    }
    count = sum(end - first for first, end in ranges.values())
    oldest = min((moment for moment in appended.values() if moment is not None), default=now - WAITED)
    if count < WORTH_OFFSETS and now - oldest < WAITED and not any(each.gone_from is not None for each in found.values()):
        return _unasked(f"{topic}: {count} offsets, the oldest of {oldest:%H:%M:%S}Z; waiting for more", before)
    if not ranges:
        return _unasked(f"{topic}: nothing of {oldest_day(appended, now)} is left to archive", before)
    starts = _starts(found)
    attempt = before["attempt"] + 1 if before.get("starts") == starts else 1
    key = f"{topic}:" + ",".join(f"{partition}@{first}-{end}" for partition, (first, end) in ranges.items())
    return ArchivePlan(
        decision=ranges,
        key=key if attempt == 1 else f"{key}#{attempt}",
        day=oldest_day(appended, now),
        cursor=json.dumps({"starts": starts, "attempt": attempt, "asked_ts": now.isoformat()}, sort_keys=True),
    )


def _starts(found: Mapping[int, Backlog]) -> dict[str, int]:
    """Where the archive stands in every partition that has more."""
    return {
        str(partition): backlog.first if backlog.gone_from is None else backlog.gone_from for partition, backlog in found.items()
    }


def _pause_left(before: Mapping[str, Any], found: Mapping[int, Backlog], now: datetime) -> timedelta | None:
    """How long to wait before the same start is tried once more; None when it is time, or when the archive has moved."""
    if before.get("starts") != _starts(found):
        return None
    pause = min(FIRST_PAUSE * 2 ** min(before["attempt"] - 1, 10), LONGEST_PAUSE)
    left = datetime.fromisoformat(before["asked_ts"]) + pause - now
    return left if left > timedelta() else None


def _unasked(reason: str, before: Mapping[str, Any]) -> ArchivePlan:
    return ArchivePlan(decision=Skip(reason=reason), cursor=json.dumps(before, sort_keys=True))


def plan_after_close(now: datetime, calendar: SessionCalendar) -> date | Skip:
    """The session to ask prices for at a tick of the after-close schedule.

    A session is asked for once, at the first tick that is two hours after its close.
    """
    local = now.astimezone(NEW_YORK)
    today = local.date()
    if not calendar.is_session(today):
        return Skip(reason=f"{today} is no session of the exchange: a holiday or a week-end")
    close = calendar.close_ts(today)
    due = close + SETTLING
    if now < due:
        return Skip(reason=f"the session of {today} closes at {close:%H:%M}Z; prices are asked for after {due:%H:%M}Z")
    ticks = (datetime.combine(today, time(hour), NEW_YORK) for hour in AFTER_CLOSE_HOURS)
    first = min((tick for tick in ticks if tick >= due), default=now)
    if first < now:
        return Skip(reason=f"the session of {today} was asked for at {first:%H:%M} New York time")
    return today


def after_close_span(session: date, newest_known: date | None, history_start: date, calendar: SessionCalendar) -> PartitionRange:
    """From the first session that silver.prices_daily does not have yet to `session`: a missed day heals itself."""
    start = history_start if newest_known is None else newest_known + timedelta(days=1)
    sessions = calendar.sessions(start, session)
    return PartitionRange(start=sessions[0] if sessions else session, end=session)


def news_day(now: datetime) -> date:
    """The calendar day that is over: yesterday in New York."""
    return now.astimezone(NEW_YORK).date() - timedelta(days=1)


def plan_news(day: date, loaded_count: int, expected_count: int) -> date | Skip:
    """The day to fetch, unless every one of its slots is loaded."""
    if loaded_count >= expected_count:
        return Skip(reason=f"all {expected_count} slots of {day} are loaded")
    return day


def month_before(now: datetime) -> date:
    """First day of the month that is over."""
    this_month = now.astimezone(NEW_YORK).date().replace(day=1)
    return (this_month - timedelta(days=1)).replace(day=1)


def plan_months(sessions: PartitionRange, now: datetime) -> PartitionRange | Skip:
    """The months a span of sessions belongs to, as far as they are over."""
    start, end = sessions.start.replace(day=1), min(sessions.end.replace(day=1), month_before(now))
    if end < start:
        return Skip(reason=f"the month of {sessions.start} is not over")
    return PartitionRange(start=start, end=end)


def beyond_sources(day: date, sources_end_date: date | None) -> Skip | None:
    """A skip when the sources do not reach `day`."""
    if sources_end_date is None or day <= sources_end_date:
        return None
    return Skip(reason=f"the sources end on {sources_end_date}, before {day}; launch the dates you want by hand")


def _waiting(reason: str, counts: Mapping[str, int]) -> RestatementPlan:
    return RestatementPlan(decision=Skip(reason=reason), cursor=json.dumps(counts, sort_keys=True))


def _key(parts: Mapping[str, str]) -> str:
    """A short name for exactly these parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
