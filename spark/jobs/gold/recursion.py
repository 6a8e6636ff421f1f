"""How a table with carried state is built: a bounded look-back per ticker, the whole history only where state is missing.

A window is computed from the state in the row before it, so an increment costs the same in year 1 and year 20. Where
that row is missing (a first build, a new ticker, pieces built out of order) the ticker is read from its first bar.
When rows after the window stand on a history that the write has just changed, the window is widened to the newest row:
whatever the order of pieces, the table ends up the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, In, LessThanOrEqual, NotIn, Or

from spark.contracts.report import JobReport, Provenance, Window
from spark.contracts.sessions import calendar_days
from spark.contracts.table import Table
from spark.jobs.changed_inputs import widened_to_changed_inputs
from spark.jobs.distribute import Scan, map_together
from spark.lake.storage import Lake, between
from spark.lake.write import Rows

BARS = "silver.prices_daily"

StatefulKernel = Callable[[Mapping[str, pl.DataFrame], pl.DataFrame | None, Window], pl.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where each ticker's computation starts: those with the state of their previous bar, and those without."""

    states: pl.DataFrame
    rebuilt: tuple[str, ...]


def run_recursive(
    lake: Lake,
    table: Table,
    window: Window,
    provenance: Provenance,
    *,
    kernel: StatefulKernel,
    snapshots: Mapping[str, int],
    later_state: Sequence[str] = (),
) -> JobReport:
    """Replace the window of `table`, and rows whose inputs have changed.

    `kernel(rows of one ticker by the address of each input, its state or None, window)` returns the rows of the window; the
    first of `snapshots` are the bars. `later_state` are columns that old rows may lack: such a row is no state.
    """
    window = widened_to_changed_inputs(lake, table, window, snapshots)
    computed = _computed(lake, table, window, kernel, snapshots, later_state)
    newest = lake.newest(table.address, after=window.end)
    notes: tuple[str, ...] = ()
    if newest is not None and not lake.shows(table.address, window, computed):
        notes = (f"rows after {window.end} stood on the history that changed; recomputed to {newest}",)
        # One write for both, so that a run that dies leaves no row on a history that is gone.
        window = Window(start=window.start, end=newest)
        computed = _computed(lake, table, window, kernel, snapshots, later_state)
    report = lake.replace_window(table.address, computed, window=window, provenance=provenance, input_snapshots=snapshots)
    return JobReport(tables=(report,), input_snapshots=snapshots, notes=notes)


def _computed(
    lake: Lake, table: Table, window: Window, kernel: StatefulKernel, snapshots: Mapping[str, int], later_state: Sequence[str]
) -> Rows:
    """The table's rows of the window, not yet written."""
    lookback = Window(start=window.start - timedelta(days=calendar_days(table.input(BARS).sessions_back)), end=window.end)
    start = _start(lake, table, window, lookback, snapshots[BARS], later_state)
    where: BooleanExpression = between("session_date", lookback)
    if start.rebuilt:
        whole = And(In("ticker", start.rebuilt), LessThanOrEqual("session_date", window.end.isoformat()))
        where = Or(And(where, NotIn("ticker", start.rebuilt)), whole)
    states = {str(key[0]): state for key, state in start.states.partition_by("ticker", as_dict=True).items()}

    def one_ticker(ticker: str, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return kernel(rows, states.get(ticker), window)

    scans = {
        address: Scan(address=address, snapshot_id=snapshot, where=where, order=("session_date",))
        for address, snapshot in snapshots.items()
    }
    return map_together(lake, scans, one_ticker, table)


def _start(lake: Lake, table: Table, window: Window, lookback: Window, bars_snapshot: int, later_state: Sequence[str]) -> Start:
    """Each ticker's state where it stands on the very bar before the window; the tickers that have none."""
    lookback_bars = table.input(BARS).sessions_back
    keys = _polars(lake.rows(BARS, between("session_date", lookback), ("ticker", "session_date", "close_usd"), bars_snapshot))
    before = (
        keys.sort("session_date")
        .filter(pl.col("session_date") < window.start)
        .group_by("ticker")
        .agg(previous_date=pl.col("session_date").last(), previous_close_usd=pl.col("close_usd").last(), bar_count=pl.len())
    )
    dates = sorted(set(before["previous_date"]))
    if not dates:
        return Start(states=_polars(lake.rows(table.address, In("ticker", ["-"]))), rebuilt=tuple(sorted(set(keys["ticker"]))))
    candidates = _polars(lake.rows(table.address, In("session_date", [day.isoformat() for day in dates])))
    states = (
        candidates.join(before, on="ticker")
        .filter(
            (pl.col("session_date") == pl.col("previous_date"))
            & (pl.col("close_usd") == pl.col("previous_close_usd"))
            & (pl.col("bar_count") <= pl.col("bar_number"))
            & (pl.col("bar_count") >= pl.min_horizontal("bar_number", pl.lit(lookback_bars)))
            # A young ticker's seeds are computed from its first bar, so that its row need not carry them.
            & (
                (pl.col("bar_number") <= lookback_bars)
                | pl.all_horizontal(pl.lit(value=True), *(pl.col(name).is_not_null() for name in later_state))
            )
        )
        .drop("previous_date", "previous_close_usd", "bar_count")
    )
    return Start(states=states, rebuilt=tuple(sorted(set(keys["ticker"]) - set(states["ticker"]))))


def _polars(rows: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows))
