"""gold.ml_labels: what the next two bars brought, also for the rows before the window that waited for them."""

from datetime import timedelta
from functools import partial

import polars as pl

from spark.contracts import gold
from spark.jobs.distribute import map_by_ticker
from spark.jobs.following import followed
from spark.jobs.report import JobReport, Provenance, Window
from spark.storage import Lake
from spark.transforms.gold.ml_labels import REACH_DAYS, compute

TABLE = gold.ML_LABELS
BARS = "silver.prices_daily"


def run(lake: Lake, window: Window, provenance: Provenance) -> JobReport:
    """Replace the labels of the window, of changed bars, and of the days before whose label may lie in them."""
    inputs = {BARS: lake.snapshot_id(BARS)}
    window = followed(lake, TABLE, window, inputs)
    written = Window(start=window.start - timedelta(days=REACH_DAYS), end=window.end)
    bars = lake.frame(BARS, Window(start=written.start, end=window.end + timedelta(days=REACH_DAYS)), inputs[BARS])
    kernel = partial(_kernel, written=written)
    labels = map_by_ticker(bars, kernel, TABLE, ("session_date",))
    report = lake.replace_window(TABLE.address, labels, window=written, provenance=provenance, input_snapshots=inputs)
    return JobReport(tables=(report,), input_snapshots=inputs)


def _kernel(bars: pl.DataFrame, written: Window) -> pl.DataFrame:
    return compute(bars, written.start, written.end)
