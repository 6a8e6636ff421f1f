"""Which rows differ between what is expected and what was found. Pure: ids and numbers in, findings out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from finlake_reconciliation.buckets import Bucket, Buckets, Content

SHOWN_IDS = 20

Rows = Mapping[str, Sequence[Content]]
"""Rows by id, each as often as it is there."""


@dataclass(frozen=True, kw_only=True)
class Ids:
    """Some ids, of which the first are named."""

    count: int = 0
    first: tuple[str, ...] = ()

    def __add__(self, other: "Ids") -> "Ids":
        return Ids(count=self.count + other.count, first=(*self.first, *other.first)[:SHOWN_IDS])


@dataclass(frozen=True, kw_only=True)
class RowDifferences:
    """How found rows differ from the expected ones, by id.

    `missing`: expected and not found. `doubled`: found more often than expected. `unexpected`: found though nothing of that
    id is expected. `changed`: found as often as expected, with other numbers. `explained`: differences of ids of which
    the stream itself says that Postgres has deleted or updated them; no fault.
    """

    missing: Ids = Ids()
    doubled: Ids = Ids()
    unexpected: Ids = Ids()
    changed: Ids = Ids()
    explained: Ids = Ids()

    def __add__(self, other: "RowDifferences") -> "RowDifferences":
        return RowDifferences(
            missing=self.missing + other.missing,
            doubled=self.doubled + other.doubled,
            unexpected=self.unexpected + other.unexpected,
            changed=self.changed + other.changed,
            explained=self.explained + other.explained,
        )

    @property
    def faults(self) -> Mapping[str, Ids]:
        """Every kind of fault by its name."""
        return {"missing": self.missing, "doubled": self.doubled, "unexpected": self.unexpected, "changed": self.changed}

    @property
    def fault_count(self) -> int:
        """Ids that are at fault in any way."""
        return sum(ids.count for ids in self.faults.values())


def different_buckets(expected: Buckets, found: Buckets) -> list[Bucket]:
    """Buckets whose sums differ, those of one side alone included, in order."""
    return sorted(bucket for bucket in expected.keys() | found.keys() if expected.get(bucket) != found.get(bucket))


def compare_rows(expected: Rows, found: Rows, explained: Collection[str] = ()) -> RowDifferences:
    """Differences of rows; ids in `explained` are counted apart."""
    kinds: dict[str, list[str]] = {"missing": [], "doubled": [], "unexpected": [], "changed": [], "explained": []}
    for row_id in sorted(expected.keys() | found.keys()):
        kind = _kind(expected.get(row_id, ()), found.get(row_id, ()))
        if kind is not None:
            kinds["explained" if row_id in explained else kind].append(row_id)
    return RowDifferences(**{kind: Ids(count=len(ids), first=tuple(ids[:SHOWN_IDS])) for kind, ids in kinds.items()})


def _kind(expected: Sequence[Content], found: Sequence[Content]) -> str | None:
    if len(found) < len(expected):
        return "missing"
    if len(found) > len(expected):
        return "doubled" if expected else "unexpected"
    return "changed" if sorted(expected) != sorted(found) else None
