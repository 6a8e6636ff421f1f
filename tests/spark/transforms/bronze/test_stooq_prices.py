"""Stooq files become bars as they were written, and every other line says why it is none."""

import bz2
import gzip
import lzma
import re
import subprocess
import sys
import time
from collections.abc import Collection
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.bronze import STOOQ_PRICES
from spark.contracts.silver import QUARANTINE
from spark.contracts.stooq_files import MAX_FILE_BYTES, MAX_LINES
from spark.schemas import arrow_schema
from spark.transforms.bronze.stooq_prices import Parsed, parse
from spark.transforms.quarantine import MAX_REJECTED_ROWS

REPOSITORY = Path(__file__).parents[4]
FETCHED_TS = datetime(2026, 2, 28, 3, 0, tzinfo=UTC)  # still 27 February in New York
SHA256 = "ab" * 32
ENGLISH = "Date,Open,High,Low,Close,Volume"
POLISH = "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen"
BULK = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
BARS = ("2024-06-06,124.05,125.59,118.32,121,664696307", "2024-06-07,119.77,121.69,118.02,120.888,412386000.4141")


def read(
    content: str | bytes,
    *,
    ticker: str = "NVDA",
    file_sha256: str = SHA256,
    source_name: str = "nvda_us_d.csv",
    stooq_code: str | None = None,
    last_closed_date: date | None = None,
    fetched_ts: datetime = FETCHED_TS,
    closed_days: Collection[date] = (),
) -> Parsed:
    raw = content if isinstance(content, bytes) else content.encode()
    return parse(
        raw,
        ticker=ticker,
        file_sha256=file_sha256,
        fetched_ts=fetched_ts,
        source_name=source_name,
        stooq_code=stooq_code,
        last_closed_date=last_closed_date,
        closed_days=closed_days,
    )


def bars(parsed: Parsed) -> list[tuple[Any, ...]]:
    columns = ("session_date", "open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")
    return [tuple(row[name] for name in columns) for row in parsed.rows.to_pylist()]


def file_of(*lines: str, header: str = ENGLISH, end: str = "\r\n") -> str:
    return end.join((header, *lines, ""))


EXPECTED = [
    (date(2024, 6, 6), 124.05, 125.59, 118.32, 121.0, 664696307.0),
    (date(2024, 6, 7), 119.77, 121.69, 118.02, 120.888, 412386000.4141),
]


def test_rows_and_rejections_have_the_columns_of_their_contracts() -> None:
    parsed = read(file_of(*BARS, "broken"))
    assert parsed.rows.schema.equals(arrow_schema(STOOQ_PRICES))
    assert parsed.rejected.schema.equals(arrow_schema(QUARANTINE))
    first = parsed.rows.to_pylist()[0]
    assert (first["file_sha256"], first["ticker"], first["fetched_ts"], first["line_number"]) == (
        SHA256,
        "NVDA",
        FETCHED_TS,
        2,
    )


@pytest.mark.parametrize(
    "content",
    [
        file_of(*BARS),
        file_of(*BARS, end="\r"),
        file_of(*BARS, header=POLISH),
        file_of(*BARS, end="\n"),
        file_of(*BARS).rstrip("\r\n"),
        "\ufeff" + file_of(*BARS),
        "\r\n" + ENGLISH + "\n" + BARS[0] + "\r\n\n" + BARS[1] + "\r",
    ],
    ids=["english", "mac", "polish", "unix", "no_last_newline", "bom", "blank_first_line_and_mixed_ends"],
)
def test_every_spelling_of_a_file_gives_the_same_bars(content: str) -> None:
    parsed = read(content)
    assert bars(parsed) == EXPECTED
    assert parsed.rejected.num_rows == 0


def test_line_numbers_count_blank_lines_and_the_header() -> None:
    parsed = read("\r\n" + ENGLISH + "\r\n\r\n" + BARS[0] + "\r\n")
    assert parsed.rows["line_number"].to_pylist() == [4]


def test_a_member_of_the_bulk_archive_gives_the_bars_of_the_csv() -> None:
    lines = [f"NVDA.US,D,{line[:10].replace('-', '')},000000,{line[11:]},0" for line in BARS]
    parsed = read(file_of(*lines, header=BULK))
    assert bars(parsed) == EXPECTED
    assert parsed.rejected.num_rows == 0


