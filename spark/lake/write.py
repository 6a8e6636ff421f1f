"""A write: rows and what they replace, before anything of it is done.

Does not belong here: how it is done (publish.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa
from pyiceberg.expressions import AlwaysFalse, And, BooleanExpression
from pyiceberg.table import Table as IcebergTable

from spark.contracts.report import Provenance, TableReport, Window
from spark.contracts.table import Table
from spark.lake.expressions import between
from spark.lake.snapshots import Progress, positions_of, was_built_so


class Rows(Protocol):
    """Rows that are there or can be computed: a Spark frame, or what `Held` makes of rows in memory."""

    def toArrow(self) -> pa.Table:  # noqa: N802 - the name in pyspark
        """All of them, in memory."""


@dataclass(frozen=True)
class Held:
    """Rows in memory, or what computes them when they are first asked for."""

    compute: Callable[[], pa.Table]
    _computed: list[pa.Table] = field(default_factory=list, repr=False, compare=False)

    def toArrow(self) -> pa.Table:  # noqa: N802 - see Rows
        """The rows; computed once."""
        if not self._computed:
            self._computed.append(self.compute())
        return self._computed[0]


@dataclass(frozen=True, kw_only=True)
class Write:
    """Rows of a table and what they replace: `rows_on` gives them, for the snapshot on top of which they will be.

    `window` are the dates that the report names, and of a table that is built window by window the rows replaced: then equal
    rows are audited and not published. `audited` says where else a row might stand that one of the new rows contradicts, where
    the dates alone would be too many. `summary` is what the snapshot will say of itself; `progress` how far into the stream the
    table stands with it.
    """

    table: Table
    rows_on: Callable[[int], Rows]
    replaced: BooleanExpression
    provenance: Provenance
    summary: Mapping[str, str]
    window: Window | None = None
    is_window_build: bool = False
    audited: BooleanExpression | None = None
    progress: Progress | None = None

    @property
    def only_adds(self) -> bool:
        """Whether no row is replaced."""
        return bool(self.replaced == AlwaysFalse())

    def scope(self, window: Window | None) -> BooleanExpression:
        """The rows that an audit looks at."""
        parts = [
            each
            for each in (None if window is None else between(self.table.window_column, window), self.audited)
            if each is not None
        ]
        return And(*parts) if len(parts) > 1 else parts[0] if parts else AlwaysFalse()


def count_if_there(table: IcebergTable, write: Write) -> int | None:
    """Rows of a write that needs not be computed, because the table says that it has them; None when it does not say so."""
    if write.is_window_build:
        if any(name.startswith("finlake.input.") for name in write.summary) and was_built_so(table, write.summary):
            return int(table.scan(row_filter=write.replaced).count())
        return None
    return 0 if write.only_adds and write.progress is not None and shows_progress(table, write) else None


def shows_progress(table: IcebergTable, write: Write) -> bool:
    """Whether the table stands as far in the stream as the write would bring it."""
    return write.progress is None or write.progress.is_shown_by(positions_of(table))


def unchanged(write: Write, base: int, count: int) -> TableReport:
    """The report of a write whose rows are there already."""
    return TableReport(address=write.table.address, row_count=count, snapshot_id=base, is_changed=False, window=write.window)
