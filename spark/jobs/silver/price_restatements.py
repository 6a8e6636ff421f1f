"""silver.price_restatements: judge every download that has not been judged, against what was known before it."""

from functools import partial

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import In
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import silver
from spark.jobs.distribute import map_by_ticker
from spark.jobs.report import JobReport, Provenance, TableReport, Window
from spark.jobs.quarantine import quarantine
from spark.storage import Lake
from spark.transforms.quarantine import rejected_rows
from spark.transforms.silver.price_restatements import judge_all

TABLE = silver.PRICE_RESTATEMENTS


def run(lake: Lake, window: Window, provenance: Provenance) -> JobReport:
    """One verdict per new download; earlier verdicts stay as they are, whatever the window."""
    inputs = {address: lake.snapshot_id(address) for address in ("bronze.stooq_prices", "bronze.stooq_downloads")}
    ledger = _polars(lake.rows("bronze.stooq_downloads", snapshot_id=inputs["bronze.stooq_downloads"]))
    verdicts = _polars(lake.rows(TABLE.address))
    new = ledger.filter(pl.col("row_count") > 0).join(verdicts, on=["ticker", "file_sha256"], how="anti")
    if new.is_empty():
        return JobReport(tables=(TableReport(address=TABLE.address, row_count=0, is_changed=False),),
                         input_snapshots=inputs, notes=("no new download",))
    judged = _judge(lake, new, verdicts, inputs)
    report = lake.replace_rows(TABLE.address, judged.to_arrow(), provenance=provenance, input_snapshots=inputs,
                               replaced=In("file_sha256", sorted(set(new["file_sha256"]))))
    rejected = judged.filter(pl.col("verdict") == "rejected").join(
        ledger.select("ticker", "file_sha256", "source_name", "last_session_date"), on=["ticker", "file_sha256"])
    kept_out = quarantine(
        lake, rejected_rows(TABLE.address, [_quarantine_row(row) for row in rejected.iter_rows(named=True)]),
        source_table=TABLE.address, provenance=provenance,
        replaced=In("reference", sorted(f"{t} {s}" for t, s in new.select("ticker", "file_sha256").iter_rows())),
    )
    restated = judged.filter(pl.col("verdict") == "restated")
    changed = restated.group_by("ticker").agg(pl.col("recompute_from_date").min())
    return JobReport(
        tables=(report, kept_out.report), quarantined_count=kept_out.count, quarantine_samples=kept_out.samples,
        input_snapshots=inputs, recompute_from=dict(changed.iter_rows()),
        notes=tuple(f"{row['ticker']}: {row['message']}" for row in restated.iter_rows(named=True)),
    )


def _judge(lake: Lake, new: pl.DataFrame, verdicts: pl.DataFrame, inputs: dict[str, int]) -> pl.DataFrame:
    """Verdicts of the new downloads, ticker by ticker on Spark, from the sessions the new downloads cover."""
    tickers = sorted(set(new["ticker"]))
    known = lake.frame("bronze.stooq_downloads", snapshot_id=inputs["bronze.stooq_downloads"]).select("ticker", "file_sha256")
    bars = (
        lake.frame("bronze.stooq_prices", snapshot_id=inputs["bronze.stooq_prices"])
        .where(F.col("ticker").isin(tickers) & F.col("session_date").between(*_dates(new)))
        # Rows of a file that is not in the ledger belong to a run that died; they do not count.
        .join(F.broadcast(known), ["ticker", "file_sha256"], "left_semi")
    )
    earlier = verdicts.filter(pl.col("ticker").is_in(tickers))
    kernel = partial(_judge_ticker, verdicts=earlier)
    judged = _polars(map_by_ticker(bars, kernel, TABLE, ("fetched_ts", "file_sha256", "session_date")).toArrow())
    judged = judged.join(new.select("ticker", "file_sha256"), on=["ticker", "file_sha256"], how="semi")
    return _reject_unconnected(judged, earlier)


def _judge_ticker(downloads: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    ticker = downloads["ticker"][0]
    return judge_all(downloads, verdicts.filter(pl.col("ticker") == ticker))


def _reject_unconnected(judged: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """A download judged `first` although the ticker has accepted ones cannot be compared with them: it is rejected."""
    accepted = set(earlier.filter(pl.col("verdict") != "rejected")["ticker"])
    unconnected = (pl.col("verdict") == "first") & pl.col("ticker").is_in(accepted)
    return judged.with_columns(
        verdict=pl.when(unconnected).then(pl.lit("rejected")).otherwise(pl.col("verdict")),
        message=pl.when(unconnected)
        .then(pl.lit("no session in common with what is known, so its level cannot be judged; download from an earlier date"))
        .otherwise(pl.col("message")),
    )


def _dates(new: pl.DataFrame) -> tuple[object, object]:
    return new["first_session_date"].min(), new["last_session_date"].max()


def _quarantine_row(row: dict[str, object]) -> dict[str, object]:
    return {"source_name": row["source_name"], "reference": f"{row['ticker']} {row['file_sha256']}",
            "reason": "inconsistent_download", "message": row["message"], "raw_text": "", "ticker": row["ticker"],
            "day_date": row["last_session_date"]}


def _polars(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame
