"""Stooq's daily bars, from the bytes of a file to rows: every bar as the file had it, every other line with its reason.

What a file looks like stands in `spark/contracts/stooq_files.py`. Prices are not judged here; an impossible bar is kept
and silver decides. What cannot be a bar (a wrong number of fields, no date, no number, a volume below zero, a session
that was not over) is rejected line by line, up to a bound; beyond it, and where no line is a bar, lines are counted by
their reason. A file that cannot be opened, whose rows are another ticker's, that contradicts itself, or that is older
than its rows, is rejected whole with one rejection.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa

from spark.contracts.bronze import BAR_COLUMNS, STOOQ_PRICES
from spark.contracts.stooq_files import FileLayout, UnreadableFileError, open_file
from spark.schemas import arrow_schema
from spark.transforms.quarantine import MAX_REJECTED_ROWS, RAW_TEXT_LIMIT, Rejection, rejections_table

_EXCHANGE_ZONE = ZoneInfo("America/New_York")
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_PRICES = BAR_COLUMNS[:4]
_SHOWN_LINES = 5
_FRIDAY = 5


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """`rows` of bronze.stooq_prices and `rejected` rows of silver.quarantine, both in contract order.

    `rejected_count` counts every rejected line, also those that `rejected` only counts; 1 for a file without a line.
    """

    rows: pa.Table
    rejected: pa.Table
    rejected_count: int


_MESSAGES = {
    "malformed_line": "the line has not as many fields as the header; mend or remove it and drop the file again",
    "not_daily": "the bar is not a daily one (<PER> is not D); take the daily archive, d_us_txt.zip",
    "unparseable_date": "the date is no calendar date of the form {form}; mend or remove the line, or drop the file as it was "
    "downloaded",
    "unparseable_number": "a price or the volume is not a finite number; mend or remove the line",
    "negative_volume": "the volume is below zero, which no vendor means; mend or remove the line",
    "session_not_over": "the session had not closed when the file was obtained, so the bar may still change; download the "
    "file again after the close",
    "not_a_session": "the exchange is closed on this day, so there is no such session, now or later: "
    "remove the line, or drop the file as it was downloaded",
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
    closed_days: Collection[date] = (),
) -> Parsed:
    """Read one file of one ticker.

    Never raises on content. Rows keep the file's order. Every line that is not blank and not the header is a row or is
    counted as rejected; at most `MAX_REJECTED_ROWS` rejections tell of them. A date that stands twice with equal values
    keeps its first line; with different values it has the file rejected whole: which one is true cannot be known.

    `fetched_ts` must be aware. `stooq_code` is the code the rows of a bulk member must bear, by default the ticker in
    lower case, dots as dashes, with `.us`. `last_closed_date` is the newest session that had closed by `fetched_ts`: the
    bar of one date after it that can be a session is not final yet, and a file with more of them was not obtained when it
    says; None takes every date. One of `closed_days`, weekdays without a session, is no session there. An earlier day on which
    the exchange was closed, as currencies have, is a row. Volume is null where the file has no such column or leaves it empty.
    """
    source = _Source(
        ticker=ticker,
        file_sha256=file_sha256,
        source_name=source_name,
        fetched_date=fetched_ts.astimezone(_EXCHANGE_ZONE).date(),
    )
    try:
        opened = open_file(content)
    except UnreadableFileError as fault:
        return _rejected_whole(source, content, fault.code, str(fault), rejected_count=1)
    layout = opened.layout
    lines = _fields([line for _, line in opened.lines], [number for number, _ in opened.lines], layout)
    code = (stooq_code or f"{ticker.lower().replace('.', '-')}.us").upper()
    if last_closed_date is not None:
        lines = lines.with_columns(_closed_reason(last_closed_date, source.fetched_date, closed_days))
    fault_of_file = _fault_of_file(lines, layout, code, fetched_ts, last_closed_date)
    if fault_of_file is not None:
        return _rejected_whole(source, content, *fault_of_file, rejected_count=lines.height)
    if last_closed_date is not None:
        lines = lines.with_columns(_unfinished_reason(last_closed_date, source.fetched_date))
    judged = _without_repeats(lines)
    kept = judged.filter(pl.col("reason").is_null()).select(
        pl.lit(file_sha256).alias("file_sha256"),
        pl.lit(ticker).alias("ticker"),
        "session_date",
        *BAR_COLUMNS,
        pl.lit(fetched_ts.astimezone(UTC)).cast(pl.Datetime("us", "UTC")).alias("fetched_ts"),
        "line_number",
    )
    bad = judged.filter(pl.col("reason").is_not_null()).select("line_number", "raw", "session_date", "reason")
    return Parsed(
        rows=kept.to_arrow().cast(arrow_schema(STOOQ_PRICES)),
        rejected=rejections_table(_rejections(source, bad, layout, has_bars=not kept.is_empty())),
        rejected_count=bad.height,
    )


def reference_of(file_sha256: str, ticker: str) -> str:
    """What the references of a file's rejections begin with; it tells the file from another download of the same name."""
    return f"{file_sha256[:12]} {ticker}"


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
            reference=f"{reference_of(self.file_sha256, self.ticker)} {place}",
            reason=reason,
            message=message,
            raw_text=raw_text,
            ticker=self.ticker,
            day_date=day_date or self.fetched_date,
        )


