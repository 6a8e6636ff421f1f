"""What a job says when it is done: counts, snapshots, checks. Standard library only, so that every room can read it."""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from spark.contracts.table import Severity


@dataclass(frozen=True, kw_only=True)
class Window:
    """Dates a job replaces, both inclusive."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"window ends ({self.end}) before it starts ({self.start}); swap the dates")

    @property
    def days(self) -> list[date]:
        """Every calendar day, oldest first."""
        return [self.start + timedelta(days=number) for number in range((self.end - self.start).days + 1)]

    @property
    def whole_months(self) -> "Window":
        """From the first day of the first month to the last day of the last one."""
        last_day = monthrange(self.end.year, self.end.month)[1]
        return Window(start=self.start.replace(day=1), end=self.end.replace(day=last_day))


@dataclass(frozen=True, kw_only=True, order=True)
class OffsetRange:
    """Records of a topic's partition from offset `first` up to `end`, which is not part of it."""

    topic: str
    partition: int
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}@{self.first}-{self.end}"


Positions = Mapping[tuple[str, int], int]
"""By topic and partition, the offset before which everything is there."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who writes: the Dagster run and partition (or a label such as `bench`) and the code version, kept in every snapshot.

    `step` tells the writers of one run apart: each is tried again on its own, and then tidies up after its last attempt. Empty:
    there may be others of the same run beside it.
    """

    run_id: str
    partition: str
    code_version: str
    step: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckOutcome:
    """Result of one contract check over the written rows; `samples` are offending rows as text, at most ten.

    `judged_count` is how many rows were looked at; None where that was not counted.
    """

    name: str
    severity: Severity
    failing_count: int
    why: str
    samples: tuple[Mapping[str, str], ...] = ()
    judged_count: int | None = None

    @property
    def passed(self) -> bool:
        """True when no row failed."""
        return self.failing_count == 0


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """What happened to one table: rows now in the window, by date where dated, snapshots, checks."""

    address: str
    row_count: int
    row_count_by_date: Mapping[str, int] = field(default_factory=dict)
    snapshot_id: int | None = None
    previous_snapshot_id: int | None = None
    is_changed: bool = True
    window: Window | None = None
    checks: tuple[CheckOutcome, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """What a job did: its tables, rows rejected (with samples), the input snapshots it read, remarks for people."""

    tables: tuple[TableReport, ...]
    quarantined_count: int = 0
    quarantine_samples: tuple[Mapping[str, str], ...] = ()
    input_snapshots: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    recompute_from: Mapping[str, date] = field(default_factory=dict)

    def table(self, address: str) -> TableReport:
        """The report of one table; raises `KeyError` when the job did not write it."""
        for report in self.tables:
            if report.address == address:
                return report
        raise KeyError(f"the job wrote {', '.join(r.address for r in self.tables)}, not {address}")


@dataclass(frozen=True, kw_only=True)
class BarGap:
    """Bars of a ticker that are not as expected, for one reason, between two dates.

    `state`: not_due, late or missing (as of a moment) for a bar that is expected and absent; unexpected for one too many.
    """

    ticker: str
    state: str
    reason: str
    message: str
    first_date: date
    last_date: date
    count: int


@dataclass(frozen=True, kw_only=True)
class Shortfall:
    """Something that was asked for and is not there as it should be: `count` rows, bars, slots or files, and why.

    `kind`: rejected, quarantined, not_due, late, missing or unexpected. `subject` is a ticker, or what else it is about.
    """

    kind: str
    address: str
    subject: str
    first_date: date
    last_date: date
    count: int
    reason: str
    message: str


class AuditFailedError(Exception):
    """A blocking check failed on the audit branch: nothing was published, `main` is as it was, the branch is kept."""

    def __init__(self, report: TableReport, branch: str) -> None:
        self.report = report
        self.branch = branch
        failed = [check for check in report.checks if not check.passed and check.severity == "error"]
        rows = "; ".join(
            f"{check.name} ({check.why}): {check.failing_count} rows, e.g. "
            + " | ".join(", ".join(f"{k}={v}" for k, v in sample.items()) for sample in check.samples[:3])
            for check in failed
        )
        super().__init__(
            f"{report.address}: nothing was published because blocking checks failed: {rows}. "
            f"The rows are on branch {branch}; mend the source or the contract and run the window again."
        )


class PublishConflictError(Exception):
    """`main` moved while a branch was being audited; the write is repeated on top of the new `main`."""
