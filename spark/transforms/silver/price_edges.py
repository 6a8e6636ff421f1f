"""Leaps at the edges of what a file says: no later bar shows yet whether they stay, so another download has to say the same.

A wrong bar within a file leaps twice, there and back, and a check finds it. At the first or last bar it leaps once, as a
reverse split does that the vendor has not applied yet. Such bars wait: a download that repeats them proves them, one that
corrects them needs no proof.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from spark.contracts import price_limits as limits
from spark.transforms.silver.adjustments import PRICES, Explanation, factor_intervals
from spark.transforms.silver.price_jumps import RETURN_TOLERANCE, untraded_leaps
from spark.transforms.silver.price_votes import Download, Known


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Sessions of a file of which nothing is used yet, in order, and those at which a leap is proven by repetition."""

    waiting: tuple[date, ...]
    proven: frozenset[date] = frozenset()


def edges_of_first(bars: pl.DataFrame) -> Edges:
    """The edges of a ticker's first download: of each leap near an edge the bars on the side with fewer of them wait."""
    days: list[date] = bars["session_date"].to_list()
    leaps = untraded_leaps(bars)
    before = max((position for position in leaps if _is_front(position, len(days))), default=0)
    after = min((position for position in leaps if _is_back(position, len(days))), default=len(days))
    return Edges(waiting=(*days[:before], *days[after:]))


def edges_of_later(known: Known, download: Download, common: pl.DataFrame, found: Explanation) -> Edges:
    """The edges of a file that is used: what waited and is not proven, and what it adds before the known bars.

    Bars after the known ones are judged by their own rule.
    """
    stated = download.bars
    days: list[date] = stated["session_date"].to_list()
    leaps = set(untraded_leaps(stated))
    first, last = days.index(common["session_date"][0]), days.index(common["session_date"][-1])
    new_before = {position for position in leaps if position <= first and _is_front(position, len(days))}
    added = max((each for each in new_before if days[each - 1] not in known.unproven), default=0)
    waiting, proven = set(days[:added]), set[date]()
    for begin, end in _runs([day in known.unproven for day in days]):
        bounds = [each for each in (begin, end) if _leaps(stated, each)]
        if not bounds:
            continue
        comes_back = len(bounds) == 2 and abs(_move(stated, begin, end)) <= RETURN_TOLERANCE
        beside = begin if bounds[0] == begin else end - 1
        if not comes_back and _is_said_again(known, stated, common, found, beside):
            proven.update(days[each] for each in bounds if each < len(days))
        elif comes_back or begin <= last and end > first:
            waiting.update(days[begin:end])
        else:
            waiting.update(days[begin:] if begin > last else days[:end])
    return Edges(waiting=tuple(sorted(waiting)), proven=frozenset(proven))


def takes_a_leap_away(known: Known, common: pl.DataFrame, ratio: float) -> bool:
    """Whether the last factor of a file is the leap that waits after the known bars: a split that is applied now."""
    day = min((day for day in known.unproven if day > common["session_date"][-1]), default=None)
    if day is None or day not in known.disputed:
        return False
    leap = float(np.log(known.disputed[day][0]) - np.log(common["close_usd"][-1]))
    return abs(leap - float(np.log(ratio))) <= RETURN_TOLERANCE


def _is_front(position: int, count: int) -> bool:
    return position <= limits.EDGE_SESSIONS and position < count - position


def _is_back(position: int, count: int) -> bool:
    return count - position <= limits.EDGE_SESSIONS and position >= count - position


def _runs(waited: list[bool]) -> Iterator[tuple[int, int]]:
    """Neighbouring positions that are true, as (first, one after the last)."""
    edges = np.flatnonzero(np.diff(np.array([False, *waited, False], dtype=np.int8))).tolist()
    return zip(edges[::2], edges[1::2], strict=True)


def _leaps(bars: pl.DataFrame, position: int) -> bool:
    """Whether prices at a position are far from the close before; trading is no excuse for what waited once."""
    if not 0 < position < bars.height:
        return False
    before = np.log(bars["close_usd"][position - 1])
    moves = [abs(float(np.log(bars[name][position]) - before)) for name in ("open_usd", "close_usd")]
    return max(moves) > float(np.log(limits.CONTINUATION_LEAP))


def _move(bars: pl.DataFrame, begin: int, end: int) -> float:
    """From the close before a stretch to the open after it, as a logarithm."""
    return float(np.log(bars["open_usd"][end]) - np.log(bars["close_usd"][begin - 1]))


def _is_said_again(known: Known, stated: pl.DataFrame, common: pl.DataFrame, found: Explanation, position: int) -> bool:
    """Whether the file says of a session what was said before, at its own level or where the file changes nothing."""
    day = stated["session_date"][position]
    if day not in known.disputed:
        return False
    following = [segment for segment in found.segments[1:] if common["session_date"][segment.begin] <= day]
    segment = following[-1] if following else found.segments[0]
    lowest, highest = factor_intervals(
        np.array([known.disputed[day][:4]]), stated.select(PRICES).to_numpy()[position : position + 1], limits.TOLERANCE_UNITS
    )
    return bool(lowest[0] <= 1 <= highest[0] or max(lowest[0], segment.lowest) <= min(highest[0], segment.highest))
