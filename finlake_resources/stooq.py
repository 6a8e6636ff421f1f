"""Stooq's daily prices: files that a user dropped first, HTTP with the user's own key second.

Everything here ends in bytes and their origin; what the bytes mean is decided in `spark/transforms/bronze`. An answer
that is not data never becomes a file: `classify` raises a typed error instead.
"""

import hashlib
import logging
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast
from urllib.parse import unquote, urlencode, urlsplit

from dagster import ConfigurableResource
from pydantic import Field

from finlake_resources.source_errors import (
    AccessDenied,
    ApiKeyNeeded,
    ChallengePage,
    CorruptFile,
    HalfWrittenFile,
    LimitReached,
    NoData,
    NotData,
    SourceError,
    SourceUnavailable,
    UnknownTicker,
)

if TYPE_CHECKING:
    import httpx
    from pyarrow.fs import FileSystem

SourceKind = Literal["drop", "bulk", "http"]

CSV_HEADERS = (b"Date,Open,High,Low,Close,Volume", b"Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen")
BULK_HEADERS = (b"<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",)

_UTF8_BOM = b"\xef\xbb\xbf"
_PARTIAL_SUFFIXES = (".part", ".tmp", ".crdownload", ".partial")
_DATA_SUFFIXES = (".csv", ".txt", ".zip")
_CSV_NAME = re.compile(r"^(?P<code>.+?)_d(?: ?\(\d+\))?\.csv$")
_MAX_MEMBER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class StooqFile:
    """The bytes of one ticker's prices and where they came from.

    `content` is exactly what was received: a CSV with one of CSV_HEADERS, or, for kind `bulk`, a member of the bulk
    archive with one of BULK_HEADERS. `fetched_ts` is UTC: the response time, or the modification time of a drop.
    """

    ticker: str
    content: bytes = field(repr=False)
    sha256: str
    source_kind: SourceKind
    source_name: str
    fetched_ts: datetime


@dataclass(frozen=True)
class StooqBatch:
    """What was usable, and what was not and why; the caller quarantines the problems and goes on."""

    files: list[StooqFile]
    problems: list[SourceError]


@dataclass(frozen=True)
class DropEntry:
    """One file in the drop location: `size` in bytes, `mtime` UTC."""

    name: str
    size: int
    mtime: datetime


def settled(previous: Collection[DropEntry], current: Sequence[DropEntry]) -> list[DropEntry]:
    """The entries of `current` that had the same name, size and mtime in the listing before: no longer growing."""
    return [entry for entry in current if entry in previous]


def classify(body: bytes, name: str = "Stooq answer", kind: SourceKind = "http") -> None:
    """Accept a body whose first line is a known header; raise the typed reason for any other.

    Stooq answers HTTP 200 to everything, so the body decides. `name` is the thing named in the message.
    Raises NoData, LimitReached, ApiKeyNeeded, ChallengePage, AccessDenied or NotData.
    """
    first_line = body.removeprefix(_UTF8_BOM)[:200].split(b"\n", 1)[0].rstrip(b"\r")
    if first_line in (BULK_HEADERS if kind == "bulk" else CSV_HEADERS):
        return
    text = body[:65536].decode("utf-8", errors="replace").lstrip("\ufeff").strip()
    lowered = text.lower()
    if not text:
        raise NotData(name, "it is empty", "Try again later; if it stays empty, get the file in a browser")
    if lowered.startswith(("no data", "brak danych")):
        raise NoData(name, "Stooq has no data for this code and range", "Check the code in the universe file")
    if lowered.startswith(("exceeded the daily hits limit", "przekroczony dzienny limit")):
        raise LimitReached(name, "the daily limit of downloads is used up", "Run again tomorrow, or drop files instead")
    if lowered.startswith("get your apikey") or "apikey=xxxx" in lowered:
        raise ApiKeyNeeded(
            name, "Stooq wants an API key",
            "Get one in a browser at https://stooq.com/q/d/?s=aapl.us&get_apikey and put it into the API key file",
        )
    if lowered.startswith("access denied"):
        raise AccessDenied(name, "Stooq denies access to this client", "Download in a browser and drop the files")
    if lowered.startswith("<") and ("requires javascript to verify" in lowered or "__verify" in lowered):
        raise ChallengePage(
            name, "Stooq answers with a page that checks for a browser", "Download in a browser and drop the files",
        )
    excerpt = " ".join(text[:80].split())
    raise NotData(
        name, f"the first line is no known header; it begins {excerpt!r}",
        "Compare it with a file saved from stooq.com; if Stooq's format changed, the header list needs the new one",
    )


