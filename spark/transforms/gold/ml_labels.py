"""gold.ml_labels: what happened after each session, apart from the features so that nothing joins it by accident."""

from datetime import date

import polars as pl

from spark.contracts.gold import ML_LABELS
from spark.transforms.polars_schema import conform

# A bar that comes later than this is not "the next one": bounded, so that a window knows which labels it may complete.
REACH_DAYS = 14


def compute(bars: pl.DataFrame, first_date: date, last_date: date) -> pl.DataFrame:
    """Rows of gold.ml_labels for the sessions from `first_date` to `last_date`, both inclusive.

    `bars` are rows of silver.prices_daily of one or many tickers, in any order, up to two bars after `last_date` where
    they are known; a label whose sessions are not among the bars or lie more than `REACH_DAYS` days ahead is null.
    """

    def after(column: str, bars_later: int) -> pl.Expr:
        return pl.col(column).shift(-bars_later).over("ticker")

    def within_reach(value: pl.Expr, bars_later: int) -> pl.Expr:
        reach = after("session_date", bars_later) <= pl.col("session_date") + pl.duration(days=REACH_DAYS)
        return pl.when(reach).then(value)

    labelled = bars.sort("ticker", "session_date").with_columns(
        next_day_return=within_reach(after("close_usd", 1) / pl.col("close_usd") - 1, 1),
        tradable_return=within_reach(after("close_usd", 2) / after("close_usd", 1) - 1, 2),
        entry_date=within_reach(after("session_date", 1), 1),
        exit_date=within_reach(after("session_date", 2), 2),
    )
    return conform(labelled.filter(pl.col("session_date").is_between(first_date, last_date)), ML_LABELS)
