"""Latencies as a reader sees them: never less than they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_proofs.bench.newest_row import RowsNeverSeenError, Sight, quantile, waits_ms


def test_a_row_is_seen_with_the_first_answer_that_reaches_its_offset() -> None:
    sights = [Sight(1_000_000, 10), Sight(1_500_000, 12), Sight(2_000_000, 30)]
    assert waits_ms(sights, [(1, 999_000), (10, 999_000), (11, 1_000_000), (30, 1_900_000)]) == [1.0, 1.0, 500.0, 100.0]


def test_a_row_behind_the_last_answer_was_never_seen() -> None:
    with pytest.raises(RowsNeverSeenError, match="offset 11"):
        waits_ms([Sight(1_000_000, 10)], [(11, 0)])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_a_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) <= share * len(values)
