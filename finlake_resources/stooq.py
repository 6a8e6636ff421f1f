"""Stooq's daily prices: files that a user dropped first, HTTP with the user's own key second.

Everything here ends in bytes and their origin; what the bytes mean is decided in `spark/transforms/bronze`. An answer
that is not data never becomes a file: `classify` raises a typed error instead.
"""

import hashlib
import logging
import os
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast
from urllib.parse import unquote, urlencode, urlsplit

from dagster import ConfigurableResource
from pydantic import Field

from finlake_resources import bounded_http, bounded_zip
from finlake_resources.bounded_zip import shown
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
    TooLargeError,
    UnknownTicker,
)
from spark.contracts.stooq_files import MAX_FILE_BYTES, Form, OpenedFile, UnreadableFileError, open_file, too_large

if TYPE_CHECKING:
    import httpx
    from pyarrow.fs import FileInfo, FileSystem

SourceKind = Literal["drop", "bulk", "http"]
FetchedTsKind = Literal["response", "file", "member", "reading"]

MAX_DROPPED_FILES = 10_000
MAX_ARCHIVE_BYTES = 4 * 1024**3
MAX_BATCH_BYTES = 1024**3
"""Of all files that one look at the drop location hands over: they are in memory together."""

_PARTIAL_SUFFIXES = (".part", ".tmp", ".crdownload", ".partial")
_AGAIN = "Download the archive again"
_DATA_SUFFIXES = (".csv", ".txt", ".zip")
_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz")
_CSV_NAME = re.compile(r"^(?P<code>.+?)_d(?: ?\(\d+\))?\.csv$")
_LINE_ENDS = (b"\n", b"\r")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PEEKED_MEMBERS = 5
_PEEKED_BYTES = 64 * 1024
_SHOWN_CODES = 5


@dataclass(frozen=True)
class StooqFile:
    """The bytes of one ticker's prices and where they came from.

    `content` is exactly what was received, in a form of `spark/contracts/stooq_files.py`: for kind `bulk` that of the
    bulk archive, else a CSV. `fetched_ts` (UTC) is when it was obtained, and `fetched_ts_kind` how that is known: the
    time of the response, of the file, of the member of an archive, or, where a file says to be of the future, of the
    reading.
    """

    ticker: str
    content: bytes = field(repr=False)
    sha256: str
    source_kind: SourceKind
    source_name: str
    fetched_ts: datetime
    fetched_ts_kind: FetchedTsKind = "file"


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


def classify(body: bytes, name: str = "Stooq answer", kind: SourceKind = "http") -> OpenedFile:
    """Accept a body that bronze can read, in the form of its kind; raise the typed reason for any other.

    Stooq answers HTTP 200 to everything, so the body decides. `name` is the thing named in the message.
    Raises NoData, LimitReached, ApiKeyNeeded, ChallengePage, AccessDenied or NotData.
    """
    try:
        opened = open_file(body)
    except UnreadableFileError as fault:
        error = TooLargeError if fault.code == "too_large" else NotData
        said = _said_by_vendor(body, name)
        if said is not None and kind != "http":
            said = type(said)(name, said.reason, _STEPS_FOR_DROPPED.get(type(said), "Download it again in a browser"))
        raise said or error(name, fault.reason, fault.next_step) from None
    form = _form(kind)
    if opened.layout.form != form:
        raise NotData(name, *_WRONG_PLACE[form])
    return opened


def _form(kind: SourceKind) -> Form:
    return "bulk" if kind == "bulk" else "csv"


_WRONG_PLACE: dict[Form, tuple[str, str]] = {
    "csv": ("it holds rows of the bulk archive and is named as a CSV", "Name it <stooq code>.txt (aapl.us.txt)"),
    "bulk": (
        "it holds a CSV of one ticker and is named as a member of the bulk archive",
        "Name it <stooq code>_d.csv (aapl_us_d.csv)",
    ),
}


_STEPS_FOR_DROPPED: dict[type[SourceError], str] = {
    LimitReached: "Download it again tomorrow",
    NoData: "Download it again with the right code, or move it away",
    ApiKeyNeeded: "Download it again in a browser, with the key that Stooq gives there",
}
"""What to do with a refusal that was saved as a file; dropping files is what was done."""


def _said_by_vendor(body: bytes, name: str) -> SourceError | None:
    """What Stooq says with a body that is no file, as a typed error; None for what it never says."""
    text = body[:65536].decode("utf-8", errors="replace").lstrip("\ufeff").strip().lower()
    if text.startswith(("no data", "brak danych")):
        return NoData(name, "Stooq has no data for this code and range", "Check the code in the universe file")
    if text.startswith(("exceeded the daily hits limit", "przekroczony dzienny limit")):
        return LimitReached(name, "the daily limit of downloads is used up", "Run again tomorrow, or drop files instead")
    if text.startswith("get your apikey") or "apikey=xxxx" in text:
        return ApiKeyNeeded(
            name, "Stooq wants an API key",
            "Get one in a browser at https://stooq.com/q/d/?s=aapl.us&get_apikey and put it into the API key file",
        )
    if text.startswith("access denied"):
        return AccessDenied(name, "Stooq denies access to this client", "Download in a browser and drop the files")
    if text.startswith("<") and ("requires javascript to verify" in text or "__verify" in text):
        return ChallengePage(
            name, "Stooq answers with a page that checks for a browser", "Download in a browser and drop the files",
        )
    return None


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


class ByteBudget:
    """Bytes of usable files that one look may still keep in memory; `take` raises TooLargeError when a file needs more."""

    def __init__(self, byte_count: int = MAX_BATCH_BYTES) -> None:
        self._left = byte_count

    def take(self, byte_count: int, name: str) -> None:
        if byte_count > self._left:
            raise TooLargeError(
                name, "the files of the drop location that concern the universe are together larger than what is read at "
                f"once, {MAX_BATCH_BYTES:,} bytes", "Move away files that are ingested, and run again",
            )
        self._left -= byte_count


@dataclass(frozen=True)
class _Member:
    """A member of an archive, read: its file and the newest date in it."""

    file: StooqFile
    last_date: date


def bulk_files(
    archive: zipfile.ZipFile, name: str, fetched_ts: datetime, vendor_codes: Mapping[str, str], *,
    fetched_ts_kind: FetchedTsKind = "file", budget: ByteBudget | None = None,
) -> StooqBatch:
    """The universe's members of an archive, of the bulk form or CSVs; members of other tickers are not read.

    `fetched_ts` is when the archive was obtained; `vendor_codes` maps Stooq's code to the ticker. A member that is empty,
    damaged, too large, not daily, or about another ticker than its name says is a problem. Of several members of one
    ticker the one with the newest session is taken; where these differ up to the same session, none.
    """
    wanted = {code.lower(): ticker for code, ticker in vendor_codes.items()}
    allowed = budget or ByteBudget()
    unpacked_bytes = 0
    members: list[_Member] = []
    problems: list[SourceError] = []
    for info in archive.infolist():
        base_name = info.filename.replace("\\", "/").rsplit("/", 1)[-1]
        code = vendor_code_of(base_name)
        # A folder's name ends with a slash, so that nothing is left of it here; a damaged one may be empty.
        if code is None or code not in wanted:
            continue
        member_name = f"{name}!{shown(info.filename)}"
        try:
            if (fault := bounded_zip.unread_packing(info)) is not None:
                raise NotData(member_name, fault, "Unpack the archive and drop the files that are in it")
            bounded_zip.require_bounded(info, member_name, max_bytes=MAX_FILE_BYTES, next_step=_AGAIN)
            # What is unpacked in vain counts for this archive alone, so that it keeps no other file out.
            unpacked_bytes += info.file_size
            if unpacked_bytes > MAX_BATCH_BYTES:
                raise TooLargeError(
                    member_name, "the members of the archive for tickers of the universe are together larger than the bound "
                    f"of {MAX_BATCH_BYTES:,} bytes", "Drop an archive with one member for each ticker",
                )
            content = bounded_zip.member_bytes(archive, info, member_name, max_bytes=MAX_FILE_BYTES, next_step=_AGAIN)
            kind: SourceKind = "bulk" if base_name.lower().endswith(".txt") else "drop"
            last_date = _prices_of(content, code, member_name, kind).last_date() or date.min
            allowed.take(len(content), member_name)
        except SourceError as problem:
            problems.append(problem)
        else:
            obtained = _member_obtained(info, last_date) or (fetched_ts, fetched_ts_kind)
            file = _file(wanted[code], content, kind, member_name, *min(obtained, (fetched_ts, fetched_ts_kind)))
            members.append(_Member(file, last_date))
    if (passed_over := _passed_over(archive, name, wanted)) is not None:
        problems.append(passed_over)
    if not members and not problems:
        problems.append(_nothing_wanted(archive, name))
    files, doubles = _one_of_each(members)
    return StooqBatch(files, [*problems, *doubles])