@pytest.mark.parametrize(
    ("ticker", "stooq_code", "written"),
    [("BRK.B", None, "BRK-B.US"), ("FB", "meta.us", "META.US"), ("NVDA", None, "nvda.us")],
)
def test_a_bulk_member_bears_the_code_of_its_ticker(ticker: str, stooq_code: str | None, written: str) -> None:
    parsed = read(file_of(f"{written},D,20240606,000000,1,2,1,2,5,0", header=BULK), ticker=ticker, stooq_code=stooq_code)
    assert parsed.rows["ticker"].to_pylist() == [ticker]


def test_a_bulk_member_with_rows_of_another_ticker_is_rejected_whole() -> None:
    content = file_of("AAON.US,D,20240606,000000,1,2,1,2,5,0", "AAPL.US,D,20240607,000000,1,2,1,2,5,0", header=BULK)
    parsed = read(content, ticker="AAON", source_name="aaon.us.txt")
    assert parsed.rows.num_rows == 0
    [rejection] = parsed.rejected.to_pylist()
    assert (rejection["reason"], rejection["ticker"]) == ("wrong_ticker", "AAON")
    assert "AAPL.US" in rejection["message"]
    assert rejection["raw_text"].startswith(BULK)


def test_an_intraday_bar_is_not_taken_for_a_day() -> None:
    parsed = read(file_of("NVDA.US,5,20240606,153000,1,2,1,2,5,0", header=BULK))
    assert parsed.rejected["reason"].to_pylist() == ["not_daily"]


@pytest.mark.parametrize(
    "content",
    ["Date,Open,High,Low,Close\r\n2024-06-06,1,2,1,2\r\n", file_of("2024-06-06,1,2,1,2,")],
    ids=["no_column", "empty_field"],
)
def test_a_volume_the_vendor_did_not_say_is_null(content: str) -> None:
    assert bars(read(content)) == [(date(2024, 6, 6), 1.0, 2.0, 1.0, 2.0, None)]


def test_impossible_prices_are_kept_for_silver_to_judge() -> None:
    parsed = read(file_of("2024-06-06,-1,0,5,9,0"))
    assert bars(parsed) == [(date(2024, 6, 6), -1.0, 0.0, 5.0, 9.0, 0.0)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2024-06-07,1,2,1,2", "malformed_line"),
        ("2024-06-07,1,2,1,2,5,6", "malformed_line"),
        ("2024-02-30,1,2,1,2,5", "unparseable_date"),
        ("07.06.2024,1,2,1,2,5", "unparseable_date"),
        ("1699-12-31,1,2,1,2,5", "unparseable_date"),
        ("2100-01-04,1,2,1,2,5", "unparseable_date"),
        ("2024-06-07,1,,1,2,5", "unparseable_number"),
        ("2024-06-07,1,N/D,1,2,5", "unparseable_number"),
        ("2024-06-07,1,nan,1,2,5", "unparseable_number"),
        ("2024-06-07,1,1e999,1,2,5", "unparseable_number"),
        ("2024-06-07,1,2,1,2,many", "unparseable_number"),
        ("2024-06-07,1,2,1,2,-5", "negative_volume"),
    ],
)
def test_a_line_that_is_no_bar_is_rejected_with_its_reason_and_text(line: str, reason: str) -> None:
    parsed = read(file_of(BARS[0], line))
    assert bars(parsed) == EXPECTED[:1]
    [rejection] = parsed.rejected.to_pylist()
    assert (rejection["reason"], rejection["raw_text"], rejection["source_name"]) == (reason, line, "nvda_us_d.csv")
    assert rejection["reference"].endswith("NVDA line 3")
    assert rejection["source_table"] == "bronze.stooq_prices"
    assert rejection["message"]


def test_a_rejection_is_dated_by_its_row_or_else_by_the_day_in_new_york_it_was_fetched() -> None:
    parsed = read(file_of("2024-06-07,1,2,1,x,5", "no date at all"))
    assert parsed.rejected["day_date"].to_pylist() == [date(2024, 6, 7), date(2026, 2, 27)]


