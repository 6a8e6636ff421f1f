"""silver.completeness: which ticker is alive on which session, whether its bar is there, and how late an absent one is."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl

from spark.contracts.sessions import DueSession
from spark.contracts.silver import COMPLETENESS
from spark.contracts.universe import Ticker
from spark.transforms.polars_schema import conform

MESSAGES: Mapping[str, str] = {
    "": "",
    "no_bar": "no download has a bar for this session: drop a newer file or run again later; if the ticker did not trade, say "
    "so with suspended or delisted in the universe file",
    "bar_not_accepted": "a download has this bar, but its verdict or a rule keeps it out: `finlake prices verdicts --unused` "
    "names the file and what to do, silver.quarantine the row",
    "not_listed": "before the first session of its listing, by the universe file",
    "before_first_bar": "before the first bar of any download",
    "delisted": "after the last session of its listing, by the universe file",
    "suspended": "trading was suspended, by the universe file",
    "closed_day": "the exchange was closed this day: a bar here is the vendor's error, and is not used",
}
# Worst first.
STATES = ("missing", "unexpected", "late", "not_due")
UNEXPECTED_MESSAGE = "there is a bar although it should not be: correct listed, delisted or suspended in the universe file"


def completeness(
    tickers: Sequence[Ticker],
    sessions: Sequence[DueSession],
    agreed: pl.DataFrame,
    downloaded: pl.DataFrame,
    first_bars: Mapping[str, date],
) -> pl.DataFrame:
    """Rows of silver.completeness: one per ticker and session, and one per bar of a closed day.

    `agreed` and `downloaded` have a row (ticker, session_date) per bar of the window in silver.prices_daily, and in any
    download; `first_bars` is the first bar of any download by ticker.
    """
    bar = ["ticker", "session_date"]
    alive = _expected(tickers, sessions, first_bars)
    judged = (
        alive.join(agreed.select(*bar, is_present=pl.lit(value=True)), on=bar, how="left")
        .join(downloaded.select(*bar, is_downloaded=pl.lit(value=True)), on=bar, how="left")
        .with_columns(pl.col("is_present", "is_downloaded").fill_null(value=False), is_expected=pl.col("not_alive") == "")
        .with_columns(
            status=pl.when(is_expected & is_present)
            .then(pl.lit("present"))
            .when(is_expected)
            .then(pl.lit("absent"))
            .when(is_present)
            .then(pl.lit("unexpected"))
            .otherwise(pl.lit("not_expected")),
            reason=pl.when(is_expected & is_present)
            .then(pl.lit(""))
            .when(~is_expected)
            .then("not_alive")
            .when(pl.col("is_downloaded"))
            .then(pl.lit("bar_not_accepted"))
            .otherwise(pl.lit("no_bar")),
        )
        .with_columns(
            message=pl.when(pl.col("status") == "unexpected")
            .then(pl.lit(UNEXPECTED_MESSAGE))
            .otherwise(pl.col("reason").replace_strict(MESSAGES, return_dtype=pl.String))
        )
    )
    rows = pl.concat([conform(judged, COMPLETENESS), _on_closed_days(tickers, sessions, downloaded)])
    return rows.sort("session_date", "ticker")


is_expected, is_present = pl.col("is_expected"), pl.col("is_present")


def _expected(tickers: Sequence[Ticker], sessions: Sequence[DueSession], first_bars: Mapping[str, date]) -> pl.DataFrame:
    """Every ticker on every session, and in `not_alive` why no bar is expected; empty when one is."""
    listings = pl.DataFrame(
        [(ticker.symbol, ticker.listed, ticker.delisted, first_bars.get(ticker.symbol)) for ticker in tickers],
        orient="row",
        schema={"ticker": pl.String, "listed": pl.Date, "delisted": pl.Date, "first_bar": pl.Date},
    )
    days = pl.DataFrame(
        [(each.session, each.due_ts, each.overdue_ts) for each in sessions],
        orient="row",
        schema={"session_date": pl.Date, "due_ts": pl.Datetime("us", "UTC"), "overdue_ts": pl.Datetime("us", "UTC")},
    )
    day = pl.col("session_date")
    suspended = pl.any_horizontal(
        pl.lit(value=False),
        *(
            (pl.col("ticker") == ticker.symbol) & day.is_between(span.start, span.end or date.max)
            for ticker in tickers
            for span in ticker.suspended
        ),
    )
    return listings.join(days, how="cross").with_columns(
        not_alive=pl.when(day < pl.col("listed"))
        .then(pl.lit("not_listed"))
        .when(day > pl.col("delisted"))
        .then(pl.lit("delisted"))
        .when(suspended)
        .then(pl.lit("suspended"))
        .when(pl.col("listed").is_null() & (day < pl.col("first_bar")))
        .then(pl.lit("before_first_bar"))
        .otherwise(pl.lit(""))
    )


def _on_closed_days(tickers: Sequence[Ticker], sessions: Sequence[DueSession], downloaded: pl.DataFrame) -> pl.DataFrame:
    known, followed = [each.session for each in sessions], [ticker.symbol for ticker in tickers]
    strays = downloaded.filter(~pl.col("session_date").is_in(known), pl.col("ticker").is_in(followed)).unique()
    return conform(
        strays.with_columns(
            is_expected=pl.lit(value=False),
            is_present=pl.lit(value=False),
            status=pl.lit("unexpected"),
            reason=pl.lit("closed_day"),
            message=pl.lit(MESSAGES["closed_day"]),
            due_ts=pl.lit(None),
            overdue_ts=pl.lit(None),
        ),
        COMPLETENESS,
    )


def gaps(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """What of silver.completeness rows is not as expected at a moment (UTC): a row per ticker, state and reason, worst first.

    Columns: ticker, state (missing, unexpected, late, not_due), reason, message, first_date, last_date, count.
    """
    state = (
        pl.when(pl.col("status") == "unexpected")
        .then(pl.lit("unexpected"))
        .when(pl.col("due_ts") > now)
        .then(pl.lit("not_due"))
        .when(pl.col("overdue_ts") > now)
        .then(pl.lit("late"))
        .otherwise(pl.lit("missing"))
    )
    found = rows.filter(pl.col("status").is_in(["absent", "unexpected"])).with_columns(state=state)
    grouped = found.group_by("ticker", "state", "reason").agg(
        message=pl.col("message").first(),
        first_date=pl.col("session_date").min(),
        last_date=pl.col("session_date").max(),
        count=pl.len(),
    )
    return grouped.sort(pl.col("state").cast(pl.Enum(STATES)), "first_date", "ticker", "reason")
