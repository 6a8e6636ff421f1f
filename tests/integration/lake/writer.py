"""A process that replaces two windows over and over: `python -m tests.integration.lake.writer ROUNDS`.

Each write gives its window a new close; a line says when the first write is about to begin.
"""

import os
import sys
from datetime import date

from spark.contracts.report import Window
from tests.integration.lake.bars import ADDRESS, bars, frame
from tests.integration.lake.chain import PROVENANCE, jobs_of

# Both in one partition.
WINDOWS = (
    Window(start=date(2018, 3, 1), end=date(2018, 3, 10)),
    Window(start=date(2018, 3, 11), end=date(2018, 3, 31)),
)


def write(rounds: int) -> None:
    """Round n gives both windows the close n, one after the other."""
    lake = jobs_of(os.environ).lake()
    lake.spark.range(1).collect()
    print("writing", flush=True)
    for number in range(1, rounds + 1):
        for window in WINDOWS:
            rows = frame(lake, bars(window, float(number + 1)))
            lake.replace_window(ADDRESS, rows, window=window, provenance=PROVENANCE)


if __name__ == "__main__":
    write(int(sys.argv[1]))
