"""Contracts of serving: they show gold as it is, and their statements hold every column."""

from dataclasses import replace

import pytest

from spark.contracts import lake, serving
from spark.contracts.clickhouse_serving import VIEWS, engine_over, loaded_table, origin_of, rows_of_snapshot
from spark.contracts.column_sums import ColumnSum, TableSums, clickhouse_sums, spark_sums, sums_of
from spark.contracts.speed import CANDLES_1M, STOCK_REALTIME

SERVED = serving.GOLD_STOCK_ANALYTICS


@pytest.mark.parametrize("address", serving.LAKE_TABLES)
def test_a_served_table_has_the_columns_of_the_lakes_table_each_made_of_its_like(address: str) -> None:
    (served,) = [table for table in serving.TABLES if table.address == address]
    table = serving.LAKE_TABLES[address]
    assert served.input_addresses == (table.address,)
    assert served.grain == table.grain
    for shown, held in zip(served.columns, table.columns, strict=True):
        assert shown == replace(held, sources=(f"{table.address}.{held.name}",))


def test_every_source_of_a_served_column_is_there() -> None:
    known = {**lake.TABLES, **{table.address: table for table in (*serving.TABLES, CANDLES_1M, STOCK_REALTIME)}}
    for table in serving.TABLES:
        for column in table.columns:
            for source in column.sources:
                address, _, name = source.rpartition(".")
                assert known[address].column(name)


def test_a_loaded_table_says_of_what_it_was_made() -> None:
    statement, origin = loaded_table(SERVED, "serving.x_loading", "gold.stock_analytics", 9_007_199_254_740_993)
    assert statement.startswith("CREATE TABLE serving.x_loading\n")
    for column in SERVED.columns:
        assert f"`{column.name}` " in statement
    assert "ORDER BY (ticker, session_date)" in statement
    comment = statement.rpartition("COMMENT ")[2].strip("'").replace("\\'", "'")
    assert origin_of(comment) == origin
    assert origin.snapshot_id == "9007199254740993"


def test_a_changed_contract_is_another_definition_and_another_snapshot_is_not() -> None:
    _, origin = loaded_table(SERVED, "serving.x", "gold.stock_analytics", 1)
    _, elsewhere = loaded_table(SERVED, SERVED.address, "gold.stock_analytics", 2)
    _, changed = loaded_table(replace(SERVED, columns=SERVED.columns[:-1]), "serving.x", "gold.stock_analytics", 1)
    assert elsewhere.definition == origin.definition
    assert changed.definition != origin.definition


@pytest.mark.parametrize("comment", ["", "Bars by hand", "{}", '{"summary": 1}', "[1]"])
def test_a_comment_of_somebody_else_tells_no_origin(comment: str) -> None:
    assert origin_of(comment) is None


def test_the_view_lists_the_columns_of_its_contract() -> None:
    statement = VIEWS[serving.PRICES_UNIFIED.address]
    listed = statement[: statement.index("\nAS\n")]
    assert [name for name in serving.PRICES_UNIFIED.column_names if f"`{name}` " not in listed] == []


def test_sums_of_both_engines_have_the_same_order() -> None:
    assert len(spark_sums(SERVED)) == len(clickhouse_sums(SERVED)) == 1 + 2 * len(SERVED.columns)
    sums = sums_of(SERVED, [3, *(number for column in range(len(SERVED.columns)) for number in (column, None))])
    assert sums.row_count == 3
    assert sums.columns[SERVED.columns[2].name] == ColumnSum(present=2, total=0)


def test_what_differs_is_named() -> None:
    expected = TableSums(row_count=2, columns={"a": ColumnSum(2, 10), "b": ColumnSum(1, 5), "c": ColumnSum(2, 7)})
    found = TableSums(row_count=3, columns={"a": ColumnSum(2, 11), "b": ColumnSum(2, 5), "c": ColumnSum(2, 7)})
    assert expected.differences(expected) == []
    assert expected.differences(found) == ["3 rows instead of 2", "a adds up to 11 instead of 10", "b has 2 values instead of 1"]


def test_a_snapshot_is_read_as_its_metadata_file_says_wherever_it_lies() -> None:
    pinned = "SETTINGS iceberg_metadata_file_path = 'metadata/1.json'"
    assert rows_of_snapshot("file:///lake's/gold/t", "metadata/1.json", None) == f"icebergLocal('/lake\\'s/gold/t', {pinned})"
    assert engine_over("file:///w/gold/t", "metadata/1.json", None) == f"ENGINE = IcebergLocal('/w/gold/t') {pinned}"
    assert engine_over("s3://lake/w/gold/t", "metadata/1.json", "http://127.0.0.1:8333/") == (
        f"ENGINE = IcebergS3('http://127.0.0.1:8333/lake/w/gold/t') {pinned}"
    )


@pytest.mark.parametrize("location", ["s3://lake/w", "hdfs://lake/w", "/w"])
def test_a_place_that_clickhouse_cannot_read_is_refused(location: str) -> None:
    with pytest.raises(ValueError, match="ClickHouse cannot read"):
        rows_of_snapshot(location, "metadata/1.json", None)
