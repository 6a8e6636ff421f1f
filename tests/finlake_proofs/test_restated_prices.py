"""Pairs made by the vendor's rule: restatements are taken, unchanged files stay consistent, faults publish no wrong value."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finlake_proofs.restated_prices.__main__ import DOCUMENT, document
from finlake_proofs.restated_prices.kinds import KINDS, SEQUENCES
from finlake_proofs.restated_prices.outcomes import healed, outcome
from finlake_proofs.restated_prices.pairs import Kind
from finlake_proofs.restated_prices.vendor import PrintingVendor

SHORT = [kind for kind in KINDS if kind.span[1] <= 2_000]


@pytest.mark.parametrize("kind", SHORT, ids=lambda kind: kind.name)
def test_a_kind_of_pair_has_the_verdict_of_its_kind(kind: Kind) -> None:
    found = outcome(kind, pairs=3)
    assert found.wrong == 0
    if kind.name.startswith("unchanged"):
        assert set(found.verdicts) == {"consistent"}
    elif not kind.is_fault:
        assert set(found.verdicts) == {"restated"}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    level=st.sampled_from([0.03, 0.3, 1.5, 4.0, 12.0, 40.0, 250.0]),
    digits=st.sampled_from(["six", "four"]),
    scales_volume=st.booleans(),
    seed=st.integers(0, 10_000).map(lambda n: n * 3),
    late=st.lists(st.one_of(st.none(), st.sampled_from([1 / 2, 2 / 3, 1 / 10, 4.0])), min_size=1, max_size=4),
)
@example(level=1.5, digits="six", scales_volume=False, seed=3, late=[4.0, 4.0, 4.0, 4.0])
def test_whatever_is_applied_late_on_neighbouring_days_is_a_restatement(
    level: float,
    digits: str,
    seed: int,
    late: list[float | None],
    *,
    scales_volume: bool,
) -> None:
    kind = Kind(
        name="late",
        level=(level, level),
        span=(250, 700),
        neighbours=tuple(late),
        vendors=(PrintingVendor(digits=digits, scales_volume=scales_volume),),
    )
    found = outcome(kind, pairs=1, first_seed=seed)
    # Of cheap shares a small dividend is within the rounding.
    assert set(found.verdicts) <= {"restated", "consistent"}
    assert found.wrong == 0


@pytest.mark.parametrize("kind", SEQUENCES, ids=lambda kind: kind.name)
def test_faulty_new_bars_are_healed_by_the_first_good_download(kind: Kind) -> None:
    _, after_one, after_two = healed(kind, sequences=2)
    assert after_two == 0
    # Another company's bars may go on near the known level, so that nothing jumps.
    assert after_one == 0 or kind.name.startswith("another company")


@pytest.mark.long
def test_the_document_of_all_pairs_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run python -m finlake_proofs.restated_prices"
