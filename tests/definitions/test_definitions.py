"""The definitions as a whole: they load everywhere, the drawing is current, nothing is left undescribed."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from finlake_assets.partitions import Timeline
from finlake_clients.calendar import TradingCalendar
from finlake_code_locations.build import build_defs
from finlake_code_locations.graph import graph_lines
from finlake_settings.declaration import EnvironmentName, SourcesName
from spark.contracts import lake, serving, speed
from spark.contracts.table import Table
from tests.conftest import SettingsOf

pytestmark = pytest.mark.slow

LAYERS = ("bronze", "silver", "gold")
GRAPH = Path(__file__).parent / "graph.txt"
EVERYWHERE: list[tuple[EnvironmentName, SourcesName]] = [
    ("local", "sample"),
    ("local", "live"),
    ("staging", "sample"),
    ("staging", "live"),
    ("production", "live"),
]
HEAVY = (
    "pyspark",
    "tensorflow",
    "mlflow",
    "chdb",
    "pyiceberg",
    "polars",
    "pandas",
    "pyarrow",
    "httpx",
    "exchange_calendars",
)


@pytest.fixture
def defs(settings_of: SettingsOf) -> dg.Definitions:
    return build_defs(settings_of("local", "sample"))


@pytest.mark.parametrize(("environment", "sources"), EVERYWHERE)
def test_definitions_load_in_every_environment(
    settings_of: SettingsOf,
    environment: EnvironmentName,
    sources: SourcesName,
) -> None:
    dg.Definitions.validate_loadable(build_defs(settings_of(environment, sources)))


def test_the_drawing_of_the_graph_is_current(defs: dg.Definitions) -> None:
    drawn = "\n".join(graph_lines(defs)) + "\n"
    assert GRAPH.read_text(encoding="utf-8") == drawn, (
        "the graph changed: look how, and run python -m finlake_code_locations.graph > tests/definitions/graph.txt"
    )


def test_lake_assets_are_exactly_the_contracts(defs: dg.Definitions) -> None:
    keys = {".".join(spec.key.path) for spec in defs.resolve_all_asset_specs() if spec.group_name in LAYERS}
    assert keys == set(lake.TABLES)


@pytest.mark.parametrize("tables", [speed.TABLES, serving.TABLES], ids=["speed", "serving"])
def test_every_table_of_clickhouse_is_an_asset_with_its_columns_and_lineage(
    defs: dg.Definitions,
    tables: tuple[Table, ...],
) -> None:
    specs = {".".join(spec.key.path): spec for spec in defs.resolve_all_asset_specs()}
    for table in tables:
        spec = specs[table.address]
        assert [column.name for column in spec.metadata["dagster/column_schema"].columns] == list(table.column_names)
        assert {".".join(dep.asset_key.path) for dep in spec.deps} >= set(table.input_addresses)


def test_a_trade_can_be_followed_from_postgres_to_the_view_that_unites_batch_and_speed(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()

    def ancestors(key: dg.AssetKey) -> set[dg.AssetKey]:
        parents = graph.get(key).parent_keys
        return set(parents).union(*(ancestors(parent) for parent in parents))

    trades = dg.AssetKey(["ods", "finnhub_trades"])
    assert {trades, dg.AssetKey(["gold", "stock_analytics"])} <= ancestors(dg.AssetKey(["serving", "prices_unified"]))
    assert trades in ancestors(dg.AssetKey(["gold", "candles_1m"]))


def test_every_asset_says_what_it_is(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name in (*LAYERS, "speed", "serving", "upkeep"), spec.key
        assert "dagster/column_schema" in spec.metadata, spec.key


def test_columns_and_lineage_of_every_table_come_from_its_contract(defs: dg.Definitions) -> None:
    specs = {".".join(spec.key.path): spec for spec in defs.resolve_all_asset_specs()}
    for address, table in lake.TABLES.items():
        schema = specs[address].metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == list(table.column_names)
        assert [column.constraints.nullable for column in schema.columns] == [c.nullable for c in table.columns]
        for column in table.columns:
            shown = schema.columns[table.column_names.index(column.name)].description
            assert column.note in shown
            assert column.unit in shown
            for source in column.sources:
                lineage = specs[address].metadata["dagster/column_lineage"]
                sources = {f"{'.'.join(dep.asset_key.path)}.{dep.column_name}" for dep in lineage.deps_by_column[column.name]}
                assert source in sources


def test_dependencies_are_the_inputs_of_the_contracts(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        if spec.group_name in LAYERS:
            inputs = {".".join(dep.asset_key.path) for dep in spec.deps if dep.asset_key.path[0] != "kafka"}
            assert inputs == set(lake.table(".".join(spec.key.path)).input_addresses)


def test_every_promise_of_a_contract_is_a_check_and_errors_block(defs: dg.Definitions) -> None:
    shown = {
        (".".join(spec.asset_key.path), spec.name): spec.blocking
        for asset in defs.resolve_asset_graph().assets_defs
        for spec in asset.check_specs
    }
    for address, table in lake.TABLES.items():
        if not table.has_step:
            continue
        assert shown[address, "grain_is_unique"]
        assert shown[address, "required_columns_present"]
        for check in table.checks:
            assert shown[address, check.name] == (check.severity == "error")
        assert ((address, "is_fresh") in shown) == (table.freshness is not None)


def test_every_table_has_a_pool_of_its_own(defs: dg.Definitions) -> None:
    writers = [asset for asset in defs.resolve_asset_graph().assets_defs if asset.is_executable and asset.keys]
    pools = [asset.op.pool for asset in writers if not all(key.path[0] == "upkeep" for key in asset.keys)]
    assert all(pools)
    assert len(pools) == len(set(pools))


def test_quarantine_is_written_by_others_and_materialized_by_no_step(defs: dg.Definitions) -> None:
    assert not defs.resolve_asset_graph().get(dg.AssetKey(["silver", "quarantine"])).is_executable


def test_jobs_follow_their_calendars(defs: dg.Definitions) -> None:
    selected = {
        name: {".".join(key.path) for key in defs.resolve_job_def(name).asset_layer.executable_asset_keys}
        for name in ("lake_by_day", "lake_by_session", "lake_by_month")
    }
    for name, window in (("lake_by_day", "day"), ("lake_by_session", "session"), ("lake_by_month", "month")):
        expected = {a for a, table in lake.TABLES.items() if table.window == window and table.has_step}
        assert selected[name] == expected


def test_nothing_runs_by_itself_on_sample_sources(settings_of: SettingsOf) -> None:
    repository = build_defs(settings_of("local", "sample")).get_repository_def()
    assert all(spec.automation_condition is None for spec in build_defs(settings_of("local", "sample")).resolve_all_asset_specs())
    assert {sensor.default_status for sensor in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}
    assert {schedule.default_status for schedule in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}
    assert "default_automation_condition_sensor" not in {sensor.name for sensor in repository.sensor_defs}


def test_live_sources_are_followed_by_one_declared_automation_sensor(settings_of: SettingsOf) -> None:
    defs = build_defs(settings_of("production", "live"))
    repository = defs.get_repository_def()
    names = {sensor.name for sensor in repository.sensor_defs}
    assert "automation" in names
    assert "default_automation_condition_sensor" not in names
    followers = {".".join(s.key.path) for s in defs.resolve_all_asset_specs() if s.automation_condition is not None}
    assert followers == {
        address
        for address, table in lake.TABLES.items()
        if table.inputs and table.window in ("session", "day") and table.has_step
    } | {"serving.gold_stock_analytics", "serving.gold_ml_features"}


def test_staging_does_not_use_up_the_vendor_quota_after_a_close(settings_of: SettingsOf) -> None:
    repository = build_defs(settings_of("staging", "live")).get_repository_def()
    assert "after_close" not in {schedule.name for schedule in repository.schedule_defs}


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        ("2026-11-20T22:00:00+00:00", "2026-11-20"),  # Friday evening: the session just closed can be filled
        ("2026-11-25T17:00:00+00:00", "2026-11-25"),  # the session under way
    ],
)
def test_session_keys_are_the_sessions_of_the_exchange(now: str, newest: str) -> None:
    timeline = Timeline(TradingCalendar(), date(2015, 1, 2))
    keys = timeline.sessions.get_partition_keys(current_time=datetime.fromisoformat(now).astimezone(UTC))
    expected = timeline.calendar.sessions(date(2015, 1, 2), date.fromisoformat(newest))
    assert keys == [session.isoformat() for session in expected]


@pytest.mark.parametrize("day", ["2018-12-05", "2025-01-09", "2026-07-03", "2026-11-21", "2026-01-01"])
def test_no_partition_exists_for_a_day_without_trading(day: str) -> None:
    assert not Timeline(TradingCalendar(), date(2015, 1, 2)).sessions.has_partition_key(day)


def test_no_session_key_lies_beyond_the_known_calendar() -> None:
    timeline = Timeline(TradingCalendar(), date(2015, 1, 2))
    keys = timeline.sessions.get_partition_keys(current_time=datetime(2150, 1, 1, tzinfo=UTC))
    assert keys[-1] == timeline.calendar.last_session.isoformat()


def test_importing_definitions_loads_nothing_heavy_reads_no_variable_and_opens_no_socket() -> None:
    program = f"""
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        raise RuntimeError(event)
sys.addaudithook(refuse)
import finlake_code_locations.lake
loaded = sorted(set(sys.modules) & set({HEAVY!r}))
assert not loaded, loaded
"""
    # A value that settings would refuse: reading it while importing would end the program.
    variables = {"PATH": "/usr/bin:/bin", "FINLAKE_ENVIRONMENT": "nonsense"}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_building_definitions_loads_no_engine() -> None:
    program = f"""
import sys
from finlake_code_locations.lake import defs
import dagster as dg
from finlake_code_locations.build import build_defs
from finlake_settings.processes import DagsterSettings
from finlake_settings.reading import settings_from
dg.Definitions.validate_loadable(build_defs(settings_from(DagsterSettings, dict())))
loaded = sorted(set(sys.modules) & (set({HEAVY!r}) - {{"pandas", "exchange_calendars", "pyarrow"}}))
assert not loaded, loaded
"""
    variables = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
