"""Bars to compute from, and equality down to the last bit."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest


def _weekdays(first: date, count: int) -> list[date]:
    days = (first + timedelta(days=offset) for offset in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


@pytest.fixture(scope="session")
def random_bars() -> Callable[..., pl.DataFrame]:
    """`random_bars(seed, count, ticker="TEST")`: a walk with flat bars, repeated closes, no volume."""

    def make(seed: int, count: int, ticker: str = "TEST") -> pl.DataFrame:
        random = np.random.default_rng(seed)
        moves = random.normal(0, 0.02, count) * (random.random(count) > 0.1)
        close = 10.0 ** random.uniform(-1, 3) * np.exp(np.cumsum(moves))
        opened = close * np.exp(random.normal(0, 0.005, count))
        spread = np.where(random.random(count) > 0.05, random.uniform(0, 0.01, count), 0)
        is_flat = random.random(count) < 0.03
        opened = np.where(is_flat, close, opened)
        spread = np.where(is_flat, 0, spread)
        volume = random.uniform(1e5, 1e7, count) * (random.random(count) > 0.05)
        silent_from = int(random.integers(0, count + 1))
        volume[silent_from : silent_from + 25] = 0
        return pl.DataFrame(
            {
                "ticker": [ticker] * count,
                "session_date": _weekdays(date(2020, 1, 1), count),
                "open_usd": opened,
                "high_usd": np.maximum(opened, close) * (1 + spread),
                "low_usd": np.minimum(opened, close) * (1 - spread),
                "close_usd": close,
                "volume_shares": volume,
            }
        )

    return make


@pytest.fixture(scope="session")
def bars_of_closes() -> Callable[..., pl.DataFrame]:
    """`bars_of_closes(closes, ticker="TEST", volume=1000.0)`: bars one dollar wide around given closes."""

    def make(closes: list[float], ticker: str = "TEST", volume: float = 1000.0) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "ticker": [ticker] * len(closes),
                "session_date": _weekdays(date(2020, 1, 1), len(closes)),
                "open_usd": closes,
                "high_usd": [close + 0.5 for close in closes],
                "low_usd": [close - 0.5 for close in closes],
                "close_usd": closes,
                "volume_shares": [volume] * len(closes),
            }
        )

    return make


@pytest.fixture(scope="session")
def assert_same_bits() -> Callable[[pl.DataFrame, pl.DataFrame], None]:
    """Both frames have the same columns, types, nulls and values; floats are compared by their 64 bits."""

    def check(left: pl.DataFrame, right: pl.DataFrame) -> None:
        assert left.schema == right.schema
        assert left.height == right.height
        for name, kind in left.schema.items():
            one, other = left[name], right[name]
            assert one.is_null().to_list() == other.is_null().to_list(), name
            if kind == pl.Float64:
                one_bits = one.fill_null(0).to_numpy().view(np.uint64)
                assert np.array_equal(one_bits, other.fill_null(0).to_numpy().view(np.uint64)), name
            else:
                assert one.to_list() == other.to_list(), name

    return check


@pytest.fixture(scope="session")
def indicator_answers() -> Path:
    """Folder of published indicator values, see its README."""
    return Path(__file__).parents[2] / "data" / "indicators"
