"""silver.quotes: what each quote is after all its archived changes."""

from spark.contracts import bronze, silver
from spark.contracts.job_inputs import RebuildInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.settling import settle_changes
from spark.lake.storage import Lake
from spark.transforms.silver.settled_changes import quotes


def run(lake: Lake, window: Window, provenance: Provenance, inputs: RebuildInputs) -> JobReport:
    """Add what was archived since the last run; with `rebuild` also rebuild the window's days."""
    return settle_changes(
        lake, window, provenance, table=silver.QUOTES, changes=bronze.FINNHUB_QUOTES_CDC, kernel=quotes, rebuild=inputs.rebuild
    )
