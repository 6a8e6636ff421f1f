"""What a comparison found, as records: per engine, per derived table, and in one line."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from finlake_reconciliation.comparison import Ids, RowDifferences

UNEQUAL_ROWS_PAGE = "docs/unequal-rows.md"
"""What somebody does about rows that no engine mends by itself."""


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """One engine's rows of one relation beside the rows of Postgres.

    `row_count` rows are in the engine itself; `behind_count` rows are still on their way to it, in the engine before it.
    `is_late` when the bounded wait for it ended first. `may_still_come`: Kafka itself is late, so that nobody can tell
    whether missing rows are lost.
    """

    engine: str
    relation: str
    row_count: int
    bucket_count: int
    behind_count: int = 0
    is_late: bool = False
    may_still_come: bool = False
    different_bucket_count: int = 0
    unexamined_bucket_count: int = 0
    differences: RowDifferences = RowDifferences()
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def fault_count(self) -> int:
        """Ids at fault; what may still come is no fault yet."""
        return sum(ids.count for ids in self.faulty.values())

    @property
    def faulty(self) -> Mapping[str, Ids]:
        """Ids at fault by kind."""
        return {
            kind: ids
            for kind, ids in self.differences.faults.items()
            if ids.count and not (self.may_still_come and kind == "missing")
        }

    @property
    def verdict(self) -> str:
        """`equal`, `equal, N to come`, `behind by N`, or what is wrong."""
        wrong = [f"{ids.count} {kind}" for kind, ids in self.faulty.items()]
        if self.unexamined_bucket_count:
            wrong.append(f"{self.unexamined_bucket_count} more groups differ")
        if wrong or self.faults:
            return "; ".join([", ".join(wrong), *self.faults] if wrong else self.faults)
        if self.is_late:
            return f"behind by {self.behind_count + (self.differences.missing.count if self.may_still_come else 0)}"
        return f"equal, {self.behind_count} to come" if self.behind_count else "equal"

    @property
    def is_wrong(self) -> bool:
        """Whether something is lost, doubled or otherwise not what Postgres holds."""
        return bool(self.fault_count or self.faults or self.unexamined_bucket_count)

    @property
    def is_proven(self) -> bool:
        """Whether nothing is wrong and nobody had to be given up waiting for."""
        return not self.is_wrong and not self.is_late


@dataclass(frozen=True, kw_only=True)
class DerivedReport:
    """A table of candles or windows beside its recomputation; `first` names windows that differ and how."""

    table: str
    window_count: int
    different_count: int
    moving_count: int
    first: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether every window that held still is what its trades make."""
        return self.different_count == 0


@dataclass(frozen=True, kw_only=True)
class DayReport:
    """A whole UTC day of a relation that is in the archive: proven now or before; `is_dropped` from Postgres."""

    relation: str
    day: date
    row_count: int
    is_dropped: bool


@dataclass(frozen=True, kw_only=True)
class ReconcileReport:
    """All of a comparison up to one LSN. `row_counts` are those of Postgres by relation."""

    lsn: int
    cut_ts: datetime
    row_counts: Mapping[str, int]
    engines: tuple[EngineReport, ...]
    derived: tuple[DerivedReport, ...]
    days: tuple[DayReport, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def lsn_text(self) -> str:
        """The LSN as Postgres writes it."""
        return f"{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"

    @property
    def is_proven(self) -> bool:
        """Whether all engines hold the same rows and all derived tables follow from them."""
        return not self.faults and all(each.is_proven for each in self.engines) and all(each.is_proven for each in self.derived)

    @property
    def lost_count(self) -> int:
        """Rows of Postgres that an engine should have and does not."""
        return sum(each.differences.missing.count for each in self.engines if not each.may_still_come)

    @property
    def doubled_count(self) -> int:
        """Rows that are somewhere more often than once."""
        return sum(each.differences.doubled.count for each in self.engines)

    @property
    def next_steps(self) -> tuple[str, ...]:
        """What mends the faults that no engine mends by itself."""
        changed = sorted({each.relation for each in self.engines if "changed" in each.faulty})
        return (
            *(f"{fault}: delete the wrong one of each, as {UNEQUAL_ROWS_PAGE} says" for fault in self.faults),
            *(
                f"changed rows of {relation}: Postgres's version counts; {UNEQUAL_ROWS_PAGE} says how the others are told of it"
                for relation in changed
            ),
        )

    @property
    def verdict(self) -> str:
        """One line for people."""
        rows = sum(self.row_counts.values())
        wrong = [f"{each.engine} {each.relation}: {each.verdict}" for each in self.engines if not each.is_proven]
        wrong += [f"{each.table}: {each.different_count} windows differ" for each in self.derived if not each.is_proven]
        wrong += self.faults
        head = f"{rows} rows up to LSN {self.lsn_text}: {self.lost_count} lost, {self.doubled_count} doubled"
        if wrong:
            return f"{head}; NOT EQUAL: {'; '.join(wrong)}"
        return f"{head}, candles and windows equal to a recomputation"
