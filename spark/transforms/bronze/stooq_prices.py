"""Stooq's daily bars, from the bytes of a file to rows: every bar as the file had it, every other line with its reason.

Two forms are read: the CSV of one ticker (English or Polish header, no ticker column) and a member of the bulk archive
(`<TICKER>,<PER>,...`). Prices are not judged here; an impossible bar is kept and silver decides. What cannot be a bar
(a wrong number of fields, no date, no number, a volume below zero, a session that was not over) is rejected line by
line. A file whose header is unknown, whose rows are another ticker's, or that is older than its rows, is rejected whole
with one rejection.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa

from spark.contracts.bronze import BAR_COLUMNS, STOOQ_PRICES
from spark.schemas import arrow_schema
from spark.transforms.quarantine import Rejection, rejections_table

_EXCHANGE_ZONE = ZoneInfo("America/New_York")
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_PRICES = BAR_COLUMNS[:4]


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """`rows` of bronze.stooq_prices and `rejected` rows of silver.quarantine, both in contract order."""

    rows: pa.Table
    rejected: pa.Table


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where a form keeps its fields (0-based); `ticker` and `period` are None where the form has no such column."""

    width: int
    date: int
    first_price: int
    volume: int | None
    ticker: int | None = None
    period: int | None = None
    date_pattern: str = r"^[12]\d{3}-\d{2}-\d{2}$"
    date_format: str = "%Y-%m-%d"


_WITH_VOLUME = _Layout(width=6, date=0, first_price=1, volume=5)
_WITHOUT_VOLUME = _Layout(width=5, date=0, first_price=1, volume=None)
_BULK = _Layout(
    width=10, date=2, first_price=4, volume=8, ticker=0, period=1, date_pattern=r"^[12]\d{7}$", date_format="%Y%m%d"
)
_LAYOUTS = {
    "Date,Open,High,Low,Close,Volume": _WITH_VOLUME,
    "Date,Open,High,Low,Close": _WITHOUT_VOLUME,
    "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen": _WITH_VOLUME,
    "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie": _WITHOUT_VOLUME,
    "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>": _BULK,
}
_MESSAGES = {
    "malformed_line": "the line has not as many fields as the header; mend or remove it and drop the file again",
    "not_daily": "the bar is not a daily one (<PER> is not D); take the daily archive, d_us_txt.zip",
    "unparseable_date": "the date is no calendar date in the form of this file; mend or remove the line",
    "unparseable_number": "a price or the volume is not a finite number; mend or remove the line",
    "negative_volume": "the volume is below zero, which no vendor means; mend or remove the line",
    "session_not_over": "the session had not closed when the file was obtained, so the bar may still change; download the "
    "file again after the close",
    "duplicate_row": "the same bar stands earlier in this file, equal in every value; the first one was kept",
}


