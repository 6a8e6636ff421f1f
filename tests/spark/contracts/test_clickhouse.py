"""The DDL of the speed tables as text: types, what differs on a cluster, and that every placeholder is known."""

import pytest

from spark.contracts.clickhouse import (
    ONE_SERVER,
    Deployment,
    clickhouse_type,
    column_ddl,
    render,
    render_text,
    statements,
)
from spark.contracts.speed import TABLES
from spark.contracts.table import Column

CLUSTER = Deployment(cluster="finlake")


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (Column(name="price_usd", type="double", note=""), "Float64"),
        (Column(name="change_usd", type="double", note="", nullable=True), "Nullable(Float64)"),
        (Column(name="symbol", type="string", note=""), "LowCardinality(String)"),
        (Column(name="title", type="string", note=""), "String"),
        (Column(name="ticker", type="string", note="", nullable=True), "LowCardinality(Nullable(String))"),
        (Column(name="trade_ts", type="timestamp", unit="UTC, milliseconds", note=""), "DateTime64(3, 'UTC')"),
        (Column(name="received_ts", type="timestamp", unit="UTC", note=""), "DateTime64(6, 'UTC')"),
        (Column(name="session_date", type="date", note=""), "Date32"),
        (Column(name="conditions", type="list<string>", note="", nullable=True), "Array(LowCardinality(String))"),
        (Column(name="is_late", type="boolean", note=""), "Bool"),
        (Column(name="lsn", type="long", note=""), "Int64"),
        (Column(name="trade_index", type="int", note=""), "Int32"),
    ],
)
def test_contract_types_have_clickhouse_types(column: Column, wanted: str) -> None:
    assert clickhouse_type(column) == wanted


def test_a_columns_comment_is_quoted_and_survives_the_template() -> None:
    ddl = column_ddl(Column(name="cost", type="double", unit="USD", note="It's 5 $ \\ share"))
    assert render_text(ddl, ONE_SERVER) == "`cost` Float64 COMMENT 'It\\'s 5 $ \\\\ share [USD]'"


def test_every_reader_name_is_made_on_one_server_and_on_a_cluster() -> None:
    for deployment in (ONE_SERVER, CLUSTER):
        text = "\n".join(render(statements(), deployment))
        for table in TABLES:
            assert f" {table.address}" in text


def test_one_server_knows_nothing_of_clusters() -> None:
    text = "\n".join(render(statements(), ONE_SERVER))
    for word in ("CLUSTER", "Replicated", "Distributed", "_local", "${", "replicated_dedup"):
        assert word not in text.replace("non_replicated_dedup", ""), word


def test_a_cluster_replicates_every_stored_table_and_reads_it_over_all_shards() -> None:
    made = render(statements(), CLUSTER)
    stored = [text for text in made if text.startswith("CREATE TABLE") and "Distributed(" not in text]
    distributed = [text for text in made if "Distributed(" in text]
    assert len(stored) == len(distributed) == 5
    for text in stored:
        assert "_local ON CLUSTER 'finlake'" in text
        assert "MergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')" in text
        assert "non_replicated" not in text
    assert all(" ON CLUSTER 'finlake'" in text for text in made)


def test_aggregates_are_fed_on_the_shard_that_has_the_rows() -> None:
    views = [text for text in render(statements(), CLUSTER) if "MATERIALIZED" in text]
    assert len(views) == 2
    for text in views:
        assert "_state_local AS" in text
        assert "FROM speed.stock_realtime_local" in text


def test_every_table_remembers_tokens_and_is_on_disk_when_it_says_so() -> None:
    for deployment in (ONE_SERVER, CLUSTER):
        for text in render(statements(), deployment):
            if text.startswith("CREATE TABLE") and "Distributed(" not in text:
                assert "replicated_deduplication_window = 10000" in text
                assert "fsync_after_insert = 1" in text


def test_an_unknown_placeholder_is_named() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        render_text("CREATE TABLE ${nowhere}", ONE_SERVER)


@pytest.mark.parametrize("name", ["", "it's", "two shards"])
def test_a_clusters_name_cannot_carry_sql(name: str) -> None:
    with pytest.raises(ValueError, match="names no cluster"):
        Deployment(cluster=name)
