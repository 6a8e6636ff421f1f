"""silver.trades: what each trade is after all its archived changes."""

from spark.contracts import bronze, silver
from spark.contracts.job_inputs import RebuildInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.settling import settle_changes
from spark.lake.storage import Lake
from spark.transforms.silver.settled_changes import trades


def run(lake: Lake, window: Window, provenance: Provenance, inputs: RebuildInputs) -> JobReport:
    """Add what was archived since the last run; with `rebuild` also rebuild the window's days."""
    return settle_changes(
        lake, window, provenance, table=silver.TRADES, changes=bronze.FINNHUB_TRADES_CDC, kernel=trades, rebuild=inputs.rebuild
    )