def keyless_url(base_url: str, vendor_code: str, start: date | None, end: date | None) -> str:
    """The download URL without the key: the form that may be logged and stored."""
    query = {"s": vendor_code, "i": "d"}
    if start is not None:
        query["d1"] = start.strftime("%Y%m%d")
    if end is not None:
        query["d2"] = end.strftime("%Y%m%d")
    return f"{base_url.rstrip('/')}/q/d/l/?{urlencode(query, safe='^')}"


def vendor_code_of(file_name: str) -> str | None:
    """Stooq's code in a file name (`nvda_us_d.csv` and `nvda.us.txt` are `nvda.us`); None if the form is another."""
    lowered = file_name.lower()
    if (match := _CSV_NAME.match(lowered)) is not None:
        return match["code"].replace("_", ".")
    return lowered.removesuffix(".txt").replace("_", ".") if lowered.endswith(".txt") else None


def bulk_files(
    archive: zipfile.ZipFile, name: str, mtime: datetime, vendor_codes: Mapping[str, str]
) -> StooqBatch:
    """The universe's members of a bulk archive; members of other tickers are not read.

    `vendor_codes` maps Stooq's code to the ticker. A member that is empty, damaged, too large, not daily, or about
    another ticker than its name says is a problem.
    """
    wanted = {code.lower(): ticker for code, ticker in vendor_codes.items()}
    batch = StooqBatch([], [])
    for member in archive.infolist():
        code = vendor_code_of(member.filename.replace("\\", "/").rsplit("/", 1)[-1])
        if member.is_dir() or code not in wanted:
            continue
        try:
            content = _member_bytes(archive, member, f"{name}!{member.filename}")
            _require_bulk_member(content, code, f"{name}!{member.filename}")
        except SourceError as problem:
            batch.problems.append(problem)
        else:
            batch.files.append(_file(wanted[code], content, "bulk", f"{name}!{member.filename}", mtime))
    if not batch.files and not batch.problems:
        batch.problems.append(UnknownTicker(
            name, "it holds no ticker of the universe", "Drop the archive of US daily prices, d_us_txt.zip",
        ))
    return batch


