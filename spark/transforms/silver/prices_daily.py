"""silver.prices_daily: which of all downloaded versions of a bar speaks, and which rows cannot be a bar at all."""

from collections.abc import Sequence
from datetime import date
from functools import reduce
from operator import and_

import polars as pl

from spark.contracts import price_limits as limits
from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import ACCEPTED_VERDICTS, PRICE_CHECKS, PRICES_DAILY, QUARANTINE
from spark.transforms.polars_schema import conform
from spark.transforms.silver.vendor_rounding import agree

_REASONS = {"volume_not_negative": "negative_volume"}
_BAR = ["ticker", "session_date"]
_FILE = ["ticker", "file_sha256"]
_VERSION = [*_FILE, "session_date"]
_NAMES = dict.fromkeys([*_FILE, "source_name"], pl.String)
# Of files of one time the one that knows more sessions is the newer; the hash decides between files that know the same.
_ORDER = ["fetched_ts", "last_session_date", "file_sha256"]
_DISPUTED = (
    "the bar differs from the known one in a way that no split or dividend explains, or is still at the level before "
    "the file's own split, so the known value stands, if there is one; later downloads decide"
)
_UNPROVEN = (
    "at the edge of its file the price leaps by × "
    f"{limits.CONTINUATION_LEAP:g} or more without the trading for it, so nothing is published of this session until another "
    'download says the same, or something else; to use it now: finlake prices accept {} --ticker {} --reason "why"'
)
_REMEDY = "wait for a corrected download, or correct the dropped file"


def is_complete() -> pl.Expr:
    """True where all five numbers of a bar are there and finite."""
    return pl.all_horizontal(pl.col(name).is_finite().fill_null(value=False) for name in BAR_COLUMNS)


def is_possible() -> pl.Expr:
    """True where a bar is complete and passes every price check of the contract, evaluated from its own predicate."""
    return is_complete() & reduce(and_, (pl.sql_expr(check.predicate) for check in PRICE_CHECKS))


def carried(numbers: Sequence[float], ratio: float, volume_ratio: float | None) -> tuple[float, float, float, float, float]:
    """The five numbers of a bar moved to another price level: prices to six significant digits, volume to four decimals.

    A factor of exactly 1 changes no bit, of volume neither.
    """
    opened, high, low, close, volume = numbers
    if ratio == 1:
        return opened, high, low, close, volume
    opened, high, low, close = (float(f"{price * ratio:.6g}") for price in (opened, high, low, close))
    return opened, high, low, close, round(volume * (volume_ratio or 1.0), 4)


def exceptions(verdicts: pl.DataFrame) -> pl.DataFrame:
    """The sessions of accepted downloads that do not simply speak: (ticker, file_sha256, session_date) and how.

    `verdicts` are silver.price_restatements rows. `is_carried` with `ratio` and `volume_ratio`: the value known before
    stands, times them; `is_unproven`: nothing is said of the session yet; neither: the file's own bar is believed though it
    contradicts what was known.
    """
    accepted = verdicts.filter(pl.col("verdict").is_in(ACCEPTED_VERDICTS))
    parts = [
        accepted.select(
            "ticker",
            "file_sha256",
            "fetched_ts",
            "ratio",
            "volume_ratio",
            session_date=pl.col(name).str.split(","),
            is_carried=pl.lit(name == "carried_dates"),
            is_unproven=pl.lit(name == "unproven_dates"),
        )
        .explode("session_date")
        .drop_nulls("session_date")
        for name in ("carried_dates", "corrected_dates", "unproven_dates")
    ]
    return pl.concat(parts).with_columns(pl.col("session_date").str.to_date())


