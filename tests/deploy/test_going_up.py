"""What `finlake up` does when processes die in it, or end as soon as they are started."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import stack as module
from deploy.local.errors import ServiceNotReadyError
from deploy.local.service import Stage
from deploy.local.services import default_ports
from deploy.local.settings import StackSettings
from deploy.local.stack import LocalStack
from deploy.local.supervision import Program


class ToldSupervisor:
    """Says what a test tells it."""

    def __init__(self) -> None:
        self.states = {"postgres": ("RUNNING", 1), "kafka": ("RUNNING", 2)}

    def program(self, name: str) -> Program:
        state, pid = self.states[name]
        return Program(name, state, pid, 0, "Exited too quickly")

    def programs(self) -> dict[str, Program]:
        return {name: self.program(name) for name in self.states}


@pytest.fixture
def supervisor() -> ToldSupervisor:
    return ToldSupervisor()


@pytest.fixture
def stack(tmp_path: Path, supervisor: ToldSupervisor, monkeypatch: pytest.MonkeyPatch) -> LocalStack:
    stack = LocalStack(tmp_path)
    stack._supervisor = supervisor  # type: ignore[assignment]
    monkeypatch.setattr(module, "NOTICED_WITHIN_S", 0.0)
    return stack


def stage(stack: LocalStack, report: Callable[[str], None] = lambda _: None) -> Stage:
    return Stage(stack.layout, StackSettings(default_ports()), True, report)


def test_a_step_is_taken_again_when_a_process_died_in_it(stack: LocalStack, supervisor: ToldSupervisor) -> None:
    said: list[str] = []
    times = []

    def step() -> None:
        times.append(1)
        if len(times) == 1:
            supervisor.states["postgres"] = ("RUNNING", 7)
            raise ConnectionResetError("server closed the connection")

    stack._despite_deaths("postgres", stage(stack, said.append), step)
    assert len(times) == 2
    assert said == ["postgres is made ready again, because a process died meanwhile (server closed the connection)"]


def test_a_step_that_fails_while_everything_lives_is_not_taken_again(stack: LocalStack) -> None:
    times = []

    def step() -> None:
        times.append(1)
        raise ValueError("a migration is wrong")

    with pytest.raises(ValueError, match="a migration is wrong"):
        stack._despite_deaths("postgres", stage(stack), step)
    assert len(times) == 1


def test_a_process_that_dies_each_time_is_told_in_the_end(stack: LocalStack, supervisor: ToldSupervisor) -> None:
    times: list[int] = []

    def step() -> None:
        times.append(1)
        supervisor.states["postgres"] = ("RUNNING", 10 + len(times))
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        stack._despite_deaths("postgres", stage(stack), step)
    assert len(times) == module.READY_ATTEMPTS


def test_a_process_that_ends_as_soon_as_it_is_started_is_told_long_before_the_limit(
    stack: LocalStack,
    supervisor: ToldSupervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FAILING_AT_MOST_S", 0.0)
    supervisor.states["postgres"] = ("BACKOFF", 0)
    with pytest.raises(ServiceNotReadyError, match=r"postgres stops again and again \(Exited too quickly\)"):
        stack._wait("postgres", StackSettings(default_ports()))
