"""When the stream is healthy: pure rules over what was observed. Checks and alerts follow these and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from finlake_clients.calendar import NEW_YORK, TradingCalendar
from finlake_clients.connect.change_capture import ConnectorHealth
from finlake_clients.postgres.market import FeedGaps, SlotHealth, VendorComplaints
from finlake_settings.declaration import SourcesName
from spark.contracts.streams import DEAD_LETTERS_TOPIC

State = Literal["healthy", "unhealthy", "unknown"]
Hours = Literal["exchange", "always", "any"]
"""When trades are expected: while the exchange is open, at all times, or whenever they come (silence tells nothing)."""
Span = tuple[datetime, datetime]
Fact = str | int | float | bool

MIB = 1024 * 1024
OPENING = time(9, 30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
USUAL_OVER = timedelta(days=5)
"""What is usual of a symbol is seen over this time: some session lies in it, whatever the holidays."""
KNOWN_AFTER_MINUTES = 30
MOST_ACTIVE_SHARE = 0.995
UNLIKELY = 1e-10
"""The chance of a silence below which it is reported: of 100 symbols looked at in each minute of a year, none by accident.
A symbol that trades in every minute is reported after five, one that trades in every tenth after 219."""
NAMED_SYMBOLS = 10
LOSING = ("unreserved", "lost")


@dataclass(frozen=True, kw_only=True)
class HealthLimits:
    """What is still healthy. `feed_silence_s` counts within a session only; `free_disk_bytes` are the fewest."""

    consumer_lag_records: int = 1_000
    retained_wal_bytes: int = 1024 * MIB
    behind_s: int = 30
    feed_silence_s: int = 300
    free_disk_bytes: int = 2048 * MIB


@dataclass(frozen=True, kw_only=True)
class SymbolActivity:
    """How a symbol has traded of late: minutes with a trade in its hours, the first and the newest of them (UTC)."""

    symbol: str
    active_minutes: int
    first_minute_ts: datetime
    newest_minute_ts: datetime


@dataclass(frozen=True, kw_only=True)
class HealthResult:
    """What a rule says: healthy, unhealthy, or not known because something could not be asked; why; and the numbers behind it.

    `detail` is what a program said of itself: for people who may look into Dagster, not for messages that leave it.
    """

    state: State
    text: str
    detail: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)


def check_lag(topic: str, lag_by_partition: Mapping[int, int], limits: HealthLimits) -> HealthResult:
    """Whether the sink has nearly all records of a topic; holes in the offsets count as records."""
    lag = sum(lag_by_partition.values())
    facts: dict[str, Fact] = {"lag_records": lag, "limit_records": limits.consumer_lag_records}
    if lag > limits.consumer_lag_records:
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"the sink is {lag} records behind in {topic}, {limits.consumer_lag_records} are allowed; "
            "see the log of clickhouse_sink",
        )
    return HealthResult(state="healthy", facts=facts, text=f"the sink is {lag} records behind in {topic}")


def check_slot(slots: Sequence[SlotHealth], limits: HealthLimits) -> HealthResult:
    """Whether the one slot is read, and Postgres keeps no dangerous amount of log for it."""
    if not slots:
        return HealthResult(
            state="unhealthy",
            facts={"slots": "none"},
            text="there is no replication slot: changes are not captured. Start "
            "kafka_connect, which makes it; rows written meanwhile come by a snapshot",
        )
    slot = max(slots, key=lambda each: each.retained_wal_bytes)
    idle = [each.name for each in slots if not each.is_active]
    lost = [each.name for each in slots if each.wal_status in LOSING]
    facts: dict[str, Fact] = {
        "slots": ", ".join(each.name for each in slots),
        "wal_status": slot.wal_status,
        "retained_wal_bytes": slot.retained_wal_bytes,
        "limit_bytes": limits.retained_wal_bytes,
        **({} if slot.safe_wal_bytes is None else {"safe_wal_bytes": slot.safe_wal_bytes}),
    }
    if lost:
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"Postgres has dropped, or is about to drop, log that {', '.join(lost)} "
            "still needs: what is missing comes by a new snapshot",
        )
    if idle:
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"nobody reads {', '.join(idle)}: Postgres keeps "
            f"{slot.retained_wal_bytes // MIB} MiB of log for it; start kafka_connect",
        )
    if slot.retained_wal_bytes > limits.retained_wal_bytes:
        allowed = limits.retained_wal_bytes // MIB
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"{slot.retained_wal_bytes // MIB} MiB of log are kept for {slot.name}, "
            f"{allowed} MiB are allowed: the connector is slow",
        )
    return HealthResult(
        state="healthy", facts=facts, text=f"{slot.name} is read and keeps {slot.retained_wal_bytes // MIB} MiB of log"
    )


def check_room(owner: str, free_bytes: int, next_step: str, limits: HealthLimits) -> HealthResult:
    """Whether a disk takes more for a while; `next_step` says what stops when it is full, and what to do."""
    facts: dict[str, Fact] = {"free_bytes": free_bytes, "limit_bytes": limits.free_disk_bytes}
    left = f"the disk of {owner} has {free_bytes // MIB} MiB left"
    if free_bytes < limits.free_disk_bytes:
        return HealthResult(
            state="unhealthy", facts=facts, text=f"{left}, {limits.free_disk_bytes // MIB} MiB are wanted: {next_step}"
        )
    return HealthResult(state="healthy", facts=facts, text=left)


def check_publication(published: frozenset[str], expected: frozenset[str]) -> HealthResult:
    """Whether the changes of every table of the stream are published."""
    missing = sorted(expected - published)
    facts: dict[str, Fact] = {"published": ", ".join(sorted(published))}
    if missing:
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"changes of {', '.join(missing)} are not published; `finlake up` makes the publication anew",
        )
    return HealthResult(state="healthy", facts=facts, text=f"changes of {', '.join(sorted(expected))} are published")


def check_connector(name: str, found: ConnectorHealth | None) -> HealthResult:
    """Whether the connector and all its tasks run, with the settings of this checkout."""
    if found is None:
        return HealthResult(state="unhealthy", text=f"there is no connector {name}; `finlake up` registers it")
    facts: dict[str, Fact] = {"connector": found.state, "tasks": ", ".join(found.task_states)}
    ended = [state for state in (found.state, *found.task_states) if state != "RUNNING"]
    if ended or not found.task_states:
        if found.stands_before:
            facts["stands_before"] = found.stands_before
        position = f" before {found.stands_before}" if found.stands_before else ""
        return HealthResult(
            state="unhealthy",
            facts=facts,
            detail=found.trace,
            text=f"connector {name} is {', '.join(ended) or 'without a task'}{position}; capture_keeper starts again "
            "what has failed: if it stays so, see its trace and mend the cause. `finlake up` resumes what "
            "was stopped. What the connector itself cannot read or send is not set aside: it and all after it "
            "wait in Postgres's log until somebody takes it out (docs/stuck-change.md)",
        )
    if found.differing_settings:
        return HealthResult(
            state="unhealthy",
            facts={**facts, "differing_settings": ", ".join(found.differing_settings)},
            text=f"connector {name} runs with other settings than this checkout's "
            f"({', '.join(found.differing_settings)}); `finlake up` registers it anew",
        )
    if found.objections:
        return HealthResult(
            state="unhealthy",
            facts={**facts, "objections": "; ".join(found.objections)},
            text=f"connector {name} does not deliver exactly once: {found.objections[0]}",
        )
    return HealthResult(state="healthy", facts=facts, text=f"connector {name} and its tasks run")


def check_progress(
    address: str, newest_there: datetime | None, waiting_since: datetime | None, now: datetime, limits: HealthLimits
) -> HealthResult:
    """Whether rows of Postgres reach ClickHouse in time.

    `newest_there` is the newest row of the table, `waiting_since` when the oldest row of Postgres newer than that was
    received, None when there is none: age alone tells nothing, since at night nothing is received.
    """
    waited_s = 0.0 if waiting_since is None else max(0.0, (now - waiting_since).total_seconds())
    newest = "nothing" if newest_there is None else f"rows up to {newest_there:%Y-%m-%d %H:%M:%S} UTC"
    facts: dict[str, Fact] = {"newest": newest, "waited_s": round(waited_s, 1), "limit_s": limits.behind_s}
    if waited_s > limits.behind_s:
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"{address} holds {newest}; a row of Postgres has waited for {waited_s:.0f} s, {limits.behind_s} s are allowed",
        )
    return HealthResult(state="healthy", facts=facts, text=f"{address} holds {newest} and nothing waits")


def check_feed(
    newest_received: datetime | None, now: datetime, hours: Hours, calendar: TradingCalendar, limits: HealthLimits
) -> HealthResult:
    """Whether trades come in while they are expected; at other times silence is healthy."""
    opened = session_opened(now, calendar) if hours == "exchange" else EPOCH
    newest = "never" if newest_received is None else f"at {newest_received:%Y-%m-%d %H:%M:%S} UTC"
    facts: dict[str, Fact] = {"newest_trade_received": newest, "limit_s": limits.feed_silence_s}
    if hours == "any":
        return HealthResult(state="healthy", facts=facts, text=f"no trade is expected; the last was received {newest}")
    if opened is None:
        return HealthResult(state="healthy", facts=facts, text=f"the exchange is closed; the last trade was received {newest}")
    silent_since = opened if newest_received is None else max(opened, newest_received)
    silent_s = (now - silent_since).total_seconds()
    if silent_s > limits.feed_silence_s:
        how_long = f"no trade for {silent_s:.0f} s" if silent_since > EPOCH else "no trade at all"
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"{how_long} while trades are expected (the last {newest}); see the log of trade_feed",
        )
    return HealthResult(state="healthy", facts=facts, text=f"the last trade was received {newest}")


def check_symbols(
    found: Sequence[SymbolActivity],
    exchange_spans: Sequence[Span],
    always_spans: Sequence[Span],
) -> HealthResult:
    """Whether a symbol is silent for longer than chance explains, while another of its hours trades.

    Of a symbol with a trade in the share p of its open minutes, n minutes without one have the chance (1 - p)^n. A symbol of
    which less than `KNOWN_AFTER_MINUTES` open minutes are known is not judged. When all are silent, `check_feed` says so.
    """
    silent: list[str] = []
    for own in found:
        spans = always_spans if is_always_traded(own.symbol) else exchange_spans
        others = [
            each.newest_minute_ts
            for each in found
            if each.symbol != own.symbol and is_always_traded(each.symbol) == is_always_traded(own.symbol)
        ]
        after = own.newest_minute_ts + MINUTE
        known = open_minutes(spans, own.first_minute_ts, after)
        quiet = open_minutes(spans, after, max(others, default=after))
        # No symbol trades so surely that five minutes would not be waited for.
        share = min(MOST_ACTIVE_SHARE, own.active_minutes / known) if known else 0.0
        if known >= KNOWN_AFTER_MINUTES and quiet > 0 and (1 - share) ** quiet < UNLIKELY:
            silent.append(f"{own.symbol} for {quiet} minutes (it trades in {share:.0%} of them)")
    facts: dict[str, Fact] = {"symbols": len(found), "silent": len(silent)}
    if silent:
        return HealthResult(
            state="unhealthy",
            facts=facts,
            text=f"no trade of {', '.join(silent[:NAMED_SYMBOLS])} while others trade; see "
            "whether the vendor has dropped them, and the log of trade_feed",
        )
    return HealthResult(state="healthy", facts=facts, text=f"each of {len(found)} symbols trades as it usually does")


def check_complaints(complaints: VendorComplaints, within: timedelta) -> HealthResult:
    """Whether the vendor has sent errors in place of trades."""
    minutes = int(within.total_seconds() // 60)
    facts: dict[str, Fact] = {"complaints": complaints.count}
    if complaints.count:
        return HealthResult(
            state="unhealthy",
            facts={**facts, "newest": complaints.newest},
            text=f"{complaints.count} complaints of the vendor in the last {minutes} minutes, the newest: "
            f"{complaints.newest}; see ods.rejected_messages, and FINLAKE_FINNHUB_SYMBOLS if it is about symbols",
        )
    return HealthResult(state="healthy", facts=facts, text=f"no complaint of the vendor in the last {minutes} minutes")


def is_always_traded(symbol: str) -> bool:
    """Whether a symbol names its exchange, as coins and currencies do, which trade when the stock exchange is closed too."""
    return ":" in symbol


def whole_minute(moment: datetime) -> datetime:
    """The start of the minute."""
    return moment.replace(second=0, microsecond=0)


def open_spans(hours: Literal["exchange", "always"], start: datetime, end: datetime, calendar: TradingCalendar) -> list[Span]:
    """The stretches between two moments in which trades are expected."""
    if hours == "always":
        return [(start, end)]
    first, last = start.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date()
    days = calendar.sessions(first, last)
    sessions = ((datetime.combine(day, OPENING, tzinfo=NEW_YORK), calendar.close_ts(day)) for day in days)
    cut = ((max(start, opened), min(end, closed)) for opened, closed in sessions)
    return [(opened, closed) for opened, closed in cut if opened < closed]


def open_minutes(spans: Sequence[Span], start: datetime, end: datetime) -> int:
    """Whole minutes of the spans between two moments."""
    return sum(max(0, int((min(end, closed) - max(start, opened)) // MINUTE)) for opened, closed in spans)


def hours_of(sources: SourcesName, *, is_watched: bool) -> Hours:
    """When trades are expected: in the exchange's sessions of live sources, always of samples that somebody watches over."""
    return "exchange" if sources == "live" else "always" if is_watched else "any"