def choose(
    downloads: pl.DataFrame,
    verdicts: pl.DataFrame,
    sessions: Sequence[date],
    excepted: pl.DataFrame | None = None,
    ledger: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The bars of a window and the rows that cannot be one: (silver.prices_daily rows, silver.quarantine rows).

    `downloads` are the bronze.stooq_prices rows of the window, of one or many tickers; `verdicts` the
    silver.price_restatements rows of these tickers (ticker, file_sha256, verdict); `excepted` their `exceptions`;
    `sessions` the exchange's sessions of the window; `ledger` the bronze.stooq_downloads rows of these tickers, needed
    where `downloads` are not whole files. Only accepted downloads take part; of their good rows the latest by (fetched_ts,
    last_session_date, file_sha256) speaks for its ticker and session, so an impossible later row displaces nothing. A bar
    names the file that first said it so, not a later one that repeats it: a table kept day by day is equal to one built
    at once.

    Quarantined rows name the file, by its hash where no ledger tells its name, and the row by hash, ticker and line.
    Reasons: incomplete_row, negative_volume, impossible_price, not_a_session, disputed_bar, unproven_leap. A flat first bar
    without volume, as vendors set before a listing, is possible and kept.
    """
    accepted = verdicts.filter(pl.col("verdict").is_in(ACCEPTED_VERDICTS)).select(_FILE).unique()
    ends = _ends(downloads) if ledger is None else ledger.select(*_FILE, "last_session_date")
    names = pl.DataFrame(schema=_NAMES) if ledger is None else ledger.select(list(_NAMES))
    judged = downloads.join(accepted, on=_FILE, how="semi").join(ends, on=_FILE, how="left", maintain_order="left")
    judged = judged.with_columns(_fault(sessions))
    good, bad = judged.filter(pl.col("message").is_null()), judged.filter(pl.col("message").is_not_null())
    if excepted is not None and excepted.height:
        excepted = excepted.filter(pl.col("session_date").is_in(list(sessions)))
        unproven = good.join(excepted.filter("is_unproven"), on=_VERSION, how="semi").with_columns(
            reason=pl.lit("unproven_leap"),
            message=pl.format(_UNPROVEN, pl.col("file_sha256").str.head(12), "ticker"),
        )
        good = good.join(excepted.filter("is_unproven"), on=_VERSION, how="anti")
        aside = excepted.filter("is_carried").join(ends, on=_FILE, how="left")
        disputed = good.join(aside, on=_VERSION, how="semi").with_columns(
            reason=pl.lit("disputed_bar"), message=pl.lit(_DISPUTED)
        )
        bad = pl.concat([bad, unproven, disputed])
        good = _with_carried(good.join(aside, on=_VERSION, how="anti"), aside)
        corrected = excepted.filter(~pl.col("is_carried"), ~pl.col("is_unproven"))
        contested = pl.concat([disputed.select(_BAR), corrected.select(_BAR)]).unique()
    else:
        contested = good.head(0).select(_BAR)
    chosen = _latest(good).join(
        contested.with_columns(is_contested=pl.lit(value=True)), on=_BAR, how="left", maintain_order="left"
    )
    return conform(chosen.with_columns(pl.col("is_contested").fill_null(value=False)), PRICES_DAILY), _quarantined(bad, names)


def _ends(downloads: pl.DataFrame) -> pl.DataFrame:
    """The last date of each file (ticker, file_sha256, last_session_date)."""
    return downloads.group_by(_FILE).agg(last_session_date=pl.col("session_date").max())


def _with_carried(spoken: pl.DataFrame, aside: pl.DataFrame) -> pl.DataFrame:
    """The rows that speak, and for each session of `aside` a row with the value known before it, moved to its level."""
    touched = spoken.join(aside, on=_BAR, how="semi")
    steps = pl.concat([touched, aside.select(*_VERSION, *_ORDER[:2], "ratio", "volume_ratio")], how="diagonal").sort(
        *_BAR, *_ORDER
    )
    rows: list[dict[str, object]] = []
    for row in steps.iter_rows(named=True):
        before = rows[-1] if rows and all(rows[-1][name] == row[name] for name in _BAR) else None
        if row["close_usd"] is not None:
            rows.append(row)
        elif before is not None:
            numbers = carried([float(str(before[name])) for name in BAR_COLUMNS], row["ratio"] or 1.0, row["volume_ratio"])
            rows.append(row | dict(zip(BAR_COLUMNS, numbers, strict=True)))
    moved = pl.DataFrame(rows, schema=steps.schema, orient="row").select(spoken.columns)
    return pl.concat([spoken.join(aside, on=_BAR, how="anti"), moved])


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
    versions = good.sort(*_BAR, *_ORDER)
    bar = _BAR
    latest_close = versions.select(pl.col("close_usd").last().over(bar)).to_series().to_numpy()
    differs = ~agree(versions["close_usd"].to_numpy(), latest_close)
    is_latest = pl.all_horizontal(pl.col(name) == pl.col(name).last().over(bar) for name in BAR_COLUMNS)
    return (
        versions.with_columns(pl.Series("is_restated", differs))
        .with_columns(
            pl.col("is_restated").any().over(bar),
            # True from the version on that the latest one only repeats.
            repeats=is_latest.reverse().cum_min().reverse().over(bar),
        )
        .filter("repeats")
        .unique(bar, keep="first", maintain_order=True)
    )


def _quarantined(bad: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Rows of silver.quarantine for rows of bronze.stooq_prices that have a reason and a message; `names` are of files."""
    named = bad.join(names, on=_FILE, how="left", maintain_order="left").with_columns(
        pl.coalesce("source_name", "file_sha256").alias("source_name")
    )
    return conform(
        named.sort(*_BAR, *_ORDER).with_columns(
            source_table=pl.lit(PRICES_DAILY.address),
            # Another download of the same name has another hash.
            reference=pl.format("{} {} line {}", pl.col("file_sha256").str.head(12), "ticker", "line_number"),
            message=pl.format("{}: {}", "source_name", "message"),
            raw_text=pl.concat_str(
                [pl.col(name).cast(pl.String).fill_null("") for name in ("session_date", *BAR_COLUMNS)], separator=","
            ),
            day_date=pl.col("session_date"),
        ),
        QUARANTINE,
    )
