"""Files as people really drop them: each is read, or told by one sentence that says what it is and what to do."""

import gzip
import hashlib
import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from finlake_clients import source_errors as errors
from finlake_clients.stooq import dropped_files
from finlake_clients.stooq.drop_location import DropLocation
from finlake_services.sample_sources import drop
from spark.contracts.stooq_files import MAX_FILE_BYTES
from tests.finlake_clients.stooq.made_files import (
    BULK_HEADER,
    CSV,
    HEADER,
    MEMBER,
    MTIME,
    ROWS,
    bulk,
    dropped,
    row_counts,
    text,
    zipped,
)


def test_dropped_csv_files_of_the_universe_are_read_unchanged(tmp_path: Path) -> None:
    batch = dropped(tmp_path, {name: CSV for name in ("aapl_us_d.csv", "brk-b_us_d.csv", "MSFT.us_d.csv")})
    assert batch.problems == []
    assert {file.ticker: file.source_name for file in batch.files} == {
        "AAPL": "aapl_us_d.csv",
        "BRK-B": "brk-b_us_d.csv",
        "MSFT": "MSFT.us_d.csv",
    }
    for file in batch.files:
        assert (file.content, file.source_kind, file.fetched_ts) == (CSV, "drop", MTIME)
        assert file.sha256 == hashlib.sha256(CSV).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("nvda_us_d.csv", CSV, errors.UnknownTickerError),
        ("prices.csv", CSV, errors.UnknownTickerError),
        ("aapl_us_d.csv", CSV[:-9], errors.HalfWrittenFileError),
        ("aapl_us_d.csv.part", CSV, errors.HalfWrittenFileError),
        ("aapl_us_d.csv.tmp", CSV, errors.HalfWrittenFileError),
        ("aapl_us_d.csv", b"", errors.NotDataError),
        ("aapl_us_d.csv", b"No data", errors.NoDataError),
        ("aapl_us_d.csv", b"<!DOCTYPE html>This site requires JavaScript to verify your browser", errors.ChallengePageError),
        ("aapl.us.txt", text(BULK_HEADER, *bulk("MSFT.US")), errors.NotDataError),
        ("aapl.us.txt", text(BULK_HEADER, *bulk("AAPL.US")).replace(b",D,", b",60,"), errors.NotDataError),
        ("aapl_us_d.csv.gz", CSV, errors.NotDataError),
        ("aapl_us_d.xlsx", CSV, errors.NotDataError),
        ("aapl_us_d.csv", text(HEADER), errors.NotDataError),
        ("aapl_us_d.csv", bytes(MAX_FILE_BYTES + 1), errors.TooLargeError),
        ("aapl_us_d.csv", CSV + b"\n" * 200_001, errors.TooLargeError),
        ("d_us_txt.zip", drop.bulk_archive(["AAPL"])[:-200], errors.HalfWrittenFileError),
        ("d_us_txt.zip", b"", errors.HalfWrittenFileError),
        ("d_us_txt.zip", b"<html>", errors.CorruptFileError),
        ("d_us_txt.zip", drop.bulk_archive(["GOOG"]), errors.UnknownTickerError),
    ],
)
def test_a_bad_drop_is_reported_and_the_good_one_beside_it_is_read(
    tmp_path: Path, name: str, content: bytes, expected: type[errors.SourceError]
) -> None:
    batch = dropped(tmp_path, {name: content, "ibm_us_d.csv": CSV})
    assert [file.ticker for file in batch.files] == ["IBM"]
    assert [type(problem) for problem in batch.problems] == [expected]
    assert name in str(batch.problems[0])
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content", "row_count"),
    [
        ("ko_us_d.csv", b"\r\n" + CSV, 5),
        ("ko_us_d.csv", b"\xef\xbb\xbf" + CSV, 5),
        ("ko_us_d.csv", CSV.replace(b"\r\n", b"\r"), 5),
        ("ko_us_d.csv", text("Date,Open,High,Low,Close", *(row.rsplit(",", 1)[0] for row in ROWS)), 5),
        ("ko_us_d.csv", text("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie", *(row.rsplit(",", 1)[0] for row in ROWS)), 5),
        ("ko_us_d.csv", text(HEADER, *reversed(ROWS)), 5),
        ("ko.us.txt", b"\n\n" + MEMBER, 5),
        # Left out by bronze, which names the file.
        ("ko_us_d.csv", text(HEADER, *ROWS, "2024-03-08,200.00,201.00,199.00,200.00,5"), 0),
    ],
)
def test_a_file_that_bronze_can_open_is_handed_over(tmp_path: Path, name: str, content: bytes, row_count: int) -> None:
    batch = dropped(tmp_path, {name: content, "a_us_d.csv": CSV})
    assert batch.problems == []
    assert row_counts(batch) == {"a_us_d.csv": 5, name: row_count}


