"""Decision records are numbered and complete."""

import re
from pathlib import Path

import pytest

DECISIONS = sorted((Path(__file__).resolve().parents[2] / "docs/adr").glob("*.md"))


def test_records_are_numbered_without_gap() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("record", DECISIONS, ids=[path.stem for path in DECISIONS])
def test_a_record_has_its_number_a_status_and_its_parts(record: Path) -> None:
    text = record.read_text()
    assert text.startswith(f"# {int(record.name[:4])}. ")
    assert re.search(r"^Status: (proposed|accepted|superseded by ADR \d+)$", text, flags=re.MULTILINE)
    parts = re.findall(r"^## (.+)\n+(?!#)\S", text, flags=re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences"], "each part stands once, in this order, and says something"
