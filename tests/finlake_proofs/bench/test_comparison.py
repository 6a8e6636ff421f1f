"""How pairs of measurements become a ratio and a line for people."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from finlake_proofs.bench.comparison import Comparison, results_table, seconds

durations = st.floats(min_value=1e-3, max_value=1e3)


def comparison(measured_s: tuple[float, ...], baseline_s: tuple[float, ...], target_ratio: float = 1.3) -> Comparison:
    return Comparison(
        name="increment",
        measured="20 years",
        baseline="2 years",
        measured_s=measured_s,
        baseline_s=baseline_s,
        target_ratio=target_ratio,
    )


def printed(*comparisons: Comparison) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(results_table(comparisons, core_count=2))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_ratio_is_the_median_of_the_pairs_ratios() -> None:
    # The ratio of the medians would be 3: one slow spell that hit both sides of a pair must not count.
    assert comparison((1.0, 30.0, 3.0), (1.0, 20.0, 1.0)).ratio == 1.5


@given(st.lists(st.tuples(durations, st.floats(min_value=0.1, max_value=10)), min_size=1, max_size=9))
def test_a_machine_that_is_slower_for_a_pair_does_not_change_the_ratio(pairs: list[tuple[float, float]]) -> None:
    steady = comparison((2.0,) * len(pairs), (1.0,) * len(pairs))
    disturbed = comparison(tuple(2 * slowness for _, slowness in pairs), tuple(slowness for _, slowness in pairs))
    assert disturbed.ratio == pytest.approx(steady.ratio)


def test_a_ratio_exactly_at_its_target_meets_it() -> None:
    assert comparison((1.5,), (1.0,), target_ratio=1.5).is_met
    assert not comparison((1.51,), (1.0,), target_ratio=1.5).is_met


@pytest.mark.parametrize(("measured_s", "baseline_s"), [((), ()), ((1.0, 2.0), (1.0,))])
def test_measurements_without_a_partner_are_refused(
    measured_s: tuple[float, ...],
    baseline_s: tuple[float, ...],
) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        comparison(measured_s, baseline_s)


def test_the_table_shows_ratio_target_seconds_and_cores() -> None:
    shown = printed(comparison((3.0, 3.0), (2.0, 2.0)))
    for expected in ("1.50", "≤ 1.3", "3 s", "2 s", "20 years", "2 years", "2 cores"):
        assert expected in shown


@pytest.mark.parametrize(("value", "text"), [(12.345, "12.3 s"), (1.0, "1 s"), (0.0425, "42.5 ms")])
def test_durations_are_shown_with_three_digits(value: float, text: str) -> None:
    assert seconds(value) == text
