"""GDELT: every expected slot is accounted for, whatever its file is; an outage is not an absence."""

import contextlib
import hashlib
import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finlake_clients.gdelt.feed import (
    GdeltFeed,
    GdeltSlot,
    MasterEntry,
    expected_slots,
    line_label,
    offset_before,
    parse_master_list,
    slot_path,
    unzip_slot,
)
from finlake_clients.source_errors import AccessDeniedError, CorruptFileError, NotDataError, SourceUnavailableError
from finlake_services.sample_sources import archive, news

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytest_plugins = ["tests.plugins.sample_server"]

DAY = date(2018, 3, 14)
LABELS = expected_slots(DAY)
TARGET = LABELS[50]
STAMP = TARGET.strftime("%Y%m%d%H%M%S")
MIB = 1024 * 1024


def _feed(server: "SampleServer", attempts: int = 3, whole_list_bytes: int = 4 * MIB) -> GdeltFeed:
    return GdeltFeed(
        base_url=server.url, attempts=attempts, backoff_seconds=0, delay_seconds=0, whole_list_bytes=whole_list_bytes
    )


def _target(feed: GdeltFeed) -> GdeltSlot:
    """The slot TARGET, and only it, by way of `skip`."""
    [slot] = feed.fetch_day(DAY, skip=set(LABELS) - {TARGET})
    assert slot.label_ts == TARGET
    return slot


# Which slots a day has


@pytest.mark.parametrize(
    ("day", "count", "first", "last"),
    [
        (date(2018, 3, 12), 96, datetime(2018, 3, 12, 4, 0, tzinfo=UTC), datetime(2018, 3, 13, 3, 45, tzinfo=UTC)),
        (date(2025, 1, 9), 96, datetime(2025, 1, 9, 5, 0, tzinfo=UTC), datetime(2025, 1, 10, 4, 45, tzinfo=UTC)),
        (date(2026, 3, 8), 92, datetime(2026, 3, 8, 5, 0, tzinfo=UTC), datetime(2026, 3, 9, 3, 45, tzinfo=UTC)),
        (date(2026, 11, 1), 100, datetime(2026, 11, 1, 4, 0, tzinfo=UTC), datetime(2026, 11, 2, 4, 45, tzinfo=UTC)),
    ],
)
def test_a_day_has_96_slots_and_other_counts_when_clocks_change(day: date, count: int, first: datetime, last: datetime) -> None:
    slots = expected_slots(day)
    assert (len(slots), slots[0], slots[-1]) == (count, first, last)


@given(st.dates(date(2015, 2, 19), date(2035, 12, 31)))
def test_the_slots_of_days_follow_each_other_and_lie_in_their_day(day: date) -> None:
    slots = expected_slots(day)
    assert all(label.astimezone(ZoneInfo("America/New_York")).date() == day for label in slots)
    steps = {after - before for before, after in zip(slots, slots[1:] + expected_slots(day + timedelta(days=1))[:1], strict=True)}
    assert steps == {timedelta(minutes=15)}


# The master list


def test_the_master_list_gives_gkg_files_by_label() -> None:
    listed = parse_master_list(
        "150383 297a16b493de7cf6ca809a7cc31d0b93 http://data.gdeltproject.org/gdeltv2/20150218230000.export.CSV.zip\n"
        "10768507  EA8DDE0BEB0BA98810A92DB068C0CE99\thttps://data.gdeltproject.org/gdeltv2/20150218230000.gkg.csv.zip\r\n"
        "9 ea8dde0beb0ba98810a92db068c0ce99 http://data.gdeltproject.org/gdeltv2/20150218230000.translation.gkg.csv.zip\n"
        "ea8dde0beb0ba98810a92db068c0ce99 http://data.gdeltproject.org/gdeltv2/20150218231500.gkg.csv.zip\n"
        "9 ea8dde0beb0ba98810a92db068c0ce99 http://data.gdeltproject.org/gdeltv2/20159918231500.gkg.csv.zip\n"
        "9 ea8dde0beb0ba98810a92db068c0ce99 ftp://data.gdeltproject.org/gdeltv2/20150218233000.gkg.csv.zip\n"
        "\n"
    )
    assert listed == {
        datetime(2015, 2, 18, 23, 0, tzinfo=UTC): MasterEntry(
            10768507,
            "ea8dde0beb0ba98810a92db068c0ce99",
            "https://data.gdeltproject.org/gdeltv2/20150218230000.gkg.csv.zip",
        )
    }


