"""GDELT's 15-minute files of the Global Knowledge Graph 2.1: a day of slots, each one accounted for.

A slot is loaded, empty, absent or corrupt; nothing about a single slot ends the day. What ends it is a source that is
not there or that refuses us, and then the slots already given need not be fetched again. GDELT data: the GDELT
Project, https://www.gdeltproject.org/.
"""

import hashlib
import io
import logging
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from finlake_clients import bounded_http, bounded_zip
from finlake_clients.service_client import ServiceClient
from finlake_clients.source_errors import AccessDeniedError, CorruptFileError, NotDataError, SourceUnavailableError, TooLargeError

if TYPE_CHECKING:
    import httpx
    from tenacity import Retrying

SlotStatus = Literal["loaded", "empty", "absent", "corrupt"]

SLOT = timedelta(minutes=15)
STAMP_FORMAT = "%Y%m%d%H%M%S"

_NEW_YORK = ZoneInfo("America/New_York")
_LIST_PATH = "gdeltv2/masterfilelist.txt"
_LIST_LINE = re.compile(r"(?P<size>[0-9]{1,15})\s+(?P<md5>[0-9a-fA-F]{32})\s+(?P<url>https?://\S+)")
_FILE_NAME = re.compile(r"(?P<stamp>[0-9]{14})\.\S+")
_GKG_SUFFIX = ".gkg.csv.zip"
# A probe holds some whole lines (108 bytes on average); the search ends with a piece of about 200 slots.
_PROBE_BYTES = 1024
_SEARCH_BYTES = 64 * 1024
# The list had 128 MB in 2026 and grows by 11 a year.
_MAX_LIST_BYTES = 1024**3
# The list is ascending but for strays. Reading on this far past the wanted slots finds those that come late, and it
# takes so many later lines in a row, some three days of files, to say that the wanted slots are behind.
_LIST_SLACK = timedelta(days=1)
_LATER_LINES = 1_000
# Lines of one file that disagree; a list with more of them is not worth the room.
_MOST_MD5S = 8

_log = logging.getLogger(__name__)


class MasterEntry(NamedTuple):
    """What the master list says of one file: size in bytes, MD5 in lower-case hex, URL.

    `other_md5s` stand in earlier lines of the same file. The list does not say which line is right, and a file that
    matches any of them came as it was meant.
    """

    size: int
    md5: str
    url: str
    other_md5s: tuple[str, ...] = ()

    @property
    def md5s(self) -> tuple[str, ...]:
        """Every MD5 that the list gives for the file."""
        return (*self.other_md5s, self.md5)


@dataclass(frozen=True)
class GdeltSlot:
    """One 15-minute slot and what became of it.

    `label_ts` is UTC, the end of the slot. `content` is the raw CSV: empty unless the status is `loaded`. `md5` and
    `zip_bytes` are of the zip that was served, empty and 0 if there was none. `message` says why a slot is not loaded.
    """

    label_ts: datetime
    status: SlotStatus
    md5: str
    zip_bytes: int
    content: bytes = field(repr=False)
    source_url: str
    attempts: int
    message: str = ""


