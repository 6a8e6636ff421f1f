"""When a bar of serving.prices_unified no longer changes, answered by the engine over the tables that the migrations leave."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from deploy.clickhouse.migrate import apply_migrations
from deploy.clickhouse.scratch import ScratchEngine, scratch_engine
from spark.contracts.clickhouse_serving import VIEWS, loaded_table
from spark.contracts.serving import GOLD_STOCK_ANALYTICS, PRICES_UNIFIED
from spark.contracts.speed import FINAL_AFTER_S

pytestmark = pytest.mark.slow

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def engine() -> Iterator[ScratchEngine]:
    with scratch_engine() as engine:
        apply_migrations(engine)
        engine.command("CREATE DATABASE IF NOT EXISTS serving")
        engine.command(loaded_table(GOLD_STOCK_ANALYTICS, GOLD_STOCK_ANALYTICS.address, "gold.stock_analytics", 1)[0])
        engine.command(VIEWS[PRICES_UNIFIED.address])
        yield engine


def receive(engine: ScratchEngine, symbol: str, moment: datetime) -> None:
    """A trade that is received, and appended by Kafka, when it is made."""
    text = f"'{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"
    engine.command(
        "INSERT INTO speed.stock_realtime (symbol, trade_ts, price_usd, volume_shares, flaw, received_ts, appended_ts, "
        f"kafka_offset) VALUES ('{symbol}', {text}, 1, 1, '', {text}, {text}, {int(moment.timestamp())})"
    )


def bars(engine: ScratchEngine) -> list[tuple[str, ...]]:
    return engine.rows(f"SELECT session_date, source, is_final FROM {PRICES_UNIFIED.address} ORDER BY session_date")


@pytest.mark.parametrize("day", [date(2026, 11, 20), date(2026, 3, 8), date(2026, 11, 1), date(2026, 12, 31)])
def test_todays_bar_is_not_final_until_new_yorks_day_is_over_however_long_it_is(engine: ScratchEngine, day: date) -> None:
    over = datetime.combine(day + timedelta(days=1), time(), NEW_YORK) + timedelta(seconds=FINAL_AFTER_S)
    receive(engine, "AAPL", datetime.combine(day, time(10), NEW_YORK))
    assert bars(engine) == [(str(day), "speed", "false")]
    receive(engine, "BINANCE:BTCUSDT", over - timedelta(seconds=1))
    assert bars(engine) == [(str(day), "speed", "false")]
    receive(engine, "BINANCE:BTCUSDT", over)
    assert bars(engine) == [(str(day), "speed", "true")]


def test_a_bar_of_the_batch_is_final_whatever_the_stream_has(engine: ScratchEngine) -> None:
    engine.command(f"INSERT INTO {GOLD_STOCK_ANALYTICS.address} (ticker, session_date) VALUES ('AAPL', '2026-11-19')")
    assert bars(engine) == [("2026-11-19", "batch", "true")]
    receive(engine, "AAPL", datetime(2026, 11, 20, 15, 0, tzinfo=UTC))
    assert bars(engine) == [("2026-11-19", "batch", "true"), ("2026-11-20", "speed", "false")]
