"""silver.completeness: whether every bar that a window's sessions should have is there."""

import polars as pl
import pyarrow as pa

from spark.contracts import silver
from spark.contracts.job_inputs import CompletenessInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.versions import listings_version
from spark.lake.storage import Lake, between
from spark.transforms.silver.completeness import completeness

TABLE = silver.COMPLETENESS
BAR = ("ticker", "session_date")
KEY = ["ticker", "file_sha256"]


def run(lake: Lake, window: Window, provenance: Provenance, inputs: CompletenessInputs) -> JobReport:
    """Compare what is there with what should be."""
    snapshots = {address: lake.snapshot_id(address) for address in TABLE.input_addresses}
    wide = Window(start=min(inputs.since, window.start), end=window.end)
    ledger = _polars(
        lake.rows(
            "bronze.stooq_downloads", columns=("ticker", "first_session_date"), snapshot_id=snapshots["bronze.stooq_downloads"]
        )
    )
    first_bars = ledger.drop_nulls().group_by("ticker").agg(pl.col("first_session_date").min())
    agreed = _polars(
        lake.rows("silver.prices_daily", between("session_date", window), BAR, snapshot_id=snapshots["silver.prices_daily"])
    )
    # Rows of a file that is not in the ledger belong to a run that died; they do not count.
    files = lake.frame_at("bronze.stooq_downloads", snapshots["bronze.stooq_downloads"]).select(*KEY)
    bars = lake.frame("bronze.stooq_prices", wide, snapshots["bronze.stooq_prices"]).join(files, KEY, "left_semi")
    downloaded = _polars(bars.select(*BAR).distinct().toArrow())
    rows = completeness(inputs.universe.tickers, inputs.sessions, agreed.select(*BAR), downloaded, dict(first_bars.iter_rows()))
    report = lake.replace_rows(
        TABLE.address,
        rows.to_arrow(),
        replaced=between("session_date", wide),
        provenance=provenance,
        input_snapshots={**snapshots, **listings_version(inputs.universe)},
    )
    return JobReport(tables=(report,), input_snapshots=snapshots)


def _polars(rows: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows))
