"""gold.stock_analytics: the kernel over silver bars beside the news of their sessions, from the previous row's state."""

from collections.abc import Mapping

import polars as pl

from spark.contracts import gold
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.gold.recursion import BARS, run_recursive
from spark.lake.storage import Lake
from spark.transforms.gold import stock_analytics

NEWS = gold.NEWS_DAILY.address


def run(lake: Lake, window: Window, provenance: Provenance, _: TablesAlone) -> JobReport:
    """Replace the window's analytics."""
    return run_recursive(
        lake,
        gold.STOCK_ANALYTICS,
        window,
        provenance,
        kernel=_kernel,
        snapshots={address: lake.snapshot_id(address) for address in (BARS, NEWS)},
    )


def _kernel(rows: Mapping[str, pl.DataFrame], state: pl.DataFrame | None, window: Window) -> pl.DataFrame:
    return stock_analytics.compute_window(rows[BARS], rows[NEWS], state, window.start)
