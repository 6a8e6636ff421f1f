"""ClickHouse shows the lake: one snapshot or the next, never a part of either, and only what equals the lake."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
import dagster as dg
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from deploy.local.stack import LocalStack
from finlake_assets.checks import serving as serving_checks
from finlake_assets.checks.speed_against_batch import verdict
from finlake_assets.serving import gold_ml_features, gold_stock_analytics, prices_unified
from finlake_clients.clickhouse.server import ClickHouse, ServingRejectedError
from finlake_clients.lake_client import LakeClient, PublishedSnapshot
from finlake_clients.service_errors import ServiceUnavailableError
from spark.contracts import gold, serving
from spark.contracts.candle_comparison import candle_totals, differing_candles
from spark.contracts.clickhouse_serving import VIEWS
from spark.contracts.column_sums import TableSums
from spark.lake.storage import Lake
from spark.schemas import arrow_schema
from tests.finlake_assets.stream_fakes import evaluations
from tests.integration.lake.chain import settings_of
from tests.integration.stream.served import FRIDAY, days_from, insert_trades, publish, rows_of

pytestmark = pytest.mark.stack

ANALYTICS, FEATURES = gold.STOCK_ANALYTICS.address, gold.ML_FEATURES.address
SERVED = serving.GOLD_STOCK_ANALYTICS
QUESTION = f"SELECT count() AS n, min(close_usd) AS lowest, max(close_usd) AS highest FROM {SERVED.address}"
CHANGES = 8


@pytest.fixture(scope="module")
def clickhouse(idle_stack: LocalStack) -> Iterator[ClickHouse]:
    """The endpoint of the stack; nothing of database `serving` is left afterwards."""
    idle_stack.up(services=("postgres", "clickhouse"))
    stream = settings_of(idle_stack.environment())
    resource = ClickHouse(
        url=stream.clickhouse.url,
        admin_password_file=str(stream.clickhouse.admin_password_file),
        reader_password_file=str(stream.clickhouse.reader_password_file),
    )
    yield resource
    for table in serving.TABLES:
        resource.define(f"DROP TABLE IF EXISTS {table.address} SYNC")


@pytest.fixture
def shown(clickhouse: ClickHouse) -> ClickHouse:
    """The endpoint before anything was served."""
    for table in serving.TABLES:
        clickhouse.define(f"DROP TABLE IF EXISTS {table.address} SYNC")
    return clickhouse


def load(clickhouse: ClickHouse, jobs: LakeClient, sums: TableSums) -> bool:
    """Let ClickHouse hold what is published; whether it had to be read."""
    return clickhouse.load_snapshot(SERVED, jobs.published(ANALYTICS), expected=lambda: sums).is_changed


def closes(clickhouse: ClickHouse) -> list[tuple[int, float, float]]:
    """What a reader sees: rows, smallest and largest close."""
    return [tuple(row.values()) for row in clickhouse.rows(QUESTION)]


@contextmanager
def reader_of(clickhouse: ClickHouse) -> Iterator[Client]:
    """A connection of a reader that asks one question after the other."""
    parts, password = urlsplit(clickhouse.url), Path(clickhouse.reader_password_file).read_text().strip()
    client = clickhouse_connect.get_client(
        host=parts.hostname or "", port=parts.port or 0, username="reader", password=password, autogenerate_session_id=False
    )
    try:
        yield client
    finally:
        client.close()


def test_a_reader_sees_one_snapshot_or_the_next(shown: ClickHouse, empty_lake: Lake, lake_jobs: LakeClient) -> None:
    def published(close_usd: float, sessions: int) -> tuple[PublishedSnapshot, TableSums]:
        sums = publish(
            empty_lake, ANALYTICS, rows_of(ANALYTICS, ("AAPL", "MSFT"), days_from(FRIDAY, sessions), close_usd=close_usd)
        )
        return lake_jobs.published(ANALYTICS), sums

    snapshots = [published(10.0, 40), published(20.0, 60)]

    def change(number: int) -> None:
        snapshot, sums = snapshots[number % 2]
        assert shown.load_snapshot(SERVED, snapshot, expected=lambda: sums).is_changed

    change(0)
    seen: list[tuple[int, float, float] | str] = []
    is_over = threading.Event()

    def poll() -> None:
        with reader_of(shown) as reader:
            while not is_over.is_set():
                try:
                    seen.append(tuple(reader.query(QUESTION).result_rows[0]))
                except ClickHouseError as error:
                    seen.append(str(error))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for number in range(1, CHANGES):
            change(number)
    finally:
        is_over.set()
        reader.join()
    assert set(seen) == {(80, 10.0, 10.0), (120, 20.0, 20.0)}
    assert len(seen) > CHANGES
    assert not shown.exists(f"{SERVED.address}_loading")


def test_awkward_numbers_are_equal_in_both_engines(shown: ClickHouse, empty_lake: Lake, lake_jobs: LakeClient) -> None:
    awkward = [0.1, -0.0, 1e-9, 5e-9, 123456.789012345, 92233720368.0, 1e11, 1e300, math.nan]
    rows = rows_of(ANALYTICS, ("AAPL",), days_from(FRIDAY, len(awkward))).to_pylist()
    for row, number in zip(rows, awkward, strict=True):
        row |= {"volume_shares": abs(number), "momentum_10_usd": -number, "trend": "down" if number > 1 else "sideway"}
    sums = publish(empty_lake, ANALYTICS, pa.Table.from_pylist(rows, arrow_schema(gold.STOCK_ANALYTICS)))
    assert load(shown, lake_jobs, sums)
    assert lake_jobs.column_sums(ANALYTICS, lake_jobs.published(ANALYTICS).snapshot_id) == sums


def test_the_same_snapshot_is_not_read_again(shown: ClickHouse, empty_lake: Lake, lake_jobs: LakeClient) -> None:
    assert load(shown, lake_jobs, publish(empty_lake, ANALYTICS, rows_of(ANALYTICS, ("AAPL",), days_from(FRIDAY, 3))))

    def unasked() -> TableSums:
        raise AssertionError("the lake was asked for sums although nothing was read")

    again = shown.load_snapshot(SERVED, lake_jobs.published(ANALYTICS), expected=unasked)
    assert (again.is_changed, again.row_count) == (False, 3)


def test_rows_that_differ_from_the_lake_are_not_shown(shown: ClickHouse, empty_lake: Lake, lake_jobs: LakeClient) -> None:
    before = publish(empty_lake, ANALYTICS, rows_of(ANALYTICS, ("AAPL",), days_from(FRIDAY, 3), close_usd=10.0))
    assert load(shown, lake_jobs, before)
    after = publish(empty_lake, ANALYTICS, rows_of(ANALYTICS, ("AAPL",), days_from(FRIDAY, 3), close_usd=11.0))
    with pytest.raises(ServingRejectedError, match="close_usd adds up to 3300000000 instead of 3000000000"):
        load(shown, lake_jobs, before)
    assert closes(shown) == [(3, 10.0, 10.0)]
    assert not shown.exists(f"{SERVED.address}_loading")
    assert load(shown, lake_jobs, after)
    assert closes(shown) == [(3, 11.0, 11.0)]


def test_features_are_read_where_they_lie_and_follow_the_snapshot(
    shown: ClickHouse,
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    def point() -> bool:
        snapshot = lake_jobs.published(FEATURES)
        return shown.point_at_snapshot(
            serving.GOLD_ML_FEATURES, snapshot, row_count=lake_jobs.row_count(FEATURES, snapshot.snapshot_id)
        ).is_changed

    publish(empty_lake, FEATURES, rows_of(FEATURES, ("AAPL",), days_from(FRIDAY, 3)))
    assert point()
    assert not point()
    assert shown.row_count(serving.GOLD_ML_FEATURES.address) == 3
    publish(empty_lake, FEATURES, rows_of(FEATURES, ("AAPL", "MSFT"), days_from(FRIDAY, 3), drawdown=-0.25))
    # Until it is pointed anew, a reader sees the snapshot before.
    assert shown.row_count(serving.GOLD_ML_FEATURES.address) == 3
    with pytest.raises(ServingRejectedError, match="6 rows instead of 7"):
        shown.point_at_snapshot(serving.GOLD_ML_FEATURES, lake_jobs.published(FEATURES), row_count=7)
    assert shown.row_count(serving.GOLD_ML_FEATURES.address) == 3
    assert point()
    (row,) = shown.rows(f"SELECT count() AS n, any(drawdown) AS drawdown FROM {serving.GOLD_ML_FEATURES.address}")
    assert row == {"n": 6, "drawdown": -0.25}


def test_no_ticker_has_a_day_twice_and_the_stream_goes_on_where_the_batch_ends(
    shown: ClickHouse,
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    load(
        shown,
        lake_jobs,
        publish(
            empty_lake, ANALYTICS, rows_of(ANALYTICS, ("UNIA", "UNIB"), days_from(FRIDAY, 2), close_usd=10.0, volume_shares=5e6)
        ),
    )
    shown.define(VIEWS[serving.PRICES_UNIFIED.address])
    evening = datetime(2018, 3, 24, 23, 30, tzinfo=UTC)  # the last batch day in New York, still
    night = datetime(2018, 3, 25, 3, 59, tzinfo=UTC)  # 23:59 in New York
    after = datetime(2018, 3, 25, 4, 0, 10, tzinfo=UTC)  # midnight there
    later = after + timedelta(hours=9, minutes=1)
    insert_trades(
        shown,
        "UNIA",
        [(evening, 99.0, 1), (night, 98.0, 1), (after, 11.0, 1.5), (later, 13.0, 2.25), (later + timedelta(seconds=5), 12.0, 1)],
        1000,
    )
    insert_trades(shown, "UNINEW", [(evening, 7.0, 3)], 2000)
    insert_trades(shown, "BINANCE:UNI", [(later, 7.0, 3)], 3000)
    rows = shown.rows("SELECT * FROM serving.prices_unified WHERE ticker LIKE '%UNI%' ORDER BY ticker, session_date")
    keys = [(row["ticker"], row["session_date"], row["source"]) for row in rows]
    assert keys == [
        ("UNIA", date(2018, 3, 23), "batch"),
        ("UNIA", date(2018, 3, 24), "batch"),
        ("UNIA", date(2018, 3, 25), "speed"),
        ("UNIB", date(2018, 3, 23), "batch"),
        ("UNIB", date(2018, 3, 24), "batch"),
        ("UNINEW", date(2018, 3, 24), "speed"),
    ]
    assert [row["is_final"] for row in rows if row["source"] == "batch"] == [True] * 4
    bar = {name: rows[2][name] for name in ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")}
    assert bar == {"open_usd": 11.0, "high_usd": 13.0, "low_usd": 11.0, "close_usd": 12.0, "volume_shares": 4.75}
    load(
        shown,
        lake_jobs,
        publish(empty_lake, ANALYTICS, rows_of(ANALYTICS, ("UNIA", "UNIB"), days_from(FRIDAY, 3), close_usd=10.0)),
    )
    (row,) = shown.rows("SELECT source FROM serving.prices_unified WHERE ticker = 'UNIA' AND session_date = '2018-03-25'")
    assert row == {"source": "batch"}


def test_the_assets_serve_all_tables_to_readers_and_their_checks_agree(
    shown: ClickHouse,
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    publish(empty_lake, ANALYTICS, rows_of(ANALYTICS, ("AAPL",), days_from(FRIDAY, 2)))
    publish(empty_lake, FEATURES, rows_of(FEATURES, ("AAPL",), days_from(FRIDAY, 2)))
    assets = [module.build() for module in (gold_stock_analytics, gold_ml_features, prices_unified)]
    resources = {"jobs": lake_jobs, "clickhouse": shown}
    before = evaluations(serving_checks.build(), assets, resources)
    assert {str(each.description).rpartition("; ")[2] for each in before.values()} == {"launch the job `serving`"}
    result = dg.materialize(assets, resources=resources)
    versions = {
        ".".join(event.asset_key.path): (event.materialization.tags or {}).get("dagster/data_version")
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert versions[SERVED.address] == str(lake_jobs.published(ANALYTICS).snapshot_id)
    for table in serving.TABLES:
        (row,) = shown.rows(f"SELECT count() AS n FROM {table.address}")
        assert row["n"] >= 2, table.address
        described = {row["name"] for row in shown.rows(f"DESCRIBE TABLE {table.address}")}
        assert described == set(table.column_names)
    found = evaluations(serving_checks.build(), assets, resources)
    assert {key: each.description for key, each in found.items() if not each.passed} == {}
    publish(empty_lake, ANALYTICS, rows_of(ANALYTICS, ("AAPL",), days_from(FRIDAY, 3)))
    stale = evaluations(serving_checks.build(), assets, resources)[SERVED.address, "equals_lake"]
    assert not stale.passed
    assert stale.severity == dg.AssetCheckSeverity.WARN


def test_live_candles_are_compared_with_those_of_the_archive(
    shown: ClickHouse,
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    minute = datetime(2019, 3, 24, 14, 30, tzinfo=UTC)
    insert_trades(shown, "CMPA", [(minute, 10.0, 1), (minute + timedelta(seconds=59), 12.5, 0.1)], 5000)
    insert_trades(shown, "CMPB", [(minute, 20.0, 1), (minute + timedelta(minutes=1), 21.0, 1)], 6000)
    insert_trades(shown, "CMPC", [(minute, 30.0, 1)], 7000)

    def candle(symbol: str, start: datetime, **numbers: float) -> dict[str, object]:
        told = {"volume_shares": 1.0, "trade_count": 1, **numbers}
        return {
            "symbol": symbol,
            "minute_ts": start,
            "trade_date": start.date(),
            **told,
            **{f"{name}_usd": told.get(name, told.get("price")) for name in ("open", "high", "low", "close")},
        }

    agreed = [
        candle("CMPA", minute, open=10.0, high=12.5, low=10.0, close=12.5, volume_shares=1.1, trade_count=2),
        candle("CMPB", minute, price=20.0),
        candle("CMPB", minute + timedelta(minutes=1), price=21.0),
    ]
    contract = gold.CANDLES_1M

    def differing(rows: list[dict[str, object]], archived_to: int) -> tuple[list[str], dict[str, int]]:
        publish(empty_lake, contract.address, pa.Table.from_pylist(rows, arrow_schema(contract)))
        snapshot = lake_jobs.published(contract.address)
        day, positions = minute.date(), {0: archived_to}
        totals = shown.read_lake(candle_totals(positions, day, day), gold=snapshot)
        wrong = shown.read_lake(differing_candles(positions, day, day), gold=snapshot)
        assert verdict(totals, wrong).passed == (not wrong)
        return (
            [f"{row['symbol']} {row['minute_ts']:%H:%M} {row['batch_rows']}/{row['speed_rows']}" for row in wrong],
            {str(row["side"]): int(row["minutes"]) for row in totals},
        )

    newest = shown.newest("speed.candles_1m_state", "minute_ts")
    # The feed of the stack may have added newer ones.
    assert newest is not None
    assert newest >= minute + timedelta(minutes=1)
    # CMPC's trade lies beyond the archive, and so does the second one of CMPB.
    assert differing(agreed, 6001) == ([], {"batch": 2, "speed": 2})
    assert differing(agreed, 7000) == ([], {"batch": 3, "speed": 3})
    assert differing(agreed, 7001)[0] == ["CMPC 14:30 0/1"]
    off = [{**agreed[0], "volume_shares": math.nextafter(1.1, 2)}, *agreed[1:], candle("CMPD", minute, price=1.0)]
    assert differing(off, 7000)[0] == ["CMPA 14:30 1/1", "CMPD 14:30 1/0"]


def test_the_server_says_how_it_is_and_a_server_that_is_away_is_named(clickhouse: ClickHouse) -> None:
    health = clickhouse.health()
    assert health.version
    assert health.memory_bytes > 0
    assert clickhouse.metrics()["finlake_clickhouse_queries_total"] > 0
    away = ClickHouse(
        url="http://127.0.0.1:1",
        admin_password_file=clickhouse.admin_password_file,
        reader_password_file=clickhouse.reader_password_file,
    )
    with pytest.raises(ServiceUnavailableError, match="clickhouse at http://127.0.0.1:1 cannot be asked"):
        away.exists("serving.prices_unified")
