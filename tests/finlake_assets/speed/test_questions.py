"""Questions about the stream: a silent service is unknown, is waited for once, and hides no other answer."""

from datetime import timedelta

import pytest

from finlake_assets.speed import chain
from finlake_assets.speed.health_checks import QUESTIONS, HealthCheck, answers
from tests.finlake_assets.stream_fakes import NOW, StreamLog, stream_of

SERVICES = ("postgres", "kafka", "kafka_connect", "clickhouse")


def name_of(question: HealthCheck) -> str:
    return f"{question.asset.to_user_string()} {question.name}"


def test_a_healthy_stream_is_found_so() -> None:
    given = answers(QUESTIONS, stream_of(StreamLog()))
    assert {name_of(question): verdict.text for question, verdict in given if verdict.state != "healthy"} == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_silent_service_leaves_its_questions_open_and_no_others(service: str) -> None:
    log = StreamLog(silent={service})
    given = answers(QUESTIONS, stream_of(log))
    assert {name_of(q) for q, verdict in given if verdict.state == "unknown"} == {
        name_of(q) for q in QUESTIONS if service in q.needs
    }
    assert all(f"`finlake up --service {service}`" in verdict.text for _, verdict in given if verdict.state == "unknown")
    assert log.asked.count(service) == 1


@pytest.mark.parametrize("question", QUESTIONS, ids=name_of)
def test_a_question_names_exactly_the_services_it_asks(question: HealthCheck) -> None:
    log = StreamLog()
    answers([question], stream_of(log))
    assert set(log.asked) == question.needs


def test_each_question_is_about_an_asset_of_the_chain_and_has_a_name_of_its_own() -> None:
    assets = {spec.key for spec in chain.build(is_watched=False)}
    assert {question.asset for question in QUESTIONS} <= assets
    assert len({name_of(question) for question in QUESTIONS}) == len(QUESTIONS)


def test_sample_sources_have_no_hours() -> None:
    log = StreamLog(newest_received=NOW - timedelta(days=3))
    (feed,) = [question for question in QUESTIONS if question.name == "trades_are_received"]
    ((_, live),) = answers([feed], stream_of(log))
    ((_, sample),) = answers([feed], stream_of(log, hours="any"))
    assert (live.state, sample.state) == ("unhealthy", "healthy")