def expected_slots(day: date) -> list[datetime]:
    """Labels (UTC, ascending) whose calendar day in America/New_York is `day`: 96, or 92 and 100 as clocks change."""
    first = datetime(day.year, day.month, day.day, tzinfo=_NEW_YORK).astimezone(UTC)
    following = day + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=_NEW_YORK).astimezone(UTC)
    return [first + SLOT * index for index in range((end - first) // SLOT)]


def slot_path(label: datetime) -> str:
    """Path of a slot's zip under the root of the source."""
    return f"gdeltv2/{label.strftime(STAMP_FORMAT)}.gkg.csv.zip"


def parse_master_list(text: str) -> dict[datetime, MasterEntry]:
    """The GKG files in lines of a master list by label; lines of other files, and broken lines, are left out.

    A slot whose line is broken counts as not listed: it is fetched all the same, without a size and MD5 to check.
    """
    return _parsed(text.splitlines())


def _parsed(lines: Iterable[str]) -> dict[datetime, MasterEntry]:
    listed: dict[datetime, MasterEntry] = {}
    for line in lines:
        found = _line(line)
        if found is not None and found[1].url.endswith(f"/{found[0].strftime(STAMP_FORMAT)}{_GKG_SUFFIX}"):
            _note(listed, *found)
    return listed


def _line(line: str) -> tuple[datetime, MasterEntry] | None:
    """The label and the entry of a line, whatever file it lists; None for a line of another form."""
    match = _LIST_LINE.fullmatch(line.strip())
    name = match and _FILE_NAME.fullmatch(match["url"].rpartition("/")[2])
    label = _label(name["stamp"]) if name else None
    if not match or label is None:
        return None
    return label, MasterEntry(int(match["size"]), match["md5"].lower(), match["url"])


def _note(listed: dict[datetime, MasterEntry], label: datetime, entry: MasterEntry) -> None:
    """Add a line to those before it."""
    known = listed[label].md5s if label in listed else ()
    others = tuple(md5 for md5 in known if md5 != entry.md5)
    if others and not listed[label].other_md5s:
        _log.warning("the master list gives %s more than once with different MD5s; a file with either is taken", entry.url)
    listed[label] = entry._replace(other_md5s=others[-(_MOST_MD5S - 1) :])


def _label(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, STAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def line_label(line: str) -> datetime | None:
    """The label of a line of the master list, whatever file it lists; None for a line of another form."""
    found = _line(line)
    return found[0] if found else None


def offset_before(wanted: datetime, size: int, label_at: Callable[[int], datetime | None]) -> int:
    """A byte offset in an ascending list of `size` bytes, at most 64 KiB before the first line of `wanted`.

    `label_at` gives the label of the first whole line after an offset, None where there is no such line.
    """
    low, high = 0, size
    while high - low > _SEARCH_BYTES:
        middle = (low + high) // 2
        label = label_at(middle)
        if label is not None and label < wanted:
            low = middle
        else:
            high = middle
    return low


def unzip_slot(body: bytes, label: datetime, max_raw_bytes: int) -> bytes:
    """The raw CSV in a slot's zip.

    Raises CorruptFileError for a body that is not a zip with exactly the one member of the slot, is damaged, or unpacks to
    more than `max_raw_bytes`.
    """
    name = slot_path(label)
    member_name = f"{label.strftime(STAMP_FORMAT)}.gkg.csv"
    next_step = "Materialize the day again; if it stays so, the file is damaged at the source"
    try:
        with bounded_zip.open_archive(io.BytesIO(body), name) as archive:
            members = archive.infolist()
            if [member.filename for member in members] != [member_name]:
                found = ", ".join(bounded_zip.shown(member.filename) for member in members[:3])
                raise CorruptFileError(name, f"it holds {found or 'nothing'} instead of {member_name}", next_step)
            return bounded_zip.member_bytes(archive, members[0], name, max_bytes=max_raw_bytes, next_step=next_step)
    except TooLargeError as error:
        raise CorruptFileError(name, error.reason, next_step) from error
    except bounded_zip.BROKEN as error:
        raise CorruptFileError(name, f"it is no sound zip ({error})", next_step) from error


class _SlotNotThereError(Exception):
    """HTTP 404 or 410 for a slot."""


class _SlotDamagedError(Exception):
    """A body that disagrees with the list or cannot be unpacked; the message says how. None is one not read to its end."""

    def __init__(self, reason: str, body: bytes | None) -> None:
        super().__init__(reason)
        self.md5 = "" if body is None else _md5(body)
        self.zip_bytes = 0 if body is None else len(body)


class _Pace:
    """At least `delay` seconds between the starts of requests, over all threads."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._lock = Lock()
        self._next = 0.0

    def wait(self) -> None:
        with self._lock:
            now = monotonic()
            start = max(now, self._next)
            self._next = start + self._delay_seconds
        sleep(start - now)


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _absent_message(listed: MasterEntry | None, tried: int) -> str:
    if listed is None:
        return "not in the master list, and the server answers 404"
    return f"listed with {listed.size} bytes, but the server answered 404 to {tried} tries"


def _require_success(response: "httpx.Response") -> None:
    url, status = str(response.request.url), response.status_code
    if status >= 500 or status in (408, 429):
        raise SourceUnavailableError(url, f"the server failed with HTTP {status}", "Run again later; fetched slots are kept")
    if status in (401, 403):
        raise AccessDeniedError(url, f"the server answers HTTP {status}", "Check the base URL and the proxy, if any")
    if status not in (200, 206):
        raise NotDataError(url, f"the server answers HTTP {status}", "Check the base URL")


@contextmanager
def _answer(client: "httpx.Client", url: str, byte_range: str | None = None) -> "Iterator[httpx.Response]":
    """The response to a GET, not yet read; transport faults become SourceUnavailableError, bad redirects NotDataError."""
    import httpx

    headers = {"range": f"bytes={byte_range}"} if byte_range else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            yield response
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise NotDataError(url, f"it leads to an address that is not followed ({error})", "Check the base URL") from error
    except httpx.RequestError as error:
        raise SourceUnavailableError(
            url,
            f"the transfer failed ({type(error).__name__}: {error})",
            "Check the network and the base URL",
        ) from error


def _searchable_size(client: "httpx.Client", url: str) -> int:
    """Size in bytes of a file that the server gives in ranges; 0 if it does not, or does not say."""
    import httpx

    try:
        response = client.head(url)
    except httpx.RequestError as error:
        raise SourceUnavailableError(
            url,
            f"the server is not reached ({type(error).__name__}: {error})",
            "Check the network and the base URL",
        ) from error
    if response.status_code != 200 or response.headers.get("accept-ranges") != "bytes":
        return 0
    return int(response.headers.get("content-length", 0))


def _probe(client: "httpx.Client", url: str, offset: int) -> datetime | None:
    """The label in the middle of the first whole lines after an offset, so that a stray among them leads nowhere."""
    with _answer(client, url, f"{offset}-{offset + _PROBE_BYTES - 1}") as response:
        _require_success(response)
        if response.status_code != 206:
            raise NotDataError(url, "it offers ranges but gives the whole list", "Set whole_list_bytes above its size")
        piece = bounded_http.body(response, url, max_bytes=_PROBE_BYTES)
    lines = piece.decode("ascii", errors="replace").split("\n")[1:]
    labels = sorted(label for label in map(line_label, lines) if label is not None)
    return labels[(len(labels) - 1) // 2] if labels else None


def _read_list(client: "httpx.Client", url: str, start: int, first: datetime, last: datetime) -> dict[datetime, MasterEntry]:
    """The listed slots from `first` to `last`, reading from byte `start` until many labels in a row are well past `last`."""
    listed: dict[datetime, MasterEntry] = {}
    is_list, later = False, 0
    with _answer(client, url, f"{start}-" if start else None) as response:
        _require_success(response)
        # A piece begins within a line; the rest of that line is of an earlier slot, whatever it says.
        for line in bounded_http.lines(response, url, max_bytes=_MAX_LIST_BYTES):
            label = line_label(line)
            if label is None:
                continue
            is_list = True
            later = later + 1 if label > last + _LIST_SLACK else 0
            if later == _LATER_LINES:
                break
            if first <= label <= last:
                for each in _parsed([line]).items():
                    _note(listed, *each)
    if not is_list:
        raise NotDataError(url, "it holds no line of the form '<size> <md5> <url>'", "Check the base URL")
    return listed


class GdeltFeed(ServiceClient):
    """GDELT's file archive, or the sample sources that answer like it."""

    base_url: str = Field(default="http://data.gdeltproject.org", description="Root of the archive, http or https.")
    concurrency: int = Field(default=4, ge=1, le=16, description="Slots fetched at the same time.")
    delay_seconds: float = Field(default=0.1, ge=0, description="Least time between the starts of two requests.")
    attempts: int = Field(default=4, ge=1, description="Tries of one slot or list.")
    backoff_seconds: float = Field(default=1, ge=0, description="First pause between tries; it doubles.")
    connect_timeout_seconds: float = Field(default=10, gt=0)
    read_timeout_seconds: float = Field(default=60, gt=0)
    max_zip_bytes: int = Field(default=64 * 1024 * 1024, description="A larger body is not downloaded to its end.")
    max_raw_bytes: int = Field(default=128 * 1024 * 1024, description="A zip that unpacks to more is corrupt.")
    whole_list_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=0,
        description="A master list above this size is searched by ranges.",
    )

    def fetch_day(self, day: date, skip: Collection[datetime] = ()) -> Iterator[GdeltSlot]:
        """The slots of a calendar day in America/New_York, in label order, each with its status.

        `skip` holds labels (UTC) that are not wanted again, so a broken run goes on where it stopped. At most
        `concurrency` slots are in memory. Raises SourceUnavailableError when the source is not reached or fails after all
        tries, AccessDeniedError or NotDataError when it answers with neither a file nor "not there"; slots given before count.
        """
        wanted = [label for label in expected_slots(day) if label not in set(skip)]
        if not wanted:
            return
        with self._client() as client:
            pace = _Pace(self.delay_seconds)
            listed = self._listed(client, pace, wanted[0], wanted[-1])
            yield from self._in_order(wanted, lambda label: self._slot(client, pace, label, listed.get(label)))

    def listed_slots(self, day: date) -> dict[datetime, MasterEntry]:
        """What the master list says of a day's slots; raises as `fetch_day` does for the list."""
        labels = expected_slots(day)
        with self._client() as client:
            return self._listed(client, _Pace(self.delay_seconds), labels[0], labels[-1])

    def _client(self) -> "httpx.Client":
        import httpx

        # httpx follows redirects to http and https only; any other scheme is UnsupportedProtocol.
        return httpx.Client(
            timeout=httpx.Timeout(self.read_timeout_seconds, connect=self.connect_timeout_seconds),
            limits=httpx.Limits(max_connections=self.concurrency),
            follow_redirects=True,
            max_redirects=5,
            # Offsets and sizes are of the file itself.
            headers=bounded_http.UNPACKED,
        )

    def _url(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}/{path}"

    def _retrying(self, *worth_retrying: type[Exception]) -> "Retrying":
        from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_attempt
        from tenacity import wait_exponential_jitter as wait

        return Retrying(
            retry=retry_if_exception_type(worth_retrying),
            stop=stop_after_attempt(self.attempts),
            reraise=True,
            wait=wait(multiplier=self.backoff_seconds, max=60, jitter=self.backoff_seconds),
            before_sleep=before_sleep_log(_log, logging.INFO),
        )

    def _listed(self, client: "httpx.Client", pace: _Pace, first: datetime, last: datetime) -> dict[datetime, MasterEntry]:
        """The listed slots from `first` to `last`; of a long list only the part around them is transferred."""
        url = self._url(_LIST_PATH)
        retrying = self._retrying(SourceUnavailableError)
        size = retrying(_searchable_size, client, url)
        start = 0
        if size > self.whole_list_bytes:

            def label_at(offset: int) -> datetime | None:
                pace.wait()
                return retrying(_probe, client, url, offset)

            start = offset_before(first, size, label_at)
        return retrying(_read_list, client, url, start, first, last)

    def _in_order(self, labels: Iterable[datetime], fetch: Callable[[datetime], GdeltSlot]) -> Iterator[GdeltSlot]:
        """Fetch in threads, give in order, never more than `concurrency` ahead of the reader."""
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="gdelt")
        pending: deque[Future[GdeltSlot]] = deque()
        try:
            for label in labels:
                if len(pending) == self.concurrency:
                    yield pending.popleft().result()
                pending.append(pool.submit(fetch, label))
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _slot(self, client: "httpx.Client", pace: _Pace, label: datetime, listed: MasterEntry | None) -> GdeltSlot:
        url = self._url(slot_path(label))
        # List and server agree on a slot that is in neither; only a listed one can come back.
        retrying = self._retrying(SourceUnavailableError, _SlotDamagedError, *((_SlotNotThereError,) if listed else ()))
        tried = 0

        def attempt() -> tuple[bytes, bytes]:
            nonlocal tried
            tried += 1
            return self._slot_once(client, pace, label, listed)

        try:
            body, content = retrying(attempt)
        except _SlotNotThereError:
            return GdeltSlot(label, "absent", "", 0, b"", url, tried, _absent_message(listed, tried))
        except _SlotDamagedError as damage:
            return GdeltSlot(label, "corrupt", damage.md5, damage.zip_bytes, b"", url, tried, str(damage))
        if listed is not None and _md5(body) == listed.md5 and listed.size != len(body):
            _log.warning("%s: the list says %d bytes, %d were served with the listed MD5", url, listed.size, len(body))
        if not content:
            message = "the file holds no rows"
            return GdeltSlot(label, "empty", _md5(body), len(body), b"", url, tried, message)
        return GdeltSlot(label, "loaded", _md5(body), len(body), content, url, tried)

    def _slot_once(self, client: "httpx.Client", pace: _Pace, label: datetime, listed: MasterEntry | None) -> tuple[bytes, bytes]:
        """The zip and its raw CSV; raises _SlotNotThereError, _SlotDamagedError or a SourceError."""
        pace.wait()
        body = self._body(client, label)
        # The MD5 decides: sizes in the list are known to lie while the file is sound.
        if listed is not None and _md5(body) not in listed.md5s:
            raise _SlotDamagedError(
                f"listed with MD5 {' or '.join(listed.md5s)} and {listed.size} bytes, served with {_md5(body)} "
                f"and {len(body)} bytes",
                body,
            )
        try:
            return body, unzip_slot(body, label, self.max_raw_bytes)
        except CorruptFileError as error:
            raise _SlotDamagedError(error.reason, body) from error

    def _body(self, client: "httpx.Client", label: datetime) -> bytes:
        with _answer(client, self._url(slot_path(label))) as response:
            if response.status_code in (404, 410):
                raise _SlotNotThereError
            _require_success(response)
            try:
                return bounded_http.body(response, str(response.request.url), max_bytes=self.max_zip_bytes)
            except TooLargeError as error:
                reason = f"the body exceeds the bound of {self.max_zip_bytes} bytes"
                raise _SlotDamagedError(reason, None) from error
