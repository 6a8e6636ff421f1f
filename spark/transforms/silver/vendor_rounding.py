"""How exactly Stooq states a price: the resolution behind two files that say "the same" with different digits.

Stooq prints four to six significant digits, or four decimals, and drops trailing zeros; unadjusted quotes have two
decimals, and four below one dollar.
"""

import numpy as np
from numpy.typing import NDArray

from spark.transforms.rolling import Floats

_LOWEST_EXPONENT, _HIGHEST_EXPONENT = -12, 12
_POWERS = np.array([float(f"1e{exponent}") for exponent in range(_LOWEST_EXPONENT - 6, _HIGHEST_EXPONENT + 1)])
_MOST_DIGITS = 6
_FEWEST_DIGITS = 4
_CENT = 0.01
_TICK = 0.0001
# Below a cent four decimals state a price to a percent or worse: what such files say of a small change is not believed.
_COARSEST_SHARE = 0.01
_STRAY_SHARE = 0.005


def resolution(prices: Floats) -> Floats:
    """The last printed unit of each positive price, USD.

    It is read off the price's own digits, at most six significant ones (more are an artefact of another program). A
    price with few digits may have lost zeros (182.81 beside 183), so the unit is never coarser than a cent, or than
    four significant digits below one dollar.
    """
    exponents = np.clip(
        np.searchsorted(_POWERS, prices, side="right") - 1 + _LOWEST_EXPONENT - 6, _LOWEST_EXPONENT, _HIGHEST_EXPONENT
    )
    finest = _power(exponents + 1 - _MOST_DIGITS)
    unit = finest.copy()
    for digits in range(_MOST_DIGITS - 1, 0, -1):
        coarser = _power(exponents + 1 - digits)
        steps = prices / coarser
        unit = np.where(np.abs(steps - np.rint(steps)) < 1e-6, coarser, unit)
    coarsest = np.where(prices >= 1, _CENT, _power(exponents + 1 - _FEWEST_DIGITS))
    return np.maximum(finest, np.minimum(unit, coarsest))


def resolution_of_file(prices: Floats) -> Floats:
    """The last printed unit of each positive price of one file, USD: as `resolution`, but one price tells of another.

    Where no price below one dollar has more than four decimals, but for a stray few that were moved to another level, the
    file is printed with so many: 0.0523 is not known to four significant digits then, only to 0.0001.
    """
    own = resolution(prices)
    cheap = prices < 1
    ticks = prices / _TICK
    has_four_decimals = np.abs(ticks - np.rint(ticks)) < 1e-6
    if not np.any(cheap) or np.mean(~has_four_decimals[cheap]) > _STRAY_SHARE:
        return own
    return np.where(cheap & has_four_decimals, np.maximum(own, np.minimum(_TICK, prices * _COARSEST_SHARE)), own)


def _power(exponents: NDArray[np.int64]) -> Floats:
    """Ten to the power of each exponent, from a table: exact, and the same on every machine."""
    return _POWERS[exponents - (_LOWEST_EXPONENT - 6)]


def agree(earlier: Floats, later: Floats) -> NDArray[np.bool_]:
    """Whether two statements of the same price differ by no more than one printed unit of each."""
    return np.abs(later - earlier) <= (resolution(earlier) + resolution(later)) * (1 + 1e-9)
