"""The drop location, a folder or a prefix of an object store: what lies there, and the bytes of one file of it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from finlake_clients.bounded_zip import shown
from finlake_clients.secret_files import SecretUnreadableError, secret_of
from finlake_clients.source_errors import HalfWrittenFileError, NotDataError, SourceError, SourceUnavailableError, TooLargeError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

MAX_DROPPED_FILES = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class DropEntry:
    """One file in the drop location: `size` in bytes, `mtime` UTC."""

    name: str
    size: int
    mtime: datetime


@dataclass(frozen=True, kw_only=True)
class DropLocation:
    """A folder, as a path or a file URL, or `s3://bucket/prefix`, with what an S3-compatible store wants to know.

    Without `s3_endpoint` the store is AWS; the key files hold the access key id and the secret access key.
    """

    location: str
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_access_key_file: str | None = None
    s3_secret_key_file: str | None = None

    def entries(self) -> list[DropEntry]:
        """The files by name, sub-folders, links and hidden files left out; reads no file.

        Raises SourceUnavailableError when the location cannot be listed, TooLargeError when it has more files than are looked at.
        """
        from pyarrow.fs import FileType

        links = self._links()
        entries = [
            DropEntry(raw_name.decode(), info.size, _mtime(info.mtime_ns))
            for raw_name, info in self._listed()
            if info.type == FileType.File and raw_name not in links and _is_text(raw_name)
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def unread_entries(self) -> list[SourceError]:
        """What is there and is not read as a file is reported, and not passed over; raises as `entries` does."""
        from pyarrow.fs import FileType

        links = self._links()
        problems: list[SourceError] = [_link(_escaped(raw_name)) for raw_name in links]
        for raw_name, info in self._listed():
            if raw_name in links:
                continue
            name = _escaped(raw_name)
            if not _is_text(raw_name):
                problems.append(NotDataError(shown(name), "its name is not UTF-8", "Rename it to <stooq code>_d.csv"))
            elif info.type == FileType.Directory:
                problems.append(
                    NotDataError(
                        shown(name),
                        "it is a folder, and folders are not looked into",
                        "Drop the zip itself or the files that are in the folder; move away what is not meant to be read",
                    )
                )
            elif info.type != FileType.File:
                problems.append(_no_regular_file(name))
        return problems

    @contextmanager
    def opened(self, entry: DropEntry) -> Iterator[IO[bytes]]:
        """The file of an entry, to be read.

        Raises HalfWrittenFileError when it is another file after the reading, SourceUnavailableError when it cannot be
        read, NotDataError when a link or something else that is no regular file has taken its place since the listing.
        """
        from pyarrow.fs import FileType, LocalFileSystem

        filesystem, root = self._filesystem()
        path = f"{root}/{entry.name}"
        try:
            is_local = isinstance(filesystem, LocalFileSystem)
            with _open_here(path, entry.name) if is_local else filesystem.open_input_file(path) as stream:
                yield cast(IO[bytes], stream)
        except FileNotFoundError as error:
            raise HalfWrittenFileError(entry.name, "it went away while it was read", "Look again") from error
        except OSError as error:
            raise SourceUnavailableError(
                entry.name,
                f"it cannot be read ({error})",
                "Check that the drop location is there and may be read",
            ) from error
        info = filesystem.get_file_info(path)
        if info.type != FileType.File or (info.size, _mtime(info.mtime_ns)) != (entry.size, entry.mtime):
            raise HalfWrittenFileError(entry.name, "it changed while it was read", "Wait until it is complete")

    def _listed(self) -> "list[tuple[bytes, FileInfo]]":
        """What is there and not hidden, by name; raises as `entries` does."""
        from pyarrow.fs import FileSelector, FileType, LocalFileSystem

        filesystem, root = self._filesystem()
        is_local = isinstance(filesystem, LocalFileSystem)
        try:
            if is_local:
                with os.scandir(root) as found:
                    _require_few(sum(1 for _ in islice(found, MAX_DROPPED_FILES + 1)), self.location)
            # In an object store a prefix without an object is not there, and as empty as an empty folder.
            infos = filesystem.get_file_info(FileSelector(root, allow_not_found=not is_local))
            if not infos and not is_local and filesystem.get_file_info(root.split("/")[0]).type == FileType.NotFound:
                raise FileNotFoundError(f"bucket {root.split('/')[0]}")
        except OSError as error:
            raise self._unlistable(error) from error
        _require_few(len(infos), self.location)
        named = [(_base_name(info), info) for info in infos]
        return [(raw_name, info) for raw_name, info in named if not raw_name.startswith(b".")]

    def _links(self) -> list[bytes]:
        """Names of the links in a local drop location that are not hidden, wherever they lead: none is followed.

        A link would bring any file that finlake may read into the lake, a key for example, for whoever may only drop.
        """
        from pyarrow.fs import LocalFileSystem

        filesystem, root = self._filesystem()
        if not isinstance(filesystem, LocalFileSystem):
            return []
        try:
            with os.scandir(os.fsencode(root)) as found:
                return sorted(each.name for each in found if each.is_symlink() and not each.name.startswith(b"."))
        except OSError as error:
            raise self._unlistable(error) from error

    def _unlistable(self, error: OSError) -> SourceError:
        return SourceUnavailableError(
            self.location,
            f"the drop location cannot be listed ({type(error).__name__})",
            "Make the folder or bucket, or set FINLAKE_STOOQ_DROP to the one that is used",
        )

    def _filesystem(self) -> "tuple[FileSystem, str]":
        """The file system and the path of the location in it."""
        from pyarrow.fs import LocalFileSystem, S3FileSystem

        parts = urlsplit(self.location)
        if parts.scheme != "s3":
            path = unquote(parts.path) if parts.scheme == "file" else self.location
            return LocalFileSystem(), str(Path(path).absolute())
        options: dict[str, str] = {}
        if self.s3_endpoint is not None:
            endpoint = urlsplit(self.s3_endpoint)
            options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
        if self.s3_region is not None:
            options["region"] = self.s3_region
        if self.s3_access_key_file is not None and self.s3_secret_key_file is not None:
            options["access_key"], options["secret_key"] = _key(self.s3_access_key_file), _key(self.s3_secret_key_file)
        return S3FileSystem(**options), f"{parts.netloc}{parts.path}".rstrip("/")


def _open_here(path: str, name: str) -> IO[bytes]:
    """A file of this machine: what stands there when it is opened counts, whatever the listing saw."""
    try:
        # A pipe without a writer would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(name) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_regular_file(name)
    return os.fdopen(descriptor, "rb")


def _link(name: str) -> SourceError:
    return NotDataError(
        shown(name),
        "it is a link, and links are not followed",
        "Copy the file itself into the drop location, and remove the link",
    )


def _no_regular_file(name: str) -> SourceError:
    return NotDataError(shown(name), "it is no regular file", "Drop the file itself")


def _key(file: str) -> str:
    try:
        return secret_of("the object store", Path(file))
    except SecretUnreadableError as error:
        raise SourceUnavailableError(
            file,
            f"the key of the object store cannot be read ({error.reason})",
            "Put the key into it, or set FINLAKE_S3_ACCESS_KEY_FILE and FINLAKE_S3_SECRET_KEY_FILE to the files that hold them",
        ) from error


def _require_few(count: int, location: str) -> None:
    if count > MAX_DROPPED_FILES:
        raise TooLargeError(
            location,
            f"the drop location holds more than {MAX_DROPPED_FILES:,} files",
            "Move away files that are ingested or do not belong there, and run again",
        )


def _base_name(info: "FileInfo") -> bytes:
    try:
        return str(info.base_name).encode()
    except UnicodeDecodeError as error:
        return bytes(error.object).rsplit(b"/", 1)[-1]


def _is_text(raw_name: bytes) -> bool:
    try:
        raw_name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _escaped(raw_name: bytes) -> str:
    """A name as text; bytes of it that are no UTF-8 as `\\xff`."""
    return raw_name.decode("utf-8", errors="backslashreplace")


def _mtime(mtime_ns: int | None) -> datetime:
    """A file's time (UTC), whatever it says; 1970 where it says none."""
    return _EPOCH if mtime_ns is None else _EPOCH + timedelta(microseconds=mtime_ns // 1000)
