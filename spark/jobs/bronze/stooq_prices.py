"""bronze.stooq_prices and bronze.stooq_downloads: files as they came, each content once."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, EqualTo, In

from spark.contracts import bronze
from spark.contracts.connectors import SourceFile, SourceProblem
from spark.contracts.job_inputs import StooqPricesInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.quarantine import ADDRESS as QUARANTINE
from spark.jobs.quarantine import quarantine
from spark.lake.storage import Lake, between
from spark.schemas import arrow_schema
from spark.transforms.bronze.stooq_prices import Parsed, parse, reference_of
from spark.transforms.quarantine import Rejection, rejections_table

_NOTED_PROBLEMS = 10
PRICES, DOWNLOADS = bronze.STOOQ_PRICES.address, bronze.STOOQ_DOWNLOADS.address


def run(lake: Lake, window: Window, provenance: Provenance, inputs: StooqPricesInputs) -> JobReport:
    """Append the rows of every file whose content is new; remember it; quarantine what could not be read.

    Files are judged one by one: what is wrong with one keeps no other out.
    """
    files, problems = inputs.files, inputs.problems
    codes = {symbol: code for code, symbol in inputs.universe.stooq_codes.items()}

    def parsed_of(file: SourceFile) -> Parsed:
        return parse(
            file.content,
            ticker=file.ticker,
            file_sha256=file.sha256,
            fetched_ts=file.fetched_ts,
            source_name=file.source_name,
            stooq_code=codes[file.ticker],
            last_closed_date=inputs.last_closed[file.fetched_ts],
            closed_days=inputs.closed_days,
        )

    known = _known(lake)
    parsed = new_contents(files, known, parsed_of)
    rows = pa.concat_tables([arrow_schema(bronze.STOOQ_PRICES).empty_table(), *(p.rows for _, p in parsed)])
    prices = lake.replace_rows(PRICES, rows, replaced=_of_files(rows), provenance=provenance)
    refused = rejections_table(rejections_of(problems, window))
    rejected = pa.concat_tables([refused, *(p.rejected for _, p in parsed)])
    again = [(file.ticker, file.sha256) for file, _ in parsed if (file.ticker, file.sha256) in known]
    references = {_reference(window), *rejected["reference"].to_pylist(), *_rejected_before(lake, again)}
    kept_out = quarantine(
        lake, rejected, source_table=PRICES, provenance=provenance, replaced=In("reference", sorted(references))
    )
    ledger = pa.Table.from_pylist([_ledger_row(file, p) for file, p in parsed], arrow_schema(bronze.STOOQ_DOWNLOADS))
    downloads = lake.replace_rows(DOWNLOADS, ledger, replaced=_of_contents(ledger), provenance=provenance)
    return JobReport(
        tables=(prices, downloads, kept_out.report),
        quarantined_count=kept_out.count,
        quarantine_samples=kept_out.samples,
        notes=(
            f"{len(parsed)} of {len(files)} files are new; {len(problems)} could not be obtained",
            *([" ".join(str(problem) for problem in problems[:_NOTED_PROBLEMS])] if problems else []),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class KnownContent:
    """What the ledger says of a content that was read before."""

    row_count: int
    rejected_count: int


def new_contents(
    files: Sequence[SourceFile], known: Mapping[tuple[str, str], KnownContent], parsed_of: Callable[[SourceFile], Parsed]
) -> list[tuple[SourceFile, Parsed]]:
    """The files to be written, oldest first, each content once: the earliest time at which it gives the most rows.

    A content that is known is not read again, unless lines of it were rejected: it is written again if it now gives more
    rows, as one does whose last session is over, whose time stamp or ticker's code was mended, or whose form is known now.
    """
    best: dict[tuple[str, str], tuple[SourceFile, Parsed]] = {}
    for file in sorted(files, key=lambda file: (file.fetched_ts, file.ticker, file.source_name)):
        key = (file.ticker, file.sha256)
        before, chosen = known.get(key), best.get(key)
        if (before is not None and before.rejected_count == 0) or (chosen is not None and chosen[1].rejected_count == 0):
            continue
        parsed = parsed_of(file)
        rows_so_far = chosen[1].rows.num_rows if chosen else before.row_count if before else -1
        if parsed.rows.num_rows > rows_so_far:
            best[key] = (file, parsed)
    return sorted(best.values(), key=lambda pair: (pair[0].fetched_ts, pair[0].ticker))


def _known(lake: Lake) -> dict[tuple[str, str], KnownContent]:
    """By ticker and content hash, every file ingested so far."""
    ledger = lake.rows(DOWNLOADS, columns=("ticker", "file_sha256", "row_count", "quarantined_count"))
    return {
        (row["ticker"], row["file_sha256"]): KnownContent(row_count=row["row_count"], rejected_count=row["quarantined_count"])
        for row in ledger.to_pylist()
    }


def _rejected_before(lake: Lake, contents: Collection[tuple[str, str]]) -> Iterable[str]:
    """References of the rows in quarantine of contents that are written again."""
    if not contents:
        return ()
    prefixes = tuple(f"{reference_of(sha256, ticker)} " for ticker, sha256 in contents)
    references = lake.rows(QUARANTINE, EqualTo("source_table", PRICES), ("reference",))["reference"].to_pylist()
    return (reference for reference in references if reference.startswith(prefixes))


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
        "file_sha256": file.sha256,
        "ticker": file.ticker,
        "fetched_ts": file.fetched_ts,
        "fetched_ts_kind": file.fetched_ts_kind,
        "source_kind": file.source_kind,
        "source_name": file.source_name,
        "row_count": parsed.rows.num_rows,
        "quarantined_count": parsed.rejected_count,
        "first_session_date": dates["min"].as_py(),
        "last_session_date": dates["max"].as_py(),
    }


def rejections_of(problems: Iterable[SourceProblem], window: Window) -> list[Rejection]:
    """One row for each thing and reason: an archive may have two members of one name, and one row could not tell them apart."""
    found: dict[tuple[str, str], Rejection] = {}
    for problem in problems:
        reason = snake_case(type(problem).__name__.removesuffix("Error"))
        found.setdefault(
            (problem.thing, reason),
            Rejection(
                source_table=PRICES,
                source_name=problem.thing,
                reference=_reference(window),
                reason=reason,
                message=str(problem),
                raw_text="",
                ticker=None,
                day_date=window.end,
            ),
        )
    return list(found.values())


def _reference(window: Window) -> str:
    """What the problems of a run are identified by: the same window looks again, and its older problems go."""
    return f"window to {window.end}"


def snake_case(name: str) -> str:
    """`HalfWrittenFileError` as `half_written_file`, the form of reason codes."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
