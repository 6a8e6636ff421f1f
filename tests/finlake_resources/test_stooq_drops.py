"""Files as people really drop them: each is read, or told by one sentence that says what it is and what to do."""

import gzip
import io
import os
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finlake_resources import bounded_zip, stooq
from finlake_resources import source_errors as errors
from finlake_resources.stooq import StooqBatch, StooqPrices, bulk_files
from spark.transforms.bronze.stooq_prices import parse

CODES = {"a.us": "A", "ko.us": "KO"}
MTIME = datetime(2024, 3, 20, 12, tzinfo=UTC)
DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]
HEADER = "Date,Open,High,Low,Close,Volume"
BULK_HEADER = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
ROWS = [f"{day},{100 + n}.00,{101 + n}.50,{99 + n}.00,{100 + n}.50,{1000000 + n}" for n, day in enumerate(DAYS)]


def text(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def bulk(code: str, rows: list[str] = ROWS, factor: str = "") -> list[str]:
    return [f"{code},D,{row[:10].replace('-', '')},000000,{factor}{row[11:]},0" for row in rows]


CSV = text(HEADER, *ROWS)
MEMBER = text(BULK_HEADER, *bulk("KO.US"))


def zipped(
    *members: tuple[str, bytes], written: tuple[int, int, int, int, int, int] = (2024, 3, 30, 0, 0, 0),
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, written), content, method)
    return buffer.getvalue()


def dropped(folder: Path, files: dict[str, bytes], mtime: datetime = MTIME) -> StooqBatch:
    for name, content in files.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (mtime.timestamp(), mtime.timestamp()))
    return StooqPrices(drop_location=str(folder)).dropped_files(CODES)


def row_counts(batch: StooqBatch) -> dict[str, int]:
    """Rows that bronze makes of each file."""
    return {
        file.source_name: parse(file.content, ticker=file.ticker, file_sha256=file.sha256, fetched_ts=file.fetched_ts,
                                source_name=file.source_name, last_closed_date=date(2024, 3, 19)).rows.num_rows
        for file in batch.files
    }


@pytest.mark.parametrize(("name", "content", "row_count"), [
    ("ko_us_d.csv", b"\r\n" + CSV, 5),
    ("ko_us_d.csv", b"\xef\xbb\xbf" + CSV, 5),
    ("ko_us_d.csv", CSV.replace(b"\r\n", b"\r"), 5),
    ("ko_us_d.csv", text("Date,Open,High,Low,Close", *(row.rsplit(",", 1)[0] for row in ROWS)), 5),
    ("ko_us_d.csv", text("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie", *(row.rsplit(",", 1)[0] for row in ROWS)), 5),
    ("ko_us_d.csv", text(HEADER, *reversed(ROWS)), 5),
    ("ko.us.txt", b"\n\n" + MEMBER, 5),
    # Left out by bronze, which names the file.
    ("ko_us_d.csv", text(HEADER, *ROWS, "2024-03-08,200.00,201.00,199.00,200.00,5"), 0),
])
def test_a_file_that_bronze_can_open_is_handed_over(tmp_path: Path, name: str, content: bytes, row_count: int) -> None:
    batch = dropped(tmp_path, {name: content, "a_us_d.csv": CSV})
    assert batch.problems == []
    assert row_counts(batch) == {"a_us_d.csv": 5, name: row_count}


@pytest.mark.parametrize(("name", "content", "said", "next_step"), [
    ("ko_us_d.csv", CSV.decode().encode("utf-16"), "its encoding is UTF-16", "as it was downloaded"),
    ("ko_us_d.csv", b"\xfe\xff" + CSV.decode().encode("utf-16-be"), "its encoding is UTF-16", "as it was downloaded"),
    ("ko_us_d.csv", zipped(("docProps/app.xml", b"x"), ("[Content_Types].xml", b"x")), "it is a spreadsheet",
     "as it was downloaded"),
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
    ("d_us_txt.zip", zipped(("data/us.txt", text(BULK_HEADER, *bulk("A.US"), *bulk("KO.US")))),
     "it holds rows of several tickers (A.US, KO.US), which is another layout", "one member for each ticker"),
    ("d_us_txt.zip", zipped(("ibm.us.txt", text(BULK_HEADER, *bulk("IBM.US")))),
     "no ticker of the universe; its first members are ibm.us.txt", "d_us_txt.zip"),
    ("d_us_txt.zip", zipped(("data/ko.us.txt", CSV)), "it holds a CSV of one ticker", "Name it <stooq code>_d.csv"),
])
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


