"""Pairs made by the vendor's rule: restatements are taken, unchanged files stay consistent, faults publish no wrong value."""

import pytest

from deploy.restated_prices import DOCUMENT, KINDS, SEQUENCES, Kind, document, healed, outcome

SHORT = [kind for kind in KINDS if kind.span[1] <= 2_000]


@pytest.mark.parametrize("kind", SHORT, ids=lambda kind: kind.name)
def test_a_kind_of_pair_has_the_verdict_of_its_kind(kind: Kind) -> None:
    found = outcome(kind, pairs=3)
    assert found.wrong == 0
    if kind.name.startswith("unchanged"):
        assert set(found.verdicts) == {"consistent"}
    elif not kind.is_fault:
        assert set(found.verdicts) == {"restated"}


@pytest.mark.parametrize("kind", SEQUENCES, ids=lambda kind: kind.name)
def test_faulty_new_bars_are_healed_by_two_good_downloads(kind: Kind) -> None:
    assert healed(kind, sequences=2)[-1] == 0


@pytest.mark.long
def test_the_document_of_all_pairs_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run python -m deploy.restated_prices"
