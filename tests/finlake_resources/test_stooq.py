"""Stooq: every answer that is not data has its type, drops are read whole or left, the key stays secret."""

import hashlib
import io
import logging
import os
import traceback
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_resources import source_errors as errors
from finlake_resources.stooq import (
    DropEntry,
    StooqPrices,
    bulk_files,
    classify,
    keyless_url,
    settled,
    vendor_code_of,
)
from finlake_services.sample_sources import drop, prices
from spark.contracts.stooq_files import LAYOUTS, MAX_FILE_BYTES, UnreadableFileError, open_file

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytest_plugins = ["tests.plugins.sample_server"]

CODES = {"aapl.us": "AAPL", "msft.us": "MSFT", "ibm.us": "IBM", "brk-b.us": "BRK-B"}
KEY = "0123456789abcdef0123456789abcdef"
MTIME = datetime(2018, 3, 28, 12, 0, tzinfo=UTC)
ROW = b"2018-03-27,173.68,175.15,166.92,168.34,38962839.1234\r\n"
CSV_HEADERS = tuple(layout.header.encode() for layout in LAYOUTS if layout.form == "csv")
CSV = CSV_HEADERS[0] + b"\r\n" + ROW
BULK_ROW = b"AAPL.US,D,20180327,000000,1,1,1,1,1,0\r\n"
BULK = b"<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\r\n"

BAD_ANSWERS = [
    ("no_data", errors.NoData), ("limit", errors.LimitReached), ("limit_pl", errors.LimitReached),
    ("apikey", errors.ApiKeyNeeded), ("challenge", errors.ChallengePage), ("denied", errors.AccessDenied),
    ("empty", errors.NotData), ("unknown_page", errors.NotData), ("echo", errors.NotData), ("cut", errors.CorruptFile),
    ("http_503", errors.SourceUnavailable),
]


def _prices(
    server: "SampleServer", drop_location: Path, apikey_file: str | None = None, attempts: int = 3
) -> StooqPrices:
    return StooqPrices(drop_location=str(drop_location), base_url=server.url, apikey_file=apikey_file,
                       attempts=attempts, backoff_seconds=0)


