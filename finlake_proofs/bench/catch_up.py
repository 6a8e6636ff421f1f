"""`finlake bench catch-up`: a part of the stream was away for an hour; how soon does it catch up, and in how much memory?

On a stack of its own. A part is stopped, an hour's trades are committed meanwhile, and the part starts again. At the end
Postgres, Kafka and ClickHouse are compared row by row, and candles and windows are recomputed.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from deploy.local.kafka import BROKER_HEAP_MB, CONNECT_HEAP_MB
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_clients.clickhouse.connection import reader
from finlake_proofs.bench.ods_load import Load, write_past_trades
from finlake_proofs.bench.temporary_lake import Worker, temporary_stack, worker
from finlake_reconciliation.reconcile import Reconciliation
from finlake_reconciliation.report import ReconcileReport
from finlake_services.clickhouse_local import memory as clickhouse_memory
from finlake_services.clickhouse_sink import memory as sink_memory
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.speed import STOCK_REALTIME

if TYPE_CHECKING:
    from rich.table import Table

Report = Callable[[str], None]

PARTS = ("clickhouse_sink", "kafka_connect")
# What a process may take altogether: the sink's own setting; the heap and what a JVM needs beside it; the engine's limit
# for statements and what it needs beside it.
MEMORY_CAP_MB: Mapping[str, int] = {
    "clickhouse_sink": sink_memory.DEFAULT_MEMORY_MB,
    "kafka_connect": CONNECT_HEAP_MB + 400,
    "kafka": BROKER_HEAP_MB + 400,
    "clickhouse": clickhouse_memory.DEFAULT_MEMORY_MB + 600,
}
LOOK_S = 0.5
SLOWEST_ROWS_PER_S = 500
"""Patience ends when fewer rows than this arrive per second on average."""
COMPARED_WITHIN_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Absence:
    """The trades that a part misses: so many per second, for so long."""

    rows_per_s: int
    minutes: int

    @property
    def row_count(self) -> int:
        """Trades in all."""
        return self.rows_per_s * self.minutes * 60


@dataclass(frozen=True, kw_only=True)
class CatchUp:
    """What happened when `part` came back: rows of the backlog that arrived in ClickHouse, and the peak memory of processes."""

    part: str
    row_count: int
    arrived_count: int
    seconds: float
    peak_mb: Mapping[str, float]

    @property
    def rows_per_s(self) -> float:
        """Rate of catching up, the start of the part included."""
        return self.arrived_count / self.seconds

    @property
    def objections(self) -> list[str]:
        """What is wrong: rows that did not arrive or are there twice, processes that took more memory than they may."""
        missing = self.row_count - self.arrived_count
        wrong = [f"{abs(missing)} rows {'missing' if missing > 0 else 'too many'} after {self.part} was away"] if missing else []
        over = [(name, self.peak_mb.get(name, 0), cap_mb) for name, cap_mb in MEMORY_CAP_MB.items()]
        return wrong + [f"{name} took {peak:.0f} MB of {cap_mb}" for name, peak, cap_mb in over if peak > cap_mb]


@dataclass(frozen=True, kw_only=True)
class CatchUpResult:
    """Both absences, and the comparison of the engines after them."""

    absence: Absence
    parts: tuple[CatchUp, ...]
    comparison: ReconcileReport

    @property
    def is_met(self) -> bool:
        """Whether nothing was lost or doubled, within the memory caps."""
        return self.comparison.is_proven and not any(part.objections for part in self.parts)

    @property
    def verdict(self) -> str:
        """One line for people."""
        return "; ".join([objection for part in self.parts for objection in part.objections] + [self.comparison.verdict])


def measure(absence: Absence, jars: Path, report: Report) -> CatchUpResult:
    """Let each part miss the trades once, in one temporary stack, and compare the engines."""
    with temporary_stack(jars, PARTS, report) as stack, worker() as writer:
        parts = tuple(_miss(part, stack, writer, absence, report) for part in PARTS)
        comparison = Reconciliation.of(settings_from(Settings, stack.environment())).run(None, wait_s=COMPARED_WITHIN_S)
    return CatchUpResult(absence=absence, parts=parts, comparison=comparison)


def results_table(result: CatchUpResult) -> "Table":
    """One row per absence."""
    from rich.table import Table

    view = Table(title=f"{result.absence.minutes} min of {result.absence.rows_per_s} trades/s missed", title_justify="left")
    for heading in ("away", "rows missed", "arrived", "within s", "rows/s"):
        view.add_column(heading, justify="left" if heading == "away" else "right")
    for part in result.parts:
        view.add_row(part.part, f"{part.row_count}", f"{part.arrived_count}", f"{part.seconds:.0f}", f"{part.rows_per_s:.0f}")
    return view


def memory_lines(result: CatchUpResult) -> Iterator[str]:
    """Each process's peak of resident memory, beside what it may take."""
    for part in result.parts:
        peaks = ", ".join(f"{name} {part.peak_mb.get(name, 0):.0f} of {cap_mb}" for name, cap_mb in MEMORY_CAP_MB.items())
        yield f"peak memory in MB after {part.part} was away: {peaks}"


def _miss(part: str, stack: LocalStack, writer: Worker, absence: Absence, report: Report) -> CatchUp:
    Supervisor(stack.layout).stop(part)
    load = Load(connection_id=f"away-{time.time_ns()}", rows_per_s=absence.rows_per_s, seconds=absence.minutes * 60)
    written = writer.call(write_past_trades, stack.environment(), load)
    report(f"{part} is away; {written.row_count} rows were committed in {written.seconds:.0f} s")
    began = time.monotonic()
    stack.up(services=(part,))
    arrived_count, peak_mb = _watch(stack, load.connection_id, written.row_count)
    caught_up = CatchUp(
        part=part, row_count=written.row_count, arrived_count=arrived_count, seconds=time.monotonic() - began, peak_mb=peak_mb
    )
    report(f"{part} is back: {arrived_count} rows arrived in {caught_up.seconds:.0f} s")
    return caught_up


def _watch(stack: LocalStack, connection_id: str, row_count: int) -> tuple[int, dict[str, float]]:
    """Rows that arrived, and the peaks of resident memory until then, in MB by service."""
    peak_mb: dict[str, float] = defaultdict(float)
    query = f"SELECT count() FROM {STOCK_REALTIME.address} WHERE connection_id = {{connection_id:String}}"
    deadline = time.monotonic() + row_count / SLOWEST_ROWS_PER_S + COMPARED_WITHIN_S
    with reader(settings_from(Settings, stack.environment()).clickhouse) as client:
        while True:
            for name, resident_mb in _resident_mb(stack).items():
                peak_mb[name] = max(peak_mb[name], resident_mb)
            arrived_count = int(client.query(query, parameters={"connection_id": connection_id}).result_rows[0][0])
            if arrived_count >= row_count or time.monotonic() > deadline:
                return arrived_count, dict(peak_mb)
            time.sleep(LOOK_S)


def _resident_mb(stack: LocalStack) -> dict[str, float]:
    found = {}
    for entry in stack.status():
        try:
            found[entry.name] = psutil.Process(entry.pid).memory_info().rss / 1e6 if entry.pid else 0.0
        except psutil.NoSuchProcess:
            continue
    return found
