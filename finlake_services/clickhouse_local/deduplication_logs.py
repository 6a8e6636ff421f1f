"""The engine's memory of insert tokens, made true after a kill or a loss of power: run before the engine opens its folder.

For each block the engine appends a line (operation, part, block id made of the token) to the table's
`deduplication_logs/deduplication_log_N.txt`, and only then renames `tmp_insert_*` to the part. Ended between the two, it
remembers a block that it does not have: the repeated insert is answered with success and nothing is inserted, in one table
or in one view's table. A line that was cut short makes the engine pass over all that follow it in its file.

`take_back` removes both, so that afterwards a token is remembered if and only if its rows are on the disk: in its part, or
in one that was merged from it. Outdated parts count, too: what they hold is in an active one.

That needs the line to reach the disk before the part does. A killed process loses nothing that it has written; without power
the engine's line would be lost, since it never syncs that file, and the repeated insert would double its rows.
`WrittenThrough` has the file system sync each line as it is written.
"""

import array
import fcntl
import os
import re
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOGS = "deduplication_logs"
_LOG_NAME = re.compile(r"deduplication_log_\d+\.txt")
_PART_NAME = re.compile(r"(?P<partition>[^_]+)_(?P<first>\d+)_(?P<last>\d+)_\d+(?:_\d+)?")
_LINE = re.compile(rb"(?P<operation>[12])\t(?P<part>[^\t\n]+)\t[^\t\n]+\n")
_CUT_AFTER_NEWLINE = re.compile(rb"[^\n]*\n|[^\n]+")
_ADDED = b"1"
# linux/fs.h
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_SYNC_FL = 0x80086601, 0x40086602, 0x00000008


@dataclass(frozen=True)
class Blocks:
    """The numbers of the blocks that a part holds, both inclusive; every insert into a partition has its own number."""

    partition: str
    first: int
    last: int

    @staticmethod
    def of(part_name: str) -> "Blocks | None":
        """What a part of this name holds, None when no part is named so."""
        match = _PART_NAME.fullmatch(part_name)
        return Blocks(match["partition"], int(match["first"]), int(match["last"])) if match else None


@dataclass(frozen=True)
class TakenBack:
    """What was removed from one log: lines whose part is not there, and lines that are none."""

    log: Path
    without_part: int
    unreadable: int


class BlocksInParts:
    """The blocks in the parts of one table."""

    def __init__(self, parts: Iterable[Blocks]) -> None:
        self._widest: dict[str, list[Blocks]] = {}
        for part in sorted(parts, key=lambda blocks: (blocks.first, -blocks.last)):
            widest = self._widest.setdefault(part.partition, [])
            if not widest or part.last > widest[-1].last:
                widest.append(part)

    def __contains__(self, blocks: Blocks) -> bool:
        """Whether one part holds all of `blocks`."""
        widest = self._widest.get(blocks.partition, [])
        # First and last both ascend: the last part that begins soon enough also reaches furthest.
        position = bisect_right(widest, blocks.first, key=lambda part: part.first)
        return position > 0 and blocks.last <= widest[position - 1].last


@dataclass(frozen=True)
class Lines:
    """A log's lines: those that are true, those that add a part that is not held, and those that cannot be read."""

    true: list[bytes]
    without_part: list[bytes]
    unreadable: list[bytes]


def judged(text: bytes, held: BlocksInParts) -> Lines:
    """The lines of a log's text, each kind in its order."""
    lines = Lines([], [], [])
    for line in _CUT_AFTER_NEWLINE.findall(text):
        match = _LINE.fullmatch(line)
        added = Blocks.of(match["part"].decode(errors="replace")) if match else None
        if match is None or added is None:
            lines.unreadable.append(line)
        elif match["operation"] == _ADDED and added not in held:
            lines.without_part.append(line)
        else:
            lines.true.append(line)
    return lines


def take_back(data: Path, scratch: Path) -> list[TakenBack]:
    """Make every log below the engine's folder `data` true; returns what that removed. The engine must not be running.

    `scratch` is a folder on the same file system, outside `data`. May be ended at any instant and run again: a log is
    replaced wholly or not at all. Raises OSError.
    """
    taken = []
    for log, lines in _judged_logs(data):
        if lines.without_part or lines.unreadable:
            _replace(log, b"".join(lines.true), scratch / f"{log.name}.new")
            taken.append(TakenBack(log, len(lines.without_part), len(lines.unreadable)))
    return taken


def lines_without_part(data: Path) -> set[tuple[Path, bytes]]:
    """Lines, with their logs, whose parts are not there. While the engine inserts, a line is among them for an instant."""
    return {(log, line) for log, lines in _judged_logs(data) for line in lines.without_part}


class WrittenThrough:
    """Has the file system sync each line of every log below `data` before the engine goes on to the part."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._seen: set[Path] = set()
        self._lock = threading.Lock()

    def extend(self) -> list[Path]:
        """See to the logs that came since the last call; returns those of them whose file system cannot do it."""
        with self._lock:
            new = [path for path in _logs_and_their_folders(self._data) if path not in self._seen]
            refused = [path for path in new if not _write_through(path)]
            self._seen.update(new)
            return refused


def is_written_through(path: Path) -> bool:
    """Whether the file system syncs each write to `path`."""
    return bool(_flags(path) & _FS_SYNC_FL)


def _judged_logs(data: Path) -> Iterator[tuple[Path, Lines]]:
    for table in _tables(data):
        # A running engine may drop a log, or a table, while it is looked at.
        with suppress(FileNotFoundError):
            held = BlocksInParts(blocks for entry in os.scandir(table) if entry.is_dir() and (blocks := Blocks.of(entry.name)))
            for log in _logs(table):
                yield log, judged(log.read_bytes(), held)


def _tables(data: Path) -> Iterator[Path]:
    for logs in sorted(data.glob(f"store/*/*/{LOGS}")):
        yield logs.parent


def _logs(table: Path) -> list[Path]:
    return [path for path in sorted((table / LOGS).iterdir()) if _LOG_NAME.fullmatch(path.name)]


def _logs_and_their_folders(data: Path) -> Iterator[Path]:
    for table in _tables(data):
        with suppress(FileNotFoundError):
            yield from (table / LOGS, *_logs(table))


def _replace(log: Path, text: bytes, new: Path) -> None:
    with new.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(log)
    folder = os.open(log.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _flags(path: Path) -> int:
    file = os.open(path, os.O_RDONLY)
    try:
        flags = array.array("i", [0])
        fcntl.ioctl(file, _FS_IOC_GETFLAGS, flags)
        return flags[0]
    finally:
        os.close(file)


def _write_through(path: Path) -> bool:
    try:
        flags = array.array("i", [_flags(path) | _FS_SYNC_FL])
        file = os.open(path, os.O_RDONLY)
        try:
            fcntl.ioctl(file, _FS_IOC_SETFLAGS, flags)
        finally:
            os.close(file)
    except FileNotFoundError:
        # A log that the engine has meanwhile dropped.
        return True
    except OSError:
        return False
    return is_written_through(path)
