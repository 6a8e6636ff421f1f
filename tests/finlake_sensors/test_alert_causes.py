"""Every health check made to fire by its cause: the webhook hears of it once, and once that it is over.

The sensor is real, and so is the webhook's wire; the services are recordings, since what is asked of the real ones is tested
where they are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from finlake_assets.speed.health_checks import HEALTH_CHECKS
from finlake_assets.speed.rules import HealthLimits
from finlake_clients import alert_webhook
from finlake_clients.calendar import TradingCalendar
from finlake_clients.connect.change_capture import ConnectorHealth
from finlake_clients.postgres.market import FeedGaps, VendorComplaints
from finlake_sensors import alerts
from tests.finlake_assets.stream_fakes import NOW, RUNNING, SLOT, StreamLog, resources_of
from tests.finlake_clients.test_alert_webhook import Hook, webhook_at

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)


def symbols(*, apple_silent_for: timedelta) -> dict[str, list[dict[str, Any]]]:
    """Two symbols that traded in each minute since the opening, of which one no longer does."""
    opened = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
    rows = []
    for symbol, silent in (("AAPL", apple_silent_for), ("MSFT", timedelta())):
        newest = NOW - MINUTE - silent
        rows.append(
            {
                "symbol": symbol,
                "active_minutes": (newest - opened) // MINUTE + 1,
                "first_s": int(opened.timestamp()),
                "newest_s": int(newest.timestamp()),
            }
        )
    return {"candles_1m_state": rows}


@dataclass(frozen=True)
class Cause:
    """What happens to a stream that is well, the checks that have to be told, and a word of the message."""

    happens: Callable[[StreamLog], None]
    told: tuple[str, ...]
    word: str


def after(**changes: Any) -> Callable[[StreamLog], None]:
    def happens(log: StreamLog) -> None:
        for name, value in changes.items():
            setattr(log, name, value)

    return happens


TRADES, QUOTES = "kafka/ods_finnhub_trades sink_keeps_up", "kafka/ods_finnhub_quotes sink_keeps_up"
ARRIVING = ("speed/quotes_realtime rows_arrive", "speed/stock_realtime rows_arrive")
GAP = {"topic": "finlake.ods.finnhub_trades", "kafka_partition": 0, "first_offset": 5, "last_offset": 9}
CAUSES: Mapping[str, Cause] = {
    "one symbol is silent while others trade": Cause(
        after(answers=symbols(apple_silent_for=timedelta(minutes=20))),
        ("speed/stock_realtime every_symbol_trades",),
        "AAPL for 19 minutes",
    ),
    "the vendor says that there are too many symbols": Cause(
        after(complaints=VendorComplaints(count=3, newest="Subscribing to too many symbols")),
        ("ods/finnhub_trades vendor_is_content",),
        "Subscribing to too many symbols",
    ),
    "the feed has no connection while the exchange is open": Cause(
        after(newest_received=NOW - timedelta(minutes=6)),
        ("ods/finnhub_trades trades_are_received",),
        "while trades are expected",
    ),
    "the feed was interrupted": Cause(
        after(gaps=FeedGaps(count=1, total_s=75, newest="until 15:00: silence")), ("ods/finnhub_trades feed_is_unbroken",), "75 s"
    ),
    "the vendor sends what nobody can read": Cause(
        after(rejected=2), ("ods/finnhub_trades feed_is_unbroken",), "2 messages that could not be read"
    ),
    "nobody reads the slot": Cause(
        after(slots=[replace(SLOT, is_active=False)]), ("cdc/market slot_is_read",), "nobody reads finlake_ods"
    ),
    "the slot holds back too much log": Cause(
        after(slots=[replace(SLOT, retained_wal_bytes=2 << 30)]), ("cdc/market slot_is_read",), "2048 MiB"
    ),
    "the slot is lost": Cause(after(slots=[replace(SLOT, wal_status="lost")]), ("cdc/market slot_is_read",), "new snapshot"),
    "the slot is gone": Cause(after(slots=[]), ("cdc/market slot_is_read",), "no replication slot"),
    "a table is not published": Cause(
        after(published=frozenset({"finnhub_quotes", "cdc_heartbeat"})), ("cdc/market tables_are_published",), "finnhub_trades"
    ),
    "the connector's task has failed": Cause(
        after(connector=ConnectorHealth(state="RUNNING", task_states=("FAILED",), trace="RecordTooLargeException")),
        ("cdc/market connector_runs",),
        "FAILED",
    ),
    "somebody has paused the connector": Cause(
        after(connector=replace(RUNNING, state="PAUSED")), ("cdc/market connector_runs",), "PAUSED"
    ),
    "there is no connector": Cause(after(connector=None), ("cdc/market connector_runs",), "finlake up"),
    "Kafka Connect is away": Cause(after(silent={"kafka_connect"}), ("cdc/market connector_runs",), "--service kafka_connect"),
    "the sink lags": Cause(after(lag={0: 5000}), (QUOTES, TRADES), "5000 records behind"),
    "records were set aside": Cause(
        after(ends={"finlake.dead_letters": 7}), ("kafka/dead_letters no_dead_letters",), "7 records were set aside"
    ),
    "rows of Postgres do not reach ClickHouse": Cause(
        after(waiting_since=NOW - timedelta(minutes=5)), ARRIVING, "has waited for"
    ),
    "Kafka deleted what the sink had not read": Cause(
        after(answers={"sink_gaps": [GAP]}), ("speed/stock_realtime nothing_was_skipped",), "offsets 5 to 9"
    ),
    "the disk of the state folder fills up": Cause(
        after(state_free_bytes=1 << 30), ("cdc/market state_folder_has_room",), "1024 MiB left, 2048 MiB are wanted"
    ),
    "ClickHouse's disk fills up": Cause(
        after(clickhouse_free_bytes=1 << 30), ("speed/stock_realtime disk_has_room",), "1024 MiB left, 2048 MiB are wanted"
    ),
    "Postgres is away": Cause(
        after(silent={"postgres"}),
        (
            "cdc/market slot_is_read",
            "cdc/market tables_are_published",
            "ods/finnhub_trades feed_is_unbroken",
            "ods/finnhub_trades trades_are_received",
            "ods/finnhub_trades vendor_is_content",
            *ARRIVING,
        ),
        "--service postgres",
    ),
    "Kafka is away": Cause(after(silent={"kafka"}), ("kafka/dead_letters no_dead_letters", QUOTES, TRADES), "--service kafka"),
    "ClickHouse is away, or its disk is full": Cause(
        after(silent={"clickhouse"}),
        (
            *ARRIVING,
            "speed/stock_realtime disk_has_room",
            "speed/stock_realtime every_symbol_trades",
            "speed/stock_realtime nothing_was_skipped",
        ),
        "--service clickhouse",
    ),
}


class Watch:
    """The sensor over a recorded stream and a real webhook, a second passing between looks."""

    def __init__(self, hook: Hook, folder: Path, clock: list[datetime]) -> None:
        self.log, self.hook, self.cursor, self._clock = StreamLog(), hook, "", clock
        self._webhook = webhook_at(hook.url, folder)
        self._sensor = alerts.build_stream_health(
            HealthLimits(), TradingCalendar(), "local", dg.DefaultSensorStatus.STOPPED, hours="exchange"
        )
        self._instance = dg.DagsterInstance.ephemeral()

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            resources = {**resources_of(self.log), "alerts": self._webhook}
            with dg.build_sensor_context(instance=self._instance, cursor=self.cursor or None, resources=resources) as context:
                self.cursor = self._sensor.evaluate_tick(context).cursor or ""
            self._clock[0] += timedelta(seconds=1)

    def heard(self) -> list[tuple[list[str], list[str]]]:
        return [
            (sorted(message["turned_bad"]), sorted(message["turned_well"]))  # type: ignore[call-overload]
            for _, message in self.hook.taken
        ]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Watch]:
    clock = [NOW]
    monkeypatch.setattr(alerts, "utc_now", lambda: clock[0])
    monkeypatch.setattr(alert_webhook, "FIRST_WAIT_S", 0.001)
    hook = Hook()
    yield Watch(hook, tmp_path, clock)
    hook.server.shutdown()
    hook.server.server_close()


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES.keys())
def test_a_cause_is_told_once_and_once_that_it_is_over(watch: Watch, cause: Cause) -> None:
    watch.look(2)
    assert watch.heard() == []
    cause.happens(watch.log)
    watch.look(4)
    assert watch.heard() == [(sorted(cause.told), [])]
    assert cause.word in str(watch.hook.taken[0][1]["text"])
    watch.log = StreamLog()
    watch.look(3)
    assert watch.heard() == [(sorted(cause.told), []), ([], sorted(cause.told))]


def test_every_health_check_has_a_cause_here() -> None:
    asked = {f"{check.asset.to_user_string()} {check.name}" for check in HEALTH_CHECKS}
    assert {name for cause in CAUSES.values() for name in cause.told} == asked


def test_an_alert_whose_delivery_fails_is_sent_again_under_its_id_and_not_once_more_when_it_has_arrived(watch: Watch) -> None:
    watch.log.slots = []
    # Each look tries four times, so that two looks fail.
    watch.hook.answers = [503] * 8
    watch.look(6)
    assert {message["id"] for _, message in watch.hook.taken} == {watch.hook.taken[0][1]["id"]}
    assert len(watch.hook.taken) == 9
    watch.log.slots = [SLOT]
    watch.look(2)
    watch.log.slots = []
    watch.look(3)
    assert [watch.heard()[-3:][n] for n in range(3)] == [
        (["cdc/market slot_is_read"], []),
        ([], ["cdc/market slot_is_read"]),
        (["cdc/market slot_is_read"], []),
    ]
    # The same trouble a second time is another message.
    assert len({message["id"] for _, message in watch.hook.taken}) == 3
