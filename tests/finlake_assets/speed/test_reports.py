"""Reports of the stream: what has moved is a materialization, what has not is an observation, what is silent is left out."""

from datetime import timedelta

import dagster as dg
import pytest

from finlake_assets.speed import chain, health_job
from finlake_assets.speed.reports import events, look
from finlake_assets.speed.rules import HealthLimits
from finlake_clients.calendar import TradingCalendar
from tests.finlake_assets.stream_fakes import NOW, StreamLog, resources_of, stream_of


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def materialized(log: StreamLog, instance: dg.DagsterInstance) -> set[str]:
    found = events(look(stream_of(log))[0], instance)
    for event in found:
        instance.report_runless_asset_event(event)
    return {event.asset_key.to_user_string() for event in found if isinstance(event, dg.AssetMaterialization)}


def test_everything_but_the_heartbeats_table_is_reported(instance: dg.DagsterInstance) -> None:
    every = {spec.key.to_user_string() for spec in chain.build(is_watched=False)}
    assert materialized(StreamLog(), instance) == every - {"ods/cdc_heartbeat"}


def test_only_what_has_moved_is_materialized_again(instance: dg.DagsterInstance) -> None:
    log = StreamLog()
    materialized(log, instance)
    assert materialized(log, instance) == set()
    log.ends["finlake.ods.cdc_heartbeat"] = 101
    assert materialized(log, instance) == {"cdc/market", "kafka/ods_cdc_heartbeat"}
    log.newest_there = NOW + timedelta(seconds=1)
    assert materialized(log, instance) == {
        f"speed/{name}"
        for name in ("stock_realtime", "quotes_realtime", "candles_1m", "windows_30s", "price_volume_15s", "anomalies")
    }


def test_a_silent_service_is_named_once_and_the_others_are_reported() -> None:
    reports, silent = look(stream_of(StreamLog(silent={"clickhouse"})))
    assert {report.asset.path[0] for report in reports} == {"ods", "kafka", "cdc"}
    assert len(silent) == 1
    assert "clickhouse at 127.0.0.1:1 cannot be asked (connection refused)" in silent[0]


def test_the_job_reports_and_answers_and_ends_well_whatever_it_finds() -> None:
    log = StreamLog(lag={0: 5000}, silent={"kafka_connect"})
    job = dg.Definitions(
        jobs=[health_job.build(HealthLimits(), TradingCalendar(), hours="any")],
        resources=resources_of(log),
        assets=chain.build(is_watched=False),
    ).resolve_job_def("stream_health")
    result = job.execute_in_process()
    assert result.success
    assert len(result.get_asset_materialization_events()) == 13
    (output,) = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT]
    metadata = output.step_output_data.metadata
    assert metadata["unhealthy"].value == 2
    assert metadata["unknown"].value == 1
