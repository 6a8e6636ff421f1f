"""Dagster's storages on a real Postgres that is away, or loses an answer on the way."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation, AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster_postgres import PostgresRunStorage
from dagster_postgres.utils import DagsterPostgresException

from deploy.local.config_files import dagster_storage, dagster_url
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_resources.dagster_storage import AwaitingRunStorage, AwaitingScheduleStorage
from finlake_resources.event_log import RangeEventLogStorage

pytestmark = pytest.mark.stack

KEY = dg.AssetKey(["gold", "indicators"])


@pytest.fixture(scope="module")
def url(idle_stack: LocalStack) -> str:
    idle_stack.up(services=("postgres",))
    return dagster_url(idle_stack.layout, idle_stack.settings().ports["postgres"])


@pytest.fixture(scope="module")
def log(url: str) -> RangeEventLogStorage:
    return RangeEventLogStorage(postgres_url=url)


def event_of(kind: dg.DagsterEventType, data: object, run_id: str, at: float = 1.0) -> EventLogEntry:
    told = DagsterEvent(event_type_value=kind.value, job_name="a_job", event_specific_data=data, step_key="a_step")  # type: ignore[arg-type]
    return EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=10,
        user_message="",
        run_id=run_id,
        timestamp=at,
        step_key="a_step",
        job_name="a_job",
        dagster_event=told,
    )


PLANNED = AssetCheckEvaluationPlanned(asset_key=KEY, check_name="a_check")
EVALUATED = AssetCheckEvaluation(asset_key=KEY, check_name="a_check", passed=True, metadata={})
MADE = StepMaterializationData(dg.AssetMaterialization(KEY, partition="2018-03-20", tags={"dagster/data_version": "1"}))


@contextmanager
def answer_lost(log: RangeEventLogStorage, statement_begins: str) -> Iterator[list[str]]:
    """The first such statement comes through, and its connection breaks before anything more can be said on it."""
    lost: list[str] = []
    other = sqlalchemy.create_engine(log.postgres_url)

    def after(connection: Any, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(statement_begins) and not lost:
            lost.append(statement)
            pid = connection.connection.dbapi_connection.get_backend_pid()
            with other.connect() as aside:
                aside.execute(sqlalchemy.text(f"select pg_terminate_backend({pid}, 5000)"))

    sqlalchemy.event.listen(log._engine, "after_cursor_execute", after)
    try:
        yield lost
    finally:
        sqlalchemy.event.remove(log._engine, "after_cursor_execute", after)
        other.dispose()


@pytest.mark.parametrize("lost_at", ["INSERT INTO event_logs", "INSERT INTO asset_event_tags", "INSERT INTO asset_keys"])
def test_an_event_whose_connection_breaks_is_there_once(log: RangeEventLogStorage, lost_at: str) -> None:
    run_id = f"made {lost_at}"
    event = event_of(dg.DagsterEventType.ASSET_MATERIALIZATION, MADE, run_id)
    with answer_lost(log, lost_at) as lost:
        log.store_event(event)
    assert lost
    assert [each.get_dagster_event().event_type for each in log.get_logs_for_run(run_id)] == [
        dg.DagsterEventType.ASSET_MATERIALIZATION
    ]
    newest = log.get_latest_materialization_events([KEY])[KEY]
    assert newest is not None
    assert newest.run_id == run_id
    with log._connect() as connection:
        tags = connection.execute(sqlalchemy.text("select event_id from asset_event_tags")).scalars().all()
        events = connection.execute(sqlalchemy.text("select id from event_logs")).scalars().all()
    assert set(tags) <= set(events)
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize("lost_at", ["INSERT INTO event_logs", "INSERT INTO asset_check_executions"])
def test_a_planned_check_whose_connection_breaks_is_evaluated_once(log: RangeEventLogStorage, lost_at: str) -> None:
    run_id = f"checked {lost_at}"
    with answer_lost(log, lost_at) as lost:
        log.store_event(event_of(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, PLANNED, run_id))
    with answer_lost(log, "UPDATE asset_check_executions") as lost_again:
        log.store_event(event_of(dg.DagsterEventType.ASSET_CHECK_EVALUATION, EVALUATED, run_id, at=2.0))
    assert lost
    assert lost_again
    found = [
        each
        for each in log.get_asset_check_execution_history(dg.AssetCheckKey(KEY, "a_check"), limit=10)
        if each.run_id == run_id
    ]
    assert [each.status.value for each in found] == ["SUCCEEDED"]
    assert len(log.get_logs_for_run(run_id)) == 2


def test_events_stored_together_are_there_once(log: RangeEventLogStorage) -> None:
    from dagster._core.events import AssetMaterializationPlannedData

    events = [
        event_of(
            dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
            AssetMaterializationPlannedData(KEY, partition=str(number)),
            "planned",
        )
        for number in range(3)
    ]
    with answer_lost(log, "INSERT INTO event_logs") as lost:
        log.store_event_batch(events)
    assert lost
    assert [each.get_dagster_event().partition for each in log.get_logs_for_run("planned")] == ["0", "1", "2"]


def test_what_is_only_asked_is_asked_again(log: RangeEventLogStorage) -> None:
    with answer_lost(log, "SELECT") as lost:
        # The server's own death is told by the next statement on the connection.
        assert log.get_latest_materialization_events([KEY, dg.AssetKey("nothing")])
    assert lost


def test_storages_wait_for_a_postgres_that_is_away_also_while_they_are_made(
    idle_stack: LocalStack,
    url: str,
    log: RangeEventLogStorage,
) -> None:
    supervisor = Supervisor(idle_stack.layout)
    made: list[Callable[[], object]] = [
        lambda: AwaitingRunStorage(postgres_url=url).get_runs(),
        lambda: AwaitingScheduleStorage(postgres_url=url).all_instigator_state(),
        lambda: RangeEventLogStorage(postgres_url=url).get_asset_keys(),
        lambda: log.get_logs_for_run("of nobody"),
    ]
    supervisor.stop("postgres")
    with ThreadPoolExecutor(len(made)) as pool:
        began = time.monotonic()
        answers = [pool.submit(each) for each in made]
        # Dagster itself gives up here, and tells so by its own error.
        with pytest.raises(DagsterPostgresException):
            PostgresRunStorage(postgres_url=url)
        assert not any(answer.done() for answer in answers)
        supervisor.start("postgres")
        assert all(isinstance(answer.result(timeout=60), list | tuple) for answer in answers), time.monotonic() - began


def test_a_refusal_is_told_at_once(url: str) -> None:
    for wrong in (url.replace("dagster?", "of_nobody?"), url.replace("dagster?", "lake?")):
        with pytest.raises(DagsterPostgresException) as told:
            AwaitingRunStorage(postgres_url=wrong)
        assert any(said in str(told.value.__cause__) for said in ("FATAL:", "no password supplied"))


def test_the_webservers_connections_do_not_wait(url: str) -> None:
    log = RangeEventLogStorage(postgres_url=url)
    assert log._engine.dialect.dispatch.do_connect
    log.optimize_for_webserver(statement_timeout=1000, pool_recycle=3600, max_overflow=1)
    assert not log._engine.dialect.dispatch.do_connect


def test_dagster_is_configured_with_them(url: str) -> None:
    assert {settings["class"] for settings in dagster_storage(url).values()} == {  # type: ignore[index]
        each.__name__ for each in (AwaitingRunStorage, AwaitingScheduleStorage, RangeEventLogStorage)
    }
