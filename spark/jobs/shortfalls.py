"""What runs over a span were asked for and did not give: rejected files, quarantined rows, missing bars and slots.

Read after the runs, for a person. Does not belong here: whether anything is stopped by it (contracts and their checks).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import And, In, LessThan
from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import bronze, silver
from spark.contracts.report import Shortfall, Window
from spark.jobs.silver.price_restatements import REASONS
from spark.lake.storage import Lake, between
from spark.transforms.silver.completeness import gaps

# Groups of quarantined rows; a file of rubbish is one group, however many lines it has.
MOST_GROUPS = 500
MESSAGE_CHARACTERS = 400
_KINDS = {"missing": 0, "rejected": 1, "quarantined": 2, "unexpected": 3, "late": 4, "not_due": 5}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What runs were asked for: tables, the dates of their sessions and of their days, and the tickers of the universe.

    `before` is the snapshot of silver.quarantine when the runs began: rows added since belong to them whatever their date.
    """

    addresses: Collection[str]
    sessions: Window | None
    days: Window | None
    tickers: Collection[str]
    before: int


@dataclass(frozen=True, kw_only=True)
class NotBuilt:
    """A ticker whose files go further back than silver.prices_daily, which begins within the run: a hint, no shortfall."""

    ticker: str
    first_in_files: date
    first_built: date


def shortfalls(lake: Lake, asked: Asked, now: datetime) -> list[Shortfall]:
    """Everything that falls short, worst first; `now` (UTC) decides what is not due yet, late or missing."""
    found = [*_gaps(lake, asked, now), *_unused_downloads(lake, asked), *_quarantined(lake, asked), *_slots(lake, asked)]
    return sorted(found, key=lambda each: (_KINDS[each.kind], each.address, each.first_date, each.subject))


def _gaps(lake: Lake, asked: Asked, now: datetime) -> Iterator[Shortfall]:
    address = silver.COMPLETENESS.address
    if address not in asked.addresses or asked.sessions is None:
        return
    wanted = And(In("status", ["absent", "unexpected"]), between("session_date", asked.sessions))
    rows = _polars(lake.rows(address, wanted, ("ticker", "session_date", "status", "reason", "message", "due_ts", "overdue_ts")))
    for row in gaps(rows.filter(pl.col("ticker").is_in(list(asked.tickers))), now).iter_rows(named=True):
        yield Shortfall(
            kind=row["state"],
            address=address,
            subject=row["ticker"],
            first_date=row["first_date"],
            last_date=row["last_date"],
            count=row["count"],
            reason=row["reason"],
            message=row["message"],
        )


def _unused_downloads(lake: Lake, asked: Asked) -> Iterator[Shortfall]:
    """Downloads whose verdict keeps them out, as long as no accepted one came later: the ticker stands still."""
    address = silver.PRICE_RESTATEMENTS.address
    if address not in asked.addresses:
        return
    verdicts = _polars(lake.rows(address, columns=("ticker", "file_sha256", "fetched_ts", "verdict", "message")))
    ledger = _polars(
        lake.rows(
            bronze.STOOQ_DOWNLOADS.address,
            columns=("ticker", "file_sha256", "source_name", "first_session_date", "last_session_date"),
        )
    )
    newest = (
        verdicts.filter(pl.col("verdict").is_in(silver.ACCEPTED_VERDICTS))
        .group_by("ticker")
        .agg(accepted_ts=pl.col("fetched_ts").max())
    )
    standing = (
        verdicts.filter(pl.col("verdict").is_in(silver.UNUSED_VERDICTS), pl.col("ticker").is_in(list(asked.tickers)))
        .unique(["ticker", "file_sha256"])
        .join(newest, on="ticker", how="left")
        .filter(pl.col("accepted_ts").is_null() | (pl.col("fetched_ts") > pl.col("accepted_ts")))
        .join(ledger, on=["ticker", "file_sha256"], how="inner")
        .drop_nulls("last_session_date")
    )
    for row in standing.sort("ticker", "fetched_ts").iter_rows(named=True):
        yield Shortfall(
            kind="rejected",
            address=address,
            subject=f"{row['ticker']} {row['source_name']}",
            first_date=row["first_session_date"],
            last_date=row["last_session_date"],
            count=1,
            reason=row["verdict"],
            message=row["message"][:MESSAGE_CHARACTERS],
        )


