"""The vocabulary of contracts: `Table`, `Column`, `Check` and the few words they are made of.

A contract is the one place that names a column. The Iceberg schema, ClickHouse's tables, the Dagster column schema and
lineage, the audit before publishing, the data dictionary and the Open Data Contract export are all derived from it.
"""

from dataclasses import dataclass, field
from typing import Literal

Layer = Literal["bronze", "silver", "gold", "serving", "speed"]
ColumnType = Literal["string", "boolean", "int", "long", "double", "date", "timestamp", "list<string>"]
Severity = Literal["error", "warn"]
PartitionTransform = Literal["identity", "day", "month"]
WindowKind = Literal["session", "day", "stream_day", "month", "none"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its Iceberg type, its unit, whether it may be null, and where it comes from.

    `unit` is empty for names, keys and flags; "fraction" means 0.01 is one percent. `sources` are
    `layer.table.column` addresses the value is computed from (column lineage). `formula` states the definition and,
    for a published formula, its source.
    """

    name: str
    type: ColumnType
    note: str
    unit: str = ""
    nullable: bool = False
    sources: tuple[str, ...] = ()
    formula: str = ""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A named Spark SQL predicate that is true for every good row (null counts as true: use `is not null` to forbid it).

    A failed `error` check stops publication of the whole window; a failed `warn` check is reported only.
    """

    name: str
    predicate: str
    why: str
    severity: Severity = "error"


@dataclass(frozen=True, kw_only=True)
class Partitioning:
    """How files are laid out: Iceberg `transform` of `column`."""

    column: str
    transform: PartitionTransform


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """How late a table may be: hours after the close of a session (or the end of a day) by which its rows are due."""

    due_hours: int


@dataclass(frozen=True, kw_only=True)
class Table:
    """A lake table as data.

    `grain` is the primary key. `window` says which calendar its Dagster partitions follow and `window_column` which
    date column a write replaces by. `inputs` are the `layer.table` addresses it is computed from.
    """

    layer: Layer
    name: str
    summary: str
    grain: tuple[str, ...]
    columns: tuple[Column, ...]
    window: WindowKind
    window_column: str
    partitioning: Partitioning | None
    sort_order: tuple[str, ...]
    owner: str = "team:finlake"
    inputs: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    freshness: Freshness | None = None
    retention_days: int | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def address(self) -> str:
        """`layer.table`: the name in Iceberg, in SQL and, split at the dot, the Dagster asset key."""
        return f"{self.layer}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """All column names in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; raises `KeyError` naming the table and what exists."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.address} has no column {name!r}; it has {', '.join(self.column_names)}")
