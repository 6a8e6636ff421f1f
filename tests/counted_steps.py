"""How much work a piece of code does, counted and not timed: the same on every machine, however busy it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Counted:
    """Instructions of Python's own machine. What a built-in function does within one call is one step."""

    steps: int = 0


@contextmanager
def counted_steps() -> Iterator[Counted]:
    """Count the instructions of everything that is called within the block."""
    counted = Counted()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted.steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield counted
    finally:
        sys.settrace(before)