def session_opened(now: datetime, calendar: TradingCalendar) -> datetime | None:
    """When the session under way opened; None while the exchange is closed."""
    local = now.astimezone(NEW_YORK)
    if not calendar.is_session(local.date()):
        return None
    opened = datetime.combine(local.date(), OPENING, tzinfo=NEW_YORK)
    return opened if opened <= now < calendar.close_ts(local.date()) else None


def check_gaps(gaps: FeedGaps, rejected: int, within: timedelta) -> HealthResult:
    """Whether the feed was interrupted, or got what it could not read."""
    hours = int(within.total_seconds() // 3600)
    facts: dict[str, Fact] = {"gaps": gaps.count, "gap_seconds": round(gaps.total_s, 1), "rejected_messages": rejected}
    found = []
    if gaps.count:
        found.append(f"{gaps.count} gaps, {gaps.total_s:.0f} s in total, the newest {gaps.newest}; their trades are missing")
    if rejected:
        found.append(f"{rejected} messages that could not be read (ods.rejected_messages)")
    if found:
        return HealthResult(state="unhealthy", facts=facts, text=f"in the last {hours} hours: {'; '.join(found)}")
    return HealthResult(state="healthy", facts=facts, text=f"no gap and no unreadable message in the last {hours} hours")


def check_dead_letters(watermarks: Mapping[int, tuple[int, int]]) -> HealthResult:
    """Whether records were set aside that could not be read, of those that Kafka still keeps."""
    count = sum(end - start for start, end in watermarks.values())
    if count:
        return HealthResult(
            state="unhealthy",
            facts={"dead_letters": count},
            text=f"about {count} records were set aside; their headers say why (topic {DEAD_LETTERS_TOPIC})",
        )
    return HealthResult(state="healthy", facts={"dead_letters": 0}, text="no record was set aside")


def check_skipped(gaps: Sequence[Mapping[str, object]]) -> HealthResult:
    """Whether Kafka deleted records before the sink had read them."""
    if not gaps:
        return HealthResult(state="healthy", facts={"skipped_ranges": 0}, text="every record was read before Kafka deleted it")
    first = gaps[0]
    return HealthResult(
        state="unhealthy",
        facts={"skipped_ranges": len(gaps)},
        text=f"{len(gaps)} ranges were deleted before they were read, first {first['topic']} partition "
        f"{first['kafka_partition']} offsets {first['first_offset']} to {first['last_offset']}; replay them from bronze",
    )
