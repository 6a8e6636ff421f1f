"""Which offsets are asked for: all of them, none twice at the same time, cut by day and size, again when a run failed."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_sensors.plans import (
    LONGEST_PAUSE,
    RANGE_OFFSETS,
    WAITED,
    WORTH_OFFSETS,
    ArchivePlan,
    Backlog,
    Skip,
    backlogs,
    midnight_after,
    oldest_day,
    plan_archive,
)

TOPIC = "t"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD = NOW - WAITED
NEVER = 10**9


def plan(
    marks: Mapping[int, tuple[int, int]],
    archived: Mapping[int, int] = {},
    *,
    day_ends: Mapping[int, int] | None = None,
    appended_ts: datetime = OLD,
    now: datetime = NOW,
    cursor: str | None = None,
    is_running: bool = False,
) -> ArchivePlan:
    found, _ = backlogs(marks, archived)
    return plan_archive(
        TOPIC,
        found,
        dict.fromkeys(found, appended_ts),
        dict.fromkeys(found, NEVER) if day_ends is None else day_ends,
        cursor,
        now=now,
        is_running=is_running,
    )


def skipped(made: ArchivePlan) -> str:
    assert isinstance(made.decision, Skip)
    return made.decision.reason


def test_the_range_goes_from_the_end_of_the_archive_to_the_end_of_the_topic() -> None:
    made = plan({0: (0, 300), 1: (5, 9)}, {0: 100, 1: 7})
    assert made.decision == {0: (100, 300), 1: (7, 9)}
    assert made.key == "t:0@100-300,1@7-9"
    assert made.day == date(2026, 11, 21)


def test_nothing_new_is_nothing_to_ask_for() -> None:
    assert skipped(plan({0: (0, 300)}, {0: 300})) == "t is archived"


def test_a_few_young_records_wait_for_more() -> None:
    young = NOW - WAITED + timedelta(seconds=1)
    assert "waiting for more" in skipped(plan({0: (0, 10)}, appended_ts=young))
    assert plan({0: (0, WORTH_OFFSETS)}, appended_ts=young).decision == {0: (0, WORTH_OFFSETS)}


def test_a_range_ends_with_its_day_and_belongs_to_the_day_of_its_oldest_record() -> None:
    appended = {0: datetime(2026, 11, 20, 23, tzinfo=UTC), 1: datetime(2026, 11, 21, 1, tzinfo=UTC), 2: None}
    day = oldest_day(appended, NOW)
    assert midnight_after(day) == datetime(2026, 11, 21, tzinfo=UTC)
    found, _ = backlogs({0: (0, 50), 1: (0, 50), 2: (0, 1)}, {})
    made = plan_archive(TOPIC, found, appended, {0: 30, 1: 0, 2: 1}, None, now=NOW, is_running=False)
    assert (made.decision, made.day) == ({0: (0, 30), 2: (0, 1)}, date(2026, 11, 20))


def test_a_long_backlog_is_taken_in_pieces() -> None:
    assert plan({0: (0, 10 * RANGE_OFFSETS)}).decision == {0: (0, RANGE_OFFSETS)}


def test_while_a_run_is_under_way_the_range_grows() -> None:
    first = plan({0: (0, 10)})
    waiting = plan({0: (0, 20)}, cursor=first.cursor, is_running=True)
    assert "under way" in skipped(waiting)
    assert plan({0: (0, 30)}, {0: 10}, cursor=waiting.cursor).decision == {0: (10, 30)}


def test_what_was_deleted_before_it_was_archived_is_asked_for_at_once_so_that_it_is_told() -> None:
    found, _ = backlogs({0: (40, 50)}, {0: 10})
    assert found == {0: Backlog(first=40, end=50, gone_from=10)}
    assert plan({0: (40, 50)}, {0: 10}, appended_ts=NOW).decision == {0: (40, 50)}
    assert plan({0: (50, 50)}, {0: 10}, appended_ts=NOW).decision == {0: (50, 50)}


def test_a_topic_that_ends_before_its_archive_was_made_anew() -> None:
    assert backlogs({0: (0, 5), 1: (0, 5)}, {0: 6, 1: 5}) == ({}, [0])


def test_a_failed_range_is_asked_for_again_under_another_key_after_ever_longer_pauses() -> None:
    made, now, keys, pauses = plan({0: (0, 10)}), NOW, [], []
    for _ in range(8):
        keys.append(made.key)
        asked = now
        while isinstance((again := plan({0: (0, 10)}, cursor=made.cursor, now=now)).decision, Skip):
            made, now = again, now + timedelta(seconds=30)
        made = again
        pauses.append(now - asked)
    assert keys == ["t:0@0-10", *(f"t:0@0-10#{attempt}" for attempt in range(2, 9))]
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(minutes=1)
    assert pauses[-1] == LONGEST_PAUSE


def test_a_range_that_grew_after_a_failure_still_counts_the_attempts_at_its_start() -> None:
    first = plan({0: (0, 10)})
    assert "attempt 1 left the archive where it was" in skipped(plan({0: (0, 99)}, cursor=first.cursor))
    assert plan({0: (0, 99)}, cursor=first.cursor, now=NOW + LONGEST_PAUSE).key == "t:0@0-99#2"


def test_a_start_that_moved_is_no_attempt() -> None:
    assert plan({0: (0, 30)}, {0: 10}, cursor=plan({0: (0, 10)}).cursor).key == "t:0@10-30"


def test_offsets_without_any_record_are_archived_too() -> None:
    found, _ = backlogs({0: (0, 1)}, {})
    made = plan_archive(TOPIC, found, {0: None}, {0: 1}, None, now=NOW, is_running=False)
    assert (made.decision, made.day) == ({0: (0, 1)}, date(2026, 11, 21))


@pytest.mark.parametrize("cursor", [None, "{}"])
def test_a_range_that_ends_before_it_begins_is_never_asked_for(cursor: str | None) -> None:
    assert isinstance(plan({0: (0, 10)}, {0: 3}, day_ends={0: 1}, cursor=cursor).decision, Skip)


@given(st.lists(st.tuples(st.integers(0, 400_000), st.booleans(), st.booleans()), max_size=30))
def test_ranges_of_successful_runs_join_without_hole_or_overlap(ticks: list[tuple[int, bool, bool]]) -> None:
    end, archived, running, cursor, now = 0, 0, None, None, NOW
    keys: list[str] = []
    for appended_count, ends_now, succeeds in ticks:
        end, now = end + appended_count, now + timedelta(seconds=30)
        if running and ends_now:
            archived, running = (running[1] if succeeds else archived), None
        made = plan({0: (0, end)}, {0: archived}, cursor=cursor, is_running=running is not None, now=now)
        cursor = made.cursor
        json.loads(cursor)
        if not isinstance(made.decision, Skip):
            running = made.decision[0]
            assert running[0] == archived
            assert archived < running[1] <= end
            keys.append(made.key)
    assert len(keys) == len(set(keys))
