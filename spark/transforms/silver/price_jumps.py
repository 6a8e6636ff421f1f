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
from spark.contracts.bronze import BAR_COLUMNS

PRICES = BAR_COLUMNS[:4]

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

STALE_SESSIONS = 3
"""So many newest bars of one price without a share traded look like a share that trades no more, or a vendor that repeats."""

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


def stale_tails(bars: pl.DataFrame) -> list[Mapping[str, str]]:
    """Tickers whose newest bars repeat one price without a share traded: ticker, first and last session, how many, the file.

    `bars` are silver.prices_daily rows of any tickers over neighbouring sessions.
    """
    found: list[Mapping[str, str]] = []
    for one in bars.sort("ticker", "session_date").partition_by("ticker", maintain_order=True):
        is_stale = pl.all_horizontal(
            *(pl.col(name) == pl.col("close_usd").last() for name in PRICES), pl.col("volume_shares") == 0
        )
        count = int(one.select(is_stale.reverse().cum_min().sum()).item())
        if count >= STALE_SESSIONS:
            found.append(
                {
                    "ticker": one["ticker"][0],
                    "first_session": str(one["session_date"][-count]),
                    "last_session": str(one["session_date"][-1]),
                    "count": str(count),
                    "file_sha256": one["file_sha256"][-1],
                }
            )
    return found


def quiet_leaps(bars: pl.DataFrame, begin: int, end: int, least: float) -> list[int]:
    """Positions from `begin` until before `end` where bars go on at another level without the trading for such a move.

    `bars` are one ticker's in order; `least` is the factor from which on a move is looked at.
    """
    opened, close, high, low, volume = (
        bars[name].to_numpy() for name in ("open_usd", "close_usd", "high_usd", "low_usd", "volume_shares")
    )
    begin, end = max(begin, 1), min(end, bars.height)
    leaps = np.abs(np.log(opened[begin:end]) - np.log(close[begin - 1 : end - 1])) if begin < end else np.empty(0)
    # What follows is not yet known to be usual: only the sessions before say what is.
    return [
        position
        for position in (np.flatnonzero(leaps > np.log(least)) + begin).tolist()
        if _is_quiet(position, high, low, volume[: position + 1])
    ]


def untraded_leaps(bars: pl.DataFrame) -> list[int]:
    """Positions at which a share opens or closes at three times the close before, or a third, without the trading for it.

    Those of a stretch that comes back are left out: `unexplained_jumps` names them. `bars` are one ticker's in order.
    """
    opened, close, volume = (bars[name].to_numpy() for name in ("open_usd", "close_usd", "volume_shares"))
    before = np.log(close[:-1])
    moves = np.maximum(np.abs(np.log(opened[1:]) - before), np.abs(np.log(close[1:]) - before))
    found = [int(position) + 1 for position in np.flatnonzero(moves > np.log(limits.CONTINUATION_LEAP))]
    returning = {position for stretch in _returning(bars) for position in stretch} if found else set()
    # The sessions before say what is usual, as far as there are any: those after a split trade at its level.
    usual = {each: _usual(each, volume[: each + 1] if each >= AROUND_SESSIONS else volume) for each in found}
    return [
        position
        for position in found
        if position not in returning
        and (moves[position - 1] > np.log(limits.UNTRADED_LEAP) or volume[position] < BUSY_VOLUME * usual[position])
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
    return float(np.log(bars["open_usd"][position]) - np.log(bars["close_usd"][position - 1]))


def _stretches(bars: pl.DataFrame) -> list[Mapping[str, str]]:
    return [
        {
            "ticker": bars["ticker"][0],
            "first_session": str(bars["session_date"][begin]),
            "last_session": str(bars["session_date"][end - 1]),
            "factor": f"{exp(_gap(bars, begin)):.4g}",
            "file_sha256": bars["file_sha256"][begin],
        }
        for begin, end in _returning(bars)
    ]


def _returning(bars: pl.DataFrame) -> list[tuple[int, int]]:
    """Stretches from a position until before another one, between two quiet leaps of which the second undoes the first."""
    opened, high, low, close, volume = (
        bars[name].to_numpy() for name in ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")
    )
    leaps = np.log(opened[1:]) - np.log(close[:-1])
    positions = [int(position) + 1 for position in np.flatnonzero(np.abs(leaps) > LEAP)]
    quiet = [position for position in positions if _is_quiet(position, high, low, volume)]
    found: list[tuple[int, int]] = []
    taken = -1
    for number, begin in enumerate(quiet):
        if begin <= taken:
            continue
        for end in quiet[number + 1 :]:
            if end - begin > RETURN_SESSIONS:
                break
            if abs(leaps[begin - 1] + leaps[end - 1]) <= RETURN_TOLERANCE:
                found.append((begin, end))
                taken = end
                break
    return found


def _is_quiet(position: int, high: np.ndarray, low: np.ndarray, volume: np.ndarray) -> bool:
    """Whether the session at a leap traded like those around it."""
    return bool(high[position] < WIDE_RANGE * low[position] and volume[position] < BUSY_VOLUME * _usual(position, volume))


def _usual(position: int, volume: np.ndarray) -> float:
    """The median volume of the sessions around, at least one share."""
    around = np.r_[volume[max(0, position - AROUND_SESSIONS) : position], volume[position + 1 : position + 1 + AROUND_SESSIONS]]
    return max(float(np.median(around)) if around.size else 0.0, 1.0)
