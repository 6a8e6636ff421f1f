"""Pairs of downloads of one ticker: an older one, and a newer one after what happened between them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl

from finlake_proofs.restated_prices.vendor import PrintingVendor, adjusted, as_traded
from spark.contracts.bronze import BAR_COLUMNS

QUARTER = 63
Fault = Callable[[pl.DataFrame, int, np.random.Generator], pl.DataFrame]
"""The bars of the newer file, the count of known ones and a source of chance: the bars as the file has them."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of pair. `gap` sessions lie between the downloads; events count sessions from the older one's end.

    `neighbours` are factors applied late on sessions of the older file that follow one another; None is some dividend.
    """

    name: str
    is_fault: bool = False
    span: tuple[int, int] = (250, 2_000)
    level: tuple[float, float] = (5.0, 500.0)
    gap: tuple[int, int] = (5, 60)
    dividends: tuple[int, int] = (0, 0)
    late_dividends: tuple[int, int] = (0, 0)
    others: tuple[float, ...] = ()
    neighbours: tuple[float | None, ...] = ()
    change: Fault | None = None
    is_sequence: bool = False
    vendors: tuple[PrintingVendor, ...] = (PrintingVendor(), PrintingVendor(scales_volume=False), PrintingVendor(digits="four"))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two downloads of one ticker, the newer one as it would be without its fault, and all bars as quoted on their days."""

    older: pl.DataFrame
    newer: pl.DataFrame
    truth: pl.DataFrame
    quoted: pl.DataFrame
    is_fault: bool


@cache
def dates(count: int) -> tuple[date, ...]:
    """So many weekdays; which of them are sessions does not matter here."""
    start = date(1985, 1, 1)
    return tuple(day for day in (start + timedelta(days=n) for n in range(count * 7 // 5 + 7)) if day.weekday() < 5)[:count]


def pair(kind: Kind, seed: int) -> Pair:
    """A pair of a kind; the same for the same seed on every machine."""
    random = np.random.default_rng(seed)
    vendor = kind.vendors[seed % len(kind.vendors)]
    known_count, gap = int(random.integers(*kind.span, endpoint=True)), int(random.integers(*kind.gap, endpoint=True))
    count = int(random.integers(*kind.dividends, endpoint=True))
    late = int(random.integers(*kind.late_dividends, endpoint=True))
    gap = max(gap, count * QUARTER)
    between = sorted(random.choice(np.arange(gap * 3 // 4 if kind.is_sequence else 1, gap), count, replace=False).tolist())
    events = [(known_count + position, 1 - float(random.uniform(0.0005, 0.012))) for position in between]
    events += [(known_count + int(random.integers(1, gap)), factor) for factor in kind.others]
    unapplied = [(known_count - 5 - QUARTER * number, 1 - float(random.uniform(0.001, 0.012))) for number in range(late)]
    if kind.neighbours:
        first = int(random.integers(30, known_count - len(kind.neighbours) - 3))
        unapplied += [
            (first + number, factor or 1 - float(random.uniform(0.002, 0.012))) for number, factor in enumerate(kind.neighbours)
        ]
    splits = (*kind.others, *(factor for factor in kind.neighbours if factor is not None))
    level = float(np.exp(random.uniform(*np.log(kind.level))))
    bars = as_traded(random, known_count + gap, level, splits, [*unapplied, *events], vendor)
    older = _frame(bars[:known_count])
    truth = newer = _frame(adjusted(bars, [*unapplied, *events], vendor, splits))
    if kind.change is not None:
        newer = kind.change(newer, known_count, random)
    return Pair(older=older, newer=newer, truth=truth if kind.is_fault else newer, quoted=_frame(bars), is_fault=kind.is_fault)


def _frame(bars: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"session_date": dates(len(bars)), **{name: bars[:, number] for number, name in enumerate(BAR_COLUMNS)}})
