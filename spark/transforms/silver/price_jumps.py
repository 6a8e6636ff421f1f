"""Which bars of silver.prices_daily jump as no market and no restatement does: a check before anything is computed from them.

A market that moves far trades far: the day of a crash or a squeeze has many times the usual volume, or a wide range, and
the price does not come back to the cent. A fault of a file multiplies a stretch of bars: the price leaps between two
sessions while volume and daily range stay as they were. Splits and dividends are taken out of the prices already.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from math import exp

import numpy as np
import polars as pl

from spark.contracts import price_limits as limits

LEAP = float(np.log(limits.QUIET_LEAP))
"""A close to open move this far, as a logarithm, is looked at: half of × 2 and × 0.5 faults' room is left to real moves."""

RETURN_SESSIONS = 40
"""A stretch that is over within so many sessions is a fault; a longer one is another level, which may be true."""

RETURN_TOLERANCE = float(np.log(1.3))
"""How far from its level before the price may return, as a logarithm: a stretch of weeks also moves by itself."""

BUSY_VOLUME = 3.0
"""So many times the median volume of the sessions around make a move a traded one."""

WIDE_RANGE = 1.25
"""High over low of a session that make a move a traded one."""

AROUND_SESSIONS = 10
"""Sessions before and after that say what is usual."""


def unexplained_jumps(bars: pl.DataFrame) -> list[Mapping[str, str]]:
    """Stretches whose price leaps and comes back without the trading that such a move needs.

    `bars` are silver.prices_daily rows of any tickers over neighbouring sessions. Per stretch: ticker, first and last
    session, the factor, and the hash of the file that says its first bar.
    """
    found: list[Mapping[str, str]] = []
    for one in bars.sort("ticker", "session_date").partition_by("ticker", maintain_order=True):
        found += _stretches(one)
    return found


def quiet_leaps(bars: pl.DataFrame, begin: int, end: int, least: float) -> list[int]:
    """Positions from `begin` until before `end` where bars go on at another level without the trading for such a move.

    `bars` are one ticker's in order; `least` is the factor from which on a move is looked at.
    """
    opened, close, high, low, volume = (
        bars[name].to_numpy() for name in ("open_usd", "close_usd", "high_usd", "low_usd", "volume_shares")
    )
    begin, end = max(begin, 1), min(end, bars.height)
    leaps = np.abs(np.log(opened[begin:end] / close[begin - 1 : end - 1])) if begin < end else np.empty(0)
    # What follows is not yet known to be usual: only the sessions before say what is.
    return [
        position
        for position in (np.flatnonzero(leaps > np.log(least)) + begin).tolist()
        if _is_quiet(position, high, low, volume[: position + 1])
    ]


def leaps_around(bars: pl.DataFrame, days: Sequence[date]) -> list[int]:
    """Positions where bars leap without trading into the stretch of days, within it, or out of it."""
    begin, end = _around(bars, days)
    return quiet_leaps(bars, begin, end, limits.QUIET_LEAP)


def is_smoother(stated: pl.DataFrame, known: pl.DataFrame, days: Sequence[date], usual: float) -> bool:
    """Whether the known bars jump into, within or out of the days without trading, and the stated ones hardly move there.

    Of two statements about the same days the one that makes such a jump is the wrong one. `usual` is the known bars' median
    overnight move, as a logarithm; the bars are in order and at one price level.
    """
    least = max(limits.USUAL_GAPS * usual, float(np.log(1 + limits.MODERATE_STEP)))
    jumps = [abs(_gap(known, position)) for position in quiet_leaps(known, *_around(known, days), float(np.exp(least)))]
    begin, end = _around(known, days)
    said = {known["session_date"][position]: _gap(known, position) for position in range(max(begin, 1), min(end, known.height))}
    begin, end = _around(stated, days)
    moves = {
        stated["session_date"][position]: _gap(stated, position) for position in range(max(begin, 1), min(end, stated.height))
    }
    # Where both move alike, the market did.
    differing = [abs(move) for day, move in moves.items() if day not in said or abs(move - said[day]) > least / 2]
    return bool(jumps) and max(differing, default=0.0) <= max(jumps) / limits.SMOOTHER


def _around(bars: pl.DataFrame, days: Sequence[date]) -> tuple[int, int]:
    """Positions of the days' first bar and of the one after their last one, exclusive."""
    return int((bars["session_date"] < days[0]).sum()), int((bars["session_date"] <= days[-1]).sum()) + 1


def _gap(bars: pl.DataFrame, position: int) -> float:
    return float(np.log(bars["open_usd"][position] / bars["close_usd"][position - 1]))


def _stretches(bars: pl.DataFrame) -> list[Mapping[str, str]]:
    opened, high, low, close, volume = (
        bars[name].to_numpy() for name in ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")
    )
    leaps = np.log(opened[1:] / close[:-1])
    positions = [int(position) + 1 for position in np.flatnonzero(np.abs(leaps) > LEAP)]
    quiet = [position for position in positions if _is_quiet(position, high, low, volume)]
    found: list[Mapping[str, str]] = []
    taken = -1
    for number, begin in enumerate(quiet):
        if begin <= taken:
            continue
        for end in quiet[number + 1 :]:
            if end - begin > RETURN_SESSIONS:
                break
            if abs(leaps[begin - 1] + leaps[end - 1]) <= RETURN_TOLERANCE:
                found.append(
                    {
                        "ticker": bars["ticker"][0],
                        "first_session": str(bars["session_date"][begin]),
                        "last_session": str(bars["session_date"][end - 1]),
                        "factor": f"{exp(leaps[begin - 1]):.4g}",
                        "file_sha256": bars["file_sha256"][begin],
                    }
                )
                taken = end
                break
    return found


def _is_quiet(position: int, high: np.ndarray, low: np.ndarray, volume: np.ndarray) -> bool:
    """Whether the session at a leap traded like those around it."""
    around = np.r_[volume[max(0, position - AROUND_SESSIONS) : position], volume[position + 1 : position + 1 + AROUND_SESSIONS]]
    usual = float(np.median(around)) if around.size else 0.0
    return bool(high[position] / low[position] < WIDE_RANGE and volume[position] < BUSY_VOLUME * max(usual, 1.0))