@given(st.integers(0, 4000), st.integers(-5, 4005))
def test_the_offset_found_is_before_the_wanted_line_and_near_it(count: int, wanted: int) -> None:
    origin = datetime(2020, 1, 1, tzinfo=UTC)
    lines = [
        f"{1000 + n} {'a' * 32} http://host/gdeltv2/{origin + timedelta(minutes=15 * n):%Y%m%d%H%M%S}.gkg.csv.zip\n"
        for n in range(count)
    ]
    text = "".join(lines)
    wanted_label = origin + timedelta(minutes=15 * wanted)

    def label_at(offset: int) -> datetime | None:
        following = text[offset:].split("\n")[1:2]
        return line_label(following[0]) if following else None

    offset = offset_before(wanted_label, len(text), label_at)
    position = sum(len(line) for line in lines[: max(0, wanted)])
    if count and 0 <= wanted < count:
        # A piece begins with the rest of a line, so the wanted line must come after a whole one, or be the first.
        assert offset == 0 or offset < position
        assert position - offset <= 64 * 1024 + 200


@pytest.mark.slow
@pytest.mark.parametrize("whole_list_bytes", [4 * MIB, 0])
def test_the_listed_slots_of_a_day_are_the_same_from_the_whole_list_and_from_a_part(
    sample_server: "SampleServer", whole_list_bytes: int
) -> None:
    for day in (date(2018, 3, 12), DAY, date(2018, 3, 27)):
        listed = _feed(sample_server, whole_list_bytes=whole_list_bytes).listed_slots(day)
        assert list(listed) == expected_slots(day)
        for label in (min(listed), max(listed)):
            assert listed[label][:2] == (archive.listed(label).size, archive.listed(label).md5)


@pytest.mark.parametrize("whole_list_bytes", [4 * MIB, 0])
def test_a_day_that_the_list_does_not_know_has_no_listed_slots(sample_server: "SampleServer", whole_list_bytes: int) -> None:
    feed = _feed(sample_server, whole_list_bytes=whole_list_bytes)
    assert feed.listed_slots(date(2017, 1, 5)) == {}
    assert feed.listed_slots(date(2026, 1, 5)) == {}
    assert list(feed.listed_slots(date(2023, 7, 2))) == [archive.REAL_LABEL]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("http_503", SourceUnavailableError),
        ("http_403", AccessDeniedError),
        ("unknown_page", NotDataError),
    ],
)
def test_a_list_that_cannot_be_had_ends_the_day(sample_server: "SampleServer", fault: str, expected: type[Exception]) -> None:
    sample_server.set_faults("gdelt", {"masterfilelist.txt": fault})
    with pytest.raises(expected):
        next(_feed(sample_server).fetch_day(DAY))


def test_a_list_that_fails_once_is_asked_for_again(sample_server: "SampleServer") -> None:
    sample_server.set_faults("gdelt", {"masterfilelist.txt": {"kind": "http_503", "times": 2}})
    assert _target(_feed(sample_server)).status == "loaded"


def _line(label: datetime, body: bytes, size: str | None = None) -> str:
    return f"{size or len(body)} {hashlib.md5(body).hexdigest()} http://host/{slot_path(label)}\n"


