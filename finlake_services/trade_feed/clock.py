"""The time of receipt."""

import time
from collections.abc import Callable
from dataclasses import dataclass


def wall_us() -> int:
    """Unix microseconds of the machine's clock."""
    return time.time_ns() // 1_000


@dataclass
class ReceiveClock:
    """Unix microseconds that always grow within a process, also when the machine's clock is set back."""

    read_us: Callable[[], int] = wall_us
    last_us: int = 0

    def now_us(self) -> int:
        """Now, at least one microsecond after the last answer."""
        self.last_us = max(self.read_us(), self.last_us + 1)
        return self.last_us