@pytest.mark.parametrize(
    ("name", "content", "said", "next_step"),
    [
        ("ko_us_d.csv", CSV.decode().encode("utf-16"), "its encoding is UTF-16", "as it was downloaded"),
        ("ko_us_d.csv", b"\xfe\xff" + CSV.decode().encode("utf-16-be"), "its encoding is UTF-16", "as it was downloaded"),
        (
            "ko_us_d.csv",
            zipped(("docProps/app.xml", b"x"), ("[Content_Types].xml", b"x")),
            "it is a spreadsheet",
            "as it was downloaded",
        ),
        ("ko_us_d.csv", b"Exceeded the daily hits limit", "the daily limit", "Download it again tomorrow"),
        ("ko_us_d.csv", b"Get your apikey:", "wants an API key", "Download it again in a browser, with the key"),
        ("ko_us_d.csv", b"Access denied", "denies access", "Download it again in a browser"),
        ("x.zip", CSV, "named as a zip archive", "Name it <stooq code>_d.csv"),
        ("x.zip", MEMBER, "named as a zip archive", "Name it <stooq code>.txt"),
        ("x.zip", gzip.compress(CSV), "it is a gzip archive", "Unpack it"),
        ("x.zip", b"<html>", "it is no zip archive", "Download it again in a browser"),
        ("x.zip", zipped(), "it holds no ticker of the universe; its first members are none", "d_us_txt.zip"),
        ("ko_us_d.csv", CSV.replace(b",", b";"), "separated by semicolons", "as it was downloaded"),
        ("ko_us_d.csv", CSV.replace(b",", b"\t"), "separated by tabs", "as it was downloaded"),
        ("ko_us_d.csv", text(HEADER), "a header and no row", "Download it again"),
        ("ko_us_d.csv", text("my prices", HEADER, *ROWS), "the header stands in line 2", "Remove the lines before"),
        ("ko_us_d.csv", MEMBER, "it holds rows of the bulk archive", "Name it <stooq code>.txt"),
        ("ko.us.txt", CSV, "it holds a CSV of one ticker", "Name it <stooq code>_d.csv"),
        ("ko_us_d.csv.gz", CSV, "its ending is none of .csv, .txt, .zip", "Unpack it"),
        ("ko_us_d.ods", CSV, "its ending is none of .csv, .txt, .zip", "Drop the CSV as it was downloaded, named"),
        (
            "d_us_txt.zip",
            zipped(("data/us.txt", text(BULK_HEADER, *bulk("A.US"), *bulk("KO.US")))),
            "it holds rows of several tickers (A.US, KO.US), which is another layout",
            "one member for each ticker",
        ),
        (
            "d_us_txt.zip",
            zipped(("goog.us.txt", text(BULK_HEADER, *bulk("GOOG.US")))),
            "no ticker of the universe; its first members are goog.us.txt",
            "d_us_txt.zip",
        ),
        ("d_us_txt.zip", zipped(("data/ko.us.txt", CSV)), "it holds a CSV of one ticker", "Name it <stooq code>_d.csv"),
    ],
)
def test_a_file_that_is_not_read_says_what_it_is_and_keeps_no_other_out(
    tmp_path: Path, name: str, content: bytes, said: str, next_step: str
) -> None:
    batch = dropped(tmp_path, {name: content, "a_us_d.csv": CSV})
    assert [file.source_name for file in batch.files] == ["a_us_d.csv"]
    (problem,) = batch.problems
    assert problem.thing.startswith(name)
    assert said in problem.reason
    assert next_step in problem.next_step
    assert str(problem).isprintable()


