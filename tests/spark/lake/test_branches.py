"""Branches of writers that died: who drops them, when, and which are none of his business. Real Iceberg, without Spark."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from deploy.local.config_files import dagster_instance
from deploy.local.layout import Layout
from spark import upkeep
from spark.contracts import lake as contracts
from spark.contracts.report import AuditFailedError, CheckOutcome, Provenance, Window
from spark.contracts.runs import LONGEST_RUN
from spark.contracts.table import Table
from spark.lake import branches, publish
from spark.lake.audit import RowsAudit
from spark.lake.branches import branch_age
from spark.lake.catalog import LakeLocation
from spark.lake.storage import Lake, between
from tests.integration.lake.bars import ADDRESS, bars

WEEK = Window(start=date(2018, 3, 12), end=date(2018, 3, 16))
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOOD = CheckOutcome(name="good", severity="error", failing_count=0, why="of a test")
BAD = CheckOutcome(name="bad", severity="error", failing_count=1, why="of a test")


class KilledError(BaseException):
    """Ends a writer where it stands: nothing of it tidies up."""


class LakeOfATest(Lake):
    """A lake whose audits, which take an engine, end as they are told to; what is written is Iceberg's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(
            LakeLocation(
                warehouse=f"file://{folder}",
                engine="spark",
                spark_remote="none",
                catalog_properties={"uri": f"sqlite:///{folder}/catalog.db"},
            )
        )
        self.outcome: CheckOutcome | type[BaseException] = GOOD

    def audit_rows(self, rows: pa.Table, contract: Table, kept_keys: pa.Table | None) -> RowsAudit:
        return RowsAudit(checks=(self.outcome if isinstance(self.outcome, CheckOutcome) else BAD,), count_by_date={})

    def write(self, close_usd: float, run_id: str) -> None:
        rows: pa.Table = bars(WEEK, close_usd)
        self.replace_rows(
            ADDRESS,
            rows,
            replaced=between("session_date", WEEK),
            provenance=Provenance(run_id=run_id, partition="a-partition", code_version="a-version", step="silver.prices_daily"),
        )

    @property
    def branches(self) -> list[str]:
        return [name for name in self.catalog.load_table(ADDRESS).metadata.refs if name != "main"]

    @property
    def closes(self) -> set[object]:
        return set(self.rows(ADDRESS)["close_usd"].to_pylist())


@pytest.fixture
def lake(tmp_path: Path) -> LakeOfATest:
    lake = LakeOfATest(tmp_path / "lake")
    lake.write(1.0, "first")
    return lake


def end_at(
    lake: LakeOfATest,
    monkeypatch: pytest.MonkeyPatch,
    when: datetime,
    outcome: CheckOutcome | type[BaseException],
) -> str:
    """The branch that a writer has left who began then and ended so."""
    before = set(lake.branches)
    monkeypatch.setattr(branches, "_now", lambda: when)
    monkeypatch.setattr(lake, "outcome", outcome)
    if not isinstance(outcome, CheckOutcome):

        def killed(*_: object) -> None:
            raise outcome

        # With the rows on the branch, and no word yet that it is to be kept.
        monkeypatch.setattr(publish, "keep_branch", killed)
    with pytest.raises((KilledError, AuditFailedError)):
        lake.write(2.0, f"run-{when:%d%H%M}")
    monkeypatch.undo()
    (left,) = set(lake.branches) - before
    return left


def test_a_later_run_drops_what_killed_writers_have_left_and_no_younger_or_kept_branch(
    lake: LakeOfATest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each begins before the one before, so that none of them drops what is there already.
    long_ago, lately = NOW - LONGEST_RUN - timedelta(hours=2), NOW - LONGEST_RUN + timedelta(minutes=1)
    young = end_at(lake, monkeypatch, lately, KilledError)
    failed = end_at(lake, monkeypatch, long_ago, BAD)
    end_at(lake, monkeypatch, long_ago - timedelta(minutes=1), KilledError)
    for name in ("somebodys_own", "audit_eeeeffff0000_1111_00000000", "audit_x_1_99999999999999_00000000"):
        lake.table(ADDRESS).manage_snapshots().create_branch(lake.snapshot_id(ADDRESS), name).commit()
    others = {"somebodys_own", "audit_eeeeffff0000_1111_00000000", "audit_x_1_99999999999999_00000000"}

    monkeypatch.setattr(branches, "_now", lambda: NOW)
    lake.write(3.0, "another-run")

    assert set(lake.branches) == {young, failed, *others}
    assert lake.closes == {3.0}
    rows = lake.catalog.load_table(ADDRESS).scan().use_ref(failed).to_arrow()
    assert set(rows["close_usd"].to_pylist()) == {2.0}


def test_upkeep_drops_what_was_left_behind(lake: LakeOfATest, monkeypatch: pytest.MonkeyPatch) -> None:
    young = end_at(lake, monkeypatch, datetime.now(UTC), KilledError)
    end_at(lake, monkeypatch, datetime.now(UTC) - LONGEST_RUN - timedelta(hours=2), KilledError)

    assert upkeep.drop_stale_branches(lake, contracts.table(ADDRESS)) == {"dropped_branches": 1}
    assert lake.branches == [young]


def test_a_branch_of_a_table_at_rest_is_as_young_as_its_name_says(lake: LakeOfATest) -> None:
    began = datetime.now(UTC).replace(microsecond=0) + timedelta(days=8)
    # Nothing is on it yet, so that its snapshot is as old as `main`.
    at_work = f"audit_run_step_{began:%Y%m%d%H%M%S}_00000000"
    lake.table(ADDRESS).manage_snapshots().create_branch(lake.snapshot_id(ADDRESS), at_work).commit()

    assert branch_age(lake.table(ADDRESS), at_work, began + timedelta(minutes=1)) == timedelta(minutes=1)


def test_dagster_ends_a_run_that_is_longer_than_the_longest(tmp_path: Path) -> None:
    instance = json.loads(dagster_instance(Layout(tmp_path, tmp_path, tmp_path), 5).partition("\n")[2])
    assert instance["run_monitoring"]["enabled"]
    assert instance["run_monitoring"]["max_runtime_seconds"] == LONGEST_RUN.total_seconds()
