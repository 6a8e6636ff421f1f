"""gold.stock_analytics: the kernel over silver bars beside the news of their sessions, from the previous row's state."""

from collections.abc import Mapping

import polars as pl
from pyspark.sql import DataFrame

from spark.contracts import gold
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.gold.recursion import BARS, run_recursive
from spark.lake.storage import Lake
from spark.transforms.gold import stock_analytics

NEWS = gold.NEWS_DAILY
_NEWS_PREFIX = "news__"
_NEWS_VALUES = tuple(name for name in NEWS.column_names if name not in NEWS.grain)


def run(lake: Lake, window: Window, provenance: Provenance, _: TablesAlone) -> JobReport:
    """Replace the window's analytics."""
    def bars(part: Window | None, snapshots: Mapping[str, int]) -> DataFrame:
        news = lake.frame(NEWS.address, part, snapshots[NEWS.address]).withColumnsRenamed(
            {name: f"{_NEWS_PREFIX}{name}" for name in _NEWS_VALUES})
        return lake.frame(BARS, part, snapshots[BARS]).join(news, list(NEWS.grain), "left")

    return run_recursive(lake, gold.STOCK_ANALYTICS, window, provenance, kernel=_kernel, bars=bars,
                         snapshots={address: lake.snapshot_id(address) for address in (BARS, NEWS.address)})


def _kernel(rows: pl.DataFrame, state: pl.DataFrame | None, window: Window) -> pl.DataFrame:
    news = rows.filter(pl.col(f"{_NEWS_PREFIX}article_count").is_not_null()).select(
        *NEWS.grain, *(pl.col(f"{_NEWS_PREFIX}{name}").alias(name) for name in _NEWS_VALUES))
    bars = rows.drop([f"{_NEWS_PREFIX}{name}" for name in _NEWS_VALUES])
    return stock_analytics.compute_window(bars, news, state, window.start)