def _fields(raw: list[str], line_numbers: list[int], layout: FileLayout) -> pl.DataFrame:
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


def _is_unfinished(last_closed_date: date, fetched_date: date) -> pl.Expr:
    """Good lines of sessions that were not over: days after the last closed session and before the file are none, nor weekends.

    `fetched_date` is the file's date in the exchange's zone.
    """
    day = pl.col("session_date")
    return pl.col("reason").is_null() & (day > last_closed_date) & (day >= fetched_date) & (day.dt.weekday() <= _FRIDAY)


def _unfinished_reason(last_closed_date: date, fetched_date: date) -> pl.Expr:
    """`reason` with the unfinished lines marked."""
    is_later = _is_unfinished(last_closed_date, fetched_date)
    return pl.when(is_later).then(pl.lit("session_not_over")).otherwise(pl.col("reason")).alias("reason")


def _closed_reason(last_closed_date: date, fetched_date: date, closed_days: Collection[date]) -> pl.Expr:
    """`reason` with the lines marked that are newer than every session and of a day without one."""
    is_closed = _is_unfinished(last_closed_date, fetched_date) & pl.col("session_date").is_in(list(closed_days))
    return pl.when(is_closed).then(pl.lit("not_a_session")).otherwise(pl.col("reason")).alias("reason")


def _fault_of_file(
    lines: pl.DataFrame, layout: FileLayout, code: str, fetched_ts: datetime, last_closed_date: date | None
) -> tuple[str, str] | None:
    """Reason and message where a file is to be rejected whole; None where its lines are judged one by one."""
    if layout.ticker is not None and (strangers := _strangers(lines, code)):
        return (
            "wrong_ticker",
            f"the file was taken for {code} but has rows of {', '.join(strangers[:5])}; "
            "take the member from a fresh archive or name the file after its rows",
        )
    good = lines.filter(pl.col("reason").is_null())
    if last_closed_date is not None:
        fetched_date = fetched_ts.astimezone(_EXCHANGE_ZONE).date()
        unfinished = good.filter(_is_unfinished(last_closed_date, fetched_date))["session_date"].unique().sort()
        if unfinished.len() > 1:
            return (
                "older_than_its_rows",
                f"the file says it was obtained at {fetched_ts:%Y-%m-%d %H:%M}Z but has bars up to {unfinished[-1]}; "
                "set its modification time to when it was downloaded (touch -d) and look at the drop location again; where that "
                "time is right, the ticker trades at other hours than the New York Stock Exchange, and finlake follows none such",
            )
    contradicting = good.filter(pl.struct(BAR_COLUMNS).n_unique().over("session_date") > 1)
    if not contradicting.is_empty():
        first = contradicting.filter(pl.col("session_date") == pl.col("session_date").min())
        dates, line_numbers = contradicting["session_date"].n_unique(), first["line_number"].to_list()
        return (
            "contradicting_rows",
            f"{first['session_date'][0]} stands in lines {_listed(line_numbers)} with different values"
            f"{f', and {dates - 1} more dates do so too' if dates > 1 else ''}; which is right cannot be known here, so the "
            "whole file was left out: remove the wrong lines, or download it again",
        )
    return None


