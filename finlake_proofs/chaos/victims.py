"""What befalls the processes: how each is found, killed or stopped, how a disk becomes full, and when all is well again."""

import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import psutil
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from deploy.local.errors import StackError
from deploy.local.probes import BrokenError, NotReadyError
from deploy.local.service import Process
from deploy.local.services import service_named
from deploy.local.stack import LocalStack
from deploy.local.supervision import Program, Supervisor
from finlake_proofs.chaos.dagster_runs import ENDED_WITHIN_S, ArchiveRuns
from finlake_proofs.chaos.plan import BACKEND, BATCH_DISKS, RUN, Disk, Fault, Target, archiving_targets
from finlake_proofs.chaos.small_disks import folder_of, full
from finlake_proofs.chaos.traffic import kill_transaction

ALIVE_WITHIN_S, BACK_WITHIN_S = 120.0, 240.0
LOOK_S = 0.5
LONGEST_WAIT_IN_UP_S = 5.0


class NotBackError(Exception):
    """What was killed, stood still or had no room did not come back by itself."""


@dataclass(frozen=True)
class Victim:
    """A process or an engine that something befell, and the question whether what it did is done again.

    `began_at_s` is the moment from which it could have gone on, `within_s` how long that may take.
    """

    name: str
    process_id: int | None
    began_at_s: float
    is_back: Callable[[], bool]
    within_s: float = BACK_WITHIN_S

    def recovery_s(self) -> float:
        """Seconds until it is back; waits for it. Raises `NotBackError`."""
        who = self.name if self.process_id is None else f"{self.name} (process {self.process_id})"
        _until(self.is_back, self.within_s, f"{who} is not back")
        return time.monotonic() - self.began_at_s