def _archive_with(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """GDELT's archive with the list `text`, whose every slot is the sample archive's; the list is also given in ranges."""
    content = text.encode()

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("masterfilelist.txt"):
            [label] = [label for label in LABELS if request.url.path == f"/{slot_path(label)}"]
            return httpx.Response(200, stream=httpx.ByteStream(archive.slot_zip(label)))
        if request.method == "HEAD":
            return httpx.Response(200, headers={"accept-ranges": "bytes", "content-length": str(len(content))})
        if (asked := request.headers.get("range")) is None:
            return httpx.Response(200, stream=httpx.ByteStream(content))
        start, end = asked.removeprefix("bytes=").split("-")
        return httpx.Response(206, stream=httpx.ByteStream(content[int(start) : int(end or len(content)) + 1]))

    monkeypatch.setattr(GdeltFeed, "_client", lambda _: httpx.Client(transport=httpx.MockTransport(answer)))


def _archive_list(stray: str, every: int) -> str:
    """Two weeks of slots, with a stray line after every so many of them."""
    lines = []
    for number in range(14 * 96):
        label = datetime(2018, 3, 7, tzinfo=UTC) + timedelta(minutes=15 * number)
        lines.append(_line(label, b"" if label not in LABELS else archive.slot_zip(label)))
        if number % every == every - 1:
            lines.append(stray)
    return "".join(lines)


@pytest.mark.parametrize("whole_list_bytes", [4 * MIB, 0], ids=["whole", "searched"])
@pytest.mark.parametrize("stray", [datetime(2099, 1, 1, tzinfo=UTC), datetime(2015, 2, 18, tzinfo=UTC)], ids=["later", "earlier"])
@given(every=st.integers(5, 700))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_stray_lines_of_other_dates_do_not_end_the_reading_of_the_list(
    monkeypatch: pytest.MonkeyPatch,
    stray: datetime,
    whole_list_bytes: int,
    every: int,
) -> None:
    _archive_with(monkeypatch, _archive_list(_line(stray, b""), every))
    listed = GdeltFeed(base_url="http://host", delay_seconds=0, whole_list_bytes=whole_list_bytes).listed_slots(DAY)
    assert {label: entry.md5 for label, entry in listed.items()} == {
        label: hashlib.md5(archive.slot_zip(label)).hexdigest() for label in LABELS
    }


def test_a_slot_behind_a_stray_line_keeps_its_md5_check(monkeypatch: pytest.MonkeyPatch) -> None:
    stray = _line(datetime(2099, 1, 1, tzinfo=UTC), b"")
    _archive_with(monkeypatch, stray + _line(TARGET, b"another file"))
    slot = _target(GdeltFeed(base_url="http://host", delay_seconds=0, backoff_seconds=0, attempts=1))
    assert (slot.status, "listed with MD5" in slot.message) == ("corrupt", True)


def test_the_list_is_not_read_on_when_many_lines_in_a_row_are_later(monkeypatch: pytest.MonkeyPatch) -> None:
    later = "".join(_line(LABELS[0] + timedelta(days=9, minutes=15 * number), b"") for number in range(1_000))
    _archive_with(monkeypatch, _line(LABELS[0], b"") + later + _line(LABELS[1], b""))
    assert list(GdeltFeed(base_url="http://host", delay_seconds=0).listed_slots(DAY)) == LABELS[:1]


def test_a_size_of_thousands_of_digits_is_a_broken_line() -> None:
    text = _line(LABELS[0], b"", size="1" * 5_000) + _line(LABELS[1], b"")
    assert list(parse_master_list(text)) == [LABELS[1]]
    assert line_label(text.splitlines()[0]) is None


@pytest.mark.parametrize("order", [1, -1])
def test_a_slot_that_is_listed_twice_is_sound_with_either_md5_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    order: int,
) -> None:
    lines = [_line(TARGET, archive.slot_zip(TARGET)), _line(TARGET, b"another file")]
    feed = GdeltFeed(base_url="http://host", delay_seconds=0, backoff_seconds=0, attempts=1)
    _archive_with(monkeypatch, "".join(lines[::order]))
    assert _target(feed).status == "loaded"
    assert f"{STAMP}.gkg.csv.zip more than once with different MD5s" in caplog.text
    _archive_with(monkeypatch, "".join(_line(TARGET, bytes([number])) for number in range(1, 100)))
    caplog.clear()
    assert len(feed.listed_slots(DAY)[TARGET].md5s) == 8
    assert caplog.text.count("more than once") == 1
    assert _target(feed).status == "corrupt"


# Slots


def test_a_whole_day_comes_in_label_order_with_the_bytes_of_the_files(sample_server: "SampleServer") -> None:
    slots = list(_feed(sample_server).fetch_day(DAY))
    assert [slot.label_ts for slot in slots] == LABELS
    assert {slot.status for slot in slots} == {"loaded"}
    for slot in (slots[0], slots[95]):
        body = archive.slot_zip(slot.label_ts)
        assert slot.content == news.slot_rows(slot.label_ts)
        assert (slot.md5, slot.zip_bytes) == (hashlib.md5(body).hexdigest(), len(body))
        assert (slot.attempts, slot.message) == (1, "")
        assert slot.source_url == f"{sample_server.url}/{slot_path(slot.label_ts)}"


def test_the_real_file_comes_with_its_quotes_and_all_its_bytes(sample_server: "SampleServer") -> None:
    slots = {slot.label_ts: slot for slot in _feed(sample_server).fetch_day(date(2023, 7, 2))}
    assert len(slots) == 96
    real = slots.pop(archive.REAL_LABEL)
    assert (real.status, real.zip_bytes, len(real.content)) == ("loaded", 3854215, 11937891)
    assert real.content.count(b"\n") == 951
    assert real.content.count(b'"') == 32
    assert {slot.status for slot in slots.values()} == {"absent"}
    assert {slot.message for slot in slots.values()} == {"not in the master list, and the server answers 404"}


