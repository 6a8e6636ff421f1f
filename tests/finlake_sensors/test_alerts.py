"""The thin shells of alerts: what a look sends, keeps and reports, and what is sent about a failed run."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from finlake_assets.speed.rules import HealthLimits
from finlake_clients.calendar import TradingCalendar
from finlake_sensors import alerts
from tests.finlake_assets.stream_fakes import NOW, StreamLog, resources_of, webhook_of

STOPPED = dg.DefaultSensorStatus.STOPPED
TRADES_LAG = "kafka/ods_finnhub_trades sink_keeps_up"


class Watch:
    """The sensor over a recorded stream, one minute passing between looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = StreamLog()
        self.now = NOW
        self.cursor: str | None = None
        self.webhook_file: str | None = "url"
        self.instance = dg.DagsterInstance.ephemeral()
        monkeypatch.setattr(alerts, "utc_now", self.clock)
        self.sensor = alerts.build_stream_health(HealthLimits(), TradingCalendar(), "local", STOPPED, hours="any")

    def clock(self) -> datetime:
        return self.now

    def look(self, pause: timedelta = timedelta(minutes=1)) -> Any:
        resources = {**resources_of(self.log), "alerts": webhook_of(self.log, self.webhook_file)}
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources) as context:
            found = self.sensor.evaluate_tick(context)
        self.cursor = found.cursor
        self.now += pause
        return found

    def sent(self) -> list[tuple[list[str], list[str]]]:
        return [(list(each["turned_bad"]), list(each["turned_well"])) for each in self.log.sent]  # type: ignore[call-overload]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_a_healthy_stream_sends_nothing_and_says_so(watch: Watch) -> None:
    assert watch.look().skip_message == "all 15 checks are healthy"
    watch.look()
    assert watch.log.sent == []


def test_a_lag_is_told_once_when_it_lasts_and_once_when_it_is_over(watch: Watch) -> None:
    watch.log.lag = {0: 5000}
    found = watch.look()
    assert "the sink is 5000 records behind" in found.skip_message
    assert watch.sent() == []
    watch.look()
    watch.look()
    assert watch.sent() == [([TRADES_LAG, "kafka/ods_finnhub_quotes sink_keeps_up"], [])]
    watch.log.lag = {0: 0}
    watch.look()
    watch.look()
    assert len(watch.log.sent) == 2
    assert TRADES_LAG in watch.sent()[1][1]


def test_a_service_that_is_silent_where_the_stream_should_run_is_told(watch: Watch) -> None:
    watch.log.silent = {"kafka_connect"}
    watch.look()
    watch.look()
    assert watch.sent() == [(["cdc/market connector_runs"], [])]
    assert "start it with `finlake up --service kafka_connect`" in str(watch.log.sent[0]["text"])


def test_news_that_the_webhook_did_not_take_are_sent_at_the_next_look(watch: Watch) -> None:
    watch.log.slots, watch.log.webhook_fails = [], True
    watch.look()
    watch.look()
    watch.log.webhook_fails = False
    watch.look()
    watch.look()
    assert watch.sent() == [(["cdc/market slot_is_read"], [])]


def test_without_a_webhook_a_look_still_finds_and_goes_on(watch: Watch) -> None:
    watch.webhook_file = None
    watch.log.slots = []
    watch.look()
    assert "there is no replication slot" in watch.look().skip_message
    assert watch.log.sent == []


def test_assets_are_reported_four_times_an_hour(watch: Watch) -> None:
    first = watch.look()
    assert len(first.asset_events) == 13
    assert all(isinstance(event, dg.AssetMaterialization) for event in first.asset_events)
    reported = [bool(watch.look().asset_events) for _ in range(16)]
    assert reported.index(True) == 14
    assert reported.count(True) == 1


def test_while_a_service_is_silent_its_answer_is_not_waited_for_again_by_reports(watch: Watch) -> None:
    watch.log.silent = {"kafka"}
    assert watch.look().asset_events == []
    assert watch.log.asked.count("kafka") == 1
    watch.log.silent = set()
    assert len(watch.look().asset_events) == 13


def failed_run(log: StreamLog, webhook_file: str | None = "url", **options: Any) -> None:
    @dg.op
    def breaks() -> None:
        raise ValueError("postgresql://lake:hunter2@127.0.0.1/lake")

    @dg.job
    def lake_by_session() -> None:
        breaks()

    instance = dg.DagsterInstance.ephemeral()
    result = lake_by_session.execute_in_process(instance=instance, raise_on_error=False, **options)
    sensor = alerts.build_run_failures("local", "http://127.0.0.1:3000", STOPPED)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        resources={"alerts": webhook_of(log, webhook_file)},
    ).for_run_failure()
    sensor(context)


def test_a_failed_run_is_told_with_its_partitions_and_steps_and_no_word_of_its_error() -> None:
    log = StreamLog()
    failed_run(log, tags={"dagster/asset_partition_range_start": "2018-03-01", "dagster/asset_partition_range_end": "2018-03-27"})
    (message,) = log.sent
    assert message["job"] == "lake_by_session"
    assert message["partitions"] == "2018-03-01 to 2018-03-27"
    assert message["failed_steps"] == ["breaks"]
    assert str(message["url"]).startswith("http://127.0.0.1:3000/runs/")
    assert "hunter2" not in str(message)


def test_a_failed_run_without_a_webhook_is_only_logged() -> None:
    log = StreamLog()
    failed_run(log, webhook_file=None)
    assert log.sent == []
