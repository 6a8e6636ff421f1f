"""silver.price_restatements: how a download relates to what was known of the ticker before it.

Stooq's prices are adjusted for splits and dividends, so it multiplies history by a factor before each ex-date, late and
sometimes several at once. Between two downloads the ratio of the closes is therefore a staircase: constant up to each
ex-date (`adjustments`). A staircase of splits and dividends is a restatement; single bars beside it are in dispute and
the value that was known stands for them; anything else means that the file is not what it claims to be, or that the one
before it was not. Which of them it is, the next downloads show: they are votes, also those that were not used.

A verdict follows from the downloads and the decisions of people alone: all bars of a file on sessions of the exchange,
in the order (fetched_ts, last_session_date, file_sha256), whatever window a run has and whatever arrived first.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl

from spark.contracts import price_limits as limits
from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import PRICE_RESTATEMENTS
from spark.transforms.polars_schema import conform
from spark.transforms.silver.known_prices import learnt
from spark.transforms.silver.price_verdicts import Decision, judge
from spark.transforms.silver.price_votes import NOTHING, Download, Span
from spark.transforms.silver.prices_daily import is_possible


def judge_all(
    downloads: pl.DataFrame,
    verdicts_so_far: pl.DataFrame,
    sessions: Sequence[date] | None = None,
    ledger: pl.DataFrame | None = None,
    decisions: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """All verdicts of one ticker, each download judged against the accepted ones before it.

    Downloads are taken in the order (fetched_ts, last_session_date, file_sha256): of downloads of one time the one that
    knows more sessions is the newer. Verdicts of `verdicts_so_far` are kept as far as they are those of the first
    downloads, given by the present rule and under the present decisions; from the first other download on all are judged
    (again). So a download that arrives late with an early time, a download that was withdrawn and a decision give the
    verdicts that they would have given from the beginning.

    `downloads` are the ticker's bronze.stooq_prices rows: all of them, or those of the dates that the downloads to be
    judged span, together with `ledger`, the ticker's bronze.stooq_downloads rows, which tell what lies outside. Rows on
    dates outside `sessions`, when given, take no part. `decisions` are the ticker's silver.price_decisions rows. Raises
    `ValueError` for more than one ticker.
    """
    tickers = downloads["ticker"].unique().sort().to_list()
    if len(tickers) > 1:
        raise ValueError(f"downloads of {', '.join(tickers)}: give one ticker at a time")
    usable = downloads if sessions is None else downloads.filter(pl.col("session_date").is_in(list(sessions)))
    possible = usable.filter(is_possible()).select("file_sha256", "session_date", *BAR_COLUMNS).sort("session_date")
    bars_by_file = {key[0]: rows.drop("file_sha256") for key, rows in possible.partition_by("file_sha256", as_dict=True).items()}
    with_volume = set(usable.filter(pl.col("volume_shares").is_not_null())["file_sha256"])
    with_rows = set(usable["file_sha256"])
    in_order = conform(verdicts_so_far, PRICE_RESTATEMENTS).sort("segment_number")
    rows_by_file = {key[0]: rows for key, rows in in_order.partition_by("file_sha256", as_dict=True).items()}
    named = files_of(downloads if ledger is None else ledger)
    by_file = standing_decisions(decisions)
    kept_count = kept(named, verdicts_so_far, by_file)
    known, verdicts = NOTHING, [conform(verdicts_so_far.head(0), PRICE_RESTATEMENTS)]
    for number, (fetched_ts, file_sha256, source_name, span) in enumerate(named):
        download = Download(
            ticker=tickers[0] if tickers else "",
            file_sha256=file_sha256,
            fetched_ts=fetched_ts,
            source_name=source_name,
            span=span,
            bars=bars_by_file.get(file_sha256, NOTHING.bars),
            has_volume=file_sha256 in with_volume or file_sha256 not in with_rows,
        )
        if number < kept_count:
            verdict = rows_by_file[file_sha256]
        else:
            verdict = judge(known, download, by_file.get(file_sha256)).sort("segment_number")
        verdicts.append(verdict)
        known = learnt(known, download, verdict)
    return pl.concat(verdicts)


File = tuple[datetime, str, str, Span]


def files_of(rows: pl.DataFrame) -> list[File]:
    """(fetched_ts, file_sha256, name, first and last date) of each file with rows, in the order in which files are judged.

    `rows` are one ticker's rows of bronze.stooq_prices or of bronze.stooq_downloads.
    """
    first, last = (
        ("first_session_date", "last_session_date") if "first_session_date" in rows.columns else ("session_date", "session_date")
    )
    name = "source_name" if "source_name" in rows.columns else "file_sha256"
    files = (
        rows.group_by("file_sha256")
        .agg(
            pl.col("fetched_ts").min(),
            name=pl.col(name).first(),
            first=pl.col(first).min(),
            last=pl.col(last).max(),
        )
        .drop_nulls("first")
        .sort("fetched_ts", "last", "file_sha256")
    )
    return [
        (fetched_ts, file_sha256, name, (begin, end))
        for fetched_ts, file_sha256, name, begin, end in files.select("fetched_ts", "file_sha256", "name", "first", "last").rows()
    ]


def standing_decisions(decisions: pl.DataFrame | None) -> dict[str, Decision]:
    """The last decision about each file of a ticker, by its hash."""
    if decisions is None:
        return {}
    newest = decisions.sort("decided_ts", "decision").select("file_sha256", "decision", "decided_ts").rows()
    return {file_sha256: Decision(decision=decision, decided_ts=decided_ts) for file_sha256, decision, decided_ts in newest}


def kept(files: Sequence[File], verdicts: pl.DataFrame, decisions: Mapping[str, Decision]) -> int:
    """How many files, from the first on, have the verdict that the present rule and decisions give them."""
    ends = {file_sha256: span[1] for _, file_sha256, _, span in files}
    judged = (
        verdicts.filter(pl.col("segment_number") == 0).select("fetched_ts", "file_sha256", "rule_version", "decided_ts").rows()
    )
    # A file that is no more stands before all others of its time: their verdicts may have followed from it.
    judged.sort(key=lambda row: (row[0], ends.get(row[1], date.min), row[1]))
    count = 0
    for (fetched_ts, file_sha256, _, _), verdict in zip(files, judged, strict=False):
        decision = decisions.get(file_sha256)
        if verdict != (fetched_ts, file_sha256, limits.RULE_VERSION, decision.decided_ts if decision else None):
            break
        count += 1
    return count
