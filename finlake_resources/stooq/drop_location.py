"""The drop location, a folder or a prefix of an object store: what lies there, and the bytes of one file of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from finlake_resources.bounded_zip import shown
from finlake_resources.source_errors import HalfWrittenFile, NotData, SourceError, SourceUnavailable, TooLargeError

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
        """The files by name, sub-folders and hidden files left out; reads no file.

        Raises SourceUnavailable when the location cannot be listed, TooLargeError when it has more files than are looked at.
        """
        from pyarrow.fs import FileType

        entries = [
            DropEntry(name, info.size, _mtime(info.mtime_ns))
            for name, info in self._listed() if name is not None and info.type == FileType.File
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def unread_entries(self) -> list[SourceError]:
        """What is there and is not read as a file is told, and not passed over; raises as `entries` does."""
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

    @contextmanager
    def opened(self, entry: DropEntry) -> Iterator[IO[bytes]]:
        """The file of an entry, to be read.

        Raises HalfWrittenFile when it is another file after the reading, SourceUnavailable when it cannot be read.
        """
        from pyarrow.fs import FileType

        filesystem, root = self._filesystem()
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

    def _listed(self) -> "list[tuple[str | None, FileInfo]]":
        """What is there and not hidden, by name, None for a name that is no text; raises as `entries` does."""
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
        return [(name, info) for name, info in named if name is None or not name.startswith(".")]

    def _broken_links(self) -> list[SourceError]:
        """Links of a local drop location that lead nowhere: the listing leaves them out."""
        from pyarrow.fs import LocalFileSystem

        filesystem, root = self._filesystem()
        if not isinstance(filesystem, LocalFileSystem):
            return []
        try:
            with os.scandir(root) as found:
                names = sorted(
                    os.fsencode(entry.name).decode("utf-8", errors="backslashreplace") for entry in found
                    if not entry.name.startswith(".") and entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 - False also for a link into a closed folder
                )
        except OSError as error:
            raise self._unlistable(error) from error
        return [NotData(shown(name), "it is a link that leads to no file", "Drop the file itself") for name in names]

    def _unlistable(self, error: OSError) -> SourceError:
        return SourceUnavailable(
            self.location, f"the drop location cannot be listed ({type(error).__name__})",
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


def _key(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SourceUnavailable(
            file, f"the key of the object store cannot be read ({type(error).__name__})",
            "Put the key into it, or set FINLAKE_S3_ACCESS_KEY_FILE and FINLAKE_S3_SECRET_KEY_FILE to the files that hold them",
        ) from error


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
