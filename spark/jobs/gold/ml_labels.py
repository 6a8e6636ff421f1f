"""gold.ml_labels: what the next two bars brought, also for the rows before the window that waited for them."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

import polars as pl

from spark.contracts import gold
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.changed_inputs import widened_to_changed_inputs
from spark.jobs.distribute import Scan, map_tickers
from spark.lake.storage import Lake, between
from spark.transforms.gold.ml_labels import REACH_DAYS, compute

TABLE = gold.ML_LABELS
BARS = "silver.prices_daily"


def run(lake: Lake, window: Window, provenance: Provenance, _: TablesAlone) -> JobReport:
    """Replace the labels of the window, of changed bars, and of the days before whose label may lie in them."""
    snapshots = {BARS: lake.snapshot_id(BARS)}
    window = widened_to_changed_inputs(lake, TABLE, window, snapshots)
    written = Window(start=window.start - timedelta(days=REACH_DAYS), end=window.end)
    read = Window(start=written.start, end=window.end + timedelta(days=REACH_DAYS))
    bars = Scan(address=BARS, snapshot_id=snapshots[BARS], where=between("session_date", read), order=("session_date",))
    labels = map_tickers(lake, {BARS: bars}, partial(_kernel, written=written), TABLE)
    report = lake.replace_window(TABLE.address, labels, window=written, provenance=provenance, input_snapshots=snapshots)
    return JobReport(tables=(report,), input_snapshots=snapshots)


def _kernel(rows: Mapping[str, pl.DataFrame], written: Window) -> pl.DataFrame:
    return compute(rows[BARS], written.start, written.end)