def _member_obtained(info: zipfile.ZipInfo, last_date: date) -> tuple[datetime, FetchedTsKind] | None:
    """The time of a member, which it keeps where its archive was copied; None where it is older than its rows or none."""
    written_ts = bounded_zip.latest_ts(info)
    return None if written_ts is None or date(*info.date_time[:3]) < last_date else (written_ts, "member")


def _passed_over(archive: zipfile.ZipFile, name: str, wanted: Collection[str]) -> SourceError | None:
    """What an archive holds that may be the universe's prices in a form that is not read; None where there is nothing."""
    found = []
    for info in archive.infolist():
        base_name = info.filename.replace("\\", "/").rsplit("/", 1)[-1].lower()
        stem, _, ending = base_name.rpartition(".")
        if base_name.startswith(".") or f".{ending}" in (".csv", ".txt"):
            continue
        is_packed = base_name.endswith((*_PACKED_SUFFIXES, ".zip"))
        codes = {vendor_code_of(each) for each in (stem, f"{stem}.csv", f"{stem}.txt")}
        if is_packed or not codes.isdisjoint(wanted):
            found.append(shown(info.filename))
    if not found:
        return None
    more = f" and {len(found) - _SHOWN_CODES:,} more" if len(found) > _SHOWN_CODES else ""
    return NotData(
        name, f"members that are no .csv or .txt were not read: {', '.join(found[:_SHOWN_CODES])}{more}",
        "Unpack them and drop the CSVs that are in them; nothing need be done if they hold no prices",
    )


def _one_of_each(members: list[_Member]) -> tuple[list[StooqFile], list[SourceError]]:
    """One file for each ticker, in the order of the archive, and why the others were left out."""
    files: list[StooqFile] = []
    problems: list[SourceError] = []
    by_ticker = sorted(members, key=lambda member: member.file.ticker)
    for _, group in groupby(by_ticker, key=lambda member: member.file.ticker):
        contents = {member.file.sha256: member for member in reversed(list(group))}
        newest = max(member.last_date for member in contents.values())
        best = [member for member in contents.values() if member.last_date == newest]
        if len(best) > 1 and len({open_file(member.file.content).bars_sha256() for member in best}) == 1:
            # The same bars as a CSV and in the bulk form, or with other line ends.
            for member in best[:-1]:
                del contents[member.file.sha256]
            best = best[-1:]
        if len(best) == 1:
            files.append(best[0].file)
            problems += [
                NotData(
                    member.file.source_name,
                    f"it ends on {member.last_date}, before {best[0].file.source_name}, which was taken for "
                    f"{member.file.ticker}", "Nothing need be done if that is the right one; else drop the right one alone",
                )
                for member in contents.values() if member is not best[0]
            ]
        else:
            names = sorted(member.file.source_name for member in best)
            problems += [
                NotData(
                    member.file.source_name,
                    f"the archive has {len(contents)} members for {member.file.ticker} that differ and end on {newest}: "
                    f"{', '.join(names[:_SHOWN_CODES])}", "Drop the right one alone",
                )
                for member in contents.values()
            ]
    return files, problems


