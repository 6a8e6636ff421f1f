"""The keeper starts a failed connector again by itself, ever more slowly, and leaves alone what somebody wanted so."""

from dataclasses import dataclass, field

import pytest

from finlake_clients.connect.rest import (
    ConnectorFailure,
    ConnectorState,
    ConnectorStatus,
    ConnectorUnknownError,
    ConnectRefusedError,
    ConnectUnavailableError,
    TaskStatus,
)
from finlake_services.capture_keeper.keeper import LOOK_S, STEADY_S, TASKLESS_S, Keeper, wait_s
from finlake_services.capture_keeper.metrics import KeeperMetrics

TRACE = "ConnectException: send callback\n\tat x.y\nCaused by: RecordTooLargeException: 1391737 bytes\n\tat z"


@dataclass
class Worker:
    """A worker with one connector: what is asked of it is recorded, with the second."""

    state: ConnectorState = "RUNNING"
    tasks: list[ConnectorState] = field(default_factory=lambda: ["RUNNING"])
    error: Exception | None = None
    mends_itself: bool = False
    now_s: float = 1000.0
    asked: list[tuple[str, float]] = field(default_factory=list)

    def status(self, name: str) -> ConnectorStatus:
        if self.error is not None:
            raise self.error
        tasks = tuple(
            TaskStatus(number, state, "w", TRACE if state == "FAILED" else None) for number, state in enumerate(self.tasks)
        )
        return ConnectorStatus(name, self.state, TRACE if self.state == "FAILED" else None, tasks)

    def explain(self, status: ConnectorStatus) -> ConnectorFailure | None:
        return None if status.failure is None else ConnectorFailure(status.failure, "LSN 0/7B")

    def restart_failed(self, name: str) -> None:
        self._restart("failed")

    def restart(self, name: str) -> None:
        self._restart("all")

    def _restart(self, what: str) -> None:
        self.asked.append((what, self.now_s - 1000.0))
        if self.mends_itself:
            self.state, self.tasks = "RUNNING", ["RUNNING"]


def keeper_of(worker: Worker) -> Keeper:
    return Keeper("ods", worker, KeeperMetrics(), lambda: worker.now_s)


def live(keeper: Keeper, worker: Worker, seconds: float) -> None:
    end_s = worker.now_s + seconds
    while worker.now_s < end_s:
        keeper.look()
        worker.now_s += LOOK_S


def value(keeper: Keeper, name: str) -> float | None:
    return keeper.metrics.registry.get_sample_value(f"finlake_capture_{name}")


def test_a_failed_task_is_started_again_at_once_and_the_metrics_say_so() -> None:
    worker = Worker(tasks=["FAILED"], mends_itself=True)
    keeper = keeper_of(worker)
    keeper.look()
    assert worker.asked == [("failed", 0.0)]
    assert (value(keeper, "running"), value(keeper, "failed_tasks"), value(keeper, "restarts_total")) == (0, 1, 1)
    keeper.look()
    assert (value(keeper, "running"), value(keeper, "failed_tasks"), value(keeper, "restarts_total")) == (1, 0, 1)


def test_what_fails_again_and_again_is_tried_for_ever_with_longer_waits() -> None:
    worker = Worker(tasks=["FAILED"])
    live(keeper_of(worker), worker, 600)
    times = [second for _, second in worker.asked]
    waits = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert waits[:7] == [5, 5, 5, 10, 20, 35, 60]
    assert set(waits[7:]) == {60}


def test_a_connector_that_has_run_for_a_while_is_started_at_once_when_it_fails_anew() -> None:
    worker = Worker(tasks=["FAILED"])
    keeper = keeper_of(worker)
    live(keeper, worker, 300)
    worker.tasks = ["RUNNING"]
    live(keeper, worker, STEADY_S + 2 * LOOK_S)
    worker.tasks, started = ["FAILED"], len(worker.asked)
    keeper.look()
    assert len(worker.asked) == started + 1


@pytest.mark.parametrize("state", ["PAUSED", "STOPPED"])
def test_what_somebody_stopped_stays_so(state: ConnectorState) -> None:
    worker = Worker(state=state, tasks=[])
    live(keeper_of(worker), worker, 300)
    assert worker.asked == []


def test_a_connector_without_a_task_is_started_anew_after_a_while() -> None:
    worker = Worker(tasks=[])
    live(keeper_of(worker), worker, TASKLESS_S + 2 * LOOK_S)
    assert worker.asked == [("all", TASKLESS_S)]


@pytest.mark.parametrize("error", [ConnectUnavailableError("x"), ConnectorUnknownError("x"), ConnectRefusedError("x")])
def test_a_worker_that_is_away_or_odd_is_waited_for(error: Exception) -> None:
    worker = Worker(tasks=["FAILED"], error=error)
    keeper = keeper_of(worker)
    live(keeper, worker, 60)
    worker.error = None
    keeper.look()
    assert [what for what, _ in worker.asked] == ["failed"]


def test_waits_double_up_to_a_minute() -> None:
    assert [wait_s(restarts) for restarts in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert wait_s(10**6) == 60
