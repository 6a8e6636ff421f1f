"""gold.ml_features: scale-free columns from indicators, analytics and news of the same session."""

from collections.abc import Mapping

import polars as pl

from spark.contracts import gold
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.changed_inputs import widened_to_changed_inputs
from spark.jobs.distribute import Scan, map_tickers
from spark.lake.storage import Lake, between
from spark.transforms.gold.ml_features import compute

TABLE = gold.ML_FEATURES
SOURCES = tuple(source.address for source in (gold.INDICATORS, gold.STOCK_ANALYTICS, gold.NEWS_DAILY))


def run(lake: Lake, window: Window, provenance: Provenance, _: TablesAlone) -> JobReport:
    """Replace the window's features, and those whose indicators, analytics or news have changed."""
    snapshots = {source: lake.snapshot_id(source) for source in SOURCES}
    window = widened_to_changed_inputs(lake, TABLE, window, snapshots)
    scans = {
        source: Scan(address=source, snapshot_id=snapshot, where=between("session_date", window))
        for source, snapshot in snapshots.items()
    }
    features = map_tickers(lake, scans, _kernel, TABLE)
    report = lake.replace_window(TABLE.address, features, window=window, provenance=provenance, input_snapshots=snapshots)
    return JobReport(tables=(report,), input_snapshots=snapshots)


def _kernel(rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    indicators, analytics, news = (rows[source] for source in SOURCES)
    return compute(indicators, analytics, news)
