"""silver.prices_daily: which of all downloaded versions of a bar speaks, and which rows cannot be a bar at all."""

from collections.abc import Sequence
from datetime import date
from functools import reduce
from operator import and_

import polars as pl

from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import ACCEPTED_VERDICTS, PRICE_CHECKS, PRICES_DAILY, QUARANTINE
from spark.transforms.polars_schema import conform
from spark.transforms.silver.vendor_rounding import agree

_REASONS = {"volume_not_negative": "negative_volume"}
_REMEDY = "wait for a corrected download, or correct the dropped file"


def is_complete() -> pl.Expr:
    """True where all five numbers of a bar are there and finite."""
    return pl.all_horizontal(pl.col(name).is_finite().fill_null(value=False) for name in BAR_COLUMNS)


def is_possible() -> pl.Expr:
    """True where a bar is complete and passes every price check of the contract, evaluated from its own predicate."""
    return is_complete() & reduce(and_, (pl.sql_expr(check.predicate) for check in PRICE_CHECKS))


def choose(
    downloads: pl.DataFrame, verdicts: pl.DataFrame, sessions: Sequence[date],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The bars of a window and the rows that cannot be one: (silver.prices_daily rows, silver.quarantine rows).

    `downloads` are the bronze.stooq_prices rows of the window, of one or many tickers; `verdicts` the
    silver.price_restatements rows of these tickers; `sessions` the exchange's sessions of the window. Only accepted
    downloads take part; of their good rows the latest by (fetched_ts, file_sha256) speaks for its ticker and session, so
    an impossible later row displaces nothing. A bar names the file that first said it so, not a later one that repeats
    it: a table kept day by day is equal to one built at once.

    Quarantined rows name the file by its hash (bronze.stooq_downloads has its name) and the row by ticker and line.
    Reasons: incomplete_row, negative_volume, impossible_price, not_a_session. A flat first bar without volume, as
    vendors set before a listing, is possible and kept.
    """
    accepted = verdicts.filter(pl.col("verdict").is_in(ACCEPTED_VERDICTS)).select("ticker", "file_sha256").unique()
    judged = downloads.join(accepted, on=["ticker", "file_sha256"], how="semi").with_columns(_fault(sessions))
    good, bad = judged.filter(pl.col("message").is_null()), judged.filter(pl.col("message").is_not_null())
    return conform(_latest(good), PRICES_DAILY), _quarantined(bad)


def _fault(sessions: Sequence[date]) -> list[pl.Expr]:
    """`reason` and `message` of the first thing wrong with a row; null for a good row."""
    faults = [(~is_complete(), "incomplete_row", "a price or the volume is missing or not a number")]
    faults += [
        (~pl.sql_expr(check.predicate), _REASONS.get(check.name, "impossible_price"), f"{check.name}: {check.why}")
        for check in PRICE_CHECKS
    ]
    faults.append((~pl.col("session_date").is_in(list(sessions)), "not_a_session", "the exchange was closed this day"))
    return [
        pl.coalesce(pl.when(wrong).then(pl.lit(reason)) for wrong, reason, _ in faults).alias("reason"),
        pl.coalesce(pl.when(wrong).then(pl.lit(f"{what}; {_REMEDY}")) for wrong, _, what in faults).alias("message"),
    ]


def _latest(good: pl.DataFrame) -> pl.DataFrame:
    """One row per ticker and session: the latest version as first said, flagged when an earlier one had another close."""
    versions = good.sort("ticker", "session_date", "fetched_ts", "file_sha256")
    bar = ["ticker", "session_date"]
    latest_close = versions.select(pl.col("close_usd").last().over(bar)).to_series().to_numpy()
    differs = ~agree(versions["close_usd"].to_numpy(), latest_close)
    is_latest = pl.all_horizontal(pl.col(name) == pl.col(name).last().over(bar) for name in BAR_COLUMNS)
    return versions.with_columns(pl.Series("is_restated", differs)).with_columns(
        pl.col("is_restated").any().over(bar),
        # True from the version on that the latest one only repeats.
        repeats=is_latest.reverse().cum_min().reverse().over(bar),
    ).filter("repeats").unique(bar, keep="first", maintain_order=True)


def _quarantined(bad: pl.DataFrame) -> pl.DataFrame:
    """Rows of silver.quarantine for rows of bronze.stooq_prices that have a reason and a message."""
    return conform(
        bad.sort("ticker", "session_date", "fetched_ts", "file_sha256").with_columns(
            source_table=pl.lit(PRICES_DAILY.address),
            source_name=pl.col("file_sha256"),
            reference=pl.format("{} line {}", "ticker", "line_number"),
            raw_text=pl.concat_str(
                [pl.col(name).cast(pl.String).fill_null("") for name in ("session_date", *BAR_COLUMNS)], separator=","),
            day_date=pl.col("session_date"),
        ),
        QUARANTINE,
    )
