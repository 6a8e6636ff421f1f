"""Zip archives of strangers, read within bounds that hold before anything is unpacked."""

import os
import struct
import zipfile
import zlib
from datetime import UTC, datetime, timedelta
from typing import IO, cast

from finlake_clients.source_errors import CorruptFileError, TooLargeError

MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
"""Of an archive's list of members: five times that of Stooq's largest archive, some 12,000 members."""
MAX_MEMBERS = 100_000
MAX_RATIO = 200
"""Unpacked to packed bytes of a member: text of prices and news comes to 3 to 10."""
_MEMBER_HEADER_BYTES = 1024
_SHOWN_CHARACTERS = 200
_ENCRYPTED = 0x1

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
)
"""What `zipfile` raises for bytes that are no sound archive; a seek before the start is a ValueError."""

# A member's time has no zone; the last place on earth where a clock shows it is twelve hours behind UTC.
_LATEST_ZONE = timedelta(hours=12)


class _BoundedReads:
    """A stream of bytes that gives at most `max_bytes` at once, so that no length inside an archive decides on memory."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    def read(self, count: int = -1) -> bytes:
        if count < 0 or count > self._max_bytes:
            data = self._stream.read(self._max_bytes + 1)
            if len(data) > self._max_bytes:
                raise zipfile.BadZipFile(f"a part of it has more than {self._max_bytes} bytes")
            return data
        return self._stream.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._stream.seek(offset, whence)
        except ValueError as error:
            if whence == os.SEEK_END:
                # zipfile looks for a part before the start of a small archive, and expects a system file's error.
                raise OSError(str(error)) from error
            raise

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()


def open_archive(stream: IO[bytes], name: str) -> zipfile.ZipFile:
    """The archive in a stream; raises one of `BROKEN` for other bytes, TooLargeError for too many members."""
    archive = zipfile.ZipFile(cast(IO[bytes], _BoundedReads(stream, MAX_DIRECTORY_BYTES)))
    if len(archive.filelist) > MAX_MEMBERS:
        raise TooLargeError(
            name,
            f"it has {len(archive.filelist):,} members, more than the bound of {MAX_MEMBERS:,}",
            "Download the archive again",
        )
    return archive


def member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, *, max_bytes: int, next_step: str) -> bytes:
    """A member unpacked; raises CorruptFileError for a damaged one, TooLargeError for one above the bounds, not unpacked."""
    require_bounded(member, name, max_bytes=max_bytes, next_step=next_step)
    try:
        with archive.open(member) as stream:
            # Reads no further than the declared size, whatever the stream would unpack to.
            return stream.read()
    except BROKEN as error:
        raise CorruptFileError(name, f"the member cannot be unpacked ({error})", next_step) from error


def require_bounded(member: zipfile.ZipInfo, name: str, *, max_bytes: int, next_step: str) -> None:
    """Raise TooLargeError for a member above the bounds, CorruptFileError for one packed in a way that is not read."""
    if member.file_size > max_bytes:
        raise TooLargeError(name, f"it would unpack to {member.file_size} bytes, above the bound of {max_bytes}", next_step)
    if member.file_size > MAX_RATIO * (member.compress_size + _MEMBER_HEADER_BYTES):
        raise TooLargeError(
            name, f"it would unpack from {member.compress_size} to {member.file_size} bytes, as no text does", next_step
        )
    if (fault := unread_packing(member)) is not None:
        raise CorruptFileError(name, fault, next_step)


def unread_packing(member: zipfile.ZipInfo) -> str | None:
    """Why a sound member is not unpacked here though another program may; None for one that is."""
    if member.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"it is packed by method {member.compress_type}, not deflate"
    return None


def member_beginning(archive: zipfile.ZipFile, member: zipfile.ZipInfo, byte_count: int) -> bytes:
    """The first bytes of a member, none of one that cannot be unpacked."""
    try:
        with archive.open(member) as stream:
            return stream.read(byte_count)
    except BROKEN:
        return b""


def latest_ts(member: zipfile.ZipInfo) -> datetime | None:
    """The latest instant (UTC) that a member's time can mean; None where it means none, or the format's zero, 1980."""
    try:
        written = datetime(*member.date_time, tzinfo=UTC)
    except ValueError:
        return None
    return None if written.year == 1980 else written + _LATEST_ZONE  # noqa: PLR2004 - where zip's calendar begins


def shown(name: str) -> str:
    """A stranger's name as it may be printed: one line, no control characters, not too long."""
    return "".join(character if character.isprintable() else "?" for character in name[:_SHOWN_CHARACTERS])
