"""A day is compared with the same weekday of the weeks before it."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_assets.checks.row_counts import LEAST_WEEKS, TRAILING_WEEKS, UnusualDay, unusual

DAY = date(2024, 5, 15)


def weeks_of(rows: int, count: int = TRAILING_WEEKS) -> dict[date, int]:
    return {DAY - timedelta(weeks=weeks): rows for weeks in range(1, count + 1)}


@pytest.mark.parametrize(("rows", "is_unusual"), [(100, False), (25, False), (24, True), (0, True), (400, False), (401, True)])
def test_far_fewer_or_far_more_rows_are_unusual(rows: int, is_unusual: bool) -> None:
    found, judged = unusual({**weeks_of(100), DAY: rows}, DAY, DAY)
    assert judged == 1
    assert found == ([UnusualDay(DAY, rows, 100)] if is_unusual else [])


def test_a_day_without_any_row_is_found() -> None:
    assert unusual(weeks_of(100), DAY, DAY) == ([UnusualDay(DAY, 0, 100)], 1)


def test_week_ends_are_compared_with_week_ends() -> None:
    quiet = {DAY + timedelta(days=3) - timedelta(weeks=weeks): 30 for weeks in range(9)}
    assert unusual({**weeks_of(1000), DAY: 900, **quiet}, DAY, DAY + timedelta(days=3)) == ([], 2)


@pytest.mark.parametrize("before", [weeks_of(100, LEAST_WEEKS - 1), weeks_of(19), {}])
def test_too_little_before_is_not_judged_and_does_not_pass_for_good(before: dict[date, int]) -> None:
    assert unusual({**before, DAY: 0}, DAY, DAY) == ([], 0)


@given(rows=st.lists(st.integers(20, 1000), min_size=TRAILING_WEEKS, max_size=TRAILING_WEEKS))
def test_the_middle_of_what_was_is_never_unusual(rows: list[int]) -> None:
    before = {DAY - timedelta(weeks=weeks): count for weeks, count in enumerate(rows, 1)}
    middle = sorted(rows)[TRAILING_WEEKS // 2]
    assert unusual({**before, DAY: middle}, DAY, DAY)[1] == 1
    assert unusual({**{day: middle for day in before}, DAY: middle}, DAY, DAY) == ([], 1)
