"""Served tables as assets: what they ask the lake and ClickHouse for, and what Dagster hears of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg
import pytest

from finlake_assets.serving import following, gold_ml_features, gold_stock_analytics, prices_unified
from finlake_clients.clickhouse.server import Served, ServingRejectedError
from finlake_clients.lake_client import PublishedSnapshot
from finlake_resources.resources import ClickHouseResource, LakeResource
from spark.contracts import serving
from spark.contracts.column_sums import TableSums
from spark.contracts.table import Table

SNAPSHOT_ID = 9_007_199_254_740_993


@dataclass
class Log:
    """What was asked, and whether ClickHouse reads what the lake has."""

    sums_asked: list[tuple[str, int]] = field(default_factory=list)
    served: list[tuple[str, int]] = field(default_factory=list)
    defined: list[str] = field(default_factory=list)
    is_known: bool = False
    is_wrong: bool = False


def lake_of(log: Log) -> LakeResource:
    class FakeLake(LakeResource):
        def published(self, address: str) -> PublishedSnapshot:
            return PublishedSnapshot(
                address=address,
                snapshot_id=SNAPSHOT_ID,
                location=f"file:///w/{address}",
                metadata_path="metadata/9.json",
                inputs={},
            )

        def column_sums(self, address: str, snapshot_id: int) -> TableSums:
            log.sums_asked.append((address, snapshot_id))
            return TableSums(row_count=10, columns={})

        def row_count(self, address: str, snapshot_id: int) -> int:
            return 10

    return FakeLake(catalog_uri="-", catalog_password_file="-", warehouse="-", spark_remote="-")


def clickhouse_of(log: Log) -> ClickHouseResource:
    class FakeClickHouse(ClickHouseResource):
        def load_snapshot(self, table: Table, snapshot: PublishedSnapshot, expected: Callable[[], TableSums]) -> Served:
            if log.is_known:
                return Served(snapshot_id=snapshot.snapshot_id, row_count=10, is_changed=False, previous_snapshot_id=SNAPSHOT_ID)
            if log.is_wrong:
                raise ServingRejectedError(f"{table.address} was not replaced: 9 rows instead of {expected().row_count}")
            log.served.append((table.address, snapshot.snapshot_id))
            return Served(
                snapshot_id=snapshot.snapshot_id, row_count=expected().row_count, is_changed=True, previous_snapshot_id=41
            )

        def point_at_snapshot(self, table: Table, snapshot: PublishedSnapshot, row_count: int) -> Served:
            log.served.append((table.address, snapshot.snapshot_id))
            return Served(snapshot_id=snapshot.snapshot_id, row_count=row_count, is_changed=True)

        def define(self, statement: str) -> None:
            log.defined.append(statement)

        def row_count(self, address: str) -> int:
            return 12

    return FakeClickHouse(url="-", admin_password_file="-", reader_password_file="-")


@pytest.fixture
def assets(recwarn: pytest.WarningsRecorder) -> list[dg.AssetsDefinition]:
    return [module.build() for module in (gold_stock_analytics, gold_ml_features, prices_unified)]


def run(log: Log, assets: list[dg.AssetsDefinition]) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions(
        assets=assets, jobs=[following.job()], resources={"jobs": lake_of(log), "clickhouse": clickhouse_of(log)}
    )
    return definitions.resolve_job_def("serving").execute_in_process(raise_on_error=False)


def materializations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    return {
        ".".join(event.asset_key.path): event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def test_one_job_brings_every_served_table_to_the_published_snapshot(assets: list[dg.AssetsDefinition]) -> None:
    log = Log()
    found = materializations(run(log, assets))
    assert set(found) == {table.address for table in serving.TABLES}
    assert {address for address, _ in log.served} == set(serving.LAKE_TABLES)
    assert log.sums_asked == [("gold.stock_analytics", SNAPSHOT_ID)]
    assert log.defined[0].startswith("CREATE OR REPLACE VIEW serving.prices_unified")
    served = found["serving.gold_stock_analytics"]
    assert served.metadata["iceberg/snapshot_id"].value == str(SNAPSHOT_ID)
    assert served.metadata["iceberg/previous_snapshot_id"].value == "41"
    assert (served.tags or {})["dagster/data_version"] == str(SNAPSHOT_ID)


def test_a_known_snapshot_asks_the_lake_for_nothing(assets: list[dg.AssetsDefinition]) -> None:
    log = Log(is_known=True)
    found = materializations(run(log, assets))
    assert log.sums_asked == []
    assert found["serving.gold_stock_analytics"].metadata["published"].value is False


def test_rows_that_are_not_the_lakes_fail_the_step_for_good_and_say_what_differs(assets: list[dg.AssetsDefinition]) -> None:
    result = run(Log(is_wrong=True), assets)
    (failure,) = result.filter_events(lambda event: event.event_type == dg.DagsterEventType.STEP_FAILURE)
    assert "9 rows instead of 10" in str(failure.step_failure_data.error)
    assert "serving.gold_stock_analytics" not in materializations(result)


def test_columns_and_lineage_come_from_the_contracts_and_the_view_is_virtual(assets: list[dg.AssetsDefinition]) -> None:
    specs = {".".join(spec.key.path): spec for asset in assets for spec in asset.specs}
    for table in serving.TABLES:
        spec = specs[table.address]
        assert [column.name for column in spec.metadata["dagster/column_schema"].columns] == list(table.column_names)
        assert {".".join(dep.asset_key.path) for dep in spec.deps} == set(table.input_addresses)
        assert spec.code_version
        lineage = spec.metadata["dagster/column_lineage"].deps_by_column
        assert {dep.column_name for dep in lineage["session_date"]} >= {"session_date"}
    assert {address for address, spec in specs.items() if spec.is_virtual} == {"serving.prices_unified"}
    pools = [asset.op.pool for asset in assets]
    assert len(set(pools)) == len(assets)


def test_tables_follow_the_lake_by_themselves_and_the_view_needs_not(assets: list[dg.AssetsDefinition]) -> None:
    following_specs = {
        ".".join(spec.key.path)
        for asset in following.with_automation(assets)
        for spec in asset.specs
        if spec.automation_condition is not None
    }
    assert following_specs == set(serving.LAKE_TABLES)


def test_a_newly_published_partition_lets_the_table_follow_once() -> None:
    days = dg.DailyPartitionsDefinition("2026-11-16", end_date="2026-11-20")

    @dg.asset(key=["gold", "stock_analytics"], partitions_def=days)
    def analytics() -> None: ...

    @dg.asset(key=["serving", "gold_stock_analytics"], deps=[analytics], automation_condition=following.when_published())
    def served() -> None: ...

    definitions, instance = dg.Definitions(assets=[analytics, served]), dg.DagsterInstance.ephemeral()
    first = dg.evaluate_automation_conditions(definitions, instance)
    dg.materialize([analytics], partition_key="2026-11-18", instance=instance)
    second = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    assert second.total_requested == 1
    dg.materialize([served], instance=instance)
    third = dg.evaluate_automation_conditions(definitions, instance, cursor=second.cursor)
    assert third.total_requested == 0
    dg.materialize([analytics], partition_key="2026-11-18", instance=instance)
    assert dg.evaluate_automation_conditions(definitions, instance, cursor=third.cursor).total_requested == 1
