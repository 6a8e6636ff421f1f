"""bronze.stooq_prices and bronze.stooq_downloads: files as they came, each content once."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, In

from spark.contracts import bronze
from spark.contracts.universe import Universe
from spark.jobs.quarantine import quarantine
from spark.jobs.report import JobReport, Provenance, Window
from spark.schemas import arrow_schema
from spark.storage import Lake, between
from spark.transforms.bronze.stooq_prices import Parsed, parse
from spark.transforms.quarantine import Rejection, rejections_table

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
    """Something a connector could not hand over: `thing` names it, its text says why and what to do."""

    thing: str


def run(lake: Lake, window: Window, provenance: Provenance, *, files: Sequence[SourceFile],
        problems: Sequence[SourceProblem], universe: Universe, last_closed: Mapping[datetime, date]) -> JobReport:
    """Append the rows of every file whose content is new; remember it; quarantine what could not be read.

    `last_closed` gives the newest session that had closed by each file's `fetched_ts`.
    """
    known = set(_known(lake))
    fresh = {(file.ticker, file.sha256): file for file in files if (file.ticker, file.sha256) not in known}
    codes = {symbol: code for code, symbol in universe.stooq_codes.items()}
    in_order = sorted(fresh.values(), key=lambda file: (file.fetched_ts, file.ticker))
    parsed = [(file, _parse(file, codes[file.ticker], last_closed[file.fetched_ts])) for file in in_order]
    rows = pa.concat_tables([arrow_schema(bronze.STOOQ_PRICES).empty_table(), *(p.rows for _, p in parsed)])
    prices = lake.replace_rows(PRICES, rows, replaced=_of_files(rows), provenance=provenance)
    refused = rejections_table(_rejection(problem, window) for problem in problems)
    rejected = pa.concat_tables([*(p.rejected for _, p in parsed), refused])
    kept_out = quarantine(lake, rejected, source_table=PRICES, provenance=provenance,
                          replaced=In("reference", sorted(set(rejected["reference"].to_pylist())) or ["-"]))
    ledger = pa.Table.from_pylist([_ledger_row(file, p) for file, p in parsed], arrow_schema(bronze.STOOQ_DOWNLOADS))
    downloads = lake.replace_rows(DOWNLOADS, ledger, replaced=_of_contents(ledger), provenance=provenance)
    return JobReport(
        tables=(prices, downloads, kept_out.report), quarantined_count=kept_out.count,
        quarantine_samples=kept_out.samples,
        notes=(f"{len(parsed)} of {len(files)} files are new; {len(problems)} could not be obtained",),
    )


def _known(lake: Lake) -> Iterable[tuple[str, str]]:
    """Ticker and content hash of every file ingested so far."""
    ledger = lake.rows(DOWNLOADS, columns=("ticker", "file_sha256"))
    return zip(ledger["ticker"].to_pylist(), ledger["file_sha256"].to_pylist(), strict=True)


def _parse(file: SourceFile, stooq_code: str, last_closed_date: date) -> Parsed:
    return parse(file.content, ticker=file.ticker, file_sha256=file.sha256, fetched_ts=file.fetched_ts,
                 source_name=file.source_name, stooq_code=stooq_code, last_closed_date=last_closed_date)


def _of_files(rows: pa.Table) -> BooleanExpression:
    """Rows of the same files left behind by a run that died before it wrote the ledger; bounded by the files' dates."""
    if not rows.num_rows:
        return _of_contents(rows)
    dates = pc.min_max(rows["session_date"])
    window = Window(start=dates["min"].as_py(), end=dates["max"].as_py())
    return And(between("session_date", window), _of_contents(rows))


def _of_contents(rows: pa.Table) -> BooleanExpression:
    """Rows of the same tickers and contents: one content may belong to two tickers, when a copy bears a wrong name."""
    tickers, hashes = (sorted(set(rows[name].to_pylist())) for name in ("ticker", "file_sha256"))
    return And(In("ticker", tickers or ["-"]), In("file_sha256", hashes or ["-"]))


def _ledger_row(file: SourceFile, parsed: Parsed) -> dict[str, object]:
    dates = pc.min_max(parsed.rows["session_date"])
    return {
        "file_sha256": file.sha256, "ticker": file.ticker, "fetched_ts": file.fetched_ts,
        "source_kind": file.source_kind, "source_name": file.source_name, "row_count": parsed.rows.num_rows,
        "quarantined_count": parsed.rejected.num_rows,
        "first_session_date": dates["min"].as_py(), "last_session_date": dates["max"].as_py(),
    }


def _rejection(problem: SourceProblem, window: Window) -> Rejection:
    return Rejection(
        source_table=PRICES, source_name=problem.thing, reference=f"window to {window.end}",
        reason=snake_case(type(problem).__name__), message=str(problem), raw_text="", ticker=None, day_date=window.end)


def snake_case(name: str) -> str:
    """`HalfWrittenFile` as `half_written_file`, the form of reason codes."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