def parse(
    content: bytes,
    *,
    ticker: str,
    file_sha256: str,
    fetched_ts: datetime,
    source_name: str,
    stooq_code: str | None = None,
    last_closed_date: date | None = None,
) -> Parsed:
    """Read one file of one ticker.

    Never raises on content. Rows keep the file's order. Every line that is not blank and not the header is either a row
    or a rejection, except that a file rejected whole has no row and one rejection. A date that stands twice with equal
    values keeps its first line; a date that stands twice with different values keeps all of them: which one is true
    cannot be known here, so the uniqueness check of the audit stops the file and names the rows.

    `fetched_ts` must be aware. `stooq_code` is the code the rows of a bulk member must bear, by default the ticker in
    lower case, dots as dashes, with `.us`. `last_closed_date` is the newest session that had closed by `fetched_ts`: the
    bar of one date after it is not final yet, and a file with more of them was not obtained when it says; None takes every
    date. Volume is null where the file has no such column or leaves it empty.
    """
    source = _Source(
        ticker=ticker,
        file_sha256=file_sha256,
        source_name=source_name,
        fetched_date=fetched_ts.astimezone(_EXCHANGE_ZONE).date(),
    )
    text = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    numbered = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    header = numbered[0][1] if numbered else ""
    layout = _LAYOUTS.get(header)
    if layout is None:
        return _rejected_whole(
            source,
            "unknown_header",
            text,
            (
                f"the first line is {header[:80]!r} and none of Stooq's headers; download the file again in a browser"
                if header
                else "the file is empty; download it again in a browser"
            ),
        )
    lines = _fields([line for _, line in numbered[1:]], [number for number, _ in numbered[1:]], layout)
    if layout.ticker is not None:
        code = (stooq_code or f"{ticker.lower().replace('.', '-')}.us").upper()
        strangers = _strangers(lines, code)
        if strangers:
            return _rejected_whole(
                source,
                "wrong_ticker",
                text,
                (
                    f"the file was taken for {code} but has rows of {', '.join(strangers[:5])}; "
                    "take the member from a fresh archive or name the file after its rows"
                ),
            )
    if last_closed_date is not None:
        lines = lines.with_columns(_unfinished(last_closed_date))
        unfinished = lines.filter(pl.col("reason") == "session_not_over")["session_date"].unique().sort()
        if unfinished.len() > 1:
            return _rejected_whole(
                source,
                "older_than_its_rows",
                text,
                (
                    f"the file says it was obtained at {fetched_ts:%Y-%m-%d %H:%M}Z but has bars up to {unfinished[-1]}; "
                    "set its modification time to when it was downloaded (touch -d) and drop it again"
                ),
            )
    judged = _without_repeats(lines)
    kept = judged.filter(pl.col("reason").is_null()).select(
        pl.lit(file_sha256).alias("file_sha256"),
        pl.lit(ticker).alias("ticker"),
        "session_date",
        *BAR_COLUMNS,
        pl.lit(fetched_ts.astimezone(UTC)).cast(pl.Datetime("us", "UTC")).alias("fetched_ts"),
        "line_number",
    )
    rejected = [
        source.rejection(f"line {line_number}", reason, _MESSAGES[reason], raw, session_date)
        for line_number, raw, session_date, reason in judged.filter(pl.col("reason").is_not_null())
        .select("line_number", "raw", "session_date", "reason")
        .iter_rows()
    ]
    return Parsed(rows=kept.to_arrow().cast(arrow_schema(STOOQ_PRICES)), rejected=rejections_table(rejected))


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The file in hand, as rejections name it."""

    ticker: str
    file_sha256: str
    source_name: str
    fetched_date: date

    def rejection(self, place: str, reason: str, message: str, raw_text: str, day_date: date | None) -> Rejection:
        """A rejection whose reference tells this file from another download of the same name."""
        return Rejection(
            source_table=STOOQ_PRICES.address,
            source_name=self.source_name,
            reference=f"{self.file_sha256[:12]} {self.ticker} {place}",
            reason=reason,
            message=message,
            raw_text=raw_text,
            ticker=self.ticker,
            day_date=day_date or self.fetched_date,
        )


def _fields(raw: list[str], line_numbers: list[int], layout: _Layout) -> pl.DataFrame:
    """The lines as typed columns, `reason` set where a line cannot be a bar, `code` null without a ticker column."""
    parts = pl.col("raw").str.split_exact(",", layout.width - 1)

    def part(index: int) -> pl.Expr:
        return parts.struct.field(f"field_{index}").str.strip_chars()

    def number(index: int) -> pl.Expr:
        value = pl.when(part(index).str.contains(_NUMBER)).then(part(index)).cast(pl.Float64, strict=False)
        return pl.when(value.is_finite()).then(value)

    said_date = pl.when(part(layout.date).str.contains(layout.date_pattern)).then(part(layout.date))
    volume = None if layout.volume is None else part(layout.volume)
    frame = pl.DataFrame(
        {"line_number": line_numbers, "raw": raw}, schema={"line_number": pl.Int64, "raw": pl.String}
    ).with_columns(
        (pl.col("raw").str.count_matches(",", literal=True) == layout.width - 1).alias("is_whole"),
        said_date.str.to_date(layout.date_format, strict=False).alias("session_date"),
        *(number(layout.first_price + index).alias(name) for index, name in enumerate(_PRICES)),
        (pl.lit(None, pl.Float64) if layout.volume is None else number(layout.volume)).alias("volume_shares"),
        (pl.lit(True) if volume is None else volume == "").alias("is_volume_unsaid"),
        (pl.lit(None, pl.String) if layout.ticker is None else part(layout.ticker).str.to_uppercase()).alias("code"),
        (pl.lit(True) if layout.period is None else part(layout.period).str.to_uppercase() == "D").alias("is_daily"),
    )
    unread = pl.any_horizontal(pl.col(name).is_null() for name in _PRICES) | (
        pl.col("volume_shares").is_null() & ~pl.col("is_volume_unsaid")
    )
    return frame.with_columns(
        pl.when(~pl.col("is_whole"))
        .then(pl.lit("malformed_line"))
        .when(~pl.col("is_daily"))
        .then(pl.lit("not_daily"))
        .when(pl.col("session_date").is_null())
        .then(pl.lit("unparseable_date"))
        .when(unread)
        .then(pl.lit("unparseable_number"))
        .when(pl.col("volume_shares") < 0)
        .then(pl.lit("negative_volume"))
        .alias("reason")
    )


def _unfinished(last_closed_date: date) -> pl.Expr:
    """`reason` with the good lines of later dates marked."""
    is_later = pl.col("reason").is_null() & (pl.col("session_date") > last_closed_date)
    return pl.when(is_later).then(pl.lit("session_not_over")).otherwise(pl.col("reason")).alias("reason")


def _strangers(lines: pl.DataFrame, code: str) -> list[str]:
    """Codes other than `code` that whole lines of a bulk member bear, sorted."""
    codes = lines.filter(pl.col("is_whole"))["code"].unique().sort().to_list()
    return [found for found in codes if found != code]


def _without_repeats(lines: pl.DataFrame) -> pl.DataFrame:
    """Mark the repetitions of a date whose lines agree in every value; dates that disagree stay as they are."""
    good = lines.filter(pl.col("reason").is_null())
    if good["session_date"].n_unique() == good.height:
        return lines
    repeats = good.filter(
        (pl.struct(BAR_COLUMNS).n_unique().over("session_date") == 1) & ~pl.col("session_date").is_first_distinct()
    )["line_number"]
    return lines.with_columns(
        pl.when(pl.col("line_number").is_in(repeats.implode()))
        .then(pl.lit("duplicate_row"))
        .otherwise(pl.col("reason"))
        .alias("reason")
    )


def _rejected_whole(source: _Source, reason: str, text: str, message: str) -> Parsed:
    """No row and one rejection for the file."""
    return Parsed(
        rows=arrow_schema(STOOQ_PRICES).empty_table(),
        rejected=rejections_table([source.rejection("file", reason, message, text, None)]),
    )
