"""What counts as healthy: each rule at its limits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from finlake_assets.speed import rules
from finlake_assets.speed.rules import HealthLimits, HealthResult, SymbolActivity
from finlake_clients.calendar import TradingCalendar
from finlake_clients.connect.change_capture import ConnectorHealth
from finlake_clients.postgres.market import FeedGaps, SlotHealth, VendorComplaints
from tests.finlake_assets.stream_fakes import RUNNING, SLOT

LIMITS = HealthLimits()
CALENDAR = TradingCalendar()
NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize(("lag", "state"), [({0: 1000}, "healthy"), ({0: 600, 1: 401}, "unhealthy"), ({}, "healthy")])
def test_a_thousand_records_over_all_partitions_may_wait(lag: dict[int, int], state: str) -> None:
    found = rules.check_lag("finlake.ods.finnhub_trades", lag, LIMITS)
    assert found.state == state
    assert found.facts["lag_records"] == sum(lag.values())


def test_the_allowed_lag_is_a_setting() -> None:
    assert rules.check_lag("t", {0: 11}, HealthLimits(consumer_lag_records=10)).state == "unhealthy"


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        (replace(SLOT, is_active=False), "nobody reads finlake_ods"),
        (replace(SLOT, wal_status="lost"), "comes by a new snapshot"),
        (replace(SLOT, wal_status="unreserved"), "comes by a new snapshot"),
        (replace(SLOT, retained_wal_bytes=1024 * rules.MIB + 1), "1024 MiB of log are kept for finlake_ods"),
    ],
)
def test_a_slot_that_loses_or_hoards_the_log_is_unhealthy(slot: SlotHealth, words: str) -> None:
    found = rules.check_slot([slot], LIMITS)
    assert found.state == "unhealthy"
    assert words in found.text


def test_a_second_slot_that_nobody_reads_is_unhealthy_too() -> None:
    forgotten = replace(SLOT, name="forgotten", is_active=False, retained_wal_bytes=0)
    assert "nobody reads forgotten" in rules.check_slot([SLOT, forgotten], LIMITS).text


def test_a_slot_that_is_read_is_healthy_and_a_missing_one_is_not() -> None:
    assert rules.check_slot([replace(SLOT, wal_status="extended")], LIMITS).state == "healthy"
    assert rules.check_slot([], LIMITS).state == "unhealthy"


def test_a_table_that_is_not_published_is_named() -> None:
    expected = frozenset({"finnhub_trades", "finnhub_quotes"})
    assert rules.check_publication(expected | {"other"}, expected).state == "healthy"
    assert "changes of finnhub_quotes are not published" in rules.check_publication(frozenset({"finnhub_trades"}), expected).text


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (None, "there is no connector finlake-ods"),
        (ConnectorHealth(state="RUNNING", task_states=("FAILED",), trace="org.postgresql: refused\n\tat x"), "is FAILED"),
        (
            ConnectorHealth(state="RUNNING", task_states=("FAILED",), stands_before="the first change after LSN 0/7B"),
            "is FAILED before the first change after LSN 0/7B",
        ),
        (ConnectorHealth(state="PAUSED", task_states=("PAUSED",)), "is PAUSED, PAUSED"),
        (ConnectorHealth(state="RUNNING", task_states=()), "without a task"),
        (replace(RUNNING, differing_settings=("poll.interval.ms",)), "other settings than this checkout's (poll.interval.ms)"),
        (replace(RUNNING, objections=("the worker does not support it",)), "does not deliver exactly once"),
    ],
)
def test_a_connector_that_does_not_do_its_work_says_how(health: ConnectorHealth | None, words: str) -> None:
    found = rules.check_connector("finlake-ods", health)
    assert found.state == "unhealthy"
    assert words in found.text


def test_a_trace_is_kept_for_those_who_may_see_it_and_out_of_the_text() -> None:
    failed = ConnectorHealth(state="FAILED", task_states=("RUNNING",), trace="password=hunter2")
    found = rules.check_connector("finlake-ods", failed)
    assert found.detail == "password=hunter2"
    assert "hunter2" not in found.text + str(found.facts)


@pytest.mark.parametrize(("waited_s", "state"), [(None, "healthy"), (30, "healthy"), (31, "unhealthy")])
def test_rows_may_wait_for_half_a_minute(waited_s: int | None, state: str) -> None:
    since = None if waited_s is None else NOON - timedelta(seconds=waited_s)
    assert rules.check_progress("speed.stock_realtime", NOON - timedelta(hours=9), since, NOON, LIMITS).state == state


@pytest.mark.parametrize(
    ("now", "newest", "state"),
    [
        ("2026-11-20T17:00:00", "2026-11-20T16:56:00", "healthy"),  # four minutes of silence at noon
        ("2026-11-20T17:00:00", "2026-11-20T16:54:00", "unhealthy"),
        ("2026-11-20T14:34:00", "2026-11-19T21:00:00", "healthy"),  # four minutes after the opening
        ("2026-11-20T14:36:00", "2026-11-19T21:00:00", "unhealthy"),
        ("2026-11-20T14:36:00", None, "unhealthy"),
        ("2026-11-20T21:00:00", "2026-11-20T20:00:00", "healthy"),  # the close
        ("2026-11-21T17:00:00", "2026-11-20T21:00:00", "healthy"),  # Saturday
        ("2026-11-26T17:00:00", None, "healthy"),  # Thanksgiving
        ("2026-11-27T18:30:00", "2026-11-27T17:59:00", "healthy"),  # after an early close
    ],
)
def test_silence_is_unhealthy_only_while_the_exchange_is_open(now: str, newest: str | None, state: str) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert rules.check_feed(None if newest is None else utc(newest), utc(now), "exchange", CALENDAR, LIMITS).state == state


def test_samples_that_somebody_watches_over_are_expected_to_trade_always_and_others_never() -> None:
    on_saturday = datetime(2026, 11, 21, 17, tzinfo=UTC)
    long_ago = on_saturday - timedelta(seconds=LIMITS.feed_silence_s + 1)
    assert rules.check_feed(long_ago, on_saturday, "always", CALENDAR, LIMITS).state == "unhealthy"
    assert rules.check_feed(None, on_saturday, "always", CALENDAR, LIMITS).text.startswith("no trade at all")
    assert rules.check_feed(long_ago, on_saturday, "any", CALENDAR, LIMITS).state == "healthy"
    assert [
        rules.hours_of("live", is_watched=True),
        rules.hours_of("sample", is_watched=True),
        rules.hours_of("sample", is_watched=False),
    ] == ["exchange", "always", "any"]


def traded(symbol: str, share: float, *, silent_for: int, now: datetime = NOON) -> SymbolActivity:
    """A symbol with a trade in this share of the open minutes of five days, and none for the last open minutes."""
    spans = rules.open_spans("always" if ":" in symbol else "exchange", now - rules.USUAL_OVER, now, CALENDAR)
    minutes = [opened + n * rules.MINUTE for opened, closed in spans for n in range(int((closed - opened) // rules.MINUTE))]
    heard = minutes[: len(minutes) - silent_for]
    return SymbolActivity(
        symbol=symbol, active_minutes=round(share * len(heard)), first_minute_ts=heard[0], newest_minute_ts=heard[-1]
    )


def judged(*found: SymbolActivity, now: datetime = NOON) -> HealthResult:
    spans = [rules.open_spans(hours, now - rules.USUAL_OVER, now, CALENDAR) for hours in ("exchange", "always")]
    return rules.check_symbols(found, *spans)


@pytest.mark.parametrize(
    ("share", "silent_for", "state"),
    [
        (1.0, 4, "healthy"),
        (1.0, 6, "unhealthy"),
        (0.5, 33, "healthy"),
        (0.5, 35, "unhealthy"),
        (0.1, 200, "healthy"),
        (0.1, 225, "unhealthy"),
    ],
)
def test_a_symbol_is_silent_when_its_own_usual_rate_says_so(share: float, silent_for: int, state: str) -> None:
    found = judged(traded("AAPL", share, silent_for=silent_for), traded("MSFT", 1.0, silent_for=0))
    assert found.state == state
    assert ("AAPL for" in found.text) is (state == "unhealthy")


def test_silence_of_all_is_told_by_the_feeds_own_rule_and_a_closed_exchange_is_no_silence() -> None:
    assert judged(traded("AAPL", 1.0, silent_for=60), traded("MSFT", 1.0, silent_for=60)).state == "healthy"
    # The coin goes on at night and on Saturday; shares have their own hours.
    on_saturday = datetime(2026, 11, 21, 17, tzinfo=UTC)
    night = [traded("AAPL", 1.0, silent_for=0, now=on_saturday), traded("BINANCE:BTCUSDT", 1.0, silent_for=0, now=on_saturday)]
    assert judged(*night, now=on_saturday).state == "healthy"
    # 15:57 to the close of yesterday, and since the opening of today three minutes: six together.
    opened = datetime(2026, 11, 20, 14, 33, tzinfo=UTC)
    found = judged(traded("AAPL", 1.0, silent_for=6, now=opened), traded("MSFT", 1.0, silent_for=0, now=opened), now=opened)
    assert "AAPL for 5 minutes" in found.text


def test_a_symbol_that_is_hardly_known_is_not_judged() -> None:
    new = SymbolActivity(
        symbol="AAPL",
        active_minutes=5,
        first_minute_ts=NOON - timedelta(minutes=50),
        newest_minute_ts=NOON - timedelta(minutes=30),
    )
    assert judged(new, traded("MSFT", 1.0, silent_for=0)).state == "healthy"
    assert judged().state == "healthy"


def test_a_complaint_of_the_vendor_is_told_in_its_words() -> None:
    half_an_hour = timedelta(minutes=30)
    assert rules.check_complaints(VendorComplaints(count=0, newest=""), half_an_hour).state == "healthy"
    found = rules.check_complaints(VendorComplaints(count=2, newest="Subscribing to too many symbols"), half_an_hour)
    assert found.state == "unhealthy"
    assert "2 complaints of the vendor in the last 30 minutes, the newest: Subscribing to too many symbols" in found.text


def test_gaps_and_unreadable_messages_are_told_with_their_time() -> None:
    day = timedelta(hours=24)
    assert rules.check_gaps(FeedGaps(count=0, total_s=0, newest=""), 0, day).state == "healthy"
    found = rules.check_gaps(FeedGaps(count=2, total_s=61.5, newest="until 09:30: timeout"), 3, day)
    assert found.state == "unhealthy"
    assert found.text.startswith("in the last 24 hours: 2 gaps, 62 s in total, the newest until 09:30: timeout")
    assert "3 messages that could not be read" in found.text


def test_dead_letters_and_skipped_ranges_are_counted() -> None:
    assert rules.check_dead_letters({0: (5, 5), 1: (0, 0)}).state == "healthy"
    assert rules.check_dead_letters({0: (5, 7), 1: (0, 1)}).facts == {"dead_letters": 3}
    assert rules.check_skipped([]).state == "healthy"
    gap = {"topic": "t", "kafka_partition": 0, "first_offset": 5, "last_offset": 9}
    assert "first t partition 0 offsets 5 to 9" in rules.check_skipped([gap]).text
