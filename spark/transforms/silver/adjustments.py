"""Which factors between two downloads splits and dividends explain: the staircase of a restatement and what lies beside it.

A common bar's four prices allow an interval of factors. Runs are stretches of bars that one factor explains. Adjustments
reach back to the first bar, so the true runs form a staircase whose every step is the factor of a split or a dividend;
the best such staircase is chosen by the number of bars it explains, and the bars beside it are in dispute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import inf, log

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spark.contracts import price_limits as limits
from spark.contracts.bronze import BAR_COLUMNS
from spark.transforms.rolling import Floats
from spark.transforms.silver.vendor_rounding import resolution_of_file

PRICES = BAR_COLUMNS[:4]

# Monthly dividends of forty years that are all applied late, and as many bars in dispute: more is no staircase.
_MOST_RUNS = 1_000

# How far volume may miss the inverse of a dividend's factor, as a part of the dividend: vendors that scale it do so exactly.
_VOLUME_MISS = 0.25

# Between a half and one: one strange bar is left out, one bar between two ex-dates is a stretch of its own.
_STRETCH_COST = 0.75

# Beside a stretch's true factor a sixteenth of an interval is always free: bars miss it by 1.82 of 2 units at most.
_LEVEL_SPACING = 1 / 16

# Bounds time and memory: 10,000 bars and so many factors take a third of a second and 20 MB.
_MOST_LEVELS = 2_000


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Common sessions from position `begin` until before `end` whose prices changed by one factor in `[lowest, highest]`.

    `bars` are the positions that the factor explains. `ratio` is exactly 1 where nothing changed. `volume_ratio` is new
    volume / known volume, None where no bar has both.
    """

    begin: int
    end: int
    lowest: float
    highest: float
    ratio: float
    volume_ratio: float | None
    bars: tuple[int, ...]

    @property
    def is_unchanged(self) -> bool:
        """Whether the factor can be 1."""
        return self.lowest <= 1 <= self.highest


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The staircase that explains most bars, and the positions of the bars that it does not explain, in order."""

    segments: tuple[Segment, ...]
    disputed: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Bars:
    """Common bars as arrays: known and new prices (n × 4), volumes (n); and what else an explanation stands on.

    `earliest` first bars are the earliest of all, so that a step over them alone has nothing beside it that speaks for it.
    `usual_gap` is the median overnight move of the known bars, as a logarithm. `is_repeated` when another download says
    the same as this one; `intervals` are the factors that each bar allows.
    """

    known: Floats
    stated: Floats
    known_volume: Floats
    stated_volume: Floats
    earliest: int
    usual_gap: float
    is_repeated: bool
    intervals: tuple[Floats, Floats] = (np.empty(0), np.empty(0))

    @cached_property
    def mended(self) -> Floats:
        """By how much the known prices moved more than the new ones in the night before each bar, as logarithms."""
        # Thousands of pairs of segments ask for it. Not numpy's logarithm, whose last bit differs between machines.
        moves = [
            [abs(log(opened / close)) for opened, close in zip(prices[1:, 0], prices[:-1, 3], strict=True)]
            for prices in (self.known, self.stated)
        ]
        return np.array([-inf, *(known - stated for known, stated in zip(*moves, strict=True))])


def is_small_share(disputed: Sequence[int], compared_count: int) -> bool:
    """Whether so many bars, none of them in a stretch, may be left aside; the newest two are never both among them."""
    if len(disputed) > allowed(compared_count):
        return False
    longest = stretch = 0
    for number, position in enumerate(disputed):
        stretch = stretch + 1 if number and disputed[number - 1] == position - 1 else 1
        longest = max(longest, stretch)
    return longest <= limits.LONGEST_DISPUTED_STRETCH and not {compared_count - 2, compared_count - 1} <= set(disputed)


def is_minority(disputed: Sequence[int], compared_count: int) -> bool:
    """Whether most bars are explained: what is left is a matter between downloads, if others speak for it."""
    return 2 * len(disputed) < compared_count


def explain(
    common: pl.DataFrame,
    *,
    years_after: float,
    earliest: int = 0,
    is_repeated: bool = False,
    is_enough: Callable[[Sequence[int], int], bool] = is_small_share,
) -> Explanation | None:
    """The staircase of the common bars; None when no split or dividend explains enough of them.

    `common` has a row per common session in order, the known bar's columns and the new one's with the suffix `_new`.
    `years_after` is the time from the last known session to the last one of the file: adjustments of that time changed
    every common bar alike, and rounded it as often. `earliest` of the bars are the first ones of the whole history: a step
    that ends within them needs proof. `is_repeated` when another download says the same, which proves a split without
    volumes. `is_enough` says of the positions in dispute and the number of bars
    whether the rest suffices.
    """
    bars = _Bars(
        earliest=earliest,
        usual_gap=usual_gap(common),
        is_repeated=is_repeated,
        known=common.select(PRICES).to_numpy(),
        stated=common.select(f"{name}_new" for name in PRICES).to_numpy(),
        known_volume=common["volume_shares"].to_numpy(),
        stated_volume=common["volume_shares_new"].to_numpy(),
    )
    if bool(np.mean(np.all(bars.known == bars.stated, axis=1)) >= limits.UNCHANGED_SHARE):
        found = _explained(bars, limits.UNCHANGED_TOLERANCE_UNITS, years_after)
        if found is not None and is_enough(found.disputed, common.height):
            return found
    adjustments = years_after * limits.ADJUSTMENTS_PER_YEAR
    found = _explained(bars, _units(adjustments), years_after)
    steps = 0 if found is None else len(found.segments) - 1
    if steps:
        finer = _explained(bars, _units(adjustments + steps), years_after)
        found = finer or found
    return found if found is not None and is_enough(found.disputed, common.height) else None


def allowed(compared_count: int) -> int:
    """How many of the compared bars may be left aside."""
    return max(limits.FEWEST_DISPUTED, int(limits.DISPUTED_SHARE * compared_count))


def factor_intervals(known: Floats, stated: Floats, units: float) -> tuple[Floats, Floats]:
    """Lowest and highest factor that all four prices of each bar (n × 4) allow; lowest > highest when they disagree."""
    known_unit, stated_unit = resolution_of_file(known), resolution_of_file(stated)
    centre = stated / known
    slack = units * (known_unit * centre + stated_unit) / known
    # The hair's breadth keeps bounds that meet exactly from missing each other in floating point.
    lowest: Floats = np.max((centre - slack) * (1 - 1e-12), axis=1)
    highest: Floats = np.min((centre + slack) * (1 + 1e-12), axis=1)
    return np.maximum(lowest, 0.0), highest


def kind_of(segment: Segment, following: Segment | None) -> str | None:
    """What the vendor applied at the segment's end, by the step over it: split or dividend; None where nothing was."""
    if following is None and segment.is_unchanged:
        return None
    step, volume_step = _step(segment, following)
    is_split = (
        is_whole_split(step)
        and abs(step - 1) > limits.LARGE_STEP
        and (step > 1 or step < limits.LOWEST_DIVIDEND_FACTOR if volume_step is None else _is_inverse(step, volume_step))
    )
    return "split" if is_split else "dividend"


