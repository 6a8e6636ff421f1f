"""A secret that cannot be read is told by its service, its file, the reason and the next step, whoever needs it."""

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from finlake_clients.clickhouse.server import ClickHouse
from finlake_clients.dagster_graphql import DagsterClient
from finlake_clients.kafka.topics import KafkaTopics
from finlake_clients.lake_client import LakeClient
from finlake_clients.postgres.market import Market
from finlake_clients.secret_files import SecretUnreadableError, secret_of
from finlake_reconciliation.postgres_side import Ods
from finlake_services.clickhouse_sink.clickhouse import ClickHouseUnavailableError
from finlake_services.clickhouse_sink.clickhouse import SinkConnection as SinkClickHouse
from finlake_services.clickhouse_sink.exactly_once import Gap, Partition
from finlake_services.trade_feed.ods_writer import OdsAccess

DAY = date(2026, 11, 20)


def jobs(password: Path, token: Path) -> LakeClient:
    return LakeClient(
        catalog_uri="postgresql+psycopg2://lake@127.0.0.1:1/lake",
        catalog_password_file=str(password),
        warehouse="file:///-",
        engine="spark",
        spark_remote="sc://127.0.0.1:1",
        spark_token_file=str(token),
    )


def clickhouse(admin: Path, reader: Path) -> ClickHouse:
    return ClickHouse(
        url="http://127.0.0.1:1", admin_password_file=str(admin), reader_password_file=str(reader), s3_endpoint=None
    )


ASKED: list[tuple[str, Callable[[Path, Path], object]]] = [
    ("kafka", lambda missing, _: KafkaTopics(bootstrap="127.0.0.1:1", password_file=str(missing)).watermarks("a_topic")),
    ("postgres", lambda missing, there: jobs(missing, there).newest("silver.prices_daily")),
    ("spark_connect", lambda missing, there: jobs(there, missing).newest("silver.prices_daily")),
    ("postgres", lambda missing, _: Market(uri="postgresql://127.0.0.1:1/market", password_file=str(missing)).slots()),
    ("postgres", lambda missing, _: Ods("postgresql://127.0.0.1:1/market", missing).drop("finnhub_trades", DAY)),
    ("postgres", lambda missing, _: asyncio.run(OdsAccess("postgresql://127.0.0.1:1/market", "feed", missing).connect())),
    ("clickhouse", lambda missing, there: clickhouse(there, missing).newest("speed.stock_realtime", "received_ts")),
    ("dagster_webserver", lambda missing, _: DagsterClient("http://127.0.0.1:1", missing).query("{ version }")),
]


@pytest.mark.parametrize(("service", "ask"), ASKED, ids=[f"{number}-{service}" for number, (service, _) in enumerate(ASKED)])
def test_a_missing_secret_is_told_with_its_file_and_what_to_do(
    service: str,
    ask: Callable[[Path, Path], object],
    tmp_path: Path,
) -> None:
    there = tmp_path / "there"
    there.write_text("secret\n", encoding="utf-8")
    with pytest.raises(SecretUnreadableError) as told:
        ask(tmp_path / "missing", there)
    assert told.value.service == service
    assert not told.value.passes
    for part in (service, str(tmp_path / "missing"), "No such file", "finlake up"):
        assert part in str(told.value)


@pytest.mark.parametrize(("content", "reason"), [(b" \n", "empty"), (b"\xff\xfe", "no text")])
def test_a_file_that_holds_no_secret_is_told_too_and_never_shown(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SecretUnreadableError, match=reason):
        secret_of("kafka", file)


def test_a_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n", encoding="utf-8")
    assert secret_of("kafka", tmp_path / "secret") == "s3cret"


def test_the_sink_waits_for_its_password_as_for_clickhouse(tmp_path: Path) -> None:
    sink = SinkClickHouse("http://127.0.0.1:1", tmp_path / "missing")
    with pytest.raises(ClickHouseUnavailableError, match="missing .No such file"):
        sink.note_gap(Partition("topic", 0), Gap(0, 1), "a test")