class ProcessKiller:
    """Lets faults befall the processes of one stack, found by their ids. `services` are those that `finlake up` wants."""

    def __init__(self, stack: LocalStack, runs: ArchiveRuns | None, services: Collection[str] | None, seed: int) -> None:
        self._stack, self._runs, self._services = stack, runs, services
        self._supervisor = Supervisor(stack.layout)
        self._chosen = Random(seed)
        self._interrupted = 0

    def carry_out(self, fault: Fault) -> list[Victim]:
        """Let a fault happen, until its end if it has one. Raises `NotBackError`, `ArchiveRunError`."""
        match fault.kind:
            case "kill":
                return self._kill(fault.targets)
            case "kill_during_up":
                return self._kill_during_up(fault.targets)
            case "freeze":
                return [self._freeze(target, fault.lasts_s) for target in fault.targets]
            case "freeze_all":
                return self._freeze_all(fault.lasts_s)
            case "full_disk":
                assert fault.disk is not None
                return self._fill(fault.disk, fault.lasts_s)

    def _kill(self, targets: Sequence[Target]) -> list[Victim]:
        only = targets[0] if len(targets) == 1 else None
        if only == BACKEND:
            return [self._kill_backend()]
        if only == RUN:
            return [self._kill_run()]
        if only in archiving_targets() and self._runs is not None:
            return [self._kill_in_a_run(only, self._runs)]
        return self._kill_services(targets)

    def _kill_services(self, targets: Sequence[Target]) -> list[Victim]:
        """Once all of them live: one that was killed before may still be on its way back."""
        for target in targets:
            self._await_life(target)
        process_ids = [self._program(target).pid for target in targets]
        for process_id in process_ids:
            # One that another's death has ended is no matter.
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        now = time.monotonic()
        return [
            Victim(target, killed, now, partial(self._answers_again, target, killed))
            for target, killed in zip(targets, process_ids, strict=True)
        ]

    def _kill_during_up(self, targets: Sequence[Target]) -> list[Victim]:
        """`finlake up` is asked for all that runs; meanwhile they die. It must end well by itself."""
        with ThreadPoolExecutor(1) as pool:
            going_up = pool.submit(self._stack.up, services=self._services)
            time.sleep(self._chosen.uniform(0, LONGEST_WAIT_IN_UP_S))
            victims = self._kill_services(targets)
            try:
                going_up.result()
            except StackError as error:
                raise NotBackError(f"`finlake up` gave up when {' and '.join(targets)} died in it: {error}") from error
        return victims

    def _kill_backend(self) -> Victim:
        self._await_life("postgres")
        _until(lambda: self._answers("postgres"), ALIVE_WITHIN_S, "postgres takes no connection")
        self._interrupted += 1
        killed = kill_transaction(self._stack.environment(), self._interrupted)
        return Victim(BACKEND, killed, time.monotonic(), lambda: self._answers("postgres"))

    def _kill_run(self) -> Victim:
        if self._runs is None:
            raise NotBackError("no Dagster runs here, so that no run can be killed")
        run_id, killed = self._runs.kill_one()
        runs = self._runs
        return Victim(RUN, killed, time.monotonic(), lambda: runs.has_ended(run_id), ENDED_WITHIN_S)

    def _kill_in_a_run(self, target: Target, runs: ArchiveRuns) -> Victim:
        """The run may fail or be tried again; the last one archives what it has left."""
        self._await_life(target)
        run_id = runs.begin_one()
        (victim,) = self._kill_services((target,))
        return replace(victim, is_back=lambda: victim.is_back() and runs.has_ended(run_id), within_s=ENDED_WITHIN_S)

    def _freeze(self, target: Target, lasts_s: float) -> Victim:
        self._await_life(target)
        process_id = self._program(target).pid
        still(_family(process_id), lasts_s)
        return Victim(target, process_id, time.monotonic(), lambda: self._answers(target))

    def _freeze_all(self, lasts_s: float) -> list[Victim]:
        """As when the lid of a laptop is shut."""
        names = [name for name, program in self._supervisor.programs().items() if program.pid > 0]
        still(self._supervisor.leftovers(), lasts_s)
        now = time.monotonic()
        return [Victim(name, None, now, partial(self._answers, name)) for name in names]

    def _fill(self, disk: Disk, lasts_s: float) -> list[Victim]:
        folder = folder_of(disk, self._stack.layout)
        run_id = self._runs.begin_one() if self._runs is not None and disk in BATCH_DISKS else None
        service = None if disk == "warehouse" else "spark_connect" if disk == "spark" else disk
        with full(folder):
            time.sleep(lasts_s)
        return [
            Victim(
                f"disk of {disk}",
                None,
                time.monotonic(),
                lambda: (service is None or self._answers(service)) and (run_id is None or self._run_has_ended(run_id)),
                BACK_WITHIN_S if run_id is None else ENDED_WITHIN_S,
            )
        ]

    def _run_has_ended(self, run_id: str) -> bool:
        return self._runs is None or self._runs.has_ended(run_id)

    def _await_life(self, service: str) -> None:
        _until(lambda: self._program(service).pid > 0, ALIVE_WITHIN_S, f"{service} does not run")

    def _program(self, service: str) -> Program:
        program = self._supervisor.program(service)
        if program.state == "FATAL":
            raise NotBackError(
                f"the supervisor has given up {service}: {program.detail}; see `{self._stack.layout.logs_command(service)}`"
            )
        return program

    def _answers_again(self, service: str, killed: int) -> bool:
        program = self._program(service)
        return program.pid not in (0, killed) and self._answers(service)

    def _answers(self, service: str) -> bool:
        try:
            process = Process(self._stack.layout, self._stack.settings(), service, self._program(service).started)
            service_named(service).probe(process)
        except (NotReadyError, BrokenError):
            return False
        return True


def still(processes: Sequence[psutil.Process], lasts_s: float) -> None:
    """Stop processes for so long; those that have not died meanwhile go on afterwards, whatever happens here."""
    stopped = []
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                stopped.append(process)
        time.sleep(lasts_s)
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _family(process_id: int) -> list[psutil.Process]:
    """A process and all that it has started, as far as it still lives."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        return [process, *process.children(recursive=True)]
    return []


def _until(is_so: Callable[[], bool], within_s: float, otherwise: str) -> None:
    """Wait for a condition. Raises `NotBackError`."""
    waiting = Retrying(retry=retry_if_result(lambda seen: not seen), wait=wait_fixed(LOOK_S), stop=stop_after_delay(within_s))
    try:
        waiting(is_so)
    except RetryError as error:
        raise NotBackError(f"{otherwise} after {within_s:g} s; see `finlake status`") from error