def is_whole_split(step: float) -> bool:
    """Whether a factor is n:m, but for dividends of the same time."""
    multiples = max(step, 1 / step) * np.arange(1, limits.SPLIT_DENOMINATORS + 1)
    return bool(np.any(np.abs(multiples / np.rint(multiples) - 1) <= limits.SPLIT_TOLERANCE))


def usual_gap(bars: pl.DataFrame) -> float:
    """Median overnight move, close to open, of bars in order, as a logarithm; infinite of too few to tell."""
    if bars.height <= limits.FEWEST_GAPS:
        return inf
    opened, close = bars["open_usd"].to_numpy(), bars["close_usd"].to_numpy()
    return float(np.median(np.abs(np.log(opened[1:] / close[:-1]))))


def _units(adjustments: float) -> float:
    further = max(0.0, adjustments - 1)
    return min(limits.HIGHEST_TOLERANCE_UNITS, limits.TOLERANCE_UNITS + limits.TOLERANCE_UNITS_PER_ADJUSTMENT * further)


def _explained(bars: _Bars, units: float, years_after: float) -> Explanation | None:
    lowest, highest = factor_intervals(bars.known, bars.stated, units)
    found = _runs(lowest, highest)
    bars = replace(bars, intervals=(lowest, highest))
    if len(found) > _MOST_RUNS:
        return None
    chosen = _staircase([_segment(positions, low, high, bars) for positions, low, high in found], bars, years_after)
    if not chosen:
        return None
    ends = [segment.begin for segment in chosen[1:]] + [len(lowest)]
    segments = tuple(
        replace(segment, begin=0 if number == 0 else segment.begin, end=end)
        for number, (segment, end) in enumerate(zip(chosen, ends, strict=True))
    )
    explained = {position for segment in chosen for position in segment.bars}
    return Explanation(segments=segments, disputed=tuple(n for n in range(len(lowest)) if n not in explained))


