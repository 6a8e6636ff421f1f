"""What Dagster asks ClickHouse about the stream, answered by the engine over the tables that the migrations leave."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.clickhouse.migrate import apply_migrations
from deploy.clickhouse.scratch import ScratchEngine, scratch_engine
from finlake_assets.asset_specs import asset_key
from finlake_assets.speed.health_checks import HEALTH_CHECKS, WatchedStream, run_checks
from finlake_assets.speed.reports import NEWEST, look
from finlake_assets.speed.rules import HealthLimits
from finlake_clients.calendar import TradingCalendar
from finlake_resources.resources import ClickHouseResource
from spark.contracts import speed
from tests.finlake_assets.stream_fakes import NOW, StreamLog, capture_of, market_of, state_folder_of, topics_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine() -> Iterator[ScratchEngine]:
    with scratch_engine() as engine:
        apply_migrations(engine)
        engine.command(
            "INSERT INTO speed.stock_realtime (symbol, trade_ts, price_usd, volume_shares, flaw, received_ts, kafka_offset) "
            "VALUES ('AAPL', '2026-11-20 15:00:47.5', 1, 1, '', '2026-11-20 15:00:48', 1)"
        )
        engine.command(
            "INSERT INTO speed.sink_gaps (topic, kafka_partition, first_offset, last_offset, reason) "
            "VALUES ('finlake.ods.finnhub_trades', 0, 5, 9, 'deleted')"
        )
        yield engine


def clickhouse_over(engine: ScratchEngine) -> ClickHouseResource:
    """The resource as it is, but for the wire."""

    class OverEngine(ClickHouseResource):
        def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
            assert not parameters
            names = [name for name, *_ in engine.rows(f"DESCRIBE TABLE ({sql})")]
            kinds = [kind for _, kind, *_ in engine.rows(f"DESCRIBE TABLE ({sql})")]
            return [
                {name: int(text) if "Int" in kind else text for name, kind, text in zip(names, kinds, row, strict=True)}
                for row in engine.rows(sql)
            ]

        def read_lake(self, sql: str, **snapshots: Any) -> list[dict[str, Any]]:
            return self.rows(sql)

    return OverEngine(url="-", admin_password_file="-", reader_password_file="-")


@pytest.fixture
def stream(engine: ScratchEngine) -> WatchedStream:
    """The stream as it is watched; ClickHouse alone is real."""
    log = StreamLog(newest_there=datetime(2026, 11, 20, 15, 0, 48, tzinfo=UTC), newest_received=NOW)

    class AnyMarket(type(market_of(log))):  # type: ignore[misc]
        def first_received_after(self, relation: str, moment: datetime | None) -> datetime | None:
            return None

    return WatchedStream(
        market=AnyMarket(uri="-", password_file="-"),
        topics=topics_of(log),
        capture=capture_of(log),
        clickhouse=clickhouse_over(engine),
        state_folder=state_folder_of(log),
        # The engine's disk is this machine's.
        limits=HealthLimits(free_disk_bytes=1),
        calendar=TradingCalendar(),
        hours="exchange",
        now=NOW,
    )


def test_every_table_and_view_of_the_contract_tells_how_far_it_has_come(stream: WatchedStream) -> None:
    reports, silent = look(stream)

    assert silent == []
    assert set(NEWEST) == {table.address for table in speed.TABLES}
    positions = {report.asset: report.position for report in reports}
    assert {
        name: positions[asset_key(f"speed.{name}")]
        for name in ("stock_realtime", "quotes_realtime", "candles_1m", "windows_30s", "price_volume_15s", "anomalies")
    } == {
        "stock_realtime": "2026-11-20 15:00:48+00:00",
        "quotes_realtime": "None",
        "candles_1m": "2026-11-20 15:00:00+00:00",
        "windows_30s": "2026-11-20 15:00:30+00:00",
        "price_volume_15s": "2026-11-20 15:00:45+00:00",
        "anomalies": "2026-11-20 15:00:30+00:00",
    }


def test_every_question_is_answered_and_a_skipped_range_is_unhealthy(stream: WatchedStream) -> None:
    found = {check.name: result for check, result in run_checks(HEALTH_CHECKS, stream)}

    assert {name for name, result in found.items() if result.state != "healthy"} == {"nothing_was_skipped"}
    assert "partition 0 offsets 5 to 9" in found["nothing_was_skipped"].text
