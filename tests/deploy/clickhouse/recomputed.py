"""Candles and windows computed from trades in plain Python, as spark/contracts/speed.py defines them."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Tick:
    """A trade as ClickHouse holds it."""

    symbol: str
    trade_ts: datetime
    price_usd: float
    volume_shares: float
    offset: int
    flaw: str = ""
    partition: int = 0


def units(number: float) -> int:
    return int(np.rint(number * 1e8))


def window_start(trade_ts: datetime, seconds: int) -> datetime:
    milliseconds = (trade_ts - EPOCH) // timedelta(milliseconds=1)
    return EPOCH + timedelta(milliseconds=milliseconds - milliseconds % (seconds * 1000))


def by_window(ticks: Iterable[Tick], seconds: int) -> dict[tuple[str, datetime], list[Tick]]:
    """Trades without a flaw by symbol and start, each window's in the order of (trade_ts, partition, offset)."""
    windows = defaultdict(list)
    for tick in sorted(ticks, key=lambda tick: (tick.symbol, tick.trade_ts, tick.partition, tick.offset)):
        if not tick.flaw:
            windows[tick.symbol, window_start(tick.trade_ts, seconds)].append(tick)
    return dict(windows)


def candles(ticks: Iterable[Tick]) -> list[tuple[object, ...]]:
    """Rows of speed.candles_1m, by symbol and minute."""
    return [
        (
            *key,
            window[0].price_usd,
            max(tick.price_usd for tick in window),
            min(tick.price_usd for tick in window),
            window[-1].price_usd,
            float(sum(units(tick.volume_shares) for tick in window)) / 1e8,
            len(window),
        )
        for key, window in by_window(ticks, 60).items()
    ]


def windows_30s(ticks: Iterable[Tick]) -> list[tuple[object, ...]]:
    """Rows of speed.windows_30s, by symbol and start."""
    rows: list[tuple[object, ...]] = []
    for (symbol, start), window in by_window(ticks, 30).items():
        prices, n = [units(tick.price_usd) for tick in window], len(window)
        spread = n * sum(price * price for price in prices) - sum(prices) ** 2
        rows.append(
            (
                symbol,
                start,
                start + timedelta(seconds=30),
                float(sum(prices)) / n / 1e8,
                min(tick.price_usd for tick in window),
                max(tick.price_usd for tick in window),
                float(sum(units(tick.volume_shares) for tick in window)) / 1e8,
                n,
                None if n == 1 else math.sqrt(float(spread) / (n * (n - 1))) / 1e8,
            )
        )
    return rows


def price_volume_15s(ticks: Iterable[Tick]) -> list[tuple[object, ...]]:
    """Rows of speed.price_volume_15s, by symbol and start."""
    rows: list[tuple[object, ...]] = []
    sums, counts = defaultdict[str, int](int), defaultdict[str, int](int)
    for (symbol, start), window in by_window(ticks, 15).items():
        here = sum(units(tick.price_usd * tick.volume_shares) for tick in window)
        sums[symbol] += here
        counts[symbol] += len(window)
        rows.append((symbol, start, float(here) / len(window) / 1e8, float(sums[symbol]) / counts[symbol] / 1e8, len(window)))
    return rows
