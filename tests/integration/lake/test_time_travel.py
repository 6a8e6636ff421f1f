"""Rows as of an earlier snapshot stay what they were, whatever is written later."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from finlake_cli.query import Query, QueryRefusedError
from finlake_cli.time_travel import at_version
from finlake_clients.lake_client import LakeClient
from spark.contracts import lake as contracts
from spark.contracts.report import Window
from spark.contracts.table import Column
from spark.lake.storage import Lake
from spark.schemas import spark_schema
from tests.integration.lake.bars import ADDRESS, bars, frame
from tests.integration.lake.chain import PROVENANCE

pytestmark = pytest.mark.stack

MONTH = Window(start=date(2018, 3, 1), end=date(2018, 3, 31))
WEEK = Window(start=date(2018, 3, 12), end=date(2018, 3, 16))
QUERY = f"SELECT close_usd, count(*) AS n FROM lake.{ADDRESS} GROUP BY close_usd ORDER BY close_usd"


def write(lake: Lake, window: Window, close_usd: float | None) -> int:
    """Replace the window, by nothing when there is no close; returns the snapshot."""
    rows = bars(window, close_usd or 1.0).slice(0, None if close_usd else 0)
    report = lake.replace_window(ADDRESS, frame(lake, rows), window=window, provenance=PROVENANCE)
    assert report.snapshot_id is not None
    return report.snapshot_id


@pytest.mark.both_engines
def test_rows_as_of_a_snapshot_or_a_time_stay_as_they_were(empty_lake: Lake, lake_jobs: LakeClient) -> None:
    def shows(query: str) -> list[tuple[float, int]]:
        return [tuple(row) for row in Query.of(lake_jobs, query).frame.collect()]

    snapshots = [write(empty_lake, MONTH, 10.0), write(empty_lake, WEEK, 20.0), write(empty_lake, MONTH, None)]

    shown = [[(10.0, 62)], [(10.0, 52), (20.0, 10)], []]
    assert [shows(at_version(QUERY, snapshot_id=snapshot)) for snapshot in snapshots] == shown
    assert shows(QUERY) == []
    assert empty_lake.frame(ADDRESS, WEEK, snapshots[1]).where("close_usd = 20").count() == 10
    assert set(empty_lake.rows(ADDRESS, snapshot_id=snapshots[0])["close_usd"].to_pylist()) == {10.0}
    # Times have whole seconds: the last snapshot of a second speaks for it.
    metadata = empty_lake.catalog.load_table(ADDRESS).metadata
    for entry in metadata.snapshot_log:
        second = datetime.fromtimestamp(entry.timestamp_ms // 1000 + 1, UTC)
        newest = max(
            (other for other in metadata.snapshot_log if other.timestamp_ms <= second.timestamp() * 1000),
            key=lambda other: other.timestamp_ms,
        )
        if newest.snapshot_id in snapshots:
            assert shows(at_version(QUERY, as_of_ts=second)) == shown[snapshots.index(newest.snapshot_id)]


@pytest.mark.both_engines
def test_a_frame_of_before_an_upgrade_has_the_columns_that_came_with_it_as_null(
    empty_lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, contract = write(empty_lake, WEEK, 10.0), contracts.table(ADDRESS)
    later = (
        Column(name="later_ts", type="timestamp", note="of a test", nullable=True),
        Column(name="later_names", type="list<string>", note="of a test", nullable=True),
    )
    monkeypatch.setitem(contracts.TABLES, ADDRESS, replace(contract, columns=(*contract.columns, *later)))

    held = empty_lake.frame(ADDRESS, WEEK, before)

    assert held.schema.fields[-2:] == spark_schema(contracts.table(ADDRESS)).fields[-2:]
    assert held.where("later_ts is null and later_names is null").count() == 10


@pytest.mark.both_engines
def test_a_query_that_an_engine_refuses_is_told_in_one_line_and_nothing_is_logged(
    lake_jobs: LakeClient,
    empty_lake: Lake,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(QueryRefusedError) as refusal:
        Query.of(lake_jobs, "select * from silver.price_daily").page(1).collect()
    assert "silver" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


WRITING = (
    f"drop table {ADDRESS}",
    f"  /* first */ DELETE FROM {ADDRESS}",
    f"-- a comment\ninsert into {ADDRESS} select * from {ADDRESS}",
    f"update {ADDRESS} set close_usd = 1",
    f"alter table {ADDRESS} create branch mine",
    f"truncate table {ADDRESS}",
    f"from {ADDRESS} insert into {ADDRESS} select *",
    f"create table lake.silver.mine as select * from {ADDRESS}",
    f"with bars as (select * from {ADDRESS}) insert into {ADDRESS} select * from bars",
    "call lake.system.expire_snapshots('" + ADDRESS + "')",
    f"show tables; drop table {ADDRESS}",
    f"explain select 1; drop table {ADDRESS}",
    f"select 1) ; drop table {ADDRESS} -- (",
    "set spark.sql.ansi.enabled = false",
    f"begin drop table {ADDRESS}; end",
    f"merge into {ADDRESS} a using {ADDRESS} b on false when matched then delete",
)
READING = (
    f"select * from {ADDRESS} -- all of it",
    f"with bars as (select * from {ADDRESS}) select 1, 1 from bars order by 1",
    f"table {ADDRESS}",
    "values (1), (2)",
    f"show create table lake.{ADDRESS}",
    f"describe lake.{ADDRESS}",
    f"explain select * from {ADDRESS}",
)


@pytest.mark.both_engines
def test_a_statement_that_would_write_is_refused_and_has_written_nothing(
    lake_jobs: LakeClient,
    empty_lake: Lake,
    subtests: pytest.Subtests,
) -> None:
    write(empty_lake, WEEK, 20.0)
    before = empty_lake.catalog.load_table(ADDRESS).metadata
    for statement in WRITING:
        with subtests.test(statement):
            with pytest.raises(QueryRefusedError):
                Query.of(lake_jobs, statement)
            assert empty_lake.catalog.load_table(ADDRESS).metadata == before
    assert not empty_lake.catalog.table_exists("silver.mine")


@pytest.mark.both_engines
def test_what_only_reads_or_tells_is_carried_out(lake_jobs: LakeClient, empty_lake: Lake, subtests: pytest.Subtests) -> None:
    write(empty_lake, WEEK, 20.0)
    for query in READING:
        with subtests.test(query):
            assert Query.of(lake_jobs, query).page(50).count() > 0
