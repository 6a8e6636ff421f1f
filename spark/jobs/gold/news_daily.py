"""gold.news_daily: one row per ticker and session of the window, from the mentions of it and of twenty sessions before."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

import polars as pl
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import gold
from spark.contracts.job_inputs import NewsDailyInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.contracts.sessions import LONGEST_CLOSURE_DAYS, calendar_days
from spark.jobs.distribute import map_by_ticker
from spark.jobs.following import followed
from spark.jobs.versions import universe_version
from spark.lake.storage import Lake
from spark.transforms.gold.news_daily import DECAY_SESSIONS, compute

TABLE = gold.NEWS_DAILY
MENTIONS = "silver.news_mentions"


def run(lake: Lake, window: Window, provenance: Provenance, inputs: NewsDailyInputs) -> JobReport:
    """Replace the window, and the sessions into which changed mentions decay."""
    snapshots = {MENTIONS: lake.snapshot_id(MENTIONS)}
    read = {**snapshots, **universe_version(inputs.universe)}
    window = followed(lake, TABLE, window, snapshots, calendar_days(DECAY_SESSIONS))
    sessions = _with_lookback(inputs.sessions, window)
    # News of a session may be older than its first calendar day by a long closure.
    days = Window(start=sessions[0] - timedelta(days=LONGEST_CLOSURE_DAYS), end=window.end)
    mentions = lake.frame(MENTIONS, days, snapshots[MENTIONS]).where(F.col("session_date").isin(sessions))
    # Every ticker has a row, so that one without news gets its zeros too.
    tickers = lake.spark.createDataFrame([(symbol,) for symbol in inputs.universe.symbols], "ticker string")
    rows = tickers.join(mentions, "ticker", "left")
    kernel = partial(_kernel, sessions=sessions, first_date=window.start)
    computed = map_by_ticker(rows, kernel, TABLE, ("session_date", "gkg_record_id"))
    report = lake.replace_window(TABLE.address, computed, window=window, provenance=provenance, input_snapshots=read)
    return JobReport(tables=(report,), input_snapshots=read)


def _with_lookback(sessions: Sequence[date], window: Window) -> list[date]:
    """The sessions of the window and the twenty before it."""
    first, last = bisect_left(sessions, window.start), bisect_right(sessions, window.end)
    return list(sessions[max(0, first - DECAY_SESSIONS):last])


def _kernel(rows: pl.DataFrame, sessions: list[date], first_date: date) -> pl.DataFrame:
    ticker = rows["ticker"][0]
    return compute(rows.filter(pl.col("gkg_record_id").is_not_null()), (ticker,), sessions, first_date)
