"""The universe's prices among the dropped files: each file is judged for itself and keeps no other out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO

from finlake_clients import bounded_zip
from finlake_clients.bounded_zip import shown
from finlake_clients.source_errors import CorruptFileError, HalfWrittenFileError, SourceError, TooLargeError, UnknownTickerError
from finlake_clients.stooq.archive import archived_files
from finlake_clients.stooq.byte_budget import ByteBudget
from finlake_clients.stooq.content import LINE_ENDS, prices_of
from finlake_clients.stooq.drop_location import DropEntry, DropLocation
from finlake_clients.stooq.file_names import is_archive, kind_of, require_read, vendor_code_of
from finlake_clients.stooq.prices_file import Obtained, StooqBatch, StooqFile, prices_file
from spark.contracts.stooq_files import MAX_FILE_BYTES, UnreadableFileError, open_file, too_large

MAX_ARCHIVE_BYTES = 4 * 1024**3
_PEEKED_BYTES = 64 * 1024


def read_dropped(location: DropLocation, vendor_codes: Mapping[str, str]) -> StooqBatch:
    """The universe's prices in the drop location; `vendor_codes` maps Stooq's code to the ticker.

    Reads `<code>_d.csv`, `<code>.txt` and zips of such. A file that is not
    of the universe, half written, damaged, too large, of another ending or not data is a problem and stays where it
    is; nothing is raised for it. Raises as `DropLocation.entries` does when the location cannot be listed.
    """
    batch, budget = StooqBatch([], location.unread_entries()), ByteBudget()
    for entry in location.entries():
        try:
            require_read(entry.name)
            if is_archive(entry.name):
                found = _archive(location, entry, vendor_codes, budget)
            else:
                found = StooqBatch([_loose_file(location, entry, vendor_codes, budget)], [])
        except SourceError as problem:
            batch.problems.append(problem)
        else:
            batch.files.extend(found.files)
            batch.problems.extend(found.problems)
    return batch


def _loose_file(
    location: DropLocation,
    entry: DropEntry,
    vendor_codes: Mapping[str, str],
    budget: ByteBudget,
) -> StooqFile:
    name, code = shown(entry.name), vendor_code_of(entry.name)
    ticker = {known.lower(): symbol for known, symbol in vendor_codes.items()}.get(code or "")
    if code is None or ticker is None:
        raise UnknownTickerError(
            name,
            "it is named after no ticker of the universe",
            "Name it <stooq code>_d.csv (aapl_us_d.csv), or add the ticker to the universe file",
        )
    if (fault := too_large(entry.size)) is not None:
        raise TooLargeError(name, fault.reason, fault.next_step)
    with location.opened(entry) as stream:
        content = stream.read(MAX_FILE_BYTES + 1)
    kind = kind_of(entry.name)
    prices_of(content, code, name, kind)
    if not content.endswith(LINE_ENDS):
        raise HalfWrittenFileError(
            name,
            "its last line has no end",
            "Wait for the rest, or end the last line if it is complete",
        )
    budget.take(len(content), name)
    return prices_file(ticker, content, kind, name, _obtained(entry.mtime))


def _archive(
    location: DropLocation,
    entry: DropEntry,
    vendor_codes: Mapping[str, str],
    budget: ByteBudget,
) -> StooqBatch:
    name = shown(entry.name)
    if entry.size > MAX_ARCHIVE_BYTES:
        raise TooLargeError(name, f"it has {entry.size:,} bytes, above the bound of {MAX_ARCHIVE_BYTES:,}", "Download it again")
    with location.opened(entry) as stream:
        try:
            archive = bounded_zip.open_archive(stream, name)
        except bounded_zip.BROKEN as error:
            raise _no_archive(stream, name) from error
        with archive:
            return archived_files(archive, name, _obtained(entry.mtime), vendor_codes, budget)


def _no_archive(stream: IO[bytes], name: str) -> SourceError:
    """What a file is that is named as a zip archive and cannot be opened as one, and what to do."""
    stream.seek(0)
    head = stream.read(_PEEKED_BYTES)
    if head[:2] in (b"PK", b"P", b""):
        return HalfWrittenFileError(
            name, "the end of the archive is not there", "Wait for the rest; if its size no longer changes, download it again"
        )
    try:
        form = open_file(head).layout.form
    except UnreadableFileError as fault:
        # A page or another text is reported as no archive: how a CSV would have to look says nothing about it.
        reason, next_step = (
            (fault.reason, fault.next_step)
            if fault.code == "not_text"
            else ("it is no zip archive", "Download it again in a browser")
        )
        return CorruptFileError(name, reason, next_step)
    right_name = "<stooq code>_d.csv" if form == "csv" else "<stooq code>.txt"
    return CorruptFileError(name, "it holds rows of prices and is named as a zip archive", f"Name it {right_name}")


def _obtained(mtime: datetime) -> Obtained:
    """When a dropped file was obtained, and how that is known; a time of the future is not believed."""
    now = datetime.now(UTC)
    return (mtime, "file") if mtime <= now else (now, "reading")