def _dropped(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    os.utime(folder / name, (MTIME.timestamp(), MTIME.timestamp()))


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# Over HTTP


def test_a_download_is_the_vendors_bytes_with_their_origin(sample_server: "SampleServer", tmp_path: Path) -> None:
    before = datetime.now(UTC)
    file = _prices(sample_server, tmp_path).download("AAPL", "aapl.us", date(2018, 3, 27), date(2018, 3, 27))
    assert file.content == b"Date,Open,High,Low,Close,Volume\r\n2018-03-27,173.68,175.15,166.92,168.34,38962839\r\n"
    assert file.sha256 == hashlib.sha256(file.content).hexdigest()
    assert (file.ticker, file.source_kind) == ("AAPL", "http")
    assert file.source_name == f"{sample_server.url}/q/d/l/?s=aapl.us&i=d&d1=20180327&d2=20180327"
    assert before <= file.fetched_ts <= datetime.now(UTC)


@pytest.mark.parametrize(("fault", "expected"), BAD_ANSWERS)
def test_every_answer_that_is_not_data_raises_its_type(
    sample_server: "SampleServer", tmp_path: Path, fault: str, expected: type[errors.SourceError]
) -> None:
    sample_server.set_faults("stooq", {"aapl.us": fault})
    with pytest.raises(errors.SourceError) as raised:
        _prices(sample_server, tmp_path).download("AAPL", "aapl.us")
    assert type(raised.value) is expected
    assert sample_server.url in str(raised.value)
    assert raised.value.next_step in str(raised.value)


@pytest.mark.parametrize("fault", ["pl", "bom"])
def test_the_polish_header_and_a_byte_order_mark_are_data(
    sample_server: "SampleServer", tmp_path: Path, fault: str
) -> None:
    sample_server.set_faults("stooq", {"aapl.us": fault})
    file = _prices(sample_server, tmp_path).download("AAPL", "aapl.us", date(2018, 3, 27))
    assert file.content.endswith(b"2018-03-27,173.68,175.15,166.92,168.34,38962839\r\n")


def test_a_server_failure_is_tried_again_and_a_refusal_is_not(sample_server: "SampleServer", tmp_path: Path) -> None:
    source = _prices(sample_server, tmp_path)
    sample_server.set_faults("stooq", {"aapl.us": {"kind": "http_503", "times": 2}})
    assert source.download("AAPL", "aapl.us", date(2018, 3, 27)).content.startswith(b"Date,")
    sample_server.set_faults("stooq", {"aapl.us": {"kind": "denied", "times": 1}})
    with pytest.raises(errors.AccessDenied):
        source.download("AAPL", "aapl.us")
    assert source.download("AAPL", "aapl.us", date(2018, 3, 27)).content.startswith(b"Date,")


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    source = StooqPrices(drop_location=str(tmp_path), base_url="http://127.0.0.1:9", attempts=2, backoff_seconds=0)
    with pytest.raises(errors.SourceUnavailable, match="ConnectError"):
        source.download("AAPL", "aapl.us")


def test_one_refused_symbol_means_the_run_is_refused_and_one_without_data_does_not(
    sample_server: "SampleServer", tmp_path: Path
) -> None:
    source = _prices(sample_server, tmp_path)
    with pytest.raises(errors.NoData) as no_data:
        source.download("BRK-B", "brk-b.us")
    assert not isinstance(no_data.value, errors.SourceRefused)
    for fault in ("limit", "apikey", "challenge", "denied"):
        sample_server.set_faults("stooq", {"ibm.us": fault})
        with pytest.raises(errors.SourceRefused):
            source.download("IBM", "ibm.us")


@pytest.mark.parametrize(("fault", "expected"), [(None, None), *BAD_ANSWERS])
def test_the_key_is_sent_and_is_in_no_log_error_or_result(
    sample_server: "SampleServer", tmp_path: Path, caplog: pytest.LogCaptureFixture,
    fault: str | None, expected: type[errors.SourceError] | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    key_file = tmp_path / "apikey"
    key_file.write_text(f"{KEY}\n")
    source = _prices(sample_server, tmp_path, str(key_file), attempts=2)
    if fault is None or expected is None:
        assert KEY not in repr(source.download("AAPL", "aapl.us", date(2018, 3, 27)))
    else:
        sample_server.set_faults("stooq", {"aapl.us": fault})
        with pytest.raises(expected) as raised:
            source.download("AAPL", "aapl.us")
        assert KEY not in "".join(traceback.format_exception(raised.value))
    assert "apikey=***" in caplog.text
    assert KEY not in caplog.text


def test_a_server_that_is_not_there_does_not_bring_the_key_into_the_error(tmp_path: Path) -> None:
    key_file = tmp_path / "apikey"
    key_file.write_text(KEY)
    source = StooqPrices(
        drop_location=str(tmp_path), base_url="http://127.0.0.1:9", apikey_file=str(key_file), attempts=1,
    )
    with pytest.raises(errors.SourceUnavailable) as raised:
        source.download("AAPL", "aapl.us")
    # The cause would hold the request, and the request the key.
    assert raised.value.__cause__ is None
    assert KEY not in "".join(traceback.format_exception(raised.value))


def test_a_key_file_that_is_not_there_asks_for_the_key(sample_server: "SampleServer", tmp_path: Path) -> None:
    with pytest.raises(errors.ApiKeyNeeded, match="FINLAKE_STOOQ_APIKEY_FILE"):
        _prices(sample_server, tmp_path, str(tmp_path / "missing")).download("AAPL", "aapl.us")


# What a body is


@pytest.mark.parametrize("body", [
    b'"Date","Open","High","Low","Close","Volume"\r\n' + ROW, b"Date,Open,High,Low,Close\r\n", CSV_HEADERS[0],
    BULK, BULK + BULK_ROW, b"\xff\xfe\x00", ROW + CSV, CSV.replace(b",", b";"), CSV.decode().encode("utf-16"),
    b"Symbol,Date,Time,Open\r\n",
])
def test_a_first_line_that_is_no_known_header_is_not_data(body: bytes) -> None:
    with pytest.raises(errors.NotData):
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


def test_the_url_without_a_key_names_code_and_range() -> None:
    assert keyless_url("https://stooq.com/", "brk-b.us", date(2020, 1, 2), None) == (
        "https://stooq.com/q/d/l/?s=brk-b.us&i=d&d1=20200102"
    )
    assert keyless_url("https://stooq.com", "^spx", None, None) == "https://stooq.com/q/d/l/?s=^spx&i=d"


@pytest.mark.parametrize(("name", "code"), [
    ("nvda_us_d.csv", "nvda.us"), ("brk-b_us_d.csv", "brk-b.us"), ("NVDA.US_d.csv", "nvda.us"),
    ("nvda_us_d (1).csv", "nvda.us"), ("nvda.us.txt", "nvda.us"), ("prices.csv", None), ("^spx_d.csv", "^spx"),
])
def test_the_code_is_in_the_file_name(name: str, code: str | None) -> None:
    assert vendor_code_of(name) == code


# Dropped files


def test_dropped_csv_files_of_the_universe_are_read_unchanged(sample_server: "SampleServer", tmp_path: Path) -> None:
    for name in ("aapl_us_d.csv", "brk-b_us_d.csv", "MSFT.us_d.csv"):
        _dropped(tmp_path, name, CSV)
    batch = _prices(sample_server, tmp_path).dropped_files(CODES)
    assert batch.problems == []
    assert {file.ticker: file.source_name for file in batch.files} == {
        "AAPL": "aapl_us_d.csv", "BRK-B": "brk-b_us_d.csv", "MSFT": "MSFT.us_d.csv",
    }
    for file in batch.files:
        assert (file.content, file.source_kind, file.fetched_ts) == (CSV, "drop", MTIME)
        assert file.sha256 == hashlib.sha256(CSV).hexdigest()


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("nvda_us_d.csv", CSV, errors.UnknownTicker),
    ("prices.csv", CSV, errors.UnknownTicker),
    ("aapl_us_d.csv", CSV[:-9], errors.HalfWrittenFile),
    ("aapl_us_d.csv.part", CSV, errors.HalfWrittenFile),
    ("aapl_us_d.csv.tmp", CSV, errors.HalfWrittenFile),
    ("aapl_us_d.csv", b"", errors.NotData),
    ("aapl_us_d.csv", b"No data", errors.NoData),
    ("aapl_us_d.csv", b"<!DOCTYPE html>This site requires JavaScript to verify your browser", errors.ChallengePage),
    ("aapl.us.txt", BULK + b"MSFT.US,D,20180327,000000,1,1,1,1,1,0\r\n", errors.NotData),
    ("aapl.us.txt", BULK + b"AAPL.US,60,20180327,000000,1,1,1,1,1,0\r\n", errors.NotData),
    ("aapl_us_d.csv.gz", CSV, errors.NotData),
    ("aapl_us_d.xlsx", CSV, errors.NotData),
    ("aapl_us_d.csv", CSV_HEADERS[0] + b"\r\n", errors.NotData),
    ("aapl_us_d.csv", bytes(MAX_FILE_BYTES + 1), errors.TooLargeError),
    ("aapl_us_d.csv", CSV + b"\n" * 200_001, errors.TooLargeError),
    ("d_us_txt.zip", drop.bulk_archive(["AAPL"])[:-200], errors.HalfWrittenFile),
    ("d_us_txt.zip", b"", errors.HalfWrittenFile),
    ("d_us_txt.zip", b"<html>", errors.CorruptFile),
    ("d_us_txt.zip", drop.bulk_archive(["GOOG"]), errors.UnknownTicker),
])
def test_a_bad_drop_is_reported_and_the_good_one_beside_it_is_read(
    sample_server: "SampleServer", tmp_path: Path, name: str, content: bytes, expected: type[errors.SourceError]
) -> None:
    _dropped(tmp_path, name, content)
    _dropped(tmp_path, "ibm_us_d.csv", CSV)
    batch = _prices(sample_server, tmp_path).dropped_files(CODES)
    assert [file.ticker for file in batch.files] == ["IBM"]
    assert [type(problem) for problem in batch.problems] == [expected]
    assert name in str(batch.problems[0])
    assert (tmp_path / name).read_bytes() == content


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_look(
    sample_server: "SampleServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _dropped(tmp_path, "aapl_us_d.csv", CSV)
    source = _prices(sample_server, tmp_path)
    listing = source.list_drop()
    # The writer goes on after the listing, and every line it has written so far is whole.
    (tmp_path / "aapl_us_d.csv").write_bytes(CSV + ROW)
    monkeypatch.setattr(StooqPrices, "list_drop", lambda _: listing)
    batch = source.dropped_files(CODES)
    assert batch.files == []
    assert [type(problem) for problem in batch.problems] == [errors.HalfWrittenFile]
    (tmp_path / "aapl_us_d.csv").unlink()
    assert [type(problem) for problem in source.dropped_files(CODES).problems] == [errors.HalfWrittenFile]


def test_only_named_files_are_read_when_names_are_given(sample_server: "SampleServer", tmp_path: Path) -> None:
    for name in ("aapl_us_d.csv", "msft_us_d.csv"):
        _dropped(tmp_path, name, CSV)
    batch = _prices(sample_server, tmp_path).dropped_files(CODES, names=["msft_us_d.csv"])
    assert [file.ticker for file in batch.files] == ["MSFT"]


def test_the_listing_is_by_name_without_folders_and_hidden_files(sample_server: "SampleServer", tmp_path: Path) -> None:
    _dropped(tmp_path, "msft_us_d.csv", CSV)
    _dropped(tmp_path, "aapl_us_d.csv", CSV + ROW)
    _dropped(tmp_path, ".DS_Store", b"x")
    (tmp_path / "old").mkdir()
    assert _prices(sample_server, tmp_path).list_drop() == [
        DropEntry("aapl_us_d.csv", len(CSV + ROW), MTIME), DropEntry("msft_us_d.csv", len(CSV), MTIME),
    ]


def test_a_drop_location_that_is_not_there_says_what_to_do(sample_server: "SampleServer", tmp_path: Path) -> None:
    with pytest.raises(errors.SourceUnavailable, match="FINLAKE_STOOQ_DROP"):
        _prices(sample_server, tmp_path / "missing").list_drop()


def test_a_file_url_is_a_drop_location(sample_server: "SampleServer", tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    _dropped(folder, "aapl_us_d.csv", CSV)
    source = StooqPrices(drop_location=folder.as_uri(), base_url=sample_server.url)
    assert [file.ticker for file in source.dropped_files(CODES).files] == ["AAPL"]


def test_settled_entries_are_those_that_stayed_the_same() -> None:
    grown, same, new = DropEntry("a", 1, MTIME), DropEntry("b", 1, MTIME), DropEntry("c", 1, MTIME)
    assert settled([grown, same], [DropEntry("a", 2, MTIME), same, new]) == [same]


def test_a_bulk_archive_gives_the_universe_whatever_its_slashes(sample_server: "SampleServer", tmp_path: Path) -> None:
    _dropped(tmp_path, "d_us_txt.zip", drop.bulk_archive(["AAPL", "FB", "IBM"]))
    batch = _prices(sample_server, tmp_path).dropped_files(CODES)
    assert batch.problems == []
    assert [(file.ticker, file.source_kind, file.fetched_ts) for file in batch.files] == [
        ("AAPL", "bulk", MTIME), ("IBM", "bulk", MTIME),
    ]
    assert batch.files[0].source_name == "d_us_txt.zip!data\\daily\\us\\nasdaq stocks\\2\\aapl.us.txt"
    assert batch.files[0].content == prices.bulk_body("AAPL", prices.history("AAPL"))


def _flip_a_byte(packed: bytes) -> bytes:
    middle = packed.index(b"AAPL.US") + 20
    return packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1:]


def _stored(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("data/daily/us/aapl.us.txt", member)
    return buffer.getvalue()


@pytest.mark.parametrize(("packed", "expected"), [
    (lambda: _zip({"data/daily/us/1/aapl.us.txt": b""}), errors.NotData),
    (lambda: _zip({"aapl.us.txt": BULK}), errors.NotData),
    (lambda: _flip_a_byte(_stored(BULK + BULK_ROW)), errors.CorruptFile),
    (lambda: _zip({"aapl.us.txt": bytes(MAX_FILE_BYTES + 1)}), errors.TooLargeError),
    (lambda: _zip({"aapl.us.txt": BULK + b" " * 4_000_000}), errors.TooLargeError),
])
def test_a_bad_member_is_a_problem_of_its_own(
    packed: Callable[[], bytes], expected: type[errors.SourceError]
) -> None:
    with zipfile.ZipFile(io.BytesIO(packed())) as archive:
        batch = bulk_files(archive, "d_us_txt.zip", MTIME, CODES)
    assert batch.files == []
    assert [type(problem) for problem in batch.problems] == [expected]
    assert "aapl.us.txt" in str(batch.problems[0])
