"""gold.news_daily: one row per ticker and session of the window, from the mentions of it and of twenty sessions before."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial

import polars as pl
from pyiceberg.expressions import And, In

from spark.contracts import gold, silver
from spark.contracts.job_inputs import NewsDailyInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.contracts.sessions import LONGEST_CLOSURE_DAYS, calendar_days
from spark.jobs.changed_inputs import widened_to_changed_inputs
from spark.jobs.distribute import Scan, map_together
from spark.jobs.versions import universe_version
from spark.lake.storage import Lake, between
from spark.transforms.gold.news_daily import DECAY_SESSIONS, compute

TABLE = gold.NEWS_DAILY
MENTIONS = "silver.news_mentions"


def run(lake: Lake, window: Window, provenance: Provenance, inputs: NewsDailyInputs) -> JobReport:
    """Replace the window, and the sessions into which changed mentions decay."""
    snapshots = {MENTIONS: lake.snapshot_id(MENTIONS)}
    read = {**snapshots, **universe_version(inputs.universe)}
    window = widened_to_changed_inputs(lake, TABLE, window, snapshots, calendar_days(DECAY_SESSIONS))
    sessions = _with_lookback(inputs.sessions, window)
    # News of a session may be older than its first calendar day by a long closure.
    days = Window(start=sessions[0] - timedelta(days=LONGEST_CLOSURE_DAYS), end=window.end)
    mentions = Scan(
        address=MENTIONS,
        snapshot_id=snapshots[MENTIONS],
        order=("session_date", "gkg_record_id"),
        where=And(
            between(silver.NEWS_MENTIONS.window_column, days),
            between("session_date", Window(start=sessions[0], end=sessions[-1])),
            In("ticker", inputs.universe.symbols),
        ),
    )
    kernel = partial(_kernel, sessions=sessions, first_date=window.start)
    # Every ticker has a row, so that one without news gets its zeros too.
    computed = map_together(lake, {MENTIONS: mentions}, kernel, TABLE, inputs.universe.symbols)
    report = lake.replace_window(TABLE.address, computed, window=window, provenance=provenance, input_snapshots=read)
    return JobReport(tables=(report,), input_snapshots=read)


def _with_lookback(sessions: Sequence[date], window: Window) -> list[date]:
    """The sessions of the window and the twenty before it."""
    first, last = bisect_left(sessions, window.start), bisect_right(sessions, window.end)
    return list(sessions[max(0, first - DECAY_SESSIONS) : last])


def _kernel(ticker: str, rows: Mapping[str, pl.DataFrame], sessions: list[date], first_date: date) -> pl.DataFrame:
    return compute(rows[MENTIONS], (ticker,), sessions, first_date)
