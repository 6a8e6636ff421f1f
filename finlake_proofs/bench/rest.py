"""What the stack takes while nothing is asked of it: cores and memory by service, the supervisor included."""

import time
from dataclasses import dataclass

import psutil

from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_proofs.bench.processor_time import Reading, read

CORES_LIMIT = 0.25
"""Of one core, for the whole stack with its samples of ten trades a second."""

SUPERVISOR = "supervisord"
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class RestReport:
    """Cores by service over `seconds`, and resident memory in MiB at their end."""

    seconds: float
    cores: dict[str, float]
    memory_mib: dict[str, float]

    @property
    def total_cores(self) -> float:
        """Cores of the whole stack."""
        return sum(self.cores.values())

    @property
    def is_met(self) -> bool:
        """Whether the stack takes no more than the limit."""
        return self.total_cores <= CORES_LIMIT

    @property
    def verdict(self) -> str:
        """One line for people."""
        return (
            f"{self.total_cores:.2f} of a core and {sum(self.memory_mib.values()) / 1024:.1f} GiB over {self.seconds:.0f} s "
            f"at rest; {CORES_LIMIT} of a core are allowed"
        )


def measure(stack: LocalStack, seconds: float) -> RestReport:
    """Watch a stack that is up for some seconds. Raises ValueError when none of it runs."""
    began = _reading(stack)
    if not began.cpu_s:
        raise ValueError(f"no service of the stack in {stack.layout.home} runs; run `finlake up`")
    time.sleep(seconds)
    ended = _reading(stack)
    memory = {name: _memory_mib(process_id) for name, process_id in _process_ids(stack).items()}
    return RestReport(seconds=ended.at_s - began.at_s, cores=began.shares_until(ended), memory_mib=memory)


def _reading(stack: LocalStack) -> Reading:
    services = read(stack)
    own = _supervisor(stack)
    if own is None:
        return services
    times = own.cpu_times()
    return Reading(services.at_s, {**services.cpu_s, SUPERVISOR: float(times.user + times.system)})


def _process_ids(stack: LocalStack) -> dict[str, int]:
    return {entry.name: entry.pid for entry in stack.status() if entry.pid is not None}


def _supervisor(stack: LocalStack) -> psutil.Process | None:
    return next((each for each in Supervisor(stack.layout).leftovers() if _is_supervisor(each)), None)


def _is_supervisor(process: psutil.Process) -> bool:
    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.NoSuchProcess:
        # A step of a run, for one, that has ended since.
        return False


def _memory_mib(process_id: int) -> float:
    """Resident memory of a process and its children; pages that they share count for each."""
    try:
        root = psutil.Process(process_id)
        return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)]) / MIB
    except psutil.NoSuchProcess:
        return 0.0
