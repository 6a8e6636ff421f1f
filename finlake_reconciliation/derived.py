"""Do candles and windows follow from the trades beside them? Recomputed from exact sums, compared to the last bit.

Pure: what ClickHouse adds up over raw trades comes in as whole numbers, what a reader sees comes in as rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from spark.contracts.speed import CANDLES_1M, PRICE_VOLUME_15S, UNITS_PER_ONE, WINDOWS_30S
from spark.contracts.table import Table

US_PER_SECOND = 1_000_000

Row = tuple[float | int | None, ...]
"""A row of a derived table without its key, in the order of `Derived.columns`."""
Rows = Mapping[int, Row]
"""Rows of one symbol by the start of their window, in microseconds from 1970."""


@dataclass(frozen=True, kw_only=True)
class TradeSums:
    """Trades without a flaw of one symbol in one window. Whole numbers are in integer units (`UNITS_PER_ONE`)."""

    start_us: int
    trade_count: int
    first_price: float
    highest_price: float
    lowest_price: float
    last_price: float
    volume: int
    price: int
    squared_price: int
    price_volume: int


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A table made from trades in windows of `seconds`; `columns` are those that are compared."""

    table: Table
    seconds: int
    columns: tuple[str, ...]


CANDLES = Derived(
    table=CANDLES_1M, seconds=60, columns=("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares", "trade_count")
)
WINDOWS = Derived(
    table=WINDOWS_30S,
    seconds=30,
    columns=("window_end_us", "avg_price_usd", "min_price_usd", "max_price_usd", "volume_shares", "trade_count", "price_sd_usd"),
)
PRICE_VOLUME = Derived(
    table=PRICE_VOLUME_15S, seconds=15, columns=("price_volume_avg_usd", "running_price_volume_avg_usd", "trade_count")
)
DERIVED = (CANDLES, WINDOWS, PRICE_VOLUME)


def recomputed(derived: Derived, sums: Iterable[TradeSums]) -> Rows:
    """What the table has to hold for one symbol, given all its windows in order of time."""
    if derived is CANDLES:
        return {each.start_us: _candle(each) for each in sums}
    if derived is WINDOWS:
        return {each.start_us: _window(each) for each in sums}
    return dict(_price_volumes(sums))


def different_windows(expected: Rows, found: Rows) -> list[int]:
    """Starts of the windows that differ or that one side alone has, in order."""
    return sorted(start for start in expected.keys() | found.keys() if expected.get(start) != found.get(start))


def since(rows: Rows, start_us: int | None) -> Rows:
    """Rows of windows that begin at `start_us` or later; all when it is None."""
    return rows if start_us is None else {start: row for start, row in rows.items() if start >= start_us}


def described(derived: Derived, expected: Row | None, found: Row | None) -> str:
    """In what a window differs, in words."""
    if expected is None or found is None:
        return "is not there" if found is None else "has no trades"
    columns: Sequence[str] = derived.columns
    return ", ".join(
        f"{name} {there} instead of {here}" for name, here, there in zip(columns, expected, found, strict=True) if here != there
    )


def _candle(sums: TradeSums) -> Row:
    return (sums.first_price, sums.highest_price, sums.lowest_price, sums.last_price, _one(sums.volume), sums.trade_count)


def _window(sums: TradeSums) -> Row:
    count = sums.trade_count
    spread = count * sums.squared_price - sums.price**2
    return (
        sums.start_us + WINDOWS.seconds * US_PER_SECOND,
        _mean(sums.price, count),
        sums.lowest_price,
        sums.highest_price,
        _one(sums.volume),
        count,
        None if count < 2 else sqrt(float(spread) / (count * (count - 1))) / UNITS_PER_ONE,
    )


def _price_volumes(sums: Iterable[TradeSums]) -> Iterator[tuple[int, Row]]:
    total, total_count = 0, 0
    for each in sums:
        total, total_count = total + each.price_volume, total_count + each.trade_count
        yield each.start_us, (_mean(each.price_volume, each.trade_count), _mean(total, total_count), each.trade_count)


def _one(total: int) -> float:
    return float(total) / UNITS_PER_ONE


def _mean(total: int, count: int) -> float:
    return float(total) / count / UNITS_PER_ONE
