"""What may be wrong with a file, or corrected in it, as changes of its bars."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from finlake_proofs.restated_prices.pairs import Fault, Kind, pair
from spark.contracts.bronze import BAR_COLUMNS
from spark.transforms.silver.adjustments import PRICES


def multiplied(positions: Sequence[int], factor: float, names: Sequence[str] = PRICES) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A change of the bars at these positions."""

    def change(bars: pl.DataFrame) -> pl.DataFrame:
        here = pl.int_range(pl.len()).is_in(list(positions))
        return bars.with_columns(pl.when(here).then(pl.col(name) * factor).otherwise(pl.col(name)) for name in names)

    return change


def corrected(fewest: int, most: int) -> Fault:
    """The vendor corrects the high of some bars."""

    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        count = int(random.integers(fewest, most, endpoint=True))
        positions = random.choice(np.arange(2, known_count - 3, 4), count, replace=False).tolist()
        return multiplied(positions, float(random.uniform(1.005, 1.02)), ["high_usd"])(bars)

    return change


def one_bar(factor: float, names: Sequence[str] = PRICES) -> Fault:
    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        return multiplied([int(random.integers(1, known_count - 2))], factor, names)(bars)

    return change


def stretch(factor: float, count: int) -> Fault:
    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        first = (0, int(random.integers(1, known_count - count)), known_count - count)[int(random.integers(3))]
        return multiplied(range(first, first + count), factor)(bars)

    return change


def first(factor: float) -> Fault:
    """The earliest 3 to 20 bars at another level."""

    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        return multiplied(range(int(random.integers(3, 20, endpoint=True))), factor)(bars)

    return change


def split_of_nothing(factor: float) -> Fault:
    """Prices and volume before some known session as after a split, where no known price ever jumped."""

    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        before = range(int(random.integers(known_count // 4, known_count - 5)))
        return multiplied(before, 1 / factor, ["volume_shares"])(multiplied(before, factor)(bars))

    return change


def missing(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    lost = int(random.integers(1, known_count - 2))
    return bars.filter(pl.int_range(pl.len()) != lost)


def shifted(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    return bars.with_columns(pl.col(name).shift(1).fill_null(strategy="backward") for name in BAR_COLUMNS)


def swapped(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    return bars.with_columns(open_usd=pl.col("close_usd"), close_usd=pl.col("open_usd"))


def another_company(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    begin = int(random.integers(known_count // 4, known_count - 10))
    other = pair(Kind(name="unchanged"), int(random.integers(1_000, 2_000))).newer.head(bars.height - begin)
    return pl.concat([bars[:begin], other.with_columns(bars["session_date"][begin : begin + other.height])])


def unfinished(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    """Of the newer file's view, the older file's last bar was not over: the day went on by up to half a percent."""
    last = pl.int_range(pl.len()) == known_count - 1
    move = float(random.uniform(1.001, 1.005))
    return bars.with_columns(
        high_usd=pl.when(last).then(pl.max_horizontal("high_usd", pl.col("close_usd") * move)).otherwise("high_usd"),
        close_usd=pl.when(last).then(pl.col("close_usd") * move).otherwise("close_usd"),
        volume_shares=pl.when(last).then(pl.col("volume_shares") * 3).otherwise("volume_shares"),
    )


def new_bars(factor: float, where: str) -> Fault:
    """Some of the new bars at another price level: the first, one within, the last, three within, or all from the third on."""

    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        within = int(random.integers(known_count + 1, bars.height - 4))
        positions = {
            "the first": range(known_count, known_count + 1),
            "one within": range(within, within + 1),
            "the last": range(bars.height - 1, bars.height),
            "three within": range(within, within + 3),
            "all from the third on": range(known_count + 2, bars.height),
        }[where]
        return multiplied(positions, factor)(bars)

    return change


def another_company_after(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    other = pair(Kind(name="unchanged"), int(random.integers(1_000, 2_000))).newer.head(bars.height - known_count)
    return pl.concat([bars[:known_count], other.with_columns(bars["session_date"][known_count : known_count + other.height])])
