"""Health checks of the stream: a silent service is unknown, is waited for once, and hides no other answer."""

from datetime import timedelta

import pytest

from finlake_assets.speed import chain
from finlake_assets.speed.health_checks import HEALTH_CHECKS, HealthCheck, run_checks
from tests.finlake_assets.stream_fakes import NOW, StreamLog, stream_of

SERVICES = ("postgres", "kafka", "kafka_connect", "clickhouse")


def name_of(check: HealthCheck) -> str:
    return f"{check.asset.to_user_string()} {check.name}"


def test_a_healthy_stream_is_found_so() -> None:
    given = run_checks(HEALTH_CHECKS, stream_of(StreamLog()))
    assert {name_of(check): result.text for check, result in given if result.state != "healthy"} == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_silent_service_leaves_its_checks_open_and_no_others(service: str) -> None:
    log = StreamLog(silent={service})
    given = run_checks(HEALTH_CHECKS, stream_of(log))
    assert {name_of(q) for q, result in given if result.state == "unknown"} == {
        name_of(q) for q in HEALTH_CHECKS if service in q.needs
    }
    assert all(f"`finlake up --service {service}`" in result.text for _, result in given if result.state == "unknown")
    assert log.asked.count(service) == 1


@pytest.mark.parametrize("check", HEALTH_CHECKS, ids=name_of)
def test_a_check_names_exactly_the_services_it_asks(check: HealthCheck) -> None:
    log = StreamLog()
    run_checks([check], stream_of(log))
    assert set(log.asked) == check.needs


def test_each_check_is_about_an_asset_of_the_chain_and_has_a_name_of_its_own() -> None:
    assets = {spec.key for spec in chain.build(is_watched=False)}
    assert {check.asset for check in HEALTH_CHECKS} <= assets
    assert len({name_of(check) for check in HEALTH_CHECKS}) == len(HEALTH_CHECKS)


def test_sample_sources_have_no_hours() -> None:
    log = StreamLog(newest_received=NOW - timedelta(days=3))
    (feed,) = [check for check in HEALTH_CHECKS if check.name == "trades_are_received"]
    ((_, live),) = run_checks([feed], stream_of(log))
    ((_, sample),) = run_checks([feed], stream_of(log, hours="any"))
    assert (live.state, sample.state) == ("unhealthy", "healthy")