def _runs(lowest: Floats, highest: Floats) -> list[tuple[list[int], float, float]]:
    """Stretches of bars that one factor explains: their positions and the factor's bounds; a bar may be in none.

    Of all ways to cut the bars into stretches it is the cheapest, where a bar left out costs 1 and a new stretch
    `_STRETCH_COST` (Viterbi, IEEE Transactions on Information Theory 13 (2), 1967, with the factors as states).
    """
    usable = np.flatnonzero(lowest <= highest)
    low, high = lowest[usable], highest[usable]
    if not usable.size:
        return []
    if low.max() <= high.min():
        return [(usable.tolist(), float(low.max()), float(high.min()))]
    levels = _levels(low, high)
    path = _cheapest_path(levels, low, high)
    runs: list[tuple[list[int], float, float]] = []
    for begin, end in pairwise([0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]):
        level = levels[path[begin]]
        fits = begin + np.flatnonzero((low[begin:end] <= level) & (level <= high[begin:end]))
        runs.append((usable[fits].tolist(), float(low[fits].max()), float(high[fits].min())))
    return runs


def _levels(low: Floats, high: Floats) -> Floats:
    """Factors that stretches may have, in order: lower bounds, because the highest one of a stretch explains all its bars.

    Of bounds that lie closer together than a fraction of the narrowest interval only the highest one counts, and of more
    than `_MOST_LEVELS` every so many.
    """
    bounds: Floats = np.unique(low[low > 0])
    spacing = max(float(np.min(high / np.maximum(low, 1e-12))) - 1, 1e-9) * _LEVEL_SPACING
    while True:
        is_last: NDArray[np.bool_] = np.append(np.diff(np.floor(np.log(bounds) / spacing)) > 0, True)
        if np.count_nonzero(is_last) <= _MOST_LEVELS:
            levels: Floats = bounds[is_last]
            return levels
        spacing *= 2


def _cheapest_path(levels: Floats, low: Floats, high: Floats) -> NDArray[np.int64]:
    """For each bar the index of the factor that it has, or would have if it were not left out."""
    count = len(low)
    cost = np.zeros(len(levels))
    stays = np.ones((count, len(levels)), dtype=np.bool_)
    cheapest = np.zeros(count, dtype=np.int64)
    for position in range(count):
        if position:
            cheapest[position] = np.argmin(cost)
            switched = cost[cheapest[position]] + _STRETCH_COST
            np.less_equal(cost, switched, out=stays[position])
            cost = np.minimum(cost, switched)
        first, last = np.searchsorted(levels, low[position]), np.searchsorted(levels, high[position], side="right")
        cost[:first] += 1
        cost[last:] += 1
    path = np.empty(count, dtype=np.int64)
    path[-1] = np.argmin(cost)
    for position in range(count - 1, 0, -1):
        path[position - 1] = path[position] if stays[position, path[position]] else cheapest[position]
    return path


