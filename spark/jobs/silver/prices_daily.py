"""silver.prices_daily: the latest accepted, possible bar of every session in the window."""

from collections.abc import Sequence
from datetime import date
from functools import partial

import polars as pl
from pyiceberg.expressions import NotNull, Or
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import silver
from spark.contracts.job_inputs import PricesDailyInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.distribute import map_by_ticker
from spark.jobs.quarantine import quarantine
from spark.lake.storage import Lake, between
from spark.transforms.silver.prices_daily import choose, exceptions

TABLE = silver.PRICES_DAILY


def run(lake: Lake, window: Window, provenance: Provenance, inputs: PricesDailyInputs) -> JobReport:
    """Choose among all downloads; anything but a session is rejected."""
    snapshots = {address: lake.snapshot_id(address) for address in ("bronze.stooq_prices", "silver.price_restatements")}
    verdicts = lake.frame("silver.price_restatements", snapshot_id=snapshots["silver.price_restatements"])
    judged = verdicts.select("ticker", "file_sha256", "verdict").distinct()
    bars = lake.frame("bronze.stooq_prices", window, snapshots["bronze.stooq_prices"]).join(
        F.broadcast(judged), ["ticker", "file_sha256"])
    order = ("session_date", "fetched_ts", "file_sha256")
    excepted = _exceptions(lake, snapshots["silver.price_restatements"])
    ledger = pl.DataFrame(pl.from_arrow(lake.rows(
        "bronze.stooq_downloads", columns=("ticker", "file_sha256", "last_session_date"))))
    chosen = map_by_ticker(bars, partial(_accepted, sessions=inputs.sessions, excepted=excepted, ledger=ledger), TABLE, order)
    report = lake.replace_window(TABLE.address, chosen, window=window, provenance=provenance, input_snapshots=snapshots)
    rejected = map_by_ticker(
        bars, partial(_rejected, sessions=inputs.sessions, excepted=excepted, ledger=ledger), silver.QUARANTINE, order).toArrow()
    kept_out = quarantine(lake, rejected, source_table=TABLE.address, replaced=between("day_date", window),
                          provenance=provenance)
    return JobReport(tables=(report, kept_out.report), quarantined_count=kept_out.count,
                     quarantine_samples=kept_out.samples, input_snapshots=snapshots)


def _exceptions(lake: Lake, snapshot_id: int) -> pl.DataFrame:
    """The few sessions of accepted downloads that do not simply speak."""
    rows = lake.rows("silver.price_restatements", Or(NotNull("carried_dates"), NotNull("corrected_dates")),
                     snapshot_id=snapshot_id)
    return exceptions(pl.DataFrame(pl.from_arrow(rows)))


def _accepted(
    bars: pl.DataFrame, sessions: Sequence[date], excepted: pl.DataFrame, ledger: pl.DataFrame,
) -> pl.DataFrame:
    return _choose(bars, sessions, excepted, ledger)[0]


def _rejected(
    bars: pl.DataFrame, sessions: Sequence[date], excepted: pl.DataFrame, ledger: pl.DataFrame,
) -> pl.DataFrame:
    return _choose(bars, sessions, excepted, ledger)[1]


def _choose(
    bars: pl.DataFrame, sessions: Sequence[date], excepted: pl.DataFrame, ledger: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    verdicts = bars.select("ticker", "file_sha256", "verdict").unique(maintain_order=True)
    own = pl.col("ticker") == bars["ticker"][0]
    return choose(bars, verdicts, sessions, excepted.filter(own), ledger.filter(own))
