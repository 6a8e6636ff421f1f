"""`finlake chaos`: trades flow, processes are killed, everything recovers, and the engines are compared."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

from deploy.local.services import SERVICES
from deploy.local.stack import LocalStack
from finlake_clients.connect.change_capture import CONNECTOR
from finlake_clients.connect.rest import ConnectError, KafkaConnect
from finlake_clients.dagster_graphql import DagsterClient
from finlake_proofs.bench.lake_steps import lake_jobs
from finlake_proofs.bench.temporary_lake import worker
from finlake_proofs.chaos.archiving import archive_all
from finlake_proofs.chaos.dagster_runs import ArchiveRunError, ArchiveRuns
from finlake_proofs.chaos.plan import (
    BATCH_DISKS,
    Fault,
    Mix,
    Target,
    archiving_targets,
    batch_targets,
    planned_faults,
    stream_services,
    stream_targets,
)
from finlake_proofs.chaos.traffic import INTERRUPTED, write_until, written_rows
from finlake_proofs.chaos.victims import NotBackError, ProcessKiller, Victim
from finlake_reconciliation.reconcile import Reconciliation
from finlake_reconciliation.report import ReconcileReport
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.engine import Engine

Report = Callable[[str], None]

TRAFFIC_BEFORE_S = 2.0
CONNECTOR_BACK_S, WRITER_BACK_S, DRAINED_WITHIN_S = 180.0, 180.0, 180.0


class NotDrainedError(Exception):
    """Rows do not reach Kafka although everything runs again."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is killed, and what else befalls the stack.

    `has_dagster`: its daemon and a run are among the targets, and runs archive; with the engine `spark` Spark dies in a run
    too. `avro`: the stream is that, and the schema registry is among the targets.
    """

    kills: int
    seed: int
    seconds_between: float = 5.0
    rows_per_s: int = 300
    has_dagster: bool = True
    engine: Engine = "embedded"
    avro: bool = False
    mix: Mix = field(default_factory=Mix)

    @property
    def targets(self) -> Sequence[Target]:
        """What may be killed."""
        stream = stream_targets(avro=self.avro)
        return (*stream, *batch_targets(self.engine)) if self.has_dagster else stream

    @property
    def services(self) -> Sequence[str] | None:
        """What of the stack runs while things happen; None: all of it."""
        return None if self.has_dagster else stream_services(avro=self.avro)

    @property
    def plan(self) -> list[Fault]:
        """What happens, in order. A disk that nothing writes to meanwhile does not become full."""
        idle = () if self.has_dagster and self.engine == "spark" else ("spark",) if self.has_dagster else BATCH_DISKS
        disks = tuple(disk for disk in self.mix.disks if disk not in idle)
        return planned_faults(self.kills, self.seed, self.targets, self.seconds_between, replace(self.mix, disks=disks))


@dataclass(frozen=True, kw_only=True)
class ChaosReport:
    """What happened, how long each process or engine took to be back, and what the engines hold afterwards.

    `acknowledged_rows` were committed by the writer, of which `found_rows` are in Postgres; `interrupted_rows` are rows of
    killed transactions that are there although they never were committed.
    """

    faults: Sequence[Fault]
    recoveries_s: Sequence[tuple[str, float]]
    acknowledged_rows: int
    found_rows: int
    interrupted_rows: int
    comparison: ReconcileReport

    @property
    def is_survived(self) -> bool:
        """Whether nothing was lost and nothing doubled."""
        return self.comparison.is_proven and self.found_rows == self.acknowledged_rows and self.interrupted_rows == 0

    @property
    def kills(self) -> Counter[Target]:
        """Kills by target."""
        return Counter(target for fault in self.faults if fault.kind in ("kill", "kill_during_up") for target in fault.targets)

    @property
    def recoveries(self) -> Counter[str]:
        """How often each came back."""
        return Counter(name for name, _ in self.recoveries_s)

    def recovery_s(self, name: str) -> tuple[float, float]:
        """Median and longest recovery of a process or engine."""
        taken = [seconds for each, seconds in self.recoveries_s if each == name]
        return median(taken), max(taken)

    @property
    def verdict(self) -> str:
        """One line for people."""
        own = ""
        if self.found_rows != self.acknowledged_rows:
            own += f"; POSTGRES HOLDS {self.found_rows} OF {self.acknowledged_rows} ACKNOWLEDGED ROWS"
        if self.interrupted_rows:
            own += f"; {self.interrupted_rows} ROWS OF KILLED TRANSACTIONS ARE THERE"
        kinds = Counter(fault.kind for fault in self.faults)
        groups = sum(len(fault.targets) > 1 for fault in self.faults)
        return (
            f"{self.kills.total()} kills ({groups} of several at once, {kinds['kill_during_up']} during `finlake up`), "
            f"{kinds['freeze'] + kinds['freeze_all']} freezes, {kinds['full_disk']} full disks; "
            f"{self.comparison.verdict}{own}"
        )


def show_plan(options: Options, report: Report) -> None:
    """Tell what is going to happen, a line for each fault."""
    report(f"seed {options.seed}:")
    for number, fault in enumerate(options.plan, 1):
        report(f"{number:4} {fault.words}")


def run_chaos(stack: LocalStack, options: Options, report: Report) -> ChaosReport:
    """Kill, let recover, drain, archive and compare, on a stack whose `options.services` are up.

    Raises `NotBackError` when a process does not come back, `NotDrainedError` when rows do not flow again, and
    `ArchiveRunError` when archiving fails for good.
    """
    environment = stack.environment()
    settings = settings_from(Settings, environment)
    dagster = DagsterClient(settings.dagster.url, settings.dagster.password_file)
    runs = ArchiveRuns(dagster, options.seed) if options.has_dagster else None
    plan = options.plan
    connection_id = f"chaos-{time.time_ns()}"
    with worker() as writer, _flag(stack.layout.home / "run" / f"{connection_id}.stop") as stop:
        writing = writer.start(write_until, environment, connection_id, options.rows_per_s, stop)
        time.sleep(TRAFFIC_BEFORE_S)
        recoveries = _carry_out(plan, ProcessKiller(stack, runs, options.services, options.seed), report)
        _await_connector(KafkaConnect(settings.connect.url, settings.connect.certificate_file))
        stop.touch()
        acknowledged = writing.result(timeout=WRITER_BACK_S)
    report(f"{acknowledged} rows were acknowledged by Postgres beside those of the feed")
    reconciliation = Reconciliation.of(settings)
    if not reconciliation.drain(wait_s=DRAINED_WITHIN_S):
        raise NotDrainedError(
            f"Kafka does not show all of Postgres's rows after {DRAINED_WITHIN_S:g} s; "
            f"see `{stack.layout.logs_command('kafka_connect')}`"
        )
    if runs is None:
        if options.engine == "spark":
            # Nothing has asked Spark before: it needed not be waited for, nor survive.
            stack.up(services=(*stream_services(avro=options.avro), *archiving_targets()), report=report)
        archive_all(environment, settings.kafka)
    else:
        Retrying(retry=retry_if_exception_type(ArchiveRunError), stop=stop_after_attempt(3), wait=wait_fixed(5), reraise=True)(
            runs.archive_all
        )
    report("archived; comparing every row of Postgres, Kafka, ClickHouse and Iceberg, which takes minutes")
    comparison = reconciliation.run(lake_jobs(environment), wait_s=DRAINED_WITHIN_S)
    return ChaosReport(
        faults=plan,
        recoveries_s=recoveries,
        acknowledged_rows=acknowledged,
        found_rows=written_rows(environment, connection_id),
        interrupted_rows=written_rows(environment, INTERRUPTED),
        comparison=comparison,
    )


def _await_connector(connect: KafkaConnect) -> None:
    """Wait until the connector runs, also one with a failed task: it is to be restarted without a hand.

    Raises `NotBackError`.
    """

    def runs() -> bool:
        try:
            return connect.status(CONNECTOR).is_running
        except ConnectError:
            return False

    waiting = Retrying(retry=retry_if_result(lambda seen: not seen), wait=wait_fixed(1), stop=stop_after_delay(CONNECTOR_BACK_S))
    try:
        waiting(runs)
    except RetryError as error:
        raise NotBackError(
            f"the connector {CONNECTOR} does not run after {CONNECTOR_BACK_S:g} s: "
            f"{connect.status(CONNECTOR).failure or 'it has no failed task'}"
        ) from error


def _carry_out(plan: Sequence[Fault], executioner: ProcessKiller, report: Report) -> list[tuple[str, float]]:
    """Let happen what is planned; each victim is watched until it is back while the next ones die."""
    began = time.monotonic()
    watched: list[tuple[str, Future[float]]] = []
    # Of a freeze of everything each service is watched.
    with ThreadPoolExecutor(max_workers=len(SERVICES) * len(plan) or 1) as watchers:
        for number, fault in enumerate(plan, 1):
            time.sleep(fault.pause_s)
            for victim in executioner.carry_out(fault):
                which = "" if victim.process_id is None else f", process {victim.process_id}"
                report(f"{time.monotonic() - began:6.1f} s  {number:3} {fault.kind} {victim.name}{which}")
                watched.append((victim.name, watchers.submit(_watch, victim, report)))
        return [(name, recovery.result()) for name, recovery in watched]


def _watch(victim: Victim, report: Report) -> float:
    recovery_s = victim.recovery_s()
    report(f"              {victim.name} is back after {recovery_s:.1f} s")
    return recovery_s


@contextmanager
def _flag(file: Path) -> Iterator[Path]:
    """A file that is not there yet, and is gone afterwards."""
    file.unlink(missing_ok=True)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
