"""The vendor's rule: each split or dividend multiplies the prices *already printed* before its ex-date and prints them again.

Prices are printed with six significant digits or four decimals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Event = tuple[int, float]
"""Position of an ex-date, and the factor of the prices before it."""


@dataclass(frozen=True, kw_only=True)
class PrintingVendor:
    """How a vendor prints: digits of prices, and whether dividends scale volume (splits always do)."""

    digits: str = "six"
    scales_volume: bool = True

    def printed(self, prices: np.ndarray) -> np.ndarray:
        """Prices as the file has them."""
        form = "{:.6g}" if self.digits == "six" else "{:.4f}"
        return np.array([float(form.format(price)) for price in prices.ravel()]).reshape(prices.shape)


def as_traded(
    random: np.random.Generator,
    count: int,
    level: float,
    splits: Sequence[float],
    events: Sequence[Event],
    vendor: PrintingVendor,
) -> np.ndarray:
    """Bars (n × 5) as quoted on their days: a split of the future has not touched them."""
    close = level * np.exp(np.cumsum(random.normal(0, 0.015, count)))
    close *= level / close[len(close) // 2]
    opened = close * np.exp(random.normal(0, 0.004, count))
    high = np.maximum(opened, close) * np.exp(np.abs(random.normal(0, 0.004, count)))
    low = np.minimum(opened, close) * np.exp(-np.abs(random.normal(0, 0.004, count)))
    volume = np.floor(np.exp(random.normal(14, 0.5, count)))
    for position, factor in events:
        if factor in splits:
            for prices in (opened, high, low, close):
                prices[:position] /= factor
            volume[:position] = np.floor(volume[:position] * factor)
    prices = np.stack([opened, high, low, close], axis=1)
    # Nothing trades at nothing: what was quoted before a reverse split is at least the smallest step of a price.
    quoted = np.maximum(np.round(prices, 2), 0.01) if level >= 1 else np.maximum(vendor.printed(prices), 0.0001)
    return np.column_stack([quoted, volume])


def adjusted(bars: np.ndarray, events: Sequence[Event], vendor: PrintingVendor, splits: Sequence[float]) -> np.ndarray:
    """The bars after the vendor applied each event, in the order of ex-dates, to what it had printed."""
    printed = bars.copy()
    for position, factor in sorted(events):
        printed[:position, :4] = vendor.printed(printed[:position, :4] * factor)
        if vendor.scales_volume or factor in splits:
            printed[:position, 4] = np.round(printed[:position, 4] / factor, 4)
    return printed
