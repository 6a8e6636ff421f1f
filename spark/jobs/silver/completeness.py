"""silver.completeness: whether every bar that a window's sessions should have is there."""

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl
import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import silver
from spark.contracts.universe import Universe
from spark.jobs.inputs import listings_version
from spark.jobs.report import JobReport, Provenance, Window
from spark.storage import Lake, between
from spark.transforms.silver.completeness import DueSession, completeness

TABLE = silver.COMPLETENESS
BAR = ("ticker", "session_date")
KEY = ["ticker", "file_sha256"]


def run(lake: Lake, window: Window, provenance: Provenance, *, universe: Universe,
        sessions: Sequence[tuple[date, datetime, datetime]], since: date) -> JobReport:
    """Compare what is there with what should be; `sessions` are those of the window, each with due_ts and overdue_ts.

    `since` is the day after the session before the window: bars of closed days from there on belong to it.
    """
    inputs = {address: lake.snapshot_id(address) for address in TABLE.inputs}
    wide = Window(start=min(since, window.start), end=window.end)
    ledger = _polars(lake.rows("bronze.stooq_downloads", columns=("ticker", "first_session_date"),
                               snapshot_id=inputs["bronze.stooq_downloads"]))
    first_bars = ledger.drop_nulls().group_by("ticker").agg(pl.col("first_session_date").min())
    agreed = _polars(lake.rows("silver.prices_daily", between("session_date", window), BAR,
                               snapshot_id=inputs["silver.prices_daily"]))
    # Rows of a file that is not in the ledger belong to a run that died; they do not count.
    files = lake.frame("bronze.stooq_downloads", snapshot_id=inputs["bronze.stooq_downloads"]).select(*KEY)
    bars = lake.frame("bronze.stooq_prices", wide, inputs["bronze.stooq_prices"]).join(F.broadcast(files), KEY, "left_semi")
    downloaded = _polars(bars.select(*BAR).distinct().toArrow())
    due = [DueSession(session=session, due_ts=due_ts, overdue_ts=overdue_ts) for session, due_ts, overdue_ts in sessions]
    rows = completeness(universe.tickers, due, agreed.select(*BAR), downloaded, dict(first_bars.iter_rows()))
    report = lake.replace_rows(
        TABLE.address, rows.to_arrow(), replaced=between("session_date", wide), provenance=provenance,
        input_snapshots={**inputs, **listings_version(universe)})
    return JobReport(tables=(report,), input_snapshots=inputs)


def _polars(rows: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows))
