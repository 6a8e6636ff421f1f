"""How much of the processors each service of a stack takes, its child processes included."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from deploy.local.stack import LocalStack


@dataclass(frozen=True)
class Reading:
    """Processor seconds by service so far, at a moment of the monotonic clock."""

    at_s: float
    cpu_s: Mapping[str, float]

    def shares_until(self, later: "Reading") -> dict[str, float]:
        """Cores taken on average between two readings by each service that both know; 1.0 is one core."""
        spent_s = later.at_s - self.at_s
        return {name: (cpu_s - self.cpu_s[name]) / spent_s for name, cpu_s in later.cpu_s.items() if name in self.cpu_s}


def read(stack: LocalStack) -> Reading:
    """The processor time of every running service of the stack."""
    cpu_s = {entry.name: _tree_s(entry.pid) for entry in stack.status() if entry.pid is not None}
    return Reading(time.monotonic(), cpu_s)


def _tree_s(process_id: int) -> float:
    """Seconds of a process, of its children, and of those that have ended and were waited for."""
    try:
        root = psutil.Process(process_id)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(_own_s(process) for process in processes) + _ended_s(root)


def _own_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _ended_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0))
