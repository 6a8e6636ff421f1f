"""Window statistics and recursions whose bits do not depend on where an array was cut.

A value of a window function depends only on the numbers inside its window and is accumulated in one fixed order, from
the newest element to the oldest, by elementwise operations over rows. So the same window gives the same bits whether it
lies in twenty years of history or in the bounded slice of a daily increment. Running sums and library reductions do
not promise that: their rounding depends on what came before, or on length and alignment.

A recursion started again from a carried value gives the bits it would have given without the interruption, because
each step uses the previous value and one input only.

Arrays are float64, one element per bar in session order; NaN means "not defined" and spreads to every window that
holds it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def lag(values: Floats, bars: int) -> Floats:
    """The value `bars` bars before; NaN where there is none."""
    lagged = np.full(len(values), np.nan)
    if bars < len(values):
        lagged[bars:] = values[: len(values) - bars]
    return lagged


def _fold(values: Floats, window: int, combine: np.ufunc) -> Floats:
    """Combine each value with the `window - 1` before it, newest first; NaN until the window is full."""
    total = values.astype(np.float64, copy=True)
    for offset in range(1, min(window, len(values))):
        combine(total[offset:], values[:-offset], out=total[offset:])
    total[: window - 1] = np.nan
    return total


def window_sum(values: Floats, window: int) -> Floats:
    """Sum of the last `window` values; NaN until the window is full."""
    return _fold(values, window, np.add)


def window_min(values: Floats, window: int) -> Floats:
    """Lowest of the last `window` values; NaN until the window is full."""
    return _fold(values, window, np.minimum)


def window_max(values: Floats, window: int) -> Floats:
    """Highest of the last `window` values; NaN until the window is full."""
    return _fold(values, window, np.maximum)


def window_mean(values: Floats, window: int) -> Floats:
    """Mean of the last `window` values; NaN until the window is full."""
    return window_sum(values, window) / window


def window_means(values: Floats, windows: Sequence[int]) -> dict[int, Floats]:
    """`window_mean` for several windows in one pass: the short sums are the first steps of the long one."""
    means: dict[int, Floats] = {}
    total = values.astype(np.float64, copy=True)
    for offset in range(max(windows)):
        if 0 < offset < len(values):
            total[offset:] += values[:-offset]
        if offset + 1 in windows:
            mean = total / (offset + 1)
            mean[:offset] = np.nan
            means[offset + 1] = mean
    return means


def window_sample_sd(values: Floats, window: int) -> Floats:
    """Sample standard deviation (n - 1) of the last `window` values, two-pass; NaN until the window is full.

    Squared distances from the window's own mean are summed, so a large level does not cancel a small spread.
    """
    mean = window_mean(values, window)
    squares = np.zeros(len(values))
    for offset in range(min(window, len(values))):
        distance = values[: len(values) - offset] - mean[offset:]
        squares[offset:] += distance * distance
    deviation: Floats = np.sqrt(squares / (window - 1))
    return deviation


def exponential(values: Floats, alpha: float, start: int, seed: float) -> Floats:
    """Exponential mean: NaN before `start`, `seed` at `start`, then `previous + alpha * (value - previous)`.

    With alpha 2 / (n + 1) it is the EMA of n bars, with 1 / n Wilder's average. To continue an interrupted recursion
    give the position and value of its last element. A plain loop, because each element needs the one before it and a
    Polars call costs more than the thousand steps of a ticker.
    """
    smoothed = np.full(len(values), np.nan)
    if start >= len(values):
        return smoothed
    mean, means = seed, [seed]
    for value in values[start + 1 :].tolist():
        mean += alpha * (value - mean)
        means.append(mean)
    smoothed[start:] = means
    return smoothed


def seeded_exponential(values: Floats, alpha: float, window: int, first: int) -> Floats:
    """`exponential` seeded with the mean of the first `window` values, `values[first]` being the first defined one.

    The seed is set at the bar that completes the window: the convention of Wilder, Skender, TA-Lib and StockCharts.
    """
    start = first + window - 1
    if start >= len(values):
        return np.full(len(values), np.nan)
    return exponential(values, alpha, start, float(window_mean(values[first : start + 1], window)[-1]))


def cumulative_sum(values: Floats, start: int, carried: float) -> Floats:
    """Running sum: NaN before `start`, `carried` at `start`, then the previous sum plus each later value in turn."""
    return _accumulate(values, start, carried, np.add)


def running_max(values: Floats, start: int, carried: float) -> Floats:
    """Running maximum: NaN before `start`, `carried` at `start`, then the higher of the previous one and each value."""
    return _accumulate(values, start, carried, np.maximum)


def running_min(values: Floats, start: int, carried: float) -> Floats:
    """Running minimum: NaN before `start`, `carried` at `start`, then the lower of the previous one and each value."""
    return _accumulate(values, start, carried, np.minimum)


def _accumulate(values: Floats, start: int, carried: float, step: np.ufunc) -> Floats:
    """`step` applied strictly one element after the other (`ufunc.accumulate` does not reorder)."""
    accumulated = np.full(len(values), np.nan)
    accumulated[start] = carried
    accumulated[start + 1 :] = values[start + 1 :]
    accumulated[start:] = step.accumulate(accumulated[start:])
    return accumulated
