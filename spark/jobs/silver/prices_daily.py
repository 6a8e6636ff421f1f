"""silver.prices_daily: the latest accepted, possible bar of every session in the window."""

from collections.abc import Sequence
from datetime import date
from functools import partial

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import NotNull, Or

from spark.contracts import silver
from spark.contracts.job_inputs import PricesDailyInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.distribute import Scan, judged_by_ticker
from spark.jobs.quarantine import quarantine
from spark.lake.storage import Lake, between
from spark.transforms.silver.prices_daily import choose, exceptions

TABLE = silver.PRICES_DAILY
PRICES, VERDICTS = "bronze.stooq_prices", "silver.price_restatements"


def run(lake: Lake, window: Window, provenance: Provenance, inputs: PricesDailyInputs) -> JobReport:
    """Choose among all downloads; anything but a session is rejected."""
    snapshots = {address: lake.snapshot_id(address) for address in (PRICES, VERDICTS)}
    verdicts = _polars(
        lake.rows(VERDICTS, columns=("ticker", "file_sha256", "verdict"), snapshot_id=snapshots[VERDICTS])
    ).unique()
    excepted = exceptions(
        _polars(
            lake.rows(
                VERDICTS,
                Or(NotNull("carried_dates"), NotNull("corrected_dates"), NotNull("unproven_dates")),
                snapshot_id=snapshots[VERDICTS],
            )
        )
    )
    ledger = _polars(lake.rows("bronze.stooq_downloads", columns=("ticker", "file_sha256", "last_session_date", "source_name")))
    bars = Scan(
        address=PRICES,
        snapshot_id=snapshots[PRICES],
        where=between("session_date", window),
        order=("session_date", "fetched_ts", "file_sha256"),
    )
    judge = partial(_choose, verdicts=verdicts, sessions=inputs.sessions, excepted=excepted, ledger=ledger)
    with judged_by_ticker(lake, bars, judge, TABLE) as (chosen, rejected):
        report = lake.replace_window(TABLE.address, chosen, window=window, provenance=provenance, input_snapshots=snapshots)
        kept_out = quarantine(
            lake, rejected, source_table=TABLE.address, replaced=between("day_date", window), provenance=provenance
        )
    return JobReport(
        tables=(report, kept_out.report),
        quarantined_count=kept_out.count,
        quarantine_samples=kept_out.samples,
        input_snapshots=snapshots,
    )


def _choose(
    bars: pl.DataFrame, verdicts: pl.DataFrame, sessions: Sequence[date], excepted: pl.DataFrame, ledger: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A ticker's bars that speak and those that cannot be; a file without a verdict is of a run that died, and does not count."""
    own = pl.col("ticker") == bars["ticker"][0]
    judged = verdicts.filter(own)
    known = bars.join(judged.select("file_sha256"), on="file_sha256", how="semi", maintain_order="left")
    named = judged.join(known.select("file_sha256").unique(), on="file_sha256", how="semi")
    return choose(known, named, sessions, excepted.filter(own), ledger.filter(own))


def _polars(rows: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows))
