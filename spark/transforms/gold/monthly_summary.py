"""gold.monthly_summary: one row per ticker and calendar month, from its daily rows.

Sums and deviations are accumulated session by session over a table of months, so that a month has the same bits
whatever other months and tickers are computed with it.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spark.contracts.gold import MONTHLY_SUMMARY
from spark.transforms.polars_schema import conform
from spark.transforms.rolling import Floats

_MONTH = ["ticker", "month_date"]


def compute(days: pl.DataFrame, previous: pl.DataFrame) -> pl.DataFrame:
    """Rows of gold.monthly_summary, by ticker and month.

    `days` are the gold.stock_analytics rows of whole months of one or many tickers, in any order; `previous` the last
    gold.stock_analytics row of each ticker before the first of these months, none for a ticker that starts in it. The
    return of a month is null when the ticker has no bar in the calendar month before it.
    """
    ordered = days.with_columns(month_date=pl.col("session_date").dt.truncate("1mo")).sort("ticker", "session_date")
    close = pl.col("close_usd")
    running_max = close.cum_max().over(_MONTH)
    months = (
        ordered.with_columns(fall=close / running_max - 1)
        .group_by(_MONTH, maintain_order=True)
        .agg(
            pl.col("session_date").first().alias("first_session_date"),
            pl.col("session_date").last().alias("last_session_date"),
            pl.len().alias("session_count"),
            pl.col("open_usd").first(),
            pl.col("high_usd").max(),
            pl.col("low_usd").min(),
            close.first().alias("first_close_usd"),
            close.last(),
            pl.col("fall").min().alias("max_drawdown_within"),
            pl.col("is_volume_spike").sum().alias("volume_spike_count"),
            pl.col("news_volume").sum(),
            pl.col("market_regime").last(),
        )
    )
    # One row per session of a month, in a column of the table below: where the month is and how far into it.
    month = ordered.select(pl.struct(_MONTH).rle_id()).to_series().to_numpy()
    before = pl.concat(
        [
            months.select("ticker", month_date=pl.col("month_date").dt.offset_by("1mo"), close_before=close),
            previous.select(
                "ticker", month_date=pl.col("session_date").dt.truncate("1mo").dt.offset_by("1mo"), close_before=close
            ),
        ]
    )
    return conform(
        months.with_columns(
            pl.Series("volume_shares", _sums(ordered["volume_shares"].to_numpy(), month, len(months))),
            pl.Series("sentiment_sum", _sums(ordered["sentiment_sum"].to_numpy(), month, len(months))),
            pl.Series(
                "monthly_volatility", nan_to_null=True, values=_sample_sds(ordered["return_1d"].to_numpy(), month, len(months))
            ),
        )
        .join(before, on=_MONTH, how="left", maintain_order="left", validate="1:1")
        .with_columns(
            monthly_return=close / pl.col("close_before") - 1,
            monthly_return_within=(close - pl.col("first_close_usd")) / pl.col("first_close_usd"),
        ),
        MONTHLY_SUMMARY,
    )


def _by_month(values: Floats, month: NDArray[np.uint32], month_count: int) -> Floats:
    """`values` as one row per month, left-aligned and padded with NaN; `month` is the month's number of each value."""
    begins = np.searchsorted(month, np.arange(month_count))
    position = np.arange(len(values)) - begins[month]
    table = np.full((month_count, int(position.max(initial=-1)) + 1), np.nan)
    table[month, position] = values
    return table


def _row_sums(table: Floats) -> Floats:
    """Sum of each row, one column after the other; NaN counts as nothing."""
    total = np.zeros(len(table))
    for column in range(table.shape[1]):
        total += np.nan_to_num(table[:, column], nan=0.0)
    return total


def _sums(values: Floats, month: NDArray[np.uint32], month_count: int) -> Floats:
    """Sum of `values` in each month."""
    return _row_sums(_by_month(values, month, month_count))


def _sample_sds(values: Floats, month: NDArray[np.uint32], month_count: int) -> Floats:
    """Sample standard deviation of the defined `values` in each month, two-pass; NaN below two of them."""
    table = _by_month(values, month, month_count)
    count = np.sum(~np.isnan(table), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _row_sums(table) / count
        distance = table - mean[:, None]
        deviation: Floats = np.where(count > 1, np.sqrt(_row_sums(distance * distance) / (count - 1)), np.nan)
    return deviation
