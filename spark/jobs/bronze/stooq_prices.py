"""bronze.stooq_prices and bronze.stooq_downloads: files as they came, each content once."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, In

from spark.contracts import bronze
from spark.jobs.quarantine import quarantine
from spark.jobs.report import JobReport, Provenance, Window
from spark.schemas import arrow_schema
from spark.storage import Lake, between
from spark.transforms.bronze.stooq_prices import Parsed, parse
from spark.transforms.quarantine import rejected_rows

PRICES, DOWNLOADS = bronze.STOOQ_PRICES.address, bronze.STOOQ_DOWNLOADS.address


class SourceFile(Protocol):
    """A file of one ticker as a connector hands it over."""

    @property
    def ticker(self) -> str: ...
    @property
    def content(self) -> bytes: ...
    @property
    def sha256(self) -> str: ...
    @property
    def source_kind(self) -> str: ...
    @property
    def source_name(self) -> str: ...
    @property
    def fetched_ts(self) -> datetime: ...


class SourceProblem(Protocol):
    """Something a connector could not hand over; its text says what to do."""

    @property
    def subject(self) -> str: ...
    @property
    def reason(self) -> str: ...


def run(lake: Lake, window: Window, provenance: Provenance, *, files: Sequence[SourceFile],
        problems: Sequence[SourceProblem] = ()) -> JobReport:
    """Append the rows of every file whose content is new; remember it; quarantine what could not be read."""
    known = set(_known(lake))
    fresh = {(file.ticker, file.sha256): file for file in files if (file.ticker, file.sha256) not in known}
    parsed = {file: _parse(file) for file in sorted(fresh.values(), key=lambda f: (f.fetched_ts, f.ticker))}
    rows = pa.concat_tables([arrow_schema(bronze.STOOQ_PRICES).empty_table(), *(p.rows for p in parsed.values())])
    prices = lake.replace_rows(PRICES, rows, replaced=_of_files(rows), provenance=provenance)
    problem_rows = [_problem_row(problem, window) for problem in problems]
    rejected = pa.concat_tables([*(p.rejected for p in parsed.values()), rejected_rows(PRICES, problem_rows)])
    kept_out = quarantine(lake, rejected, source_table=PRICES, provenance=provenance,
                          replaced=In("source_name", sorted(set(rejected["source_name"].to_pylist())) or ["-"]))
    ledger = pa.Table.from_pylist([_ledger_row(file, p) for file, p in parsed.items()], arrow_schema(bronze.STOOQ_DOWNLOADS))
    downloads = lake.replace_rows(DOWNLOADS, ledger, provenance=provenance,
                                  replaced=In("file_sha256", sorted({f.sha256 for f in parsed}) or ["-"]))
    return JobReport(
        tables=(prices, downloads, kept_out.report), quarantined_count=kept_out.count,
        quarantine_samples=kept_out.samples,
        notes=(f"{len(parsed)} of {len(files)} files are new; {len(problems)} could not be obtained",),
    )


def _known(lake: Lake) -> Iterable[tuple[str, str]]:
    """Ticker and content hash of every file ingested so far."""
    ledger = lake.rows(DOWNLOADS, columns=("ticker", "file_sha256"))
    return zip(ledger["ticker"].to_pylist(), ledger["file_sha256"].to_pylist(), strict=True)


def _parse(file: SourceFile) -> Parsed:
    return parse(file.content, ticker=file.ticker, file_sha256=file.sha256, fetched_ts=file.fetched_ts,
                 source_name=file.source_name)


def _of_files(rows: pa.Table) -> BooleanExpression:
    """Rows of the same files left behind by a run that died before it wrote the ledger; bounded by the files' dates."""
    if not rows.num_rows:
        return In("file_sha256", ["-"])
    dates = pc.min_max(rows["session_date"])
    window = Window(start=dates["min"].as_py(), end=dates["max"].as_py())
    return And(between("session_date", window), In("file_sha256", sorted(set(rows["file_sha256"].to_pylist()))))


def _ledger_row(file: SourceFile, parsed: Parsed) -> dict[str, object]:
    dates = pc.min_max(parsed.rows["session_date"])
    return {
        "file_sha256": file.sha256, "ticker": file.ticker, "fetched_ts": file.fetched_ts,
        "source_kind": file.source_kind, "source_name": file.source_name, "row_count": parsed.rows.num_rows,
        "quarantined_count": parsed.rejected.num_rows,
        "first_session_date": dates["min"].as_py(), "last_session_date": dates["max"].as_py(),
    }


def _problem_row(problem: SourceProblem, window: Window) -> dict[str, object]:
    return {"source_name": problem.subject, "reference": f"window to {window.end}", "reason": problem.reason,
            "message": str(problem), "raw_text": "", "ticker": None, "day_date": window.end}


