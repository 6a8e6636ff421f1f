"""Leaps of published prices: faults of a file are found, what markets and splits do is not."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from spark.transforms.silver.price_jumps import stale_tails, unexplained_jumps

SESSIONS = [date(2024, 1, 1) + timedelta(days=n) for n in range(300)]
PRICES = ("open_usd", "high_usd", "low_usd", "close_usd")


def bars(seed: int = 1, volatility: float = 0.02) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(random.normal(0, volatility, len(SESSIONS))))
    opened = np.r_[close[0], close[:-1]] * np.exp(random.normal(0, volatility / 3, len(SESSIONS)))
    return pl.DataFrame(
        {
            "ticker": ["SYN"] * len(SESSIONS),
            "session_date": SESSIONS,
            "open_usd": opened,
            "high_usd": np.maximum(opened, close) * 1.004,
            "low_usd": np.minimum(opened, close) * 0.996,
            "close_usd": close,
            "volume_shares": np.exp(random.normal(14, 0.4, len(SESSIONS))),
            "file_sha256": ["a" * 64] * len(SESSIONS),
        }
    )


def scaled(frame: pl.DataFrame, first: int, count: int, prices: float, volume: float = 1.0) -> pl.DataFrame:
    here = pl.int_range(pl.len()).is_between(first, first + count - 1)
    return frame.with_columns(
        *(pl.when(here).then(pl.col(name) * prices).otherwise(name) for name in PRICES),
        volume_shares=pl.when(here).then(pl.col("volume_shares") * volume).otherwise("volume_shares"),
    )


@pytest.mark.parametrize("factor", [100.0, 0.01, 2.0, 0.5])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_stretch_on_another_level_is_found_with_its_file(count: int, factor: float) -> None:
    (found,) = unexplained_jumps(scaled(bars(), 100, count, factor))
    assert (found["ticker"], found["file_sha256"]) == ("SYN", "a" * 64)
    assert (found["first_session"], found["last_session"]) == (str(SESSIONS[100]), str(SESSIONS[99 + count]))


@pytest.mark.parametrize("seed", range(20))
def test_wild_but_continuous_prices_are_no_jump(seed: int) -> None:
    assert unexplained_jumps(bars(seed, volatility=0.08)) == []


def test_a_crash_that_stays_is_no_fault() -> None:
    assert unexplained_jumps(scaled(bars(), 100, 200, 0.2)) == []


def test_a_squeeze_that_returns_trades_many_times_its_usual_volume() -> None:
    assert (
        unexplained_jumps(
            scaled(bars(), 100, 2, 2.3, volume=8.0).with_columns(
                # The day on which it falls back is as busy.
                volume_shares=pl.when(pl.int_range(pl.len()) == 102).then(pl.col("volume_shares") * 8).otherwise("volume_shares"),
            )
        )
        == []
    )


def test_a_reverse_split_and_a_split_months_later_are_no_stretch() -> None:
    assert unexplained_jumps(scaled(bars(), 100, 80, 10.0)) == []


def test_tickers_are_looked_at_apart() -> None:
    other = bars(2).with_columns(ticker=pl.lit("OTHER"), close_usd=pl.col("close_usd") * 40)
    assert unexplained_jumps(pl.concat([bars(), other.with_columns(pl.col(PRICES) * 1.0)])) == []
    assert unexplained_jumps(bars().head(0)) == []


@pytest.mark.parametrize("price", [1e-320, 1e-300, 1e301])
@pytest.mark.filterwarnings("error")
def test_a_price_too_small_or_too_large_for_a_ratio_is_a_leap_all_the_same(price: float) -> None:
    here = pl.int_range(pl.len()) == 100
    absurd = bars().with_columns(pl.when(here).then(price).otherwise(pl.col(name)).alias(name) for name in PRICES)
    (found,) = unexplained_jumps(absurd)
    assert found["first_session"] == found["last_session"] == str(SESSIONS[100])
    assert found["factor"] not in ("inf", "nan", "0")


def repeated(frame: pl.DataFrame, last: int, volume: float = 0.0) -> pl.DataFrame:
    """The last bars at one price with this volume."""
    here = pl.int_range(pl.len()) >= pl.len() - last
    return frame.with_columns(
        *(pl.when(here).then(50.0).otherwise(pl.col(name)).alias(name) for name in PRICES),
        volume_shares=pl.when(here).then(volume).otherwise("volume_shares"),
    )


@pytest.mark.parametrize(("count", "volume", "is_stale"), [(4, 0.0, True), (3, 0.0, True), (2, 0.0, False), (4, 1.0, False)])
def test_newest_bars_that_repeat_one_price_without_volume_are_told(count: int, volume: float, *, is_stale: bool) -> None:
    other = bars(2).with_columns(ticker=pl.lit("OTHER"))
    found = stale_tails(pl.concat([repeated(bars(), count, volume), other]))
    assert [(each["ticker"], each["first_session"], each["last_session"], each["count"]) for each in found] == (
        [("SYN", str(SESSIONS[-count]), str(SESSIONS[-1]), str(count))] if is_stale else []
    )


def test_a_share_that_trades_again_has_no_stale_tail() -> None:
    assert stale_tails(pl.concat([repeated(bars()[:-1], 5), bars()[-1:]])) == []
    assert stale_tails(bars().head(0)) == []
