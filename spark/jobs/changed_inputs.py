"""Rows that stand on inputs which have changed since are built again by the next run of their table, whatever its window.

A run for an early piece of history can change later rows of a recursive table. Tables that read it, and are run for the
same early piece, would not notice: here they look what has changed since they were last built.
"""

from collections.abc import Mapping
from datetime import timedelta

from spark.contracts.report import Window
from spark.contracts.table import Table
from spark.lake.storage import Lake


def widened_to_changed_inputs(lake: Lake, table: Table, window: Window, inputs: Mapping[str, int], reach_days: int = 0) -> Window:
    """The window, widened to the rows of `table` whose `inputs` (snapshots by address) have changed since its last write.

    `reach_days` is how many calendar days after its own date an input still counts for a row. Dates that the table has no
    rows of were never asked for: they are not added.
    """
    changed = lake.changed_since_built(table.address, inputs)
    if changed is None:
        return window
    if not reach_days and window.start <= changed.start and changed.end <= window.end:
        # The usual day: what changed is what the run is for, and no file has to be listed to know it.
        return window
    built = lake.built(table.address)
    if built is None:
        return window
    # All dates must not be added to.
    reached = built.end if changed.end >= built.end else min(changed.end + timedelta(days=reach_days), built.end)
    start = max(changed.start, built.start)
    if reached < start:
        return window
    return Window(start=min(start, window.start), end=max(reached, window.end))