def test_two_downloads_of_one_name_reject_under_different_references() -> None:
    first, second = (read(file_of("broken"), file_sha256=sha * 32).rejected["reference"].to_pylist() for sha in ("ab", "cd"))
    assert first != second


def test_the_bar_of_a_session_that_was_not_over_is_rejected_and_the_others_are_kept() -> None:
    parsed = read(file_of(*BARS), last_closed_date=date(2024, 6, 6), fetched_ts=datetime(2024, 6, 7, 15, tzinfo=UTC))
    assert bars(parsed) == EXPECTED[:1]
    (rejected,) = parsed.rejected.to_pylist()
    assert (rejected["reason"], rejected["day_date"], rejected["raw_text"]) == ("session_not_over", date(2024, 6, 7), BARS[1])
    assert bars(read(file_of(*BARS), last_closed_date=date(2024, 6, 7))) == EXPECTED


def test_a_bar_of_a_closed_day_that_is_newer_than_every_session_is_told_as_no_session() -> None:
    thanksgiving, last = date(2024, 11, 28), date(2024, 11, 27)
    parsed = read(
        file_of("2024-11-27,1,2,1,2,5", "2024-11-28,1,2,1,2,5", "2024-11-29,1,2,1,2,5"),
        last_closed_date=last,
        fetched_ts=datetime(2024, 11, 28, 23, tzinfo=UTC),
        closed_days=[thanksgiving],
    )
    assert parsed.rows["session_date"].to_pylist() == [last]
    closed, unfinished = parsed.rejected.to_pylist()
    assert (closed["reason"], closed["day_date"]) == ("not_a_session", thanksgiving)
    assert "no such session" in closed["message"]
    assert "after the close" not in closed["message"]
    assert unfinished["reason"] == "session_not_over"


def test_a_file_that_says_it_is_older_than_its_rows_is_rejected_whole() -> None:
    parsed = read(file_of(*BARS), last_closed_date=date(2024, 6, 5), fetched_ts=datetime(2024, 6, 6, 3, tzinfo=UTC))
    assert parsed.rows.num_rows == 0
    (rejected,) = parsed.rejected.to_pylist()
    assert rejected["reason"] == "older_than_its_rows"
    assert "2024-06-06 03:00Z" in rejected["message"]
    assert "2024-06-07" in rejected["message"]


@pytest.mark.parametrize(
    ("fetched_ts", "last_closed_date", "days", "kept"),
    [
        # A coin on a Sunday, a currency on the Tuesday after a holiday.
        (datetime(2024, 3, 10, 18, tzinfo=UTC), date(2024, 3, 8), ["2024-03-08", "2024-03-09", "2024-03-10"], 3),
        (datetime(2024, 1, 16, 15, tzinfo=UTC), date(2024, 1, 12), ["2024-01-12", "2024-01-15", "2024-01-16"], 2),
    ],
)
def test_days_on_which_the_exchange_was_closed_do_not_make_a_file_older_than_its_rows(
    fetched_ts: datetime, last_closed_date: date, days: list[str], kept: int
) -> None:
    parsed = read(file_of(*(f"{day},1,2,1,2,5" for day in days)), fetched_ts=fetched_ts, last_closed_date=last_closed_date)
    assert [f"{day}" for day in parsed.rows["session_date"].to_pylist()] == days[:kept]
    assert parsed.rejected["reason"].to_pylist() == ["session_not_over"] * (3 - kept)


def test_an_equal_repetition_is_rejected_and_the_first_line_kept() -> None:
    parsed = read(file_of(BARS[0], BARS[1], BARS[0]))
    assert parsed.rows["line_number"].to_pylist() == [2, 3]
    assert parsed.rejected["reason"].to_pylist() == ["duplicate_row"]
    assert parsed.rejected["reference"].to_pylist()[0].endswith("line 4")


def test_a_file_with_two_prices_for_one_date_is_rejected_whole_and_names_itself_and_the_lines() -> None:
    other = BARS[0].replace("121,", "122,")
    parsed = read(file_of(BARS[0], other, BARS[0], BARS[1], BARS[1]))
    assert parsed.rows.num_rows == 0
    (rejected,) = parsed.rejected.to_pylist()
    assert (rejected["reason"], parsed.rejected_count) == ("contradicting_rows", 5)
    assert rejected["message"].startswith("nvda_us_d.csv: 2024-06-06 stands in lines 2, 3 and 4 with different values;")


