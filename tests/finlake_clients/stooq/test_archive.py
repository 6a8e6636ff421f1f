"""Archives: the universe's members are read, a bad one is a problem of its own, and bounds hold before unpacking."""

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finlake_clients import bounded_zip
from finlake_clients import source_errors as errors
from finlake_clients.stooq.archive import archived_files
from finlake_clients.stooq.byte_budget import ByteBudget
from finlake_services.sample_sources import drop, prices
from spark.contracts.stooq_files import MAX_FILE_BYTES
from tests.finlake_clients.stooq.made_files import (
    BULK_HEADER,
    CODES,
    CSV,
    MEMBER,
    MTIME,
    NASDAQ,
    NYSE,
    dropped,
    row_counts,
    text,
    zipped,
)

AAPL_MEMBER = MEMBER.replace(b"KO.US", b"AAPL.US")


def test_a_bulk_archive_gives_the_universe_whatever_its_slashes(tmp_path: Path) -> None:
    written = datetime(2018, 3, 28, 12, tzinfo=UTC)
    batch = dropped(tmp_path, {"d_us_txt.zip": drop.bulk_archive(["AAPL", "FB", "IBM"])}, written)
    assert batch.problems == []
    assert [(file.ticker, file.source_kind, file.fetched_ts) for file in batch.files] == [
        ("AAPL", "bulk", written),
        ("IBM", "bulk", written),
    ]
    assert batch.files[0].source_name == "d_us_txt.zip!data\\daily\\us\\nasdaq stocks\\2\\aapl.us.txt"
    assert batch.files[0].content == prices.bulk_body("AAPL", prices.history("AAPL"))


def _flip_a_byte(packed: bytes) -> bytes:
    middle = packed.index(b"AAPL.US") + 20
    return packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1 :]


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (lambda: zipped(("data/daily/us/1/aapl.us.txt", b"")), errors.NotDataError),
        (lambda: zipped(("aapl.us.txt", text(BULK_HEADER))), errors.NotDataError),
        (
            lambda: _flip_a_byte(zipped(("data/daily/us/aapl.us.txt", AAPL_MEMBER), method=zipfile.ZIP_STORED)),
            errors.CorruptFileError,
        ),
        (lambda: zipped(("aapl.us.txt", bytes(MAX_FILE_BYTES + 1))), errors.TooLargeError),
        (lambda: zipped(("aapl.us.txt", text(BULK_HEADER) + b" " * 4_000_000)), errors.TooLargeError),
    ],
)
def test_a_bad_member_is_a_problem_of_its_own(packed: Callable[[], bytes], expected: type[errors.SourceError]) -> None:
    with zipfile.ZipFile(io.BytesIO(packed())) as archive:
        batch = archived_files(archive, "d_us_txt.zip", (MTIME, "file"), CODES, ByteBudget())
    assert batch.files == []
    assert [type(problem) for problem in batch.problems] == [expected]
    assert "aapl.us.txt" in str(batch.problems[0])


def test_a_csv_in_a_zip_is_read(tmp_path: Path) -> None:
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped(("ko_us_d.csv", CSV))})
    assert batch.problems == []
    assert row_counts(batch) == {"d_us_txt.zip!ko_us_d.csv": 5}
    assert [file.source_kind for file in batch.files] == ["drop"]


def test_an_encrypted_member_is_told_in_words(tmp_path: Path) -> None:
    body = bytearray(zipped(("ko.us.txt", MEMBER)))
    body[body.find(b"PK\1\2") + 8] |= 1
    (problem,) = dropped(tmp_path, {"x.zip": bytes(body)}).problems
    assert str(problem) == "x.zip!ko.us.txt: it is encrypted. Unpack the archive and drop the files that are in it."


def test_a_member_without_a_name_keeps_the_others(tmp_path: Path) -> None:
    body = zipped(("x/", b""), ("x", b"not ours"), ("ko.us.txt", MEMBER))
    directory = body.index(b"PK\x01\x02")
    nameless = body[:directory] + body[directory:].replace(b"x", b"\0").replace(b"\0/", b"\0\0")
    batch = dropped(tmp_path, {"d.zip": nameless.replace(b"ko.us.t\0t", b"ko.us.txt")})
    assert [file.ticker for file in batch.files] == ["KO"]


@pytest.mark.parametrize(
    ("written", "obtained", "kind"),
    [
        # The latest that a time without a zone can mean is twelve hours later in UTC.
        ((2024, 3, 10, 6, 0, 0), datetime(2024, 3, 10, 18, tzinfo=UTC), "member"),
        # Later than the archive, older than its own rows, or the zero of the format.
        ((2024, 3, 20, 0, 0, 2), MTIME, "file"),
        ((2024, 3, 7, 23, 0, 0), MTIME, "file"),
        ((1980, 1, 1, 0, 0, 0), MTIME, "file"),
        ((2024, 15, 31, 0, 0, 0), MTIME, "file"),
    ],
)
def test_a_member_keeps_its_own_time_where_it_can_be_true(
    tmp_path: Path, written: tuple[int, int, int, int, int, int], obtained: datetime, kind: str
) -> None:
    (file,) = dropped(tmp_path, {"d_us_txt.zip": zipped(("ko.us.txt", MEMBER), written=written)}).files
    assert (file.fetched_ts, file.fetched_ts_kind) == (obtained, kind)


def test_an_archive_of_too_many_members_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_zip, "MAX_MEMBERS", 2)
    batch = dropped(tmp_path, {"d.zip": zipped(*((f"{number}.us.txt", MEMBER) for number in range(3)))})
    assert [type(problem) for problem in batch.problems] == [errors.TooLargeError]


def test_a_list_of_members_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_zip, "MAX_DIRECTORY_BYTES", 70_000)
    batch = dropped(tmp_path, {"d.zip": zipped(*((f"{number}.us.txt", MEMBER) for number in range(1_500)))})
    assert [type(problem) for problem in batch.problems] == [errors.HalfWrittenFileError]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_bytes_of_an_archive_raise_anything_but_a_typed_reason(data: st.DataObject) -> None:
    body = bytearray(zipped((NYSE, MEMBER), (NASDAQ, MEMBER.replace(b"100", b"101")), ("ko_us_d.csv", CSV)))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["change", "cut", "zeros", "double"])):
            case "change":
                body[position] = data.draw(st.integers(0, 255))
            case "cut":
                del body[position : position + data.draw(st.integers(1, 60))]
            case "zeros":
                body[position : position + 4] = b"\xff\xff\xff\xff"
            case _:
                body[position:position] = body[position : position + 40]
        if not body:
            return
    try:
        archive = bounded_zip.open_archive(io.BytesIO(bytes(body)), "d.zip")
    except bounded_zip.BROKEN:
        return
    batch = archived_files(archive, "d.zip", (MTIME, "file"), CODES, ByteBudget())
    assert batch.files or batch.problems
    assert all(file.content in (MEMBER, CSV, MEMBER.replace(b"100", b"101")) for file in batch.files)
    assert all(str(problem).isprintable() for problem in batch.problems)