def _listed(line_numbers: list[int]) -> str:
    """`4 and 7`, or `4, 7, 9 and 3 more`."""
    shown = line_numbers if len(line_numbers) <= _SHOWN_LINES else line_numbers[: _SHOWN_LINES - 1]
    rest = f"{len(line_numbers) - len(shown)} more" if len(shown) < len(line_numbers) else str(shown[-1])
    first = shown if len(shown) < len(line_numbers) else shown[:-1]
    return f"{', '.join(map(str, first))} and {rest}"


def _strangers(lines: pl.DataFrame, code: str) -> list[str]:
    """Codes other than `code` that whole lines of a bulk member bear, sorted."""
    codes = lines.filter(pl.col("is_whole"))["code"].unique().sort().to_list()
    return [found for found in codes if found != code]


def _without_repeats(lines: pl.DataFrame) -> pl.DataFrame:
    """Mark the repetitions of a date; the lines of a date agree in every value here."""
    is_good = pl.col("reason").is_null()
    is_repeat = ~pl.struct("session_date", is_good).is_first_distinct()
    return lines.with_columns(
        pl.when(is_good & is_repeat).then(pl.lit("duplicate_row")).otherwise(pl.col("reason")).alias("reason")
    )


def _rejections(source: _Source, bad: pl.DataFrame, layout: FileLayout, *, has_bars: bool) -> list[Rejection]:
    """At most `MAX_REJECTED_ROWS` rejections for the bad lines of a file, each line shown or counted by one of them.

    Where no line is a bar the fault is the file's, and one rejection for each reason tells it.
    """
    groups = bad.partition_by("reason", maintain_order=True)
    if has_bars and bad.height <= MAX_REJECTED_ROWS:
        groups, shown = [bad], bad.height
    else:
        shown = MAX_REJECTED_ROWS // len(groups) if has_bars else 1
    rejections = []
    for group in groups:
        first = group if group.height <= shown else group.head(shown - 1)
        rejections += [
            source.rejection(f"line {number}", reason, _message(reason, layout), raw, session_date)
            for number, raw, session_date, reason in first.iter_rows()
        ]
        if first.height < group.height:
            rejections.append(_counted(source, group.slice(first.height), layout, has_bars=has_bars))
    return rejections


def _counted(source: _Source, lines: pl.DataFrame, layout: FileLayout, *, has_bars: bool) -> Rejection:
    """One rejection for all lines of one reason."""
    first, last, reason = lines["line_number"][0], lines["line_number"][-1], lines["reason"][0]
    count = f"{lines.height:,} {'more ' if has_bars else ''}lines from line {first} to line {last}"
    whole = "" if has_bars else "no line of the file is a bar: "
    return source.rejection(
        f"lines {first} to {last}",
        reason,
        f"{whole}{count}: {_message(reason, layout)}",
        "\n".join(lines["raw"].head(_SHOWN_LINES)),
        None,
    )


def _message(reason: str, layout: FileLayout) -> str:
    return _MESSAGES[reason].format(form=layout.date_words)


def _rejected_whole(source: _Source, content: bytes, reason: str, message: str, rejected_count: int) -> Parsed:
    """No row and one rejection for the file, with its beginning."""
    beginning = content[:RAW_TEXT_LIMIT].decode("utf-8-sig", errors="replace").replace("\x00", "")
    rejection = source.rejection("file", reason, f"{source.source_name}: {message}", beginning, None)
    return Parsed(
        rows=arrow_schema(STOOQ_PRICES).empty_table(),
        rejected=rejections_table([rejection]),
        rejected_count=rejected_count,
    )