def _quarantined(lake: Lake, asked: Asked) -> Iterator[Shortfall]:
    """Rejected rows of the runs' tables, by file or slot: those of the span's dates, and those that the runs added."""
    address, key = silver.QUARANTINE.address, list(silver.QUARANTINE.grain)
    rows = lake.frame(address).where(F.col("source_table").isin(sorted(asked.addresses)))
    # Files that a verdict keeps out stand there too; they are listed by their verdict.
    rows = rows.where((F.col("source_table") != silver.PRICE_RESTATEMENTS.address) | ~F.col("reason").isin(*REASONS.values()))
    earlier = lake.frame(address, snapshot_id=asked.before).select(*key, F.lit(1).alias("is_earlier"))
    rejected = rows.join(earlier, key, "left").where(F.col("is_earlier").isNull() | _within(asked))
    # News come in 96 files a day: of them the day is named, not the file.
    source = F.when(F.col("source_table") == bronze.GDELT_GKG.address, F.lit("")).otherwise(F.col("source_name"))
    grouped = rejected.groupBy(
        "source_table", "reason", F.coalesce("ticker", F.lit("")).alias("ticker"), source.alias("source")
    ).agg(
        F.count(F.lit(1)).alias("rows"),
        F.min("day_date").alias("first_date"),
        F.max("day_date").alias("last_date"),
        F.min("message").alias("message"),
        F.min("source_name").alias("a_source"),
    )
    for row in grouped.orderBy(F.desc("rows"), "source_table", "reason", "ticker", "source").limit(MOST_GROUPS).collect():
        subject = f"{row['ticker']} {row['source'] or row['a_source']}".strip()
        yield Shortfall(
            kind="quarantined",
            address=row["source_table"],
            subject=subject,
            first_date=row["first_date"],
            last_date=row["last_date"],
            count=row["rows"],
            reason=row["reason"],
            message=row["message"][:MESSAGE_CHARACTERS],
        )


def _within(asked: Asked) -> SparkColumn:
    """Whether a quarantined row's date lies within what its table was asked for."""
    by_day = F.col("source_table").isin(bronze.GDELT_GKG.address, silver.NEWS_MENTIONS.address)
    return (by_day & _between(asked.days)) | (~by_day & _between(asked.sessions))


def _between(window: Window | None) -> SparkColumn:
    return F.lit(False) if window is None else F.col("day_date").between(window.start, window.end)


def _slots(lake: Lake, asked: Asked) -> Iterator[Shortfall]:
    address = bronze.GDELT_SLOTS.address
    if address not in asked.addresses or asked.days is None:
        return
    wanted = And(In("status", ["absent", "corrupt"]), between("day_date", asked.days))
    rows = _polars(lake.rows(address, wanted, ("day_date", "status", "message")))
    grouped = rows.group_by("status").agg(
        first=pl.col("day_date").min(), last=pl.col("day_date").max(), count=pl.len(), message=pl.col("message").min()
    )
    for row in grouped.sort("status").iter_rows(named=True):
        message = row["message"] or "GDELT has no such file; a later run asks for it again"
        yield Shortfall(
            kind="missing",
            address=address,
            subject="15-minute slots",
            first_date=row["first"],
            last_date=row["last"],
            count=row["count"],
            reason=row["status"],
            message=message[:MESSAGE_CHARACTERS],
        )


def not_built(lake: Lake, asked: Asked, history_start: date) -> list[NotBuilt]:
    """Tickers that begin within the asked sessions although a dropped file goes further back."""
    if silver.PRICES_DAILY.address not in asked.addresses or asked.sessions is None:
        return []
    ledger = _polars(
        lake.rows(bronze.STOOQ_DOWNLOADS.address, In("source_kind", ["drop", "bulk"]), ("ticker", "first_session_date"))
    ).drop_nulls()
    in_files = dict(ledger.group_by("ticker").agg(pl.col("first_session_date").min()).iter_rows())
    grouped = lake.frame(silver.PRICES_DAILY.address).groupBy("ticker").agg(F.min("session_date"))
    found = [
        NotBuilt(ticker=ticker, first_in_files=max(in_files[ticker], history_start), first_built=built)
        for ticker, built in grouped.collect()
        if ticker in in_files and ticker in asked.tickers
    ]
    return sorted(
        (each for each in found if each.first_in_files < each.first_built and asked.sessions.start <= each.first_built),
        key=lambda each: each.ticker,
    )


def before_history(lake: Lake, asked: Asked, history_start: date) -> dict[str, date]:
    """By ticker the first date in its files where that is before any session that tables have."""
    if bronze.STOOQ_PRICES.address not in asked.addresses:
        return {}
    ledger = _polars(
        lake.rows(
            bronze.STOOQ_DOWNLOADS.address,
            LessThan("first_session_date", history_start.isoformat()),
            ("ticker", "first_session_date"),
        )
    ).filter(pl.col("ticker").is_in(list(asked.tickers)))
    return dict(ledger.group_by("ticker").agg(pl.col("first_session_date").min()).sort("ticker").iter_rows())


def _polars(rows: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows))
