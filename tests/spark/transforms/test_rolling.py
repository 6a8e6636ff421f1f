"""Window statistics and recursions: known values, and the same bits wherever an array is cut."""

import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.transforms import rolling
from spark.transforms.rolling import Floats

NUMBERS = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False, allow_subnormal=False)
ARRAYS = st.lists(NUMBERS, min_size=2, max_size=60).map(lambda values: np.array(values, dtype=np.float64))
WINDOW_FUNCTIONS: list[Callable[[Floats, int], Floats]] = [
    rolling.window_sum,
    rolling.window_mean,
    rolling.window_min,
    rolling.window_max,
    rolling.window_sample_sd,
    lambda values, window: rolling.window_means(values, (3, window, 50))[window],
    lambda values, window: rolling.lag(values, window - 1),
]


def bits(values: Floats) -> list[int]:
    return [int(pattern) for pattern in np.ascontiguousarray(values).view(np.uint64)]


@pytest.mark.parametrize("function", WINDOW_FUNCTIONS)
@given(values=ARRAYS, window=st.integers(2, 30), data=st.data())
def test_a_window_has_the_same_bits_in_any_array_that_holds_it(
    function: Callable[[Floats, int], Floats],
    values: Floats,
    window: int,
    data: st.DataObject,
) -> None:
    end = data.draw(st.integers(1, len(values)))
    begin = data.draw(st.integers(0, max(0, end - window)))
    whole, cut = function(values, window), function(values[begin:end], window)
    assert bits(whole[end - 1 : end]) == bits(cut[-1:])


def test_window_statistics_are_those_of_the_statistics_module() -> None:
    values = [3.0, -1.5, 8.25, 8.25, 0.0, 2.0, 7.5]
    array = np.array(values)
    for window in (2, 3, 5, 7):
        for position in range(window - 1, len(values)):
            inside = values[position - window + 1 : position + 1]
            assert rolling.window_sum(array, window)[position] == pytest.approx(sum(inside), rel=1e-12)
            assert rolling.window_mean(array, window)[position] == pytest.approx(statistics.fmean(inside), rel=1e-12)
            assert rolling.window_min(array, window)[position] == min(inside)
            assert rolling.window_max(array, window)[position] == max(inside)
            deviation = rolling.window_sample_sd(array, window)[position]
            assert deviation == pytest.approx(statistics.stdev(inside), rel=1e-12)


@pytest.mark.parametrize("function", WINDOW_FUNCTIONS)
def test_a_window_that_is_not_full_is_not_defined(function: Callable[[Floats, int], Floats]) -> None:
    assert np.isnan(function(np.arange(4.0), 5)).all()
    assert np.isnan(function(np.arange(9.0), 5)).tolist() == [True] * 4 + [False] * 5


def test_a_window_with_an_undefined_value_is_not_defined() -> None:
    values = np.array([np.nan, 1.0, 2.0, 4.0])
    assert bits(rolling.window_mean(values, 2)[2:]) == bits(np.array([1.5, 3.0]))
    assert np.isnan(rolling.window_mean(values, 2)[1])
    assert np.isnan(rolling.window_max(values, 2)[1])


def test_a_high_level_does_not_hide_a_small_spread() -> None:
    spread = np.array([0.0, 1.0, 2.0, 3.0])
    assert rolling.window_sample_sd(spread + 1e9, 4)[-1] == pytest.approx(statistics.stdev([0, 1, 2, 3]), rel=1e-12)


@given(values=ARRAYS, alpha=st.floats(0.005, 0.7), seed=NUMBERS, data=st.data())
def test_an_exponential_mean_goes_on_from_any_carried_value_with_the_same_bits(
    values: Floats,
    alpha: float,
    seed: float,
    data: st.DataObject,
) -> None:
    whole = rolling.exponential(values, alpha, 0, seed)
    stop = data.draw(st.integers(0, len(values) - 1))
    begin = data.draw(st.integers(0, stop))
    resumed = rolling.exponential(values[begin:], alpha, stop - begin, float(whole[stop]))
    assert bits(resumed[stop - begin :]) == bits(whole[stop:])


@pytest.mark.parametrize("function", [rolling.cumulative_sum, rolling.running_max, rolling.running_min])
@given(values=ARRAYS, data=st.data())
def test_a_running_value_goes_on_from_any_carried_value_with_the_same_bits(
    function: Callable[[Floats, int, float], Floats],
    values: Floats,
    data: st.DataObject,
) -> None:
    whole = function(values, 0, float(values[0]))
    stop = data.draw(st.integers(0, len(values) - 1))
    begin = data.draw(st.integers(0, stop))
    resumed = function(values[begin:], stop - begin, float(whole[stop]))
    assert bits(resumed[stop - begin :]) == bits(whole[stop:])


def test_running_values_are_those_of_a_loop() -> None:
    values = np.array([5.0, 2.0, 7.0, 1.0])
    assert rolling.cumulative_sum(values, 1, 10.0)[1:].tolist() == [10.0, 17.0, 18.0]
    assert rolling.running_max(values, 0, 5.0).tolist() == [5.0, 5.0, 7.0, 7.0]
    assert rolling.running_min(values, 0, 5.0).tolist() == [5.0, 2.0, 2.0, 1.0]
    assert np.isnan(rolling.cumulative_sum(values, 1, 10.0)[0])


def test_a_seeded_exponential_starts_with_the_mean_of_its_first_window() -> None:
    values = np.array([np.nan, 2.0, 4.0, 9.0, 5.0])
    smoothed = rolling.seeded_exponential(values, 0.5, 3, 1)
    assert np.isnan(smoothed[:3]).all()
    assert smoothed[3:].tolist() == [5.0, 5.0]


def test_a_seeded_exponential_is_not_defined_before_its_window_is_full() -> None:
    assert np.isnan(rolling.seeded_exponential(np.arange(4.0), 0.5, 5, 0)).all()