def test_a_folder_is_told_and_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ko_us_d.csv").write_bytes(CSV)
    (tmp_path / ".hidden").mkdir()
    batch = dropped(tmp_path, {"a_us_d.csv": CSV})
    assert [file.ticker for file in batch.files] == ["A"]
    assert [str(problem) for problem in batch.problems] == [
        "data: it is a folder, and folders are not looked into. Drop the zip itself or the files that are in the folder; "
        "move away what is not meant to be read."]


def test_names_and_kinds_of_entries_keep_no_file_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ko_us_d.csv")
    for name in (b"\xff\xfe_us_d.csv", b"ko_us_d\x1b[31m.csv", b"x" * 250 + b".csv"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(CSV)
    batch = dropped(tmp_path, {"a_us_d.csv": CSV})
    assert [file.ticker for file in batch.files] == ["A"]
    assert sorted(problem.reason for problem in batch.problems) == [
        *["it is named after no ticker of the universe"] * 2, "it is no regular file", "its name is not UTF-8"]
    assert r"\xff\xfe_us_d.csv" in {problem.thing for problem in batch.problems}
    assert all(str(problem).isprintable() for problem in batch.problems)
    assert [entry.name for entry in StooqPrices(drop_location=str(tmp_path)).list_drop()][0] == "a_us_d.csv"


def test_a_csv_in_a_zip_is_read(tmp_path: Path) -> None:
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped(("ko_us_d.csv", CSV))})
    assert batch.problems == []
    assert row_counts(batch) == {"d_us_txt.zip!ko_us_d.csv": 5}
    assert [file.source_kind for file in batch.files] == ["drop"]


# Several members for one ticker

NYSE, NASDAQ = "data/daily/us/nyse stocks/2/ko.us.txt", "data/daily/us/nasdaq stocks/1/ko.us.txt"


@pytest.mark.parametrize("is_turned", [False, True])
def test_of_two_members_of_one_ticker_the_one_with_the_newest_session_is_taken(tmp_path: Path, is_turned: bool) -> None:
    members = [(NYSE, text(BULK_HEADER, *bulk("KO.US", ROWS[:4]))), (NASDAQ, text(BULK_HEADER, *bulk("KO.US", factor="1")))]
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped(*(members[::-1] if is_turned else members))})
    assert [file.source_name for file in batch.files] == [f"d_us_txt.zip!{NASDAQ}"]
    (problem,) = batch.problems
    assert problem.thing == f"d_us_txt.zip!{NYSE}"
    assert f"it ends on 2024-03-07, before d_us_txt.zip!{NASDAQ}, which was taken for KO" in problem.reason


def test_two_members_that_differ_up_to_the_same_session_are_both_left_out(tmp_path: Path) -> None:
    other = text(BULK_HEADER, *bulk("KO.US", factor="1"))
    third = MEMBER.replace(b"KO", b"A")
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped((NYSE, MEMBER), (NASDAQ, other), ("a.us.txt", third))})
    assert [file.ticker for file in batch.files] == ["A"]
    assert {problem.thing for problem in batch.problems} == {f"d_us_txt.zip!{NYSE}", f"d_us_txt.zip!{NASDAQ}"}
    assert all("differ and end on 2024-03-08" in problem.reason for problem in batch.problems)


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "ko_us_d.csv").symlink_to(tmp_path / "gone.csv")
    (tmp_path / "loop_us_d.csv").symlink_to(tmp_path / "loop_us_d.csv")
    batch = dropped(tmp_path, {"a_us_d.csv": CSV})
    assert [file.ticker for file in batch.files] == ["A"]
    assert [(problem.thing, problem.reason) for problem in batch.problems] == [
        (name, "it is a link that leads to no file") for name in ("ko_us_d.csv", "loop_us_d.csv")]


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


