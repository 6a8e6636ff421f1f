"""What Iceberg's procedures in Spark do to a table, by pyiceberg: small files become larger ones, old snapshots are forgotten,
files that no snapshot names are deleted. For the engine of one machine, where no Spark is.

Belongs here: files and snapshots. Does not belong here: how old is old (spark/upkeep.py).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow.fs as pa_fs
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy.exc import OperationalError

from spark.contracts.table import Table
from spark.lake.commits import carried, commit_files, repeated_after
from spark.lake.data_files import read_files, write_rows
from spark.lake.snapshots import SAME_ROWS

if TYPE_CHECKING:
    from spark.lake.storage import Lake

READ_BYTES = 128 * 1024 * 1024
"""Files that are read together, as they are on the disk; in memory they take some times as much."""
SMALL_BYTES = READ_BYTES * 3 // 4
"""What is larger is not read again: what was written together is about as large as what is read together."""
FEWEST_FILES = 5
"""Fewer small files than these in a partition are left: the next write may touch them anyway. As in Iceberg's own procedure."""


@dataclass(frozen=True)
class Reachable:
    """Files that snapshots name."""

    data: frozenset[str]
    manifests: frozenset[str]


def compact(lake: "Lake", contract: Table) -> tuple[int, int]:
    """Rewrite the small files of every partition that has many; returns how many were read and how many were written."""
    for attempt in repeated_after(CommitFailedException, OperationalError):
        with attempt:
            lake.forget_tables()
            table = lake.table(contract.address)
            old: list[DataFile] = []
            new: list[DataFile] = []
            for group in _groups(table):
                old += group
                new += write_rows(table, read_files(table, contract, group), contract)
            if old:
                commit_files(table, new, old, {SAME_ROWS: "true", **carried(table, None)})
            return len(old), len(new)
    raise AssertionError("unreachable: Retrying returns or raises")


def _groups(table: IcebergTable) -> Iterator[list[DataFile]]:
    """Small files of one partition each, as many as are read together."""
    by_partition: dict[tuple[int, str], list[DataFile]] = defaultdict(list)
    for task in table.scan().plan_files():
        if task.file.file_size_in_bytes < SMALL_BYTES:
            by_partition[task.file.spec_id, str(task.file.partition)].append(task.file)
    for files in by_partition.values():
        if len(files) < FEWEST_FILES:
            continue
        group: list[DataFile] = []
        for file in files:
            if group and sum(each.file_size_in_bytes for each in group) + file.file_size_in_bytes > READ_BYTES:
                yield group
                group = []
            group.append(file)
        yield group


def expire(lake: "Lake", contract: Table, before: datetime, kept_count: int) -> tuple[int, int]:
    """Forget snapshots from before a moment, but for the newest `kept_count` of `main` and of every branch; then delete what
    they alone named. Returns how many data files and how many manifests were deleted."""
    for attempt in repeated_after(CommitFailedException, OperationalError):
        with attempt:
            lake.forget_tables()
            table = lake.table(contract.address)
            kept = _kept(table.metadata, before, kept_count)
            expired = [each for each in table.metadata.snapshots if each.snapshot_id not in kept]
            if not expired:
                return 0, 0
            named = _named_by(table, expired)
            table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in expired]).commit()
    lake.forget_tables()
    table = lake.table(contract.address)
    still = _named_by(table, table.metadata.snapshots)
    gone = Reachable(named.data - still.data, named.manifests - still.manifests)
    for path in (*gone.data, *gone.manifests):
        _delete(table, path)
    return len(gone.data), len(gone.manifests)


def _kept(metadata: TableMetadata, before: datetime, kept_count: int) -> set[int]:
    by_id = {each.snapshot_id: each for each in metadata.snapshots}
    kept = {each.snapshot_id for each in metadata.snapshots if each.timestamp_ms >= before.timestamp() * 1000}
    for ref in metadata.refs.values():
        at: int | None = ref.snapshot_id
        for _ in range(kept_count):
            if at is None or at not in by_id:
                break
            kept.add(at)
            at = by_id[at].parent_snapshot_id
    return kept


def remove_orphans(lake: "Lake", contract: Table, before: datetime) -> int:
    """Delete files below the table's folder that were written before a moment and that no snapshot names; returns how many."""
    location = lake.table(contract.address).location()
    # Files first: what is committed while they are listed is named by the table as it is afterwards.
    old = [each for each in _files_below(lake.table(contract.address), location) if each.mtime < before]
    lake.forget_tables()
    table = lake.table(contract.address)
    named = _named_by(table, table.metadata.snapshots)
    metadata_files = {table.metadata_location, *(each.metadata_file for each in table.metadata.metadata_log)}
    in_use = {_path(table, each) for each in (*named.data, *named.manifests, *metadata_files)}
    orphans = [each.path for each in old if each.path not in in_use]
    filesystem = _filesystem(table, location)
    for path in orphans:
        filesystem.delete_file(path)
    return len(orphans)


def _named_by(table: IcebergTable, snapshots: Sequence[Snapshot]) -> Reachable:
    """Data files that snapshots show, and the files in which they say so."""
    data: set[str] = set()
    manifests: set[str] = set()
    for snapshot in snapshots:
        if snapshot.manifest_list:
            manifests.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in manifests:
                manifests.add(manifest.manifest_path)
                data |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)}
    return Reachable(frozenset(data), frozenset(manifests))


@dataclass(frozen=True)
class _File:
    path: str
    mtime: datetime


def _files_below(table: IcebergTable, location: str) -> Iterator[_File]:
    filesystem = _filesystem(table, location)
    for found in filesystem.get_file_info(pa_fs.FileSelector(_path(table, location), recursive=True, allow_not_found=True)):
        if found.type == pa_fs.FileType.File:
            yield _File(path=found.path, mtime=found.mtime.astimezone(UTC))


def _delete(table: IcebergTable, location: str) -> None:
    """Delete a file; one that is gone already is gone."""
    try:
        table.io.delete(location)
    except FileNotFoundError:
        return


def _path(table: IcebergTable, location: str) -> str:
    """A location as the filesystem names it."""
    return PyArrowFileIO.parse_location(location, table.io.properties)[2]


def _filesystem(table: IcebergTable, location: str) -> pa_fs.FileSystem:
    scheme, netloc, _ = PyArrowFileIO.parse_location(location, table.io.properties)
    return PyArrowFileIO(table.io.properties).fs_by_scheme(scheme, netloc)
