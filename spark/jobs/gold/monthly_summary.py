"""gold.monthly_summary: whole months from the daily analytics."""

from datetime import timedelta
from functools import partial

import polars as pl

from spark.contracts import gold
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.changed_inputs import widened_to_changed_inputs
from spark.jobs.distribute import Scan, map_by_ticker
from spark.lake.storage import Lake, between
from spark.transforms.gold.monthly_summary import compute

TABLE = gold.MONTHLY_SUMMARY
DAYS = gold.STOCK_ANALYTICS.address
PREVIOUS_MONTH_DAYS = 31


def run(lake: Lake, window: Window, provenance: Provenance, _: TablesAlone) -> JobReport:
    """Replace the months of the window (first day of the first month to last day of the last), and changed ones."""
    snapshots = {DAYS: lake.snapshot_id(DAYS)}
    # A month stands on the last close of the month before it too.
    window = widened_to_changed_inputs(lake, TABLE, window, snapshots, reach_days=PREVIOUS_MONTH_DAYS).whole_months
    read = Window(start=window.start - timedelta(days=PREVIOUS_MONTH_DAYS), end=window.end)
    days = Scan(address=DAYS, snapshot_id=snapshots[DAYS], where=between("session_date", read), order=("session_date",))
    months = map_by_ticker(lake, days, partial(_kernel, window=window), TABLE).toArrow()
    report = lake.replace_rows(
        TABLE.address, months, replaced=between("month_date", window), provenance=provenance, input_snapshots=snapshots
    )
    return JobReport(tables=(report,), input_snapshots=snapshots)


def _kernel(days: pl.DataFrame, window: Window) -> pl.DataFrame:
    within = pl.col("session_date") >= window.start
    return compute(days.filter(within), days.filter(~within).tail(1))