def test_an_encrypted_member_is_told_in_words(tmp_path: Path) -> None:
    body = bytearray(zipped(("ko.us.txt", MEMBER)))
    body[body.find(b"PK\1\2") + 8] |= 1
    (problem,) = dropped(tmp_path, {"x.zip": bytes(body)}).problems
    assert str(problem) == "x.zip!ko.us.txt: it is encrypted. Unpack the archive and drop the files that are in it."


def test_members_in_a_form_that_is_not_read_are_told_beside_one_that_is(tmp_path: Path) -> None:
    members = [(name, b"x") for name in ("ko_us_d.csv.gz", "ko_us_d.xlsx", "ko.us.xls", "readme.html", "__MACOSX/._a_us_d.csv")]
    batch = dropped(tmp_path, {"x.zip": zipped(("a_us_d.csv", CSV), *members)})
    assert [file.ticker for file in batch.files] == ["A"]
    (problem,) = batch.problems
    assert problem.reason == "members that are no .csv or .txt were not read: ko_us_d.csv.gz, ko_us_d.xlsx, ko.us.xls"


@pytest.mark.parametrize("other", [MEMBER, CSV.replace(b".00,", b",").replace(b"\r\n", b"\n")])
def test_equal_bars_in_two_forms_are_one_file(tmp_path: Path, other: bytes) -> None:
    name = "ko.us.txt" if other is MEMBER else "b/ko_us_d.csv"
    batch = dropped(tmp_path, {"x.zip": zipped(("a/ko_us_d.csv", CSV), (name, other))})
    assert (row_counts(batch), batch.problems) == ({"x.zip!a/ko_us_d.csv": 5}, [])


def test_two_equal_members_are_one(tmp_path: Path) -> None:
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped((NYSE, MEMBER), (NASDAQ, MEMBER))})
    assert batch.problems == []
    assert [file.source_name for file in batch.files] == [f"d_us_txt.zip!{NYSE}"]


def test_a_member_without_a_name_keeps_the_others(tmp_path: Path) -> None:
    body = zipped(("x/", b""), ("x", b"not ours"), ("ko.us.txt", MEMBER))
    directory = body.index(b"PK\x01\x02")
    nameless = body[:directory] + body[directory:].replace(b"x", b"\0").replace(b"\0/", b"\0\0")
    batch = dropped(tmp_path, {"d.zip": nameless.replace(b"ko.us.t\0t", b"ko.us.txt")})
    assert [file.ticker for file in batch.files] == ["KO"]


# When a file was obtained


@pytest.mark.parametrize(("written", "obtained", "kind"), [
    # The latest that a time without a zone can mean is twelve hours later in UTC.
    ((2024, 3, 10, 6, 0, 0), datetime(2024, 3, 10, 18, tzinfo=UTC), "member"),
    # Later than the archive, older than its own rows, or the zero of the format.
    ((2024, 3, 20, 0, 0, 2), MTIME, "file"),
    ((2024, 3, 7, 23, 0, 0), MTIME, "file"),
    ((1980, 1, 1, 0, 0, 0), MTIME, "file"),
    ((2024, 15, 31, 0, 0, 0), MTIME, "file"),
])
def test_a_member_keeps_its_own_time_where_it_can_be_true(
    tmp_path: Path, written: tuple[int, int, int, int, int, int], obtained: datetime, kind: str
) -> None:
    (file,) = dropped(tmp_path, {"d_us_txt.zip": zipped(("ko.us.txt", MEMBER), written=written)}).files
    assert (file.fetched_ts, file.fetched_ts_kind) == (obtained, kind)


@pytest.mark.parametrize("name", ["ko_us_d.csv", "ko.zip"])
def test_a_time_of_the_future_is_not_believed(tmp_path: Path, name: str) -> None:
    content = CSV if name.endswith(".csv") else zipped(("ko_us_d.csv", CSV), written=(2099, 1, 1, 0, 0, 0))
    before = datetime.now(UTC)
    (file,) = dropped(tmp_path, {name: content}, mtime=datetime(2100, 1, 1, tzinfo=UTC)).files
    assert before <= file.fetched_ts <= datetime.now(UTC)
    assert file.fetched_ts_kind == "reading"


