"""Where a per-ticker computation goes on: the bars it was given, the state it continues, the first row to produce.

Gold rows carry the state of their recursions, so an increment reads the previous row and a bounded number of bars. This
module proves that state and bars belong together before anything is computed from them.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl


class StateGapError(ValueError):
    """The state is not that of the bar before the first row to produce; the message names ticker, dates and remedy."""


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """How to produce rows from position `first` of the bars on.

    `carried` is the state row when the bars begin after the ticker's first bar, else None: then the bars are the whole
    history and every recursion starts at its seed. `first_bar_number` is the 1-based number of the bar at position 0.
    """

    first: int
    first_bar_number: int
    carried: dict[str, object] | None

    def number(self, column: str) -> float:
        """The carried value of `column`; raises `StateGapError` when the state row lacks it."""
        if self.carried is None:
            raise StateGapError(f"{column} is asked for, but there is no state: the bars begin at the ticker's first bar")
        value = self.carried[column]
        if not isinstance(value, (int, float)):
            raise StateGapError(
                f"{self.carried['ticker']}: the state of {self.carried['session_date']} has no {column}; "
                f"recompute the ticker from its first bar"
            )
        return float(value)


def start(bars: pl.DataFrame, state: pl.DataFrame | None, lookback_bars: int, first_date: date | None = None) -> ResumePoint:
    """Check `bars` against `state` and find the first row to produce.

    `bars` are rows of one ticker in session order; `state` is None when they begin at the ticker's first bar, else the
    one gold row of the bar before the first row to produce. Without `first_date` the first row to produce is the one
    after the state. Raises `ValueError` for bars that are not one ticker in strict session order, `StateGapError` when the
    state belongs to another ticker, another bar or an older version of the prices, or when fewer than `lookback_bars`
    bars precede the first row to produce although the ticker has them.
    """
    ticker, sessions = _one_series(bars)
    if state is None:
        first = 0 if first_date is None else int(np.searchsorted(sessions, np.datetime64(first_date)))
        return ResumePoint(first=first, first_bar_number=1, carried=None)
    if state.height != 1:
        raise ValueError(f"{ticker}: the state has {state.height} rows; give the one row of the preceding bar, or None")
    row = state.row(0, named=True)
    state_date: date = row["session_date"]
    again = f"recompute {ticker} from an earlier session"
    if row["ticker"] != ticker:
        raise StateGapError(f"{ticker}: the state is of {row['ticker']} at {state_date}; {again}")
    position = int(np.searchsorted(sessions, np.datetime64(state_date)))
    if position == len(sessions) or sessions[position] != np.datetime64(state_date):
        raise StateGapError(
            f"{ticker}: the state is of {state_date}, which is not among the bars {sessions[0]} to {sessions[-1]}; {again}"
        )
    first = position + 1
    if first_date is not None:
        wanted = int(np.searchsorted(sessions, np.datetime64(first_date)))
        if wanted < len(sessions) and wanted != first:
            before = f"the bar before it is {sessions[wanted - 1]}" if wanted else "no bar is before it"
            raise StateGapError(
                f"{ticker}: the state is of {state_date}, but the first row to produce is "
                f"{sessions[wanted]} and {before}; {again}"
            )
    if bars["close_usd"][position] != row["close_usd"]:
        raise StateGapError(
            f"{ticker}: the state of {state_date} was computed from the close {row['close_usd']}, the bar "
            f"now says {bars['close_usd'][position]}; {again}, as the restatement asks"
        )
    bar_number: int = row["bar_number"]
    if first > bar_number:
        raise StateGapError(
            f"{ticker}: the state of {state_date} counts {bar_number} bars, but {first} are there up to it; "
            f"a bar was inserted: {again}"
        )
    if first == bar_number:
        return ResumePoint(first=first, first_bar_number=1, carried=None)
    if first < lookback_bars:
        raise StateGapError(
            f"{ticker}: {first} bars precede the first row after {state_date}, {lookback_bars} are needed; "
            f"read more bars before it"
        )
    return ResumePoint(first=first, first_bar_number=bar_number - position, carried=row)


def _one_series(bars: pl.DataFrame) -> tuple[str, np.ndarray[tuple[int], np.dtype[np.datetime64]]]:
    """Ticker and session dates of `bars`; raises `ValueError` unless it is one ticker in strict session order."""
    if bars.is_empty():
        raise ValueError("no bars: give at least one bar of the ticker")
    tickers = bars["ticker"].unique().sort().to_list()
    if len(tickers) != 1:
        raise ValueError(f"bars of {', '.join(map(str, tickers))}: give one ticker at a time")
    sessions = bars["session_date"].to_numpy()
    if not bool(np.all(sessions[1:] > sessions[:-1])):
        raise ValueError(f"{tickers[0]}: bars are not in strict session order; sort them and drop repeated sessions")
    return tickers[0], sessions
