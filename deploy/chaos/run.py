"""`finlake chaos`: trades flow, processes are killed, everything recovers, and the engines are compared."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from deploy.bench.lake_steps import lake_jobs
from deploy.bench.ods_load import stream_of
from deploy.bench.temporary_lake import worker
from deploy.chaos.archiving import archive_all
from deploy.chaos.dagster_runs import ArchiveRunError, ArchiveRuns
from deploy.chaos.plan import DAGSTER_TARGETS, STREAM_TARGETS, Kill, Target, planned_kills
from deploy.chaos.traffic import INTERRUPTED, write_until, written_rows
from deploy.chaos.victims import Executioner, Victim
from deploy.cli.dagster_client import DagsterClient
from deploy.local.stack import LocalStack
from finlake_resources.connect import KafkaConnect
from finlake_resources.reconciliation.reconcile import build_reconciliation
from finlake_resources.reconciliation.report import ReconcileReport

Report = Callable[[str], None]

CONNECTOR = "finlake-ods"
STREAM_SERVICES = ("trade_feed", "clickhouse_sink", "kafka_connect", "spark_connect")
TRAFFIC_BEFORE_S = 2.0
CONNECTOR_BACK_S, WRITER_BACK_S, DRAINED_WITHIN_S = 180.0, 180.0, 180.0


class NotDrainedError(Exception):
    """Rows do not reach Kafka although everything runs again."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is killed. `has_dagster`: its daemon and a run are among the targets, and runs archive."""

    kills: int
    seed: int
    seconds_between: float = 5.0
    rows_per_s: int = 300
    has_dagster: bool = True

    @property
    def targets(self) -> Sequence[Target]:
        """What may be killed."""
        return (*STREAM_TARGETS, *DAGSTER_TARGETS) if self.has_dagster else STREAM_TARGETS


@dataclass(frozen=True, kw_only=True)
class ChaosReport:
    """What was killed, how long each took to be back, and what the engines hold afterwards.

    `acknowledged_rows` were committed by the writer, of which `found_rows` are in Postgres; `interrupted_rows` are rows of
    killed transactions that are there although they never were committed.
    """

    recoveries_s: Sequence[tuple[Target, float]]
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
        return Counter(target for target, _ in self.recoveries_s)

    def recovery_s(self, target: Target) -> tuple[float, float]:
        """Median and longest recovery of a target."""
        taken = [seconds for each, seconds in self.recoveries_s if each == target]
        return median(taken), max(taken)

    @property
    def verdict(self) -> str:
        """One line for people."""
        own = ""
        if self.found_rows != self.acknowledged_rows:
            own += f"; POSTGRES HOLDS {self.found_rows} OF {self.acknowledged_rows} ACKNOWLEDGED ROWS"
        if self.interrupted_rows:
            own += f"; {self.interrupted_rows} ROWS OF KILLED TRANSACTIONS ARE THERE"
        return f"{len(self.recoveries_s)} kills; {self.comparison.verdict}{own}"


def wreak(stack: LocalStack, options: Options, report: Report) -> ChaosReport:
    """Kill, let recover, drain, archive and compare, on a stack that is up.

    Raises `NotBackError` when a process does not come back, `NotDrainedError` when rows do not flow again, and
    `ArchiveRunError` when archiving fails for good.
    """
    environment = stack.environment()
    stream = stream_of(environment)
    dagster = DagsterClient(environment["FINLAKE_DAGSTER_URL"], stack.layout.dagster_web_password)
    runs = ArchiveRuns(dagster, options.seed) if options.has_dagster else None
    plan = planned_kills(options.kills, options.seed, options.targets, options.seconds_between)
    connection_id = f"chaos-{time.time_ns()}"
    with worker() as writer, _flag(stack.layout.home / "run" / f"{connection_id}.stop") as stop:
        writing = writer.start(write_until, environment, connection_id, options.rows_per_s, stop)
        time.sleep(TRAFFIC_BEFORE_S)
        recoveries = _carry_out(plan, Executioner(stack, runs), report)
        KafkaConnect(stream.connect_url, stream.connect_password_file).wait_until_running(CONNECTOR, CONNECTOR_BACK_S)
        stop.touch()
        acknowledged = writing.result(timeout=WRITER_BACK_S)
    report(f"{acknowledged} rows were acknowledged by Postgres beside those of the feed")
    reconciliation = build_reconciliation(stream)
    if not reconciliation.drain(wait_s=DRAINED_WITHIN_S):
        raise NotDrainedError(f"Kafka does not show all of Postgres's rows after {DRAINED_WITHIN_S:g} s; "
                              "see `finlake logs kafka_connect`")
    if runs is None:
        archive_all(environment, stream.kafka)
    else:
        Retrying(retry=retry_if_exception_type(ArchiveRunError), stop=stop_after_attempt(3), wait=wait_fixed(5),
                 reraise=True)(runs.archive_all)
    report("archived")
    comparison = reconciliation.run(lake_jobs(environment), wait_s=DRAINED_WITHIN_S)
    return ChaosReport(
        recoveries_s=recoveries, acknowledged_rows=acknowledged, found_rows=written_rows(environment, connection_id),
        interrupted_rows=written_rows(environment, INTERRUPTED), comparison=comparison)


def _carry_out(plan: Sequence[Kill], executioner: Executioner, report: Report) -> list[tuple[Target, float]]:
    """Kill as planned; each victim is watched until it is back while the next ones die."""
    began = time.monotonic()
    watched: list[tuple[Target, Future[float]]] = []
    with ThreadPoolExecutor(max_workers=len(plan) or 1) as watchers:
        for kill in plan:
            time.sleep(kill.pause_s)
            victim = executioner.kill(kill.target)
            report(f"{time.monotonic() - began:6.1f} s  killed {victim.target}, process {victim.process_id}")
            watched.append((victim.target, watchers.submit(_watch, victim, report)))
        return [(target, recovery.result()) for target, recovery in watched]


def _watch(victim: Victim, report: Report) -> float:
    recovery_s = victim.recovery_s()
    report(f"          {victim.target} is back after {recovery_s:.1f} s")
    return recovery_s


@contextmanager
def _flag(file: Path) -> Iterator[Path]:
    """A file that is not there yet, and is gone afterwards."""
    file.unlink(missing_ok=True)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
