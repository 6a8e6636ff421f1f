"""The processes that are killed: how each is found, and when it is back."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from deploy.chaos.dagster_runs import ArchiveRuns
from deploy.chaos.plan import Target
from deploy.chaos.traffic import kill_transaction
from deploy.local.probes import BrokenError, NotReadyError, probe
from deploy.local.stack import LocalStack
from deploy.local.supervision import Program, Supervisor

ALIVE_WITHIN_S, BACK_WITHIN_S = 120.0, 240.0
LOOK_S = 0.5


class NotBackError(Exception):
    """A killed process did not come back by itself."""


@dataclass(frozen=True)
class Victim:
    """A process that was killed, and the question whether what it did is done again."""

    target: Target
    process_id: int
    killed_at_s: float
    is_back: Callable[[], bool]

    def recovery_s(self) -> float:
        """Seconds from the kill until it is back; waits for it. Raises `NotBackError`."""
        _until(self.is_back, BACK_WITHIN_S, f"{self.target} (process {self.process_id}) is not back")
        return time.monotonic() - self.killed_at_s


class Executioner:
    """Kills processes of one stack with SIGKILL, by their ids."""

    def __init__(self, stack: LocalStack, runs: ArchiveRuns | None) -> None:
        self._stack, self._runs = stack, runs
        self._supervisor = Supervisor(stack.layout)
        self._interrupted = 0

    def kill(self, target: Target) -> Victim:
        """Kill the process of a target, once it lives: one that was killed before may still be on its way back."""
        match target:
            case "postgres_backend":
                return self._kill_backend()
            case "dagster_run":
                return self._kill_run()
            case _:
                return self._kill_service(target)

    def _kill_service(self, target: Target) -> Victim:
        self._await_life(target)
        killed = self._supervisor.program(target).pid
        os.kill(killed, signal.SIGKILL)
        return Victim(target, killed, time.monotonic(), lambda: self._answers_again(target, killed))

    def _kill_backend(self) -> Victim:
        self._await_life("postgres")
        _until(lambda: self._answers("postgres"), ALIVE_WITHIN_S, "postgres takes no connection")
        self._interrupted += 1
        killed = kill_transaction(self._stack.environment(), self._interrupted)
        return Victim("postgres_backend", killed, time.monotonic(), lambda: self._answers("postgres"))

    def _kill_run(self) -> Victim:
        if self._runs is None:
            raise NotBackError("no Dagster runs here, so that no run can be killed")
        run_id, killed = self._runs.kill_one()
        runs = self._runs
        return Victim("dagster_run", killed, time.monotonic(), lambda: runs.has_ended(run_id))

    def _await_life(self, service: str) -> None:
        _until(lambda: self._program(service).pid > 0, ALIVE_WITHIN_S, f"{service} does not run")

    def _program(self, service: str) -> Program:
        program = self._supervisor.program(service)
        if program.state == "FATAL":
            raise NotBackError(f"the supervisor has given up {service}: {program.detail}; see `finlake logs {service}`")
        return program

    def _answers_again(self, service: str, killed: int) -> bool:
        program = self._program(service)
        return program.pid not in (0, killed) and self._answers(service)

    def _answers(self, service: str) -> bool:
        try:
            probe(service, self._stack.layout, self._stack.settings(), self._program(service).started)
        except (NotReadyError, BrokenError):
            return False
        return True


def _until(is_so: Callable[[], bool], within_s: float, otherwise: str) -> None:
    """Wait for a condition. Raises `NotBackError`."""
    waiting = Retrying(retry=retry_if_result(lambda seen: not seen), wait=wait_fixed(LOOK_S), stop=stop_after_delay(within_s))
    try:
        waiting(is_so)
    except RetryError as error:
        raise NotBackError(f"{otherwise} after {within_s:g} s; see `finlake status`") from error
