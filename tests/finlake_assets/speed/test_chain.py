"""The stream as assets: the way of a trade can be walked back from a candle to Postgres, and every part says what it holds."""

import dagster as dg

from finlake_assets.speed import chain
from spark.contracts import speed

SPECS = {spec.key: spec for spec in chain.build(is_watched=False)}


def upstream(key: dg.AssetKey) -> set[str]:
    found = {dep.asset_key for dep in SPECS[key].deps}
    return {key.to_user_string()}.union(*(upstream(dep) for dep in found))


def test_an_anomaly_is_traced_back_to_the_row_in_postgres() -> None:
    assert upstream(dg.AssetKey(["speed", "anomalies"])) >= {
        "speed/windows_30s",
        "speed/stock_realtime",
        "kafka/ods_finnhub_trades",
        "cdc/market",
        "ods/finnhub_trades",
    }


def test_every_speed_table_is_there_with_the_columns_of_its_contract() -> None:
    for table in speed.TABLES:
        schema = SPECS[dg.AssetKey(table.address.split("."))].metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == list(table.column_names)


def test_every_part_says_what_it_is_and_no_step_fills_it() -> None:
    definitions = dg.Definitions(assets=list(SPECS.values()))
    dg.Definitions.validate_loadable(definitions)
    for key, spec in SPECS.items():
        assert spec.description, key
        assert spec.owners, key
        assert spec.kinds, key
        assert spec.group_name == "speed", key
        assert "dagster/column_schema" in spec.metadata, key
        assert not definitions.resolve_asset_graph().get(key).is_executable, key


def test_only_what_moves_day_and_night_can_be_stale_and_only_where_it_is_watched() -> None:
    watched = {spec.key.to_user_string() for spec in chain.build(is_watched=True) if spec.freshness_policy is not None}
    assert watched == {"cdc/market", "kafka/ods_cdc_heartbeat"}
    assert all(spec.freshness_policy is None for spec in SPECS.values())