def _member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    if member.file_size > _MAX_MEMBER_BYTES:
        raise CorruptFile(
            name, f"it unpacks to {member.file_size} bytes, far above any price history", "Download the archive again",
        )
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CorruptFile(name, f"it is packed by method {member.compress_type}, not deflate", "Download it again")
    try:
        with archive.open(member) as stream:
            return stream.read(_MAX_MEMBER_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise CorruptFile(name, f"the member cannot be unpacked ({error})", "Download the archive again") from error


def _require_bulk_member(content: bytes, code: str, name: str) -> None:
    """Raise unless the content has the bulk header and its first row is daily and of the code."""
    classify(content, name, "bulk")
    rows = content.split(b"\n", 2)
    first = rows[1].split(b",") if len(rows) > 1 else []
    if len(first) < 2:
        raise NotData(name, "it has a header and no row", "Download the archive again")
    found, period = (part.decode("ascii", errors="replace") for part in first[:2])
    if period != "D":
        raise NotData(name, f"its period is {period!r}, not daily", "Drop the daily archive, d_us_txt.zip")
    if found.lower() != code:
        raise NotData(name, f"its rows are of {found!r}", "Rename the file after the ticker its rows belong to")


def _file(ticker: str, content: bytes, kind: SourceKind, name: str, fetched_ts: datetime) -> StooqFile:
    return StooqFile(ticker, content, hashlib.sha256(content).hexdigest(), kind, name, fetched_ts)


class _ApiKeyRedaction(logging.Filter):
    """Takes the key out of request lines, which httpx logs with the whole URL."""

    _KEY = re.compile(r"(apikey=)[^&\s\"']*", re.IGNORECASE)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "apikey=" in message.lower():
            record.msg, record.args = self._KEY.sub(r"\1***", message), ()
        return True


_REDACTION = _ApiKeyRedaction()


class StooqPrices(ConfigurableResource[None]):
    """Stooq's daily prices from dropped files and over HTTP."""

    drop_location: str = Field(description="Folder or s3://bucket/prefix where a user drops Stooq files.")
    base_url: str = Field(default="https://stooq.com", description="Root of Stooq or of the sample sources.")
    apikey_file: str | None = Field(default=None, description="File with the user's API key; none: no key is sent.")
    connect_timeout_seconds: float = Field(default=10, gt=0)
    read_timeout_seconds: float = Field(default=60, gt=0)
    attempts: int = Field(default=4, ge=1, description="Tries of one download when the server fails or is not reached.")
    backoff_seconds: float = Field(default=1, ge=0, description="First pause between tries; it doubles.")
    s3_endpoint: str | None = Field(default=None, description="Endpoint of an S3-compatible store; none: AWS.")
    s3_region: str | None = Field(default=None)
    s3_access_key_file: str | None = Field(default=None, description="File that holds the access key id.")
    s3_secret_key_file: str | None = Field(default=None, description="File that holds the secret access key.")

    def list_drop(self) -> list[DropEntry]:
        """The files in the drop location by name, sub-folders and hidden files left out; reads no file.

        Raises SourceUnavailable when the location cannot be listed.
        """
        from pyarrow.fs import FileSelector, FileType

        filesystem, root = self._drop()
        try:
            infos = filesystem.get_file_info(FileSelector(root))
        except OSError as error:
            raise SourceUnavailable(
                self.drop_location, f"the drop location cannot be listed ({type(error).__name__})",
                "Make the folder, or set FINLAKE_STOOQ_DROP to the one that is used",
            ) from error
        entries = [
            DropEntry(info.base_name, info.size, info.mtime.astimezone(UTC))
            for info in infos
            if info.type == FileType.File and not info.base_name.startswith(".")
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def dropped_files(self, vendor_codes: Mapping[str, str], names: Collection[str] | None = None) -> StooqBatch:
        """The universe's prices in the drop location; `vendor_codes` maps Stooq's code to the ticker.

        `names` limits the look to these files. Reads `<code>_d.csv`, `<code>.txt` and bulk zips. A file that is not
        of the universe, half written, damaged or not data is a problem and stays where it is; nothing is raised for
        it. Files with other endings are left alone. Raises SourceUnavailable when the location cannot be listed.
        """
        batch = StooqBatch([], [])
        for entry in self.list_drop():
            if names is not None and entry.name not in names:
                continue
            try:
                found = self._dropped_file(entry, vendor_codes)
            except SourceError as problem:
                batch.problems.append(problem)
            else:
                batch.files.extend(found.files)
                batch.problems.extend(found.problems)
        return batch

    def download(
        self, ticker: str, vendor_code: str, start: date | None = None, end: date | None = None
    ) -> StooqFile:
        """One ticker's CSV over HTTP, from `start` to `end`, both inclusive; None leaves that side open.

        Raises SourceRefused when Stooq refuses the run (limit, key, browser check, denied), NoData, NotData or
        CorruptFile for this ticker, SourceUnavailable when the server fails or is not reached after all tries.
        """
        url = keyless_url(self.base_url, vendor_code, start, end)
        key = self._apikey()
        content, fetched_ts = self._get(url, key)
        # A refusal may quote the request; the key must not reach the message by that way.
        classify(content.replace(key.encode(), b"***") if key else content, url)
        if not content.endswith(b"\n"):
            raise CorruptFile(url, "the last line has no end, so the answer was cut off", "Run again")
        return _file(ticker, content, "http", url, fetched_ts)

    def _drop(self) -> "tuple[FileSystem, str]":
        from pyarrow.fs import LocalFileSystem, S3FileSystem

        parts = urlsplit(self.drop_location)
        if parts.scheme != "s3":
            path = unquote(parts.path) if parts.scheme == "file" else self.drop_location
            return LocalFileSystem(), str(Path(path).absolute())
        options: dict[str, str] = {}
        if self.s3_endpoint is not None:
            endpoint = urlsplit(self.s3_endpoint)
            options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
        if self.s3_region is not None:
            options["region"] = self.s3_region
        if self.s3_access_key_file is not None and self.s3_secret_key_file is not None:
            options["access_key"] = Path(self.s3_access_key_file).read_text(encoding="utf-8").strip()
            options["secret_key"] = Path(self.s3_secret_key_file).read_text(encoding="utf-8").strip()
        return S3FileSystem(**options), f"{parts.netloc}{parts.path}".rstrip("/")

    def _dropped_file(self, entry: DropEntry, vendor_codes: Mapping[str, str]) -> StooqBatch:
        lowered = entry.name.lower()
        if lowered.endswith(_PARTIAL_SUFFIXES):
            raise HalfWrittenFile(entry.name, "its name says that it is still being written", "Wait, or remove it")
        if not lowered.endswith(_DATA_SUFFIXES):
            return StooqBatch([], [])
        if lowered.endswith(".zip"):
            return self._dropped_bulk(entry, vendor_codes)
        code = vendor_code_of(entry.name)
        ticker = {known.lower(): symbol for known, symbol in vendor_codes.items()}.get(code or "")
        if code is None or ticker is None:
            raise UnknownTicker(
                entry.name, "it is named after no ticker of the universe",
                "Name it <stooq code>_d.csv (aapl_us_d.csv), or add the ticker to the universe file",
            )
        with self._opened(entry) as stream:
            content = stream.read()
        kind: SourceKind = "bulk" if lowered.endswith(".txt") else "drop"
        if kind == "bulk":
            _require_bulk_member(content, code, entry.name)
        else:
            classify(content, entry.name, kind)
        if not content.endswith(b"\n"):
            raise HalfWrittenFile(
                entry.name, "its last line has no end", "Wait for the rest, or end the last line if it is complete",
            )
        return StooqBatch([_file(ticker, content, kind, entry.name, entry.mtime)], [])

    def _dropped_bulk(self, entry: DropEntry, vendor_codes: Mapping[str, str]) -> StooqBatch:
        with self._opened(entry) as stream:
            begins_as_zip = stream.read(2) in (b"PK", b"P", b"")
            stream.seek(0)
            try:
                archive = zipfile.ZipFile(stream)
            # A seek before the start of a short file is ArrowInvalid, a ValueError.
            except (zipfile.BadZipFile, ValueError) as error:
                if begins_as_zip:
                    raise HalfWrittenFile(
                        entry.name, "the end of the archive is not there",
                        "Wait for the rest; if its size no longer changes, download it again",
                    ) from error
                raise CorruptFile(entry.name, "it is no zip archive", "Download it again in a browser") from error
            with archive:
                return bulk_files(archive, entry.name, entry.mtime, vendor_codes)

    @contextmanager
    def _opened(self, entry: DropEntry) -> Iterator[IO[bytes]]:
        """The file of an entry, to be read; raises HalfWrittenFile when it is another file after the reading."""
        from pyarrow.fs import FileType

        filesystem, root = self._drop()
        path = f"{root}/{entry.name}"
        try:
            with filesystem.open_input_file(path) as stream:
                yield cast(IO[bytes], stream)
        except FileNotFoundError as error:
            raise HalfWrittenFile(entry.name, "it went away while it was read", "Look again") from error
        except OSError as error:
            raise SourceUnavailable(
                entry.name, f"it cannot be read ({error})", "Check that the drop location is there and may be read",
            ) from error
        info = filesystem.get_file_info(path)
        if info.type != FileType.File or (info.size, info.mtime) != (entry.size, entry.mtime):
            raise HalfWrittenFile(entry.name, "it changed while it was read", "Wait until it is complete")

    def _apikey(self) -> str:
        if self.apikey_file is None:
            return ""
        try:
            return Path(self.apikey_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ApiKeyNeeded(
                self.apikey_file, f"the API key file cannot be read ({type(error).__name__})",
                "Put the key into it, or unset FINLAKE_STOOQ_APIKEY_FILE",
            ) from error

    def _get(self, url: str, key: str) -> tuple[bytes, datetime]:
        """The body and the UTC time of its arrival; tries again only for what can succeed the next time."""
        import httpx
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

        logging.getLogger("httpx").addFilter(_REDACTION)
        retrying = Retrying(
            retry=retry_if_exception_type(SourceUnavailable), stop=stop_after_attempt(self.attempts),
            wait=wait_exponential_jitter(multiplier=self.backoff_seconds, max=60, jitter=self.backoff_seconds),
            reraise=True,
        )
        timeout = httpx.Timeout(self.read_timeout_seconds, connect=self.connect_timeout_seconds)
        # Redirects are not followed: the next host would see the key.
        with httpx.Client(timeout=timeout, follow_redirects=False) as client:
            return retrying(_get_once, client, url, key)


def _get_once(client: "httpx.Client", url: str, key: str) -> tuple[bytes, datetime]:
    import httpx

    try:
        response = client.get(f"{url}&{urlencode({'apikey': key})}" if key else url)
    except httpx.RequestError as error:
        # The request within the error holds the key: only its type goes on.
        raise SourceUnavailable(
            url, f"the server is not reached ({type(error).__name__})", "Check the network and the base URL; run again",
        ) from None
    status = response.status_code
    if status >= 500:
        raise SourceUnavailable(url, f"the server failed with HTTP {status}", "Run again later")
    if status == 429:
        raise LimitReached(url, "the server answers HTTP 429, too many requests", "Run again tomorrow, or drop files")
    if status in (401, 403):
        raise AccessDenied(url, f"the server answers HTTP {status}", "Download in a browser and drop the files")
    if status != 200:
        raise NotData(url, f"the server answers HTTP {status}", "Check the base URL")
    return response.content, datetime.now(UTC)
