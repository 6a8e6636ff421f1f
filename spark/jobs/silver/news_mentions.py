"""silver.news_mentions: which articles of the window's days are about which companies, and for which session."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

import polars as pl

from spark.contracts import silver
from spark.contracts.job_inputs import NewsMentionsInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.contracts.universe import Universe
from spark.jobs.distribute import Scan, judged_by_batch
from spark.jobs.quarantine import quarantine
from spark.jobs.versions import universe_version
from spark.lake.storage import Lake, between
from spark.transforms.silver.company_names import Matcher
from spark.transforms.silver.news_mentions import mentions

TABLE = silver.NEWS_MENTIONS
RECORDS = "bronze.gdelt_gkg"


def run(lake: Lake, window: Window, provenance: Provenance, inputs: NewsMentionsInputs) -> JobReport:
    """Match the window's records, each for the session whose close is the next one."""
    universe, closes = inputs.universe, inputs.closes
    snapshots = {RECORDS: lake.snapshot_id(RECORDS), **universe_version(universe)}
    records = Scan(address=RECORDS, snapshot_id=snapshots[RECORDS], where=between("day_date", window))
    judge = partial(_mentions, universe=universe, closes=closes)
    with judged_by_batch(lake, records, judge, TABLE, "gkg_record_id") as (matched, rejected):
        report = lake.replace_window(TABLE.address, matched, window=window, provenance=provenance, input_snapshots=snapshots)
        kept_out = quarantine(
            lake, rejected, source_table=TABLE.address, replaced=between("day_date", window), provenance=provenance
        )
    return JobReport(
        tables=(report, kept_out.report),
        quarantined_count=kept_out.count,
        quarantine_samples=kept_out.samples,
        input_snapshots=snapshots,
    )


def _mentions(
    records: pl.DataFrame, universe: Universe, closes: Sequence[tuple[date, datetime]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    return mentions(records, Matcher.from_universe(universe), closes)