def _nothing_wanted(archive: zipfile.ZipFile, name: str) -> SourceError:
    """Why an archive has no member of the universe: another layout, or other tickers."""
    texts = [info for info in archive.infolist() if info.filename.lower().endswith((".txt", ".csv"))]
    for info in sorted(texts, key=lambda info: info.file_size, reverse=True)[:_PEEKED_MEMBERS]:
        head, _, _ = bounded_zip.member_beginning(archive, info, _PEEKED_BYTES).rpartition(b"\n")
        try:
            opened = open_file(head)
        except UnreadableFileError:
            continue
        position = opened.layout.ticker
        codes = {line.split(",")[position] for _, line in opened.lines if "," in line} if position is not None else set()
        if len(codes) > 1:
            some = ", ".join(shown(code) for code in sorted(codes)[:_SHOWN_CODES])
            return NotData(
                f"{name}!{shown(info.filename)}", f"it holds rows of several tickers ({some}), which is another layout",
                "Drop an archive with one member for each ticker, as d_us_txt.zip of Stooq is",
            )
    some = ", ".join(shown(info.filename) for info in archive.infolist()[:_SHOWN_CODES])
    return UnknownTicker(
        name, f"it holds no ticker of the universe; its first members are {some or 'none'}",
        "Drop the archive of US daily prices, d_us_txt.zip, or a zip of <stooq code>_d.csv files",
    )


def _prices_of(content: bytes, code: str, name: str, kind: SourceKind) -> OpenedFile:
    """The content, opened; raises unless it is of this kind, daily, and its first row is of the code."""
    opened = classify(content, name, kind)
    layout = opened.layout
    fields = opened.lines[0][1].split(",")
    if layout.ticker is not None and layout.period is not None and len(fields) == layout.width:
        found, period = fields[layout.ticker].strip(), fields[layout.period].strip()
        if period.upper() != "D":
            raise NotData(name, f"its period is {shown(period)!r}, not daily", "Drop the daily archive, d_us_txt.zip")
        if found.lower() != code:
            raise NotData(name, f"its rows are of {shown(found)!r}", "Rename the file after the ticker its rows belong to")
    return opened


