"""Tidying changes files and history, never rows; what people still look at stays."""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from finlake_clients.lake_client import LakeClient
from spark import upkeep
from spark.contracts.report import AuditFailedError, Window
from spark.lake.storage import Lake, between
from tests.integration.lake.bars import ADDRESS, bars
from tests.integration.lake.chain import PROVENANCE, published

pytestmark = [pytest.mark.stack, pytest.mark.both_engines]

MONTH = Window(start=date(2018, 3, 1), end=date(2018, 3, 31))


@pytest.fixture
def written(empty_lake: Lake) -> Lake:
    """A table of many small files and snapshots, with one failed audit on its branch."""
    # Compaction takes five small files or more for worth its while.
    for day in range(1, 6):
        empty_lake.table(ADDRESS).append(bars(Window(start=date(2018, 3, day), end=date(2018, 3, day)), 10.0 + day))
    with pytest.raises(AuditFailedError):
        empty_lake.replace_rows(ADDRESS, bars(MONTH, 0.5), replaced=between("session_date", MONTH), provenance=PROVENANCE)
    return empty_lake


def refs(lake: Lake) -> list[str]:
    return sorted(lake.catalog.load_table(ADDRESS).metadata.refs)


def test_compacting_leaves_fewer_files_with_the_same_rows(written: Lake, lake_jobs: LakeClient) -> None:
    before, content = published(written, ADDRESS), written.content(ADDRESS)
    assert len(list(written.table(ADDRESS).scan().plan_files())) == 5

    assert lake_jobs.upkeep("compact", ADDRESS) == {"rewritten_files": 5, "added_files": 1}

    assert len(list(written.table(ADDRESS).scan().plan_files())) == 1
    assert published(written, ADDRESS).equals(before)
    assert written.content(ADDRESS) == content


def test_expiring_drops_old_snapshots_and_keeps_rows_and_audit_branches(
    written: Lake,
    lake_jobs: LakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, content = published(written, ADDRESS), written.content(ADDRESS)
    (branch,) = [name for name in refs(written) if name != "main"]
    snapshots = len(written.table(ADDRESS).metadata.snapshots)

    lake_jobs.upkeep("expire", ADDRESS)
    assert len(written.table(ADDRESS).metadata.snapshots) == snapshots, "young snapshots are kept"

    monkeypatch.setattr(upkeep, "KEPT_SNAPSHOT_DAYS", 0)
    monkeypatch.setattr(upkeep, "KEPT_SNAPSHOTS", 1)
    lake_jobs.upkeep("expire", ADDRESS)

    assert len(written.table(ADDRESS).metadata.snapshots) < snapshots
    assert published(written, ADDRESS).equals(before)
    assert written.content(ADDRESS) == content
    assert written.content(ADDRESS, branch=branch).row_count == 62


def test_only_old_files_that_no_snapshot_names_are_removed(written: Lake, lake_jobs: LakeClient) -> None:
    before = published(written, ADDRESS)
    data = Path(urlsplit(written.table(ADDRESS).location()).path) / "data"
    old, young = data / "left-by-a-killed-writer.parquet", data / "being-written.parquet"
    for path in (old, young):
        path.write_bytes(b"nothing")
    for path in data.rglob("*.parquet"):
        if path != young:
            os.utime(path, (datetime(2018, 1, 1, tzinfo=UTC).timestamp(),) * 2)

    assert lake_jobs.upkeep("orphans", ADDRESS) == {"removed_files": 1}

    assert (old.exists(), young.exists()) == (False, True)
    assert published(written, ADDRESS).equals(before)


def test_stale_audit_branches_go_and_young_ones_main_and_rows_stay(
    written: Lake,
    lake_jobs: LakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = published(written, ADDRESS)
    own = "somebodys_own"
    written.table(ADDRESS).manage_snapshots().create_branch(written.snapshot_id(ADDRESS), own).commit()

    assert lake_jobs.upkeep("branches", ADDRESS) == {"dropped_branches": 0}
    assert len(refs(written)) == 3

    monkeypatch.setattr(upkeep, "KEPT_BRANCH_DAYS", 0)
    assert lake_jobs.upkeep("branches", ADDRESS) == {"dropped_branches": 1}
    assert refs(written) == ["main", own]
    assert published(written, ADDRESS).equals(before)