@pytest.mark.parametrize("mtime_ns", [-1, 0, -(2**62), 2**62, 2**63 - 1])
def test_no_time_of_a_file_keeps_the_others_out(tmp_path: Path, mtime_ns: int) -> None:
    (tmp_path / "ko_us_d.csv").write_bytes(CSV)
    os.utime(tmp_path / "ko_us_d.csv", ns=(mtime_ns, mtime_ns))
    batch = dropped(tmp_path, {"a_us_d.csv": CSV})
    assert [(file.ticker, file.fetched_ts) for file in batch.files if file.ticker == "A"] == [("A", MTIME)]
    assert len(batch.files) + len(batch.problems) == 2


# Bounds that hold before the work is done


def test_a_file_above_the_bound_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ko_us_d.csv", "ko.us.txt"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(50_000_000)
    with (tmp_path / "d_us_txt.zip").open("wb") as file:
        file.truncate(stooq.MAX_ARCHIVE_BYTES + 1)

    def opened(*_: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(StooqPrices, "_opened", opened)
    batch = dropped(tmp_path, {})
    assert [type(problem) for problem in batch.problems] == [errors.TooLargeError] * 3
    assert "50,000,000 bytes" in str(batch.problems[1])


def test_what_one_look_hands_over_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stooq, "MAX_BATCH_BYTES", len(CSV) + len(MEMBER))
    monkeypatch.setattr(stooq.ByteBudget.__init__, "__defaults__", (len(CSV) + len(MEMBER),))
    batch = dropped(tmp_path, {"a_us_d.csv": CSV, "d.zip": zipped(("ko.us.txt", MEMBER)), "ko_us_d.csv": CSV})
    assert [file.source_name for file in batch.files] == ["a_us_d.csv", "d.zip!ko.us.txt"]
    assert [(problem.thing, type(problem)) for problem in batch.problems] == [("ko_us_d.csv", errors.TooLargeError)]
    assert "Move away files that are ingested" in str(batch.problems[0])


@pytest.mark.parametrize("member", [b"\0" * (len(CSV) + 1), b"no prices\n" * 4], ids=["beyond its bounds", "no prices"])
def test_what_cannot_be_used_takes_no_room_from_good_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: bytes
) -> None:
    monkeypatch.setattr(stooq, "MAX_FILE_BYTES", len(CSV))
    monkeypatch.setattr(stooq.ByteBudget.__init__, "__defaults__", (len(CSV) + len(CSV),))
    # Names are read in order: the bad archive and the bad file come first.
    batch = dropped(tmp_path, {
        "a.zip": zipped(*(("ko.us.txt", member) for _ in range(3))), "aa_us_d.csv": b"x" * (len(CSV) - 1) + b"\n",
        "a_us_d.csv": CSV, "ko_us_d.csv": CSV})
    assert [file.source_name for file in batch.files] == ["a_us_d.csv", "ko_us_d.csv"]


def test_members_of_one_archive_have_a_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stooq, "MAX_BATCH_BYTES", 100)
    batch = dropped(tmp_path, {"a.zip": zipped(*(("ko.us.txt", b"no prices\n" * 4) for _ in range(4)))})
    assert [type(problem) for problem in batch.problems] == [errors.NotData] * 2 + [errors.TooLargeError] * 2
    assert "one member for each ticker" in str(batch.problems[-1])


def test_a_drop_location_with_too_many_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stooq, "MAX_DROPPED_FILES", 3)
    dropped(tmp_path, {f"{number}.csv": CSV for number in range(3)})
    with pytest.raises(errors.TooLargeError, match="more than 3 files"):
        dropped(tmp_path, {"3.csv": CSV})


def test_an_archive_of_too_many_members_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_zip, "MAX_MEMBERS", 2)
    batch = dropped(tmp_path, {"d.zip": zipped(*((f"{number}.us.txt", MEMBER) for number in range(3)))})
    assert [type(problem) for problem in batch.problems] == [errors.TooLargeError]