def _file(
    ticker: str, content: bytes, kind: SourceKind, name: str, fetched_ts: datetime, fetched_ts_kind: FetchedTsKind,
) -> StooqFile:
    return StooqFile(ticker, content, hashlib.sha256(content).hexdigest(), kind, name, fetched_ts, fetched_ts_kind)


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

        Raises SourceUnavailable when the location cannot be listed, TooLargeError when it has more files than are looked at.
        """
        from pyarrow.fs import FileType

        entries = [
            DropEntry(name, info.size, _mtime(info.mtime_ns))
            for name, info in self._listed() if name is not None and info.type == FileType.File
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def _listed(self) -> "list[tuple[str | None, FileInfo]]":
        """What is in the drop location and not hidden, by name, None for a name that is no text; raises as `list_drop` does."""
        from pyarrow.fs import FileSelector, FileType, LocalFileSystem

        filesystem, root = self._drop()
        is_local = isinstance(filesystem, LocalFileSystem)
        try:
            if is_local:
                with os.scandir(root) as found:
                    _require_few(sum(1 for _ in islice(found, MAX_DROPPED_FILES + 1)), self.drop_location)
            # In an object store a prefix without an object is not there, and as empty as an empty folder.
            infos = filesystem.get_file_info(FileSelector(root, allow_not_found=not is_local))
            if not infos and not is_local and filesystem.get_file_info(root.split("/")[0]).type == FileType.NotFound:
                raise FileNotFoundError(f"bucket {root.split('/')[0]}")
        except OSError as error:
            raise SourceUnavailable(
                self.drop_location, f"the drop location cannot be listed ({type(error).__name__})",
                "Make the folder or bucket, or set FINLAKE_STOOQ_DROP to the one that is used",
            ) from error
        _require_few(len(infos), self.drop_location)
        named = [(_base_name(info), info) for info in infos]
        return [(name, info) for name, info in named if name is None or not name.startswith(".")]

    def dropped_files(self, vendor_codes: Mapping[str, str], names: Collection[str] | None = None) -> StooqBatch:
        """The universe's prices in the drop location; `vendor_codes` maps Stooq's code to the ticker.

        `names` limits the look to these files. Reads `<code>_d.csv`, `<code>.txt` and zips of such. A file that is not
        of the universe, half written, damaged, too large, of another ending or not data is a problem and stays where it
        is; nothing is raised for it. Raises as `list_drop` does when the location cannot be listed.
        """
        batch, budget = StooqBatch([], self._not_files() if names is None else []), ByteBudget()
        for entry in self.list_drop():
            if names is not None and entry.name not in names:
                continue
            try:
                found = self._dropped_file(entry, vendor_codes, budget)
            except SourceError as problem:
                batch.problems.append(problem)
            else:
                batch.files.extend(found.files)
                batch.problems.extend(found.problems)
        return batch

    def _not_files(self) -> list[SourceError]:
        """What is there and is not read as a file is told, and not passed over."""
        from pyarrow.fs import FileType

        problems: list[SourceError] = []
        for name, info in self._listed():
            if name is None:
                problems.append(NotData(_escaped_name(info), "its name is not UTF-8", "Rename it to <stooq code>_d.csv"))
            elif info.type == FileType.Directory:
                problems.append(NotData(
                    shown(name), "it is a folder, and folders are not looked into",
                    "Drop the zip itself or the files that are in the folder; move away what is not meant to be read",
                ))
            elif info.type != FileType.File:
                problems.append(NotData(shown(name), "it is no regular file", "Drop the file itself"))
        return problems + self._broken_links()

    def _broken_links(self) -> list[SourceError]:
        """Links of a local drop location that lead nowhere: the listing leaves them out."""
        from pyarrow.fs import LocalFileSystem

        filesystem, root = self._drop()
        if not isinstance(filesystem, LocalFileSystem):
            return []
        with os.scandir(root) as found:
            names = sorted(
                os.fsencode(entry.name).decode("utf-8", errors="backslashreplace") for entry in found
                if not entry.name.startswith(".") and entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 - False also for a link into a closed folder
            )
        return [NotData(shown(name), "it is a link that leads to no file", "Drop the file itself") for name in names]

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
        if not content.endswith(_LINE_ENDS):
            raise CorruptFile(url, "the last line has no end, so the answer was cut off", "Run again")
        return _file(ticker, content, "http", url, fetched_ts, "response")

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

    def _dropped_file(self, entry: DropEntry, vendor_codes: Mapping[str, str], budget: ByteBudget) -> StooqBatch:
        lowered, name = entry.name.lower(), shown(entry.name)
        if lowered.endswith(_PARTIAL_SUFFIXES):
            raise HalfWrittenFile(name, "its name says that it is still being written", "Wait, or remove it")
        if not lowered.endswith(_DATA_SUFFIXES):
            is_packed = lowered.endswith(_PACKED_SUFFIXES)
            raise NotData(
                name, f"its ending is none of {', '.join(_DATA_SUFFIXES)}, so it was not read",
                "Unpack it and drop what is in it" if is_packed
                else "Drop the CSV as it was downloaded, named <stooq code>_d.csv, and move this file away",
            )
        if lowered.endswith(".zip"):
            return self._dropped_bulk(entry, vendor_codes, budget)
        code = vendor_code_of(entry.name)
        ticker = {known.lower(): symbol for known, symbol in vendor_codes.items()}.get(code or "")
        if code is None or ticker is None:
            raise UnknownTicker(
                name, "it is named after no ticker of the universe",
                "Name it <stooq code>_d.csv (aapl_us_d.csv), or add the ticker to the universe file",
            )
        if (fault := too_large(entry.size)) is not None:
            raise TooLargeError(name, fault.reason, fault.next_step)
        with self._opened(entry) as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        kind: SourceKind = "bulk" if lowered.endswith(".txt") else "drop"
        _prices_of(content, code, name, kind)
        if not content.endswith(_LINE_ENDS):
            raise HalfWrittenFile(
                name, "its last line has no end", "Wait for the rest, or end the last line if it is complete",
            )
        budget.take(len(content), name)
        return StooqBatch([_file(ticker, content, kind, name, *_obtained(entry.mtime))], [])

    def _dropped_bulk(self, entry: DropEntry, vendor_codes: Mapping[str, str], budget: ByteBudget) -> StooqBatch:
        name = shown(entry.name)
        if entry.size > MAX_ARCHIVE_BYTES:
            raise TooLargeError(
                name, f"it has {entry.size:,} bytes, above the bound of {MAX_ARCHIVE_BYTES:,}", "Download it again")
        with self._opened(entry) as stream:
            head = stream.read(_PEEKED_BYTES)
            stream.seek(0)
            try:
                archive = bounded_zip.open_archive(stream, name)
            except bounded_zip.BROKEN as error:
                if head[:2] in (b"PK", b"P", b""):
                    raise HalfWrittenFile(
                        name, "the end of the archive is not there",
                        "Wait for the rest; if its size no longer changes, download it again",
                    ) from error
                raise CorruptFile(name, *_instead_of_archive(head)) from error
            with archive:
                fetched_ts, kind = _obtained(entry.mtime)
                return bulk_files(archive, name, fetched_ts, vendor_codes, fetched_ts_kind=kind, budget=budget)

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
        if info.type != FileType.File or (info.size, _mtime(info.mtime_ns)) != (entry.size, entry.mtime):
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
        with httpx.Client(timeout=timeout, follow_redirects=False, headers=bounded_http.UNPACKED) as client:
            return retrying(_get_once, client, url, key)


def _instead_of_archive(head: bytes) -> tuple[str, str]:
    """What a file is that is named as a zip archive and begins as none, and what to do."""
    try:
        form = open_file(head).layout.form
    except UnreadableFileError as fault:
        # A page or another text is told as no archive: how a CSV would have to look says nothing about it.
        return (fault.reason, fault.next_step) if fault.code == "not_text" else (
            "it is no zip archive", "Download it again in a browser")
    name = "<stooq code>_d.csv" if form == "csv" else "<stooq code>.txt"
    return "it holds rows of prices and is named as a zip archive", f"Name it {name}"


def _require_few(count: int, location: str) -> None:
    if count > MAX_DROPPED_FILES:
        raise TooLargeError(
            location, f"the drop location holds more than {MAX_DROPPED_FILES:,} files",
            "Move away files that are ingested or do not belong there, and run again",
        )


def _base_name(info: "FileInfo") -> str | None:
    try:
        return str(info.base_name)
    except UnicodeDecodeError:
        return None


def _escaped_name(info: "FileInfo") -> str:
    """A name that is no UTF-8, its other bytes as `\\xff`."""
    try:
        return str(info.base_name)
    except UnicodeDecodeError as error:
        return shown(bytes(error.object).rsplit(b"/", 1)[-1].decode("utf-8", errors="backslashreplace"))


def _mtime(mtime_ns: int | None) -> datetime:
    """A file's time (UTC), whatever it says; 1970 where it says none."""
    return _EPOCH if mtime_ns is None else _EPOCH + timedelta(microseconds=mtime_ns // 1000)


def _obtained(mtime: datetime) -> tuple[datetime, FetchedTsKind]:
    """When a dropped file was obtained, and how that is known; a time of the future is not believed."""
    now = datetime.now(UTC)
    return (mtime, "file") if mtime <= now else (now, "reading")


def _get_once(client: "httpx.Client", url: str, key: str) -> tuple[bytes, datetime]:
    import httpx

    try:
        with client.stream("GET", f"{url}&{urlencode({'apikey': key})}" if key else url) as response:
            _require_success(response, url)
            return bounded_http.body(response, url, max_bytes=MAX_FILE_BYTES), datetime.now(UTC)
    except httpx.RequestError as error:
        # The request within the error holds the key: only its type goes on.
        raise SourceUnavailable(
            url, f"the server is not reached ({type(error).__name__})", "Check the network and the base URL; run again",
        ) from None


def _require_success(response: "httpx.Response", url: str) -> None:
    status = response.status_code
    if status >= 500:
        raise SourceUnavailable(url, f"the server failed with HTTP {status}", "Run again later")
    if status == 429:
        raise LimitReached(url, "the server answers HTTP 429, too many requests", "Run again tomorrow, or drop files")
    if status in (401, 403):
        raise AccessDenied(url, f"the server answers HTTP {status}", "Download in a browser and drop the files")
    if status != 200:
        raise NotData(url, f"the server answers HTTP {status}", "Check the base URL")