def test_of_a_foreign_file_the_beginning_of_its_first_line_alone_is_told(tmp_path: Path) -> None:
    (problem,) = dropped(tmp_path, {"ko_us_d.csv": b"b" * 80 + b"Z" * 500 + b"\nZ,Z,Z\n"}).problems
    assert problem.reason == f"the first line is {'b' * 80!r} and none of Stooq's headers"
    assert "Z" not in str(problem)


PACKED = {
    "zip named csv": ("ko_us_d.csv", zipped(("ko_us_d.csv", CSV))),
    "zip in a zip": ("x.zip", zipped(("ko.us.txt", zipped(("ko_us_d.csv", CSV))))),
    "bzip2 member": ("x.zip", zipped(("ko_us_d.csv", CSV), method=zipfile.ZIP_BZIP2)),
    "lzma member": ("x.zip", zipped(("ko_us_d.csv", CSV), method=zipfile.ZIP_LZMA)),
    "zip beside another ticker": ("x.zip", zipped(("inner.zip", zipped(("ko_us_d.csv", CSV))), ("a_us_d.csv", CSV))),
}


@pytest.mark.parametrize(("name", "content"), PACKED.values(), ids=PACKED)
def test_what_is_packed_is_read_once_it_is_unpacked_as_the_message_says(tmp_path: Path, name: str, content: bytes) -> None:
    (problem,) = dropped(tmp_path, {name: content}).problems
    assert problem.next_step.startswith("Unpack")
    (tmp_path / name).unlink()
    unpacked = content
    while unpacked.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(unpacked)) as archive:
            unpacked = archive.read(archive.namelist()[0])
    batch = dropped(tmp_path, {"ko_us_d.csv": unpacked})
    assert (row_counts(batch), batch.problems) == ({"ko_us_d.csv": 5}, [])


@pytest.mark.parametrize("name", ["ko_us_d.csv", "ko.zip"])
def test_a_time_of_the_future_is_not_believed(tmp_path: Path, name: str) -> None:
    content = CSV if name.endswith(".csv") else zipped(("ko_us_d.csv", CSV), written=(2099, 1, 1, 0, 0, 0))
    before = datetime.now(UTC)
    (file,) = dropped(tmp_path, {name: content}, mtime=datetime(2100, 1, 1, tzinfo=UTC)).files
    assert before <= file.fetched_ts <= datetime.now(UTC)
    assert file.fetched_ts_kind == "reading"


def test_the_time_of_a_look_says_nothing_about_older_files(tmp_path: Path) -> None:
    old = MTIME - timedelta(days=3_000)
    (file,) = dropped(tmp_path, {"ko_us_d.csv": CSV}, mtime=old).files
    assert (file.fetched_ts, file.fetched_ts_kind) == (old, "file")


def test_a_file_above_the_bound_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ko_us_d.csv", "ko.us.txt"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(50_000_000)
    with (tmp_path / "d_us_txt.zip").open("wb") as file:
        file.truncate(dropped_files.MAX_ARCHIVE_BYTES + 1)

    def opened(*_: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(DropLocation, "opened", opened)
    batch = dropped(tmp_path, {})
    assert [type(problem) for problem in batch.problems] == [errors.TooLargeError] * 3
    assert "50,000,000 bytes" in str(batch.problems[1])