@pytest.mark.parametrize(
    ("fault", "status", "attempts", "message"),
    [
        ("absent", "absent", 3, "but the server answered 404 to 3 tries"),
        ("missing", "absent", 1, "not in the master list"),
        ("empty", "empty", 1, "no rows"),
        ("wrong_md5", "corrupt", 3, "listed with MD5"),
        ("truncated", "corrupt", 3, "listed with MD5"),
        ("corrupt_zip", "corrupt", 3, "no sound zip"),
        ("two_members", "corrupt", 3, "readme.txt"),
        ("unknown_page", "corrupt", 3, "listed with MD5"),
        ("lying_size", "loaded", 1, ""),
        ("unlisted", "loaded", 1, ""),
        ("redirect", "loaded", 1, ""),
    ],
)
def test_a_slot_that_is_not_as_it_should_be_is_accounted_for(
    sample_server: "SampleServer", fault: str, status: str, attempts: int, message: str
) -> None:
    sample_server.set_faults("gdelt", {STAMP: fault})
    slots = list(_feed(sample_server).fetch_day(DAY, skip=LABELS[:49] + LABELS[52:]))
    assert [slot.status for slot in slots] == ["loaded", status, "loaded"]
    slot = slots[1]
    assert slot.attempts == attempts
    assert message in slot.message
    assert bool(slot.message) == (status != "loaded")
    assert slot.content == (news.slot_rows(TARGET) if status == "loaded" else b"")
    assert (slot.zip_bytes > 0) == (slot.md5 != "") == (status != "absent")


@pytest.mark.parametrize("fault", ["absent", "truncated", "http_503"])
def test_a_slot_that_is_right_the_next_time_is_loaded(sample_server: "SampleServer", fault: str) -> None:
    sample_server.set_faults("gdelt", {STAMP: {"kind": fault, "times": 1}})
    slot = _target(_feed(sample_server))
    assert (slot.status, slot.attempts) == ("loaded", 2)
    assert slot.content == news.slot_rows(TARGET)


def test_a_size_that_lies_is_said_in_the_log(sample_server: "SampleServer", caplog: pytest.LogCaptureFixture) -> None:
    sample_server.set_faults("gdelt", {STAMP: "lying_size"})
    _target(_feed(sample_server))
    assert f"{STAMP}.gkg.csv.zip: the list says" in caplog.text


def test_a_zip_that_would_unpack_to_too_much_is_corrupt(sample_server: "SampleServer") -> None:
    sample_server.set_faults("gdelt", {STAMP: "bomb"})
    feed = GdeltFeed(base_url=sample_server.url, attempts=1, backoff_seconds=0, max_raw_bytes=10 * MIB)
    slot = _target(feed)
    assert slot.status == "corrupt"
    assert "above the bound of 10485760" in slot.message


def test_a_body_without_end_is_not_downloaded_to_its_end(sample_server: "SampleServer") -> None:
    feed = GdeltFeed(base_url=sample_server.url, attempts=1, backoff_seconds=0, max_zip_bytes=1000)
    slot = _target(feed)
    assert slot.status == "corrupt"
    assert "exceeds the bound of 1000" in slot.message


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("http_503", SourceUnavailableError),
        ("http_403", AccessDeniedError),
        ("redirect_ftp", NotDataError),
    ],
)
def test_an_outage_ends_the_day_after_the_slots_before_it(
    sample_server: "SampleServer", fault: str, expected: type[Exception]
) -> None:
    sample_server.set_faults("gdelt", {STAMP: fault})
    slots = _feed(sample_server).fetch_day(DAY)
    given_slots = [next(slots).label_ts for _ in range(50)]
    assert given_slots == LABELS[:50]
    with pytest.raises(expected, match=STAMP):
        next(slots)
    sample_server.clear_faults()
    resumed = [slot.label_ts for slot in _feed(sample_server).fetch_day(DAY, skip=given_slots)]
    assert resumed == LABELS[50:]


def test_a_day_that_is_complete_asks_for_nothing() -> None:
    feed = GdeltFeed(base_url="http://127.0.0.1:9", attempts=1)
    assert list(feed.fetch_day(DAY, skip=LABELS)) == []


def test_a_server_that_is_not_there_is_unavailable() -> None:
    feed = GdeltFeed(base_url="http://127.0.0.1:9", attempts=2, backoff_seconds=0)
    with pytest.raises(SourceUnavailableError, match="masterfilelist"):
        next(feed.fetch_day(DAY))


def test_a_reader_that_stops_early_stops_the_fetching(sample_server: "SampleServer") -> None:
    slots = _feed(sample_server).fetch_day(DAY)
    assert next(slots).label_ts == LABELS[0]
    slots.close()  # type: ignore[attr-defined]
    assert list(slots) == []


@given(st.binary(max_size=200))
def test_bytes_that_are_no_zip_are_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptFileError):
        unzip_slot(body, TARGET, MIB)


@given(st.data())
def test_a_zip_cut_anywhere_or_with_a_changed_byte_never_gives_other_rows(data: st.DataObject) -> None:
    rows = b'a\tb\tc\r\n"quoted\t\xe1\n' * 50
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as slot:
        slot.writestr(f"{STAMP}.gkg.csv", rows)
    body = bytearray(buffer.getvalue())
    assert unzip_slot(bytes(body), TARGET, MIB) == rows
    position = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        del body[position:]
    else:
        body[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(CorruptFileError):
        assert unzip_slot(bytes(body), TARGET, MIB) == rows
