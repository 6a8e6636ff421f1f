"""A run covers its own window and the rows its table already has whose inputs have changed, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts import gold
from spark.contracts.report import Window
from spark.jobs.changed_inputs import widened_to_changed_inputs
from spark.lake.snapshots import ALL_DATES
from spark.lake.storage import Lake

DAYS = st.dates(date(2000, 1, 3), date(2018, 3, 27))
WINDOWS = st.tuples(DAYS, DAYS).map(lambda days: Window(start=min(days), end=max(days)))
REACHES = st.integers(0, 60)


@dataclass
class Told:
    """A lake that knows which dates of a table are built and which of its inputs have changed."""

    changed: Window | None
    rows: Window | None

    def changed_since_built(self, address: str, inputs: Mapping[str, int]) -> Window | None:
        return self.changed

    def built(self, address: str) -> Window | None:
        return self.rows


def widened(window: Window, changed: Window | None, built: Window | None, reach_days: int = 0) -> Window:
    lake = cast("Lake", Told(changed, built))
    return widened_to_changed_inputs(lake, gold.ML_FEATURES, window, {"gold.indicators": 1}, reach_days)


def dates(window: Window) -> set[date]:
    return {window.start + timedelta(days=n) for n in range((window.end - window.start).days + 1)}


@given(WINDOWS, WINDOWS, WINDOWS, REACHES)
def test_every_built_row_whose_inputs_changed_is_covered(window: Window, changed: Window, built: Window, reach: int) -> None:
    reached = Window(start=changed.start, end=changed.end + timedelta(days=reach))
    assert dates(window) | (dates(reached) & dates(built)) <= dates(widened(window, changed, built, reach))


@given(WINDOWS, WINDOWS, WINDOWS, REACHES)
def test_no_row_is_added_before_or_after_what_was_built(window: Window, changed: Window, built: Window, reach: int) -> None:
    result = widened(window, changed, built, reach)
    assert result.start in (window.start, max(changed.start, built.start))
    assert result.end in (window.end, min(changed.end + timedelta(days=reach), built.end))


@given(WINDOWS, WINDOWS, REACHES)
def test_a_window_is_itself_when_nothing_changed_or_nothing_was_built(window: Window, other: Window, reach: int) -> None:
    assert widened(window, None, other, reach) == window
    assert widened(window, other, None, reach) == window


@pytest.mark.parametrize("reach_days", [0, 45])
def test_when_snapshots_do_not_tell_everything_built_is_covered(reach_days: int) -> None:
    built = Window(start=date(2010, 1, 4), end=date(2018, 3, 27))
    last = Window(start=built.end, end=built.end)
    assert widened(last, ALL_DATES, built, reach_days) == built
