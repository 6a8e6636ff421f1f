"""Candles and windows recomputed from exact sums: known values, and every kind of difference is seen."""

from math import sqrt
from statistics import stdev

from hypothesis import given
from hypothesis import strategies as st

from finlake_reconciliation.derived import (
    CANDLES,
    DERIVED,
    PRICE_VOLUME,
    WINDOWS,
    TradeSums,
    described,
    different_windows,
    recomputed,
    since,
)


def sums(start_us: int, prices: list[float], volumes: list[float]) -> TradeSums:
    price_units, volume_units = [round(price * 1e8) for price in prices], [round(volume * 1e8) for volume in volumes]
    return TradeSums(
        start_us=start_us,
        trade_count=len(prices),
        first_price=prices[0],
        last_price=prices[-1],
        highest_price=max(prices),
        lowest_price=min(prices),
        volume=sum(volume_units),
        price=sum(price_units),
        squared_price=sum(price**2 for price in price_units),
        price_volume=sum(round(price * volume * 1e8) for price, volume in zip(prices, volumes, strict=True)),
    )


def test_a_candle_is_first_highest_lowest_last_volume_and_count() -> None:
    assert recomputed(CANDLES, [sums(60_000_000, [2.0, 3.0, 1.0, 1.5], [1, 2, 3, 0.5])]) == {
        60_000_000: (2.0, 3.0, 1.0, 1.5, 6.5, 4)
    }


def test_a_window_has_the_mean_and_the_sample_deviation_of_its_prices() -> None:
    row = recomputed(WINDOWS, [sums(0, [2.0, 4.0], [1, 1])])[0]
    assert row == (30_000_000, 3.0, 2.0, 4.0, 2.0, 2, sqrt(2.0))


def test_the_deviation_of_a_single_trade_is_unknown() -> None:
    assert recomputed(WINDOWS, [sums(0, [2.0], [1])])[0][-1] is None


@given(st.lists(st.integers(1, 10**7), min_size=2, max_size=50))
def test_the_exact_deviation_is_that_of_the_statistics_module(cents: list[int]) -> None:
    prices = [cent / 100 for cent in cents]
    found = recomputed(WINDOWS, [sums(0, prices, [1.0] * len(prices))])[0][-1]
    assert found is not None
    assert abs(found - stdev(prices)) <= 1e-7


def test_the_running_mean_goes_on_over_windows() -> None:
    rows = recomputed(PRICE_VOLUME, [sums(0, [10.0], [1]), sums(15_000_000, [20.0, 30.0], [1, 1])])
    assert rows == {0: (10.0, 10.0, 1), 15_000_000: (25.0, 20.0, 2)}


@given(st.sampled_from(DERIVED), st.integers(0, 3))
def test_windows_that_are_absent_strange_or_different_are_named(derived: object, place: int) -> None:
    table = next(each for each in DERIVED if each is derived)
    expected = dict(recomputed(table, [sums(number * 60_000_000, [1.0, 2.0], [1, 1]) for number in range(4)]))
    start = sorted(expected)[place]
    missing = {key: row for key, row in expected.items() if key != start}
    assert different_windows(expected, missing) == [start]
    assert described(table, expected[start], None) == "is not there"
    assert different_windows(missing, expected) == [start]
    assert described(table, None, expected[start]) == "has no trades"
    wrong = expected | {start: (*expected[start][:-1], 7)}
    assert different_windows(expected, wrong) == [start]
    assert table.columns[-1] in described(table, expected[start], wrong[start])
    assert different_windows(expected, dict(expected)) == []


def test_windows_whose_trades_may_have_expired_are_left_out() -> None:
    rows = recomputed(CANDLES, [sums(0, [1.0], [1]), sums(60_000_000, [1.0], [1])])
    assert list(since(rows, 60_000_000)) == [60_000_000]
    assert since(rows, None) == rows