def test_rows_keep_the_order_of_the_file() -> None:
    assert bars(read(file_of(*reversed(BARS)))) == EXPECTED[::-1]


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        (b"", "empty_file", "it is empty"),
        (b"\r\n\r\n", "empty_file", "it is empty"),
        (b"No data", "unknown_header", "'No data'"),
        (b"Date,Close\n2024-06-06,1\n", "unknown_header", "none of Stooq's headers"),
        (f"# prices\n{file_of(*BARS)}".encode(), "unknown_header", "the header stands in line 2"),
        (file_of(*BARS).encode("utf-16"), "wrong_encoding", "its encoding is UTF-16"),
        (file_of(*BARS).encode("utf-16-le"), "wrong_encoding", "its encoding is UTF-16"),
        (b"\xfe\xff" + file_of(*BARS).encode("utf-16-be"), "wrong_encoding", "its encoding is UTF-16"),
        (file_of(*BARS).encode("utf-32"), "wrong_encoding", "its encoding is UTF-32"),
        (file_of(*BARS).encode("utf-32-le"), "wrong_encoding", "its encoding is UTF-32"),
        (file_of(*BARS).encode("utf-32-be"), "wrong_encoding", "its encoding is UTF-32"),
        (file_of(*BARS).encode("utf-16-be"), "wrong_encoding", "its encoding is UTF-16"),
        (file_of(*BARS).encode() + bytes(512), "not_text", "it ends in NUL bytes"),
        (file_of(*BARS * 100).encode() + bytes(512), "not_text", "it ends in NUL bytes"),
        (b"\x00\x05\x16\x07" * 30, "not_text", "it holds NUL bytes"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not_text", "it is a picture"),
        (b"%PDF-1.7\n", "not_text", "it is a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "not_text", "it is a spreadsheet"),
        (gzip.compress(file_of(*BARS).encode()), "not_text", "it is a gzip archive"),
        (bz2.compress(file_of(*BARS).encode()), "not_text", "it is a bzip2 archive"),
        (lzma.compress(file_of(*BARS).encode()), "not_text", "it is an xz archive"),
        (file_of(*BARS).replace(",", ";").encode(), "wrong_separator", "semicolons"),
        (file_of(*BARS).replace(",", "\t").encode(), "wrong_separator", "tabs"),
        (file_of(header='"Date","Open","High","Low","Close","Volume"').encode(), "quoted_fields", "quotes"),
        (file_of().encode(), "no_row", "it has a header and no row"),
        (file_of().encode() + b"\n" * MAX_LINES, "too_large", "200,001 lines"),
        (file_of(*BARS).encode() + bytes(MAX_FILE_BYTES), "too_large", "16,777,216"),
    ],
)
def test_something_else_than_a_price_file_is_rejected_whole_and_says_what_it_is(content: bytes, reason: str, said: str) -> None:
    parsed = read(content)
    assert (parsed.rows.num_rows, parsed.rejected_count) == (0, 1)
    [rejection] = parsed.rejected.to_pylist()
    assert (rejection["reason"], rejection["reference"][-9:]) == (reason, "NVDA file")
    assert said in rejection["message"]
    assert "\x00" not in rejection["raw_text"]


def test_a_wrong_date_form_is_told_once_and_not_by_every_line() -> None:
    parsed = read(file_of(*(f"{day % 28 + 1}/06/2024,1,2,1,2,5" for day in range(5_000))))
    assert (parsed.rows.num_rows, parsed.rejected_count) == (0, 5_000)
    [rejection] = parsed.rejected.to_pylist()
    assert rejection["reason"] == "unparseable_date"
    assert "5,000 lines from line 2 to line 5001" in rejection["message"]
    assert "YYYY-MM-DD" in rejection["message"]
    assert rejection["raw_text"].startswith("1/06/2024,")


