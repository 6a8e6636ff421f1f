"""The batch benchmark's own arithmetic, and the comparison that needs no lake."""

import pytest

from finlake_proofs.bench import gkg_parsing
from finlake_proofs.bench.batch import FULL, step_ratios


def test_the_full_sizes_are_those_the_targets_are_stated_for() -> None:
    assert (FULL.long_years, FULL.short_years, FULL.increment_tickers) == (20, 2, 50)
    assert (FULL.indicator_years, FULL.indicator_tickers) == (5, 500)


def test_a_step_is_compared_pair_by_pair() -> None:
    long = [{"gold.indicators": 1.0}, {"gold.indicators": 30.0}, {"gold.indicators": 3.0}]
    short = [{"gold.indicators": 1.0}, {"gold.indicators": 20.0}, {"gold.indicators": 1.0}]
    assert step_ratios(long, short) == ("gold.indicators: 3 s / 1 s = 1.50",)


def test_parsing_is_compared_with_unzipping_on_the_real_slot() -> None:
    comparison = gkg_parsing.compare(pair_count=2, target_ratio=3.0)
    assert len(comparison.measured_s) == len(comparison.baseline_s) == 2
    assert comparison.ratio > 0
    assert "MB" in comparison.name


def test_the_slot_is_unzipped_whole() -> None:
    content = gkg_parsing.unzipped(gkg_parsing.SLOT.read_bytes())
    assert content.count(b"\n") == pytest.approx(951, abs=1)
