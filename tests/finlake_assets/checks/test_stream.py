"""Checks of the stream: unhealthy is an error, silent is a warning that says how to start what is silent."""

import dagster as dg
import pytest

from finlake_assets.checks import stream
from finlake_assets.speed import chain
from finlake_assets.speed.health_checks import HEALTH_CHECKS
from finlake_assets.speed.rules import HealthLimits
from finlake_clients.calendar import TradingCalendar
from finlake_clients.connect.change_capture import ConnectorHealth
from tests.finlake_assets.stream_fakes import StreamLog, evaluations, resources_of

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def found(log: StreamLog) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    checks = stream.build(HealthLimits(), TradingCalendar(), hours="any")
    return evaluations(checks, chain.build(is_watched=False), resources_of(log))


def test_every_question_is_a_check_and_all_pass_where_the_stream_is_healthy() -> None:
    given = found(StreamLog())
    assert sorted(name for _, name in given) == sorted(check.name for check in HEALTH_CHECKS)
    assert all(each.passed for each in given.values())


def test_without_the_stream_every_check_warns_and_says_what_to_start() -> None:
    given = found(StreamLog(silent={"postgres", "kafka", "kafka_connect", "clickhouse"}))
    # Nothing is expected of samples that nobody watches over, and nobody is asked.
    assert given.pop(("speed.stock_realtime", "every_symbol_trades")).passed
    # The stack's own disk answers whatever runs.
    assert given.pop(("cdc.market", "state_folder_has_room")).passed
    assert not any(each.passed for each in given.values())
    assert {each.severity for each in given.values()} == {WARN}
    for each in given.values():
        assert "not judged" in str(each.description)
        assert "finlake up --service" in str(each.description)


@pytest.mark.parametrize(
    ("log", "check", "severity"),
    [
        (StreamLog(lag={0: 1001}), ("kafka.ods_finnhub_trades", "sink_keeps_up"), ERROR),
        (StreamLog(slots=[]), ("cdc.market", "slot_is_read"), ERROR),
        (StreamLog(ends={"finlake.dead_letters": 3}), ("kafka.dead_letters", "no_dead_letters"), WARN),
        (StreamLog(rejected=1), ("ods.finnhub_trades", "feed_is_unbroken"), WARN),
    ],
)
def test_what_is_unhealthy_fails_by_its_severity(log: StreamLog, check: tuple[str, str], severity: dg.AssetCheckSeverity) -> None:
    given = found(log)
    assert not given[check].passed
    assert given[check].severity == severity
    assert given[check].metadata


def test_the_trace_of_a_failed_connector_is_in_the_metadata() -> None:
    failed = ConnectorHealth(state="RUNNING", task_states=("FAILED",), trace="PSQLException: refused\n\tat org.postgresql")
    check = found(StreamLog(connector=failed))["cdc.market", "connector_runs"]
    assert "PSQLException: refused" in str(check.metadata["trace"].value)
    assert check.metadata["tasks"].value == "FAILED"