def test_beyond_a_bound_rejected_lines_are_counted_by_their_reason() -> None:
    bad = [*["2024-06-08,x,2,1,2,5"] * 4_000, *["short"] * 30, *[BARS[0]] * 1_000]
    parsed = read(file_of(*BARS, *bad))
    assert bars(parsed) == EXPECTED
    assert (parsed.rejected_count, parsed.rejected.num_rows) == (5_030, 33 + 30 + 33)
    messages = parsed.rejected.to_pylist()
    assert [row["message"].split(": ")[0] for row in messages if " more lines " in row["message"]] == [
        "3,968 more lines from line 36 to line 4003",
        "968 more lines from line 4066 to line 5033",
    ]
    assert len({row["reference"] + row["reason"] for row in messages}) == len(messages)


def test_raw_text_is_cut_to_what_quarantine_holds() -> None:
    assert len(read("<html>" + "x" * 9_000).rejected["raw_text"].to_pylist()[0]) == 4_000


def test_ten_thousand_bars_are_read_in_well_under_a_second() -> None:
    days = [date.fromordinal(date(1990, 1, 1).toordinal() + n) for n in range(10_000)]
    content = file_of(*(f"{day},12.3{day.day},13.5,11.25,12.75,{day.toordinal()}.5" for day in days)).encode()
    read(content)
    started = time.perf_counter()
    assert read(content).rows.num_rows == 10_000
    assert time.perf_counter() - started < 1


PIECES = st.sampled_from(
    [
        "2024-06-06",
        "20240606",
        "0000-01-01",
        "2024-13-01",
        "NVDA.US",
        "D",
        "5",
        "1.5",
        "-3",
        ".5",
        "1e400",
        "inf",
        "",
        " ",
        '"',
        "N/D",
        "\x00",
        "é",
        "١٢",
        "1_0",
        "2024-06-07",
    ]
)
LINES = st.lists(PIECES, max_size=11).map(",".join)


@settings(deadline=None)
@given(
    header=st.sampled_from([ENGLISH, POLISH, BULK, "Date,Open,High,Low,Close"]),
    lines=st.lists(LINES | st.text(max_size=40), max_size=8),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_every_line_of_a_price_file_is_a_bar_or_a_rejection(header: str, lines: list[str], end: str) -> None:
    content = end.join((header, *lines)).encode()
    parsed = read(content)
    if {"wrong_ticker", "contradicting_rows", "wrong_encoding", "not_text"} & set(parsed.rejected["reason"].to_pylist()):
        assert (parsed.rows.num_rows, parsed.rejected.num_rows) == (0, 1)
        return
    written = [line for line in re.split(r"\r\n|\r|\n", content.decode())[1:] if line.strip()]
    if not written:
        assert parsed.rejected["reason"].to_pylist() == ["no_row"]
        return
    assert parsed.rows.num_rows + parsed.rejected_count == len(written)
    assert parsed.rejected.num_rows <= min(parsed.rejected_count, MAX_REJECTED_ROWS)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise(content: bytes) -> None:
    parsed = read(content)
    assert parsed.rows.num_rows + parsed.rejected.num_rows >= 1


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_to_the_last_bit(value: float) -> None:
    [bar] = bars(read(file_of(f"2024-06-06,{value!r},1,1,1,1")))
    assert bar[1] == value


GROWTH = """
import resource
from datetime import UTC, date, datetime
from spark.contracts.stooq_files import LAYOUTS, MAX_FILE_BYTES, MAX_LINES
from spark.transforms.bronze.stooq_prices import parse

def read(content):
    return parse(content, ticker="KO", file_sha256="0" * 64, fetched_ts=datetime(2026, 1, 1, tzinfo=UTC), source_name="f",
                 last_closed_date=date(2025, 12, 31))

header = LAYOUTS[0].header.encode() + b"\\n"
read(header + b"2024-03-04,1,1,1,1,1\\n")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
width = MAX_FILE_BYTES // MAX_LINES - 1
for line in (b"x" * width, b"2024-03-04,1,1,1,1,1".ljust(width)):
    parsed = read(header + (line + b"\\n") * (MAX_LINES - 2))
    assert parsed.rejected.num_rows <= 100 and parsed.rows.num_rows + parsed.rejected_count == MAX_LINES - 2
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_the_largest_file_that_is_read_takes_a_bounded_memory_whatever_is_in_it() -> None:
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    # Half of it is polars' columns; unbounded, four million rejections took 5 GB.
    assert int(done.stdout) < 500
