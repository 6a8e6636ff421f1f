"""gold.ml_features: scale-free columns from indicators, analytics and news of the same session."""

import polars as pl
from pyspark.sql import DataFrame

from spark.contracts import gold
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.contracts.table import Table
from spark.jobs.distribute import map_batches
from spark.jobs.following import followed
from spark.lake.storage import Lake
from spark.transforms.gold.ml_features import compute

TABLE = gold.ML_FEATURES
GRAIN = list(TABLE.grain)
SOURCES = (gold.INDICATORS, gold.STOCK_ANALYTICS, gold.NEWS_DAILY)


def run(lake: Lake, window: Window, provenance: Provenance, _: TablesAlone) -> JobReport:
    """Replace the window's features, and those whose indicators, analytics or news have changed."""
    snapshots = {source.address: lake.snapshot_id(source.address) for source in SOURCES}
    window = followed(lake, TABLE, window, snapshots)
    indicators, analytics, news = (_prefixed(lake.frame(s.address, window, snapshots[s.address]), s) for s in SOURCES)
    joined = indicators.join(analytics, GRAIN).join(news, GRAIN, "left")
    features = map_batches(joined, _kernel, TABLE, "ticker")
    report = lake.replace_window(TABLE.address, features, window=window, provenance=provenance, input_snapshots=snapshots)
    return JobReport(tables=(report,), input_snapshots=snapshots)


def _prefixed(frame: DataFrame, source: Table) -> DataFrame:
    """Columns of one source marked by its name, because two sources share some."""
    return frame.withColumnsRenamed({name: f"{source.name}__{name}" for name in source.column_names if name not in GRAIN})


def _kernel(joined: pl.DataFrame) -> pl.DataFrame:
    indicators, analytics, news = (_part(joined, source) for source in SOURCES)
    return compute(indicators, analytics, news.drop_nulls("article_count"))


def _part(joined: pl.DataFrame, source: Table) -> pl.DataFrame:
    values = [name for name in source.column_names if name not in GRAIN]
    return joined.select(*GRAIN, *(pl.col(f"{source.name}__{name}").alias(name) for name in values))
