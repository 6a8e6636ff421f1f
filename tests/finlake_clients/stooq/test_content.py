"""What a body is decides, and not how it came: prices in the form of its kind, or the typed reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_clients import source_errors as errors
from finlake_clients.stooq.content import classify
from spark.contracts.stooq_files import LAYOUTS, UnreadableFileError, open_file

ROW = b"2018-03-27,173.68,175.15,166.92,168.34,38962839.1234\r\n"
CSV_HEADERS = tuple(layout.header.encode() for layout in LAYOUTS if layout.form == "csv")
CSV = CSV_HEADERS[0] + b"\r\n" + ROW
BULK_ROW = b"AAPL.US,D,20180327,000000,1,1,1,1,1,0\r\n"
BULK = b"<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b'"Date","Open","High","Low","Close","Volume"\r\n' + ROW,
        b"Date,Open,High,Low,Close\r\n",
        CSV_HEADERS[0],
        BULK,
        BULK + BULK_ROW,
        b"\xff\xfe\x00",
        ROW + CSV,
        CSV.replace(b",", b";"),
        CSV.decode().encode("utf-16"),
        b"Symbol,Date,Time,Open\r\n",
    ],
)
def test_a_first_line_that_is_no_known_header_is_not_data(body: bytes) -> None:
    with pytest.raises(errors.NotDataError):
        classify(body)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_both_line_ends_are_data(end: bytes) -> None:
    for header in CSV_HEADERS:
        classify(header + end + ROW)
    classify(BULK + BULK_ROW, kind="bulk")


@given(st.binary(max_size=300) | st.tuples(st.sampled_from([CSV, BULK + BULK_ROW, ROW]), st.binary(max_size=30)).map(b"".join))
def test_the_connector_accepts_what_bronze_can_open_and_nothing_else(body: bytes) -> None:
    try:
        form = open_file(body).layout.form
    except UnreadableFileError:
        form = None
    for kind in ("drop", "bulk", "http"):
        try:
            classify(body, kind=kind)
        except errors.SourceError:
            assert form != ("bulk" if kind == "bulk" else "csv")
        else:
            assert form == ("bulk" if kind == "bulk" else "csv")
