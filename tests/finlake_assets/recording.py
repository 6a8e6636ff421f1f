"""A lake that does nothing and remembers what it was asked to do, behind the real resource's verbs."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from importlib import import_module
from inspect import isclass
from typing import Any, cast, get_type_hints

from finlake_clients.lake_client import UpkeepAction
from finlake_clients.price_ledgers import DownloadVerdict, PendingRestatement
from finlake_resources.resources import LakeResource
from spark.contracts import lake
from spark.contracts.job_inputs import GdeltGkgInputs
from spark.contracts.report import BarGap, CheckOutcome, JobReport, OffsetRange, Provenance, TableReport, Window
from spark.contracts.table import JobInputs
from spark.contracts.universe import Universe


@dataclass(frozen=True, kw_only=True)
class Call:
    """One job that was run."""

    job: str
    window: Window
    provenance: Provenance
    inputs: Any


@dataclass(kw_only=True)
class LakeLog:
    """What the fake answers, and what it was asked."""

    calls: list[Call] = field(default_factory=list)
    checked: list[tuple[str, Window | None]] = field(default_factory=list)
    tidied: list[tuple[str, str]] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    reports: dict[str, JobReport] = field(default_factory=dict)
    failing_checks: dict[str, int] = field(default_factory=dict)
    known_sessions: dict[str, date] = field(default_factory=dict)
    slots: dict[date, set[datetime]] = field(default_factory=dict)
    pending: list[PendingRestatement] = field(default_factory=list)
    newest_dates: dict[str, date] = field(default_factory=dict)
    rows: dict[str, list[dict[str, date | int]]] = field(default_factory=dict)
    read: list[tuple[str, Window | None]] = field(default_factory=list)
    positions: dict[str, dict[tuple[str, int], int]] = field(default_factory=dict)
    gaps: dict[str, list[OffsetRange]] = field(default_factory=dict)
    verdicts: list[DownloadVerdict] = field(default_factory=list)
    jumps: list[dict[str, str]] = field(default_factory=list)
    stale_tails: list[dict[str, str]] = field(default_factory=list)
    judged_count: int | None = None
    bar_gaps: list[BarGap] = field(default_factory=list)
    empty_sessions: list[date] = field(default_factory=list)

    def call(self, job: str) -> Call:
        """The only call of a job."""
        (found,) = [call for call in self.calls if call.job == job]
        return found


def outcomes(address: str, failing: Mapping[str, int]) -> tuple[CheckOutcome, ...]:
    """Every check of a contract, those in `failing` with that many rows."""
    table = lake.table(address)
    severities = {"grain_is_unique": "error", "required_columns_present": "error"}
    severities |= {check.name: check.severity for check in table.checks}
    return tuple(
        CheckOutcome(
            name=name,
            severity="warn" if severity == "warn" else "error",
            why=f"because of {name}",
            failing_count=failing.get(f"{address} {name}", 0),
            samples=({"ticker": "AAPL", "row": "bad"},) if failing.get(f"{address} {name}") else (),
        )
        for name, severity in severities.items()
    )


def report_of(address: str, window: Window, failing: Mapping[str, int] | None = None) -> TableReport:
    """A published write of five rows on the first and the last date of the window."""
    return TableReport(
        address=address,
        row_count=10,
        row_count_by_date={window.start.isoformat(): 5, window.end.isoformat(): 5},
        snapshot_id=9_007_199_254_740_993,
        previous_snapshot_id=41,
        window=window,
        checks=outcomes(address, failing or {}),
    )


def require_its_job_takes(inputs: JobInputs) -> None:
    """Fail unless the job of these inputs says that it takes them: its module is found by name, which mypy cannot follow."""
    job = import_module(f"spark.jobs.{inputs.table.address}")
    (taken,) = [hint for hint in get_type_hints(job.run).values() if isclass(hint) and issubclass(hint, JobInputs)]
    assert type(inputs) is taken, f"the job of {inputs.table.address} takes {taken.__name__}, not {type(inputs).__name__}"


def recording_jobs(log: LakeLog) -> LakeResource:
    """The resource whose every verb writes to, and answers from, the log."""

    class RecordingJobs(LakeResource):
        def run(self, inputs: JobInputs, *, window: Window, provenance: Provenance) -> JobReport:
            require_its_job_takes(inputs)
            if isinstance(inputs, GdeltGkgInputs):
                inputs = GdeltGkgInputs(slots=list(inputs.slots), universe=inputs.universe)
            job = inputs.table.address
            log.calls.append(Call(job=job, window=window, provenance=provenance, inputs=inputs))
            if job in log.failures:
                raise log.failures[job]
            if job in log.reports:
                return log.reports[job]
            return JobReport(
                tables=tuple(report_of(each.address, window) for each in lake.written_by(job)),
                input_snapshots={address: 7 for address in lake.table(job).input_addresses},
            )

        def check(self, address: str, window: Window | None = None) -> tuple[CheckOutcome, ...]:
            log.checked.append((address, window))
            return tuple(replace(outcome, judged_count=log.judged_count) for outcome in outcomes(address, log.failing_checks))

        def newest(self, address: str) -> date | None:
            return log.newest_dates.get(address)

        def bar_gaps(self, now: datetime, window: Window | None = None) -> list[BarGap]:
            log.read.append(("silver.completeness", window))
            return log.bar_gaps

        def empty_sessions(self, now: datetime, window: Window | None = None) -> tuple[list[date], int]:
            return log.empty_sessions, len(log.empty_sessions)

        def archive_positions(self, address: str) -> dict[tuple[str, int], int]:
            return log.positions.get(address, {})

        def offset_gaps(self, address: str) -> list[OffsetRange]:
            return log.gaps.get(address, [])

        def loaded_slots(self, day: date, universe: Universe) -> set[datetime]:
            return log.slots.get(day, set())

        def known_spans(self, symbols: Collection[str]) -> dict[str, tuple[date, date]]:
            return {ticker: (date.min, day) for ticker, day in log.known_sessions.items() if ticker in symbols}

        def price_verdicts(self) -> list[DownloadVerdict]:
            return log.verdicts

        def price_jumps(self, window: Window | None) -> list[dict[str, str]]:
            log.read.append(("silver.prices_daily", window))
            return log.jumps

        def stale_tails(self, window: Window | None) -> list[dict[str, str]]:
            log.read.append(("silver.prices_daily", window))
            return log.stale_tails

        def pending_restatements(self) -> list[PendingRestatement]:
            return log.pending

        def shown_span(self, first: date, last: date) -> tuple[date, date]:
            return first, max([last, *log.newest_dates.values()])

        def upkeep(self, action: UpkeepAction, address: str) -> Mapping[str, int]:
            log.tidied.append((action, address))
            if address in log.failures:
                raise log.failures[address]
            return {"files": 2}

        def count_by_date(
            self,
            address: str,
            date_column: str,
            measure: str | None = None,
            window: Window | None = None,
        ) -> dict[date, int]:
            log.read.append((address, window))
            totals = Counter[date]()
            for row in log.rows.get(address, []):
                totals[cast(date, row[date_column])] += cast(int, row[measure]) if measure else 1
            return dict(totals)

    return RecordingJobs(catalog_uri="-", catalog_password_file="-", warehouse="-", spark_remote="-")