def test_a_list_of_members_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_zip, "MAX_DIRECTORY_BYTES", 70_000)
    batch = dropped(tmp_path, {"d.zip": zipped(*((f"{number}.us.txt", MEMBER) for number in range(1_500)))})
    assert [type(problem) for problem in batch.problems] == [errors.HalfWrittenFile]


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
                del body[position:position + data.draw(st.integers(1, 60))]
            case "zeros":
                body[position:position + 4] = b"\xff\xff\xff\xff"
            case _:
                body[position:position] = body[position:position + 40]
        if not body:
            return
    try:
        archive = bounded_zip.open_archive(io.BytesIO(bytes(body)), "d.zip")
    except bounded_zip.BROKEN:
        return
    batch = bulk_files(archive, "d.zip", MTIME, CODES)
    assert batch.files or batch.problems
    assert all(file.content in (MEMBER, CSV, MEMBER.replace(b"100", b"101")) for file in batch.files)
    assert all(str(problem).isprintable() for problem in batch.problems)


# Mangled files, end to end

GOOD_LINES = st.sampled_from(ROWS)
BAD_LINES = st.sampled_from([
    "2024-03-04", "1e400,1,1,1,1,1", "2024-03-04,1e400,1,1,1,1", "2024-03-04,\x00,1,1,1,1", "x" * 5_000, ",,,,,", "\x1b[31m",
    "99999999999999999999-01-01,1,1,1,1,1", "03/04/2024,1,1,1,1,1", '"2024-03-04",1,1,1,1,1', "2024-03-04;1;1;1;1;1",
    "2024-03-04,1,2,1,2,1" + "0" * 400, "\u0661\u0662,1,1,1,1,1",
])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(GOOD_LINES | BAD_LINES | st.text(max_size=30), max_size=150),
    repeats=st.integers(1, 60),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"]),
    cut=st.integers(0, 200),
)
def test_whatever_becomes_of_a_file_its_good_lines_are_its_rows_and_every_other_line_is_counted(
    lines: list[str], repeats: int, end: str, encoding: str, cut: int
) -> None:
    content = end.join((HEADER, *(lines * repeats), "")).encode(encoding, errors="replace")
    content = content[:len(content) - cut] if cut < len(content) else content
    parsed = parse(content, ticker="KO", file_sha256="0" * 64, fetched_ts=MTIME, source_name="ko_us_d.csv",
                   last_closed_date=date(2024, 3, 19))
    assert parsed.rejected.num_rows <= 100
    assert parsed.rejected.num_rows <= parsed.rejected_count
    assert all(len(raw) <= 4_000 for raw in parsed.rejected["raw_text"].to_pylist())
    keys = list(zip(parsed.rejected["reference"].to_pylist(), parsed.rejected["reason"].to_pylist(), strict=True))
    assert len(set(keys)) == len(keys)
    if "file" in {reference.rsplit(" ", 1)[-1] for reference, _ in keys}:
        assert parsed.rows.num_rows == 0
        return
    written = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    said = [line.strip() for line in written if line.strip()][1:]
    assert parsed.rows.num_rows + parsed.rejected_count == len(said)
    expected = independent_rows(said)
    assert {row["session_date"]: [row[name] for name in COLUMNS] for row in parsed.rows.to_pylist()} == expected


COLUMNS = ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")


def independent_rows(lines: list[str]) -> dict[date, list[float | None]]:
    """The bars among the lines, read by Python alone; the first of each date."""
    bars: dict[date, list[float | None]] = {}
    for line in lines:
        fields = [part.strip() for part in line.split(",")]
        try:
            day = date(int(fields[0][:4]), int(fields[0][5:7]), int(fields[0][8:]))
            values: list[float | None] = [float(field) if field.isascii() else float("nan") for field in fields[1:5]]
            values.append(float(fields[5]) if fields[5] else None)
        except (ValueError, IndexError, OverflowError):
            continue
        is_finite = all(value is None or abs(value) < float("inf") for value in values)
        if len(fields) == 6 and f"{day}" == fields[0] and is_finite and (values[4] or 0) >= 0:
            bars.setdefault(day, values)
    return bars


def test_the_time_of_a_look_says_nothing_about_older_files(tmp_path: Path) -> None:
    old = MTIME - timedelta(days=3_000)
    (file,) = dropped(tmp_path, {"ko_us_d.csv": CSV}, mtime=old).files
    assert (file.fetched_ts, file.fetched_ts_kind) == (old, "file")
