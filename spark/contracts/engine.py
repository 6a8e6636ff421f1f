"""What computes the lake's tables, and how much the engine of one machine may be given at once."""

from typing import Literal

Engine = Literal["embedded", "spark"]
"""`embedded`: Sail, in the process that runs the job, for data that fit into one machine's memory. `spark`: Apache Spark."""

MOST_ROWS, MOST_FILE_BYTES = 3_000_000, 256 * 1024 * 1024
"""Of the input of one embedded job, as its files tell before they are read. docs/benchmarks.md has the memory of 629,000 bars;
texts take some times as much in memory as in a file."""


class InputTooLargeError(Exception):
    """A job's input is more than the embedded engine takes; nothing was read."""

    def __init__(self, what: str, row_count: int, file_bytes: int) -> None:
        super().__init__(
            f"{what}: {row_count:,} rows in {file_bytes / 1e6:,.0f} MB of files would have to be in memory at once, and the "
            f"embedded engine takes at most {MOST_ROWS:,} rows and {MOST_FILE_BYTES / 1e6:,.0f} MB. Nothing was read. Run it "
            "over a shorter span, or on Apache Spark: FINLAKE_ENGINE=spark"
        )


def require_room(what: str, row_count: int, file_bytes: int = 0) -> None:
    """Raise `InputTooLargeError` for an input that the embedded engine does not take."""
    if row_count > MOST_ROWS or file_bytes > MOST_FILE_BYTES:
        raise InputTooLargeError(what, row_count, file_bytes)
