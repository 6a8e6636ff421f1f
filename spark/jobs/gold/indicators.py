"""gold.indicators: the kernel over silver bars, from the state of the previous row."""

from collections.abc import Mapping

import polars as pl

from spark.contracts import gold
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.gold.recursion import BARS, run_recursive
from spark.lake.storage import Lake
from spark.transforms.gold import indicators


def run(lake: Lake, window: Window, provenance: Provenance, _: TablesAlone) -> JobReport:
    """Replace the window's indicators."""
    return run_recursive(
        lake,
        gold.INDICATORS,
        window,
        provenance,
        kernel=_kernel,
        later_state=indicators.LATER_STATE,
        snapshots={BARS: lake.snapshot_id(BARS)},
    )


def _kernel(rows: Mapping[str, pl.DataFrame], state: pl.DataFrame | None, window: Window) -> pl.DataFrame:
    return indicators.compute_window(rows[BARS], state, window.start)