def _segment(positions: list[int], lowest: float, highest: float, bars: _Bars) -> Segment:
    closes = bars.stated[positions, 3] / bars.known[positions, 3]
    known, stated = bars.known_volume[positions], bars.stated_volume[positions]
    traded = (known > 0) & (stated > 0)
    ratio = 1.0 if lowest <= 1 <= highest else float(np.clip(np.median(closes), lowest, highest))
    return Segment(
        begin=positions[0],
        end=positions[-1] + 1,
        lowest=lowest,
        highest=highest,
        ratio=ratio,
        volume_ratio=float(np.median(stated[traded] / known[traded])) if traded.any() else None,
        bars=tuple(positions),
    )


def _staircase(runs: list[Segment], bars: _Bars, years_after: float) -> list[Segment]:
    """The runs, merged where they share a factor, that explain most bars as a staircase of adjustments; [] for none."""
    merged = _merged(runs)
    best: list[tuple[int, int | None]] = []
    for number, segment in enumerate(merged):
        count = len(segment.bars)
        # A staircase begins with a proven step, or is no staircase: one factor for the few bars that there are.
        options: list[tuple[int, int | None]] = (
            [(count, None)] if (count >= limits.STEP_SESSIONS or segment.is_unchanged) else [(-1, None)]
        )
        for before in range(number):
            earlier = merged[before]
            if (
                best[before][0] >= 0
                and earlier.bars[-1] < segment.bars[0]
                and _is_adjustment(earlier, segment, bars, years_after)
            ):
                options.append((best[before][0] + count, before))
        best.append(max(options, key=lambda option: (option[0], -(option[1] or 0))))
    ended = [
        (score, number)
        for number, (score, _) in enumerate(best)
        if score >= 0 and _is_adjustment(merged[number], None, bars, years_after)
    ]
    if not ended:
        return []
    path: list[Segment] = []
    step: int | None = max(ended)[1]
    while step is not None:
        path.append(merged[step])
        step = best[step][1]
    return path[::-1]


def _merged(runs: list[Segment]) -> list[Segment]:
    """Runs in the order of their first bar; a run that goes on after a stretch of other bars is one run with a gap."""
    merged: list[Segment] = []
    for run in runs:
        for index in range(len(merged) - 1, -1, -1):
            other = merged[index]
            lowest, highest = max(other.lowest, run.lowest), min(other.highest, run.highest)
            if lowest <= highest:
                together = len(other.bars), len(run.bars)
                weights = [each / sum(together) for each in together]
                merged[index] = Segment(
                    begin=other.begin,
                    end=run.end,
                    lowest=lowest,
                    highest=highest,
                    ratio=1.0 if lowest <= 1 <= highest else other.ratio * weights[0] + run.ratio * weights[1],
                    volume_ratio=other.volume_ratio if together[0] >= together[1] else run.volume_ratio,
                    bars=other.bars + run.bars,
                )
                break
        else:
            merged.append(run)
    return sorted(merged, key=lambda segment: segment.bars[0])


def _is_adjustment(segment: Segment, following: Segment | None, bars: _Bars, years_after: float) -> bool:
    """Whether the step from a segment to the next one (None: to unchanged prices) can be splits and dividends."""
    if following is None and segment.is_unchanged:
        return True
    step, volume_step = _step(segment, following)
    if volume_step is not None and abs(step - 1) > limits.LARGE_STEP and _is_inverse(step, volume_step):
        return following is None or not _makes_a_jump(segment, following, step, bars)
    if following is None:
        # Ordinary dividends of so many years may take more than a single special one does.
        lowest = min(limits.LOWEST_DIVIDEND_FACTOR, limits.LOWEST_YEARLY_FACTOR**years_after)
        return lowest <= step < 1 or (volume_step is None and bars.is_repeated and _is_plain_split(step))
    if _explains_a_jump(segment, following, step, bars):
        return step < 1 or (volume_step is None and _is_plain_split(step))
    if not limits.LOWEST_DIVIDEND_FACTOR <= step < 1:
        return False
    if segment.bars[-1] < bars.earliest:
        return volume_step is not None and abs(volume_step * step - 1) < _VOLUME_MISS * (1 - step)
    return 1 - step <= limits.MODERATE_STEP or _takes_a_jump_away(segment, following, bars)


