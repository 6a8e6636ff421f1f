"""Waiting: long enough for the vendor, never longer than a bound."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.trade_feed.clock import ReceiveClock
from finlake_services.trade_feed.pacing import LONGEST_RECONNECT_S, CallBudget, limit_wait_s, reconnect_wait_s

NOW = datetime(2026, 3, 9, 13, 30, tzinfo=UTC)


# Pauses in 1/1024 s, whose sums floats hold exactly.
@given(st.lists(st.integers(0, 30 * 1024).map(lambda ticks: ticks / 1024), max_size=300), st.integers(1, 60))
def test_no_minute_holds_more_calls_than_the_budget(pauses_s: list[float], calls: int) -> None:
    budget, now_s, made = CallBudget(calls), 0.0, list[float]()
    for pause_s in pauses_s:
        now_s += pause_s
        wait_s = budget.wait_s(now_s)
        assert wait_s <= budget.window_s
        now_s += wait_s
        budget.spend(now_s)
        made.append(now_s)
    assert all(later - earlier >= 60 for earlier, later in zip(made, made[calls:], strict=False))


def test_calls_within_the_budget_do_not_wait() -> None:
    budget = CallBudget(60)
    for _ in range(60):
        assert budget.wait_s(5.0) == 0
        budget.spend(5.0)
    assert budget.wait_s(5.0) == 61


def test_a_block_holds_every_call_back_and_a_shorter_one_does_not_end_it() -> None:
    budget = CallBudget()
    budget.block(100.0, 60.0)
    budget.block(101.0, 1.0)
    assert budget.wait_s(110.0) == 50
    assert budget.wait_s(160.0) == 0


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({}, 60),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Mon, 09 Mar 2026 13:30:20 GMT"}, 20),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 33)}, 33),
        ({"retry-after": "5", "x-ratelimit-reset": str(int(NOW.timestamp()) + 33)}, 5),
        ({"retry-after": "soon"}, 60),
        ({"retry-after": "0"}, 1),
        ({"x-ratelimit-reset": "12"}, 1),
        ({"retry-after": "86400"}, 300),
    ],
)
def test_a_refusal_for_the_limit_says_how_long_to_wait(headers: dict[str, str], expected_s: float) -> None:
    assert limit_wait_s(headers, NOW) == expected_s


@given(st.integers(1, 5000))
def test_reconnects_wait_anything_up_to_a_bound_that_doubles(failures: int) -> None:
    assert 0 <= reconnect_wait_s(failures) <= min(2.0 ** min(failures - 1, 60), LONGEST_RECONNECT_S)


def test_reconnects_do_not_come_back_together() -> None:
    assert len({reconnect_wait_s(5) for _ in range(20)}) > 1


@given(st.lists(st.integers(0, 2**50), min_size=1))
def test_receive_times_grow_whatever_the_clock_does(readings: list[int]) -> None:
    answers = iter(readings)
    clock = ReceiveClock(lambda: next(answers))
    times = [clock.now_us() for _ in readings]
    assert all(earlier < later for earlier, later in zip(times, times[1:], strict=False))
    assert times[0] == max(readings[0], 1)
    assert all(moment >= reading for moment, reading in zip(times, readings, strict=True))
