"""silver.price_restatements: judge every download that has not been judged, against what was known before it."""

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import And, GreaterThanOrEqual, In
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import silver
from spark.jobs.distribute import map_by_ticker
from spark.jobs.quarantine import Quarantined, quarantine
from spark.jobs.report import JobReport, Provenance, TableReport, Window
from spark.storage import Lake
from spark.transforms.quarantine import Rejection, rejections_table
from spark.transforms.silver.price_restatements import judge_all

TABLE = silver.PRICE_RESTATEMENTS
KEY = ["ticker", "file_sha256"]


def run(lake: Lake, window: Window, provenance: Provenance, *, sessions: list[date]) -> JobReport:
    """One verdict per new download; earlier verdicts stay unless a file older than them arrived, whatever the window.

    `sessions` are all sessions of the exchange that prices may have; rows on other days take no part in a judgement.
    """
    inputs = {address: lake.snapshot_id(address) for address in ("bronze.stooq_prices", "bronze.stooq_downloads")}
    ledger = _polars(lake.rows("bronze.stooq_downloads", snapshot_id=inputs["bronze.stooq_downloads"]))
    verdicts = _polars(lake.rows(TABLE.address))
    new = ledger.filter(pl.col("row_count") > 0).join(verdicts, on=KEY, how="anti")
    if new.is_empty():
        return JobReport(tables=(TableReport(address=TABLE.address, row_count=0, is_changed=False),),
                         input_snapshots=inputs, notes=("no new download",))
    late = _tickers_judged_again(new, verdicts)
    judged = _judge(lake, new, late, ledger, verdicts, inputs, sessions)
    # A verdict that was kept is written again with its ticker only where the order of files has changed.
    is_late = pl.col("ticker").is_in(late)
    judged = pl.concat([judged.filter(is_late), judged.filter(~is_late).join(new, on=KEY, how="semi")])
    oldest = judged["fetched_ts"].min()
    report = lake.replace_rows(
        TABLE.address, judged.to_arrow(), provenance=provenance, input_snapshots=inputs,
        replaced=And(GreaterThanOrEqual("fetched_ts", oldest), In("ticker", sorted(set(judged["ticker"]))),
                     In("file_sha256", sorted(set(judged["file_sha256"])))))
    kept_out = _quarantine_unusable(lake, judged, ledger, provenance)
    changing = judged.filter(pl.col("verdict").is_in(silver.ACCEPTED_VERDICTS), pl.col("recompute_from_date").is_not_null())
    changed = changing.group_by("ticker").agg(pl.col("recompute_from_date").min())
    return JobReport(
        tables=(report, kept_out.report), quarantined_count=kept_out.count, quarantine_samples=kept_out.samples,
        input_snapshots=inputs, recompute_from=dict(changed.iter_rows()),
        notes=tuple(f"{row['ticker']}: {row['message']}" for row in changing.iter_rows(named=True)),
    )


def _tickers_judged_again(new: pl.DataFrame, verdicts: pl.DataFrame) -> list[str]:
    """Tickers of which a file arrived that is older than one already judged: its successors stand on it now."""
    newest = verdicts.group_by("ticker").agg(judged_ts=pl.col("fetched_ts").max())
    return sorted(set(new.join(newest, on="ticker").filter(pl.col("fetched_ts") <= pl.col("judged_ts"))["ticker"]))


def _judge(lake: Lake, new: pl.DataFrame, late: list[str], ledger: pl.DataFrame, verdicts: pl.DataFrame,
           inputs: Mapping[str, int], sessions: list[date]) -> pl.DataFrame:
    """Verdicts ticker by ticker on Spark, from the dates that the new downloads span (all dates of `late` tickers)."""
    tickers = sorted(set(new["ticker"]))
    first: date = new["first_session_date"].min()  # type: ignore[assignment]
    last: date = new["last_session_date"].max()  # type: ignore[assignment]
    known = lake.frame("bronze.stooq_downloads", snapshot_id=inputs["bronze.stooq_downloads"]).select(*KEY)
    bars = (
        lake.frame("bronze.stooq_prices", snapshot_id=inputs["bronze.stooq_prices"])
        .where(F.col("ticker").isin(tickers))
        .where(F.col("session_date").between(first, last) | F.col("ticker").isin(late))
        # Rows of a file that is not in the ledger belong to a run that died; they do not count.
        .join(F.broadcast(known), KEY, "left_semi")
    )
    kernel = partial(_judge_ticker, ledger=ledger.filter(pl.col("ticker").is_in(tickers)),
                     verdicts=verdicts.filter(pl.col("ticker").is_in(tickers)), sessions=sessions)
    return _polars(map_by_ticker(bars, kernel, TABLE, ("fetched_ts", "file_sha256", "session_date")).toArrow())


def _judge_ticker(downloads: pl.DataFrame, ledger: pl.DataFrame, verdicts: pl.DataFrame, sessions: list[date]) -> pl.DataFrame:
    own = pl.col("ticker") == downloads["ticker"][0]
    return judge_all(downloads, verdicts.filter(own), sessions, ledger.filter(own))


def _quarantine_unusable(lake: Lake, judged: pl.DataFrame, ledger: pl.DataFrame, provenance: Provenance) -> Quarantined:
    """One quarantine row per download that is not used, naming its file."""
    unusable = judged.filter(~pl.col("verdict").is_in(silver.ACCEPTED_VERDICTS)).unique(KEY, maintain_order=True).join(
        ledger.select(*KEY, "source_name", "last_session_date"), on=KEY, maintain_order="left")
    references = sorted({f"{ticker} {sha256}" for ticker, sha256 in judged.select(KEY).iter_rows()})
    return quarantine(lake, rejections_table(_rejection(row) for row in unusable.iter_rows(named=True)),
                      source_table=TABLE.address, provenance=provenance, replaced=In("reference", references))


def _rejection(row: dict[str, Any]) -> Rejection:
    return Rejection(
        source_table=TABLE.address, source_name=row["source_name"], reference=f"{row['ticker']} {row['file_sha256']}",
        reason="inconsistent_download" if row["verdict"] == "rejected" else "partial_restatement",
        message=row["message"], raw_text="", ticker=row["ticker"], day_date=row["last_session_date"])


def _polars(rows: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows))