def _explains_a_jump(segment: Segment, following: Segment, step: float, bars: _Bars) -> bool:
    """Whether the known prices jump by the step, far beyond a usual night, and most of the jump is gone in the new ones."""
    size = abs(log(step))
    if size < limits.USUAL_GAPS * bars.usual_gap:
        return False
    return _most_mended(segment, following, bars) >= size / 2


def _takes_a_jump_away(segment: Segment, following: Segment, bars: _Bars) -> bool:
    """Whether the known prices jump where the new ones do not: a late adjustment mends a jump and makes none."""
    return _most_mended(segment, following, bars) > 0


def _makes_a_jump(segment: Segment, following: Segment, step: float, bars: _Bars) -> bool:
    """Whether the new prices jump by most of the step wherever the known ones do not: nothing was adjusted then.

    On the ex-date itself the market may have moved against the step, by up to three quarters of it.
    """
    return _most_mended(segment, following, bars) < -abs(log(step)) / 2


def _most_mended(segment: Segment, following: Segment, bars: _Bars) -> float:
    """The most that is gone of an overnight move, wherever the ex-date may be between segments.

    Of cheap shares bars at the boundary may have either factor.
    """
    lowest, highest = bars.intervals
    first, last = segment.bars[-1] + 1, following.bars[0]
    while first > segment.begin + 1 and _overlaps(lowest[first - 1], highest[first - 1], following):
        first -= 1
    while last < following.end - 1 and _overlaps(lowest[last], highest[last], segment):
        last += 1
    return float(bars.mended[first : last + 1].max())


def _overlaps(lowest: float, highest: float, segment: Segment) -> bool:
    return bool(max(lowest, segment.lowest) <= min(highest, segment.highest))


def _is_plain_split(step: float) -> bool:
    """Whether the factor alone can be that of a split, dividends of the same time included."""
    return is_whole_split(step) and abs(step - 1) > limits.LARGE_STEP and max(step, 1 / step) <= limits.LARGEST_BARE_SPLIT


def _step(segment: Segment, following: Segment | None) -> tuple[float, float | None]:
    """The factor of prices, and of volume, from one segment to the next one, or to unchanged prices."""
    ratio, volume_ratio = (1.0, 1.0) if following is None else (following.ratio, following.volume_ratio)
    if segment.volume_ratio is None or volume_ratio is None:
        return segment.ratio / ratio, None
    return segment.ratio / ratio, segment.volume_ratio / volume_ratio


def _is_inverse(step: float, volume_step: float) -> bool:
    """Whether volume moves against prices: by the whole factor, or by the split in it where dividends scale no volume."""
    if abs(volume_step * step - 1) <= limits.VOLUME_TOLERANCE:
        return True
    dividends = volume_step * step
    return (
        volume_step not in (0, inf)
        and limits.LOWEST_DIVIDEND_FACTOR <= dividends < 1
        and (abs(volume_step - 1) > limits.LARGE_STEP)
        and _is_split(1 / volume_step)
    )


def _is_split(factor: float) -> bool:
    multiples = max(factor, 1 / factor) * np.arange(1, limits.SPLIT_DENOMINATORS + 1)
    whole: NDArray[np.bool_] = np.abs(multiples / np.rint(multiples) - 1) <= limits.SPLIT_TOLERANCE / 10
    return bool(np.any(whole))
