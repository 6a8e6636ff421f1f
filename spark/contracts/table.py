"""The vocabulary of contracts: `Table`, `Column`, `Input`, `Check`, `Vendor` and the few words they are made of.

A contract is the one place that names a column. The Iceberg schema, ClickHouse's tables, the Dagster column schema and
lineage, the audit before publishing, the data dictionary and the Open Data Contract export are all derived from it.
"""

from collections.abc import Mapping
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


@dataclass(frozen=True)
class Input:
    """A table that another is computed from, by its `layer.table` address, and how far beyond its own dates a row looks.

    `sessions_back` and `sessions_ahead` count sessions of the exchange before and after the row's, `months_back` calendar
    months before the row's month. All 0: rows of the same date, month or key.
    """

    address: str
    sessions_back: int = 0
    sessions_ahead: int = 0
    months_back: int = 0

    def __post_init__(self) -> None:
        if min(self.sessions_back, self.sessions_ahead, self.months_back) < 0:
            raise ValueError(f"{self.address}: a reach is a count of sessions or months, 0 or more")
        if self.months_back and (self.sessions_back or self.sessions_ahead):
            raise ValueError(f"{self.address}: a reach counts sessions or months, not both")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as data.

    `grain` is the primary key. `window` says which calendar its Dagster partitions follow and `window_column` which
    date column a write replaces by. `inputs` are what it is computed from.

    A table of the lake is written by the step of its own name, unless `written_with` names the table whose step writes this
    one too (a ledger of its rows), or `has_step` is false: many steps add to it, or people do. `rows_equal` is the
    address of a table of which it has a row for every row, on every date.
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
    inputs: tuple[Input, ...] = ()
    written_with: str | None = None
    has_step: bool = True
    rows_equal: str | None = None
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

    @property
    def step(self) -> str | None:
        """The address of the table whose step writes this one; None where no step alone does."""
        return (self.written_with or self.address) if self.has_step else None

    @property
    def input_addresses(self) -> tuple[str, ...]:
        """The addresses of what it is computed from, in order."""
        return tuple(each.address for each in self.inputs)

    def input(self, address: str) -> Input:
        """How much it reads of the table at `address`; raises `KeyError` naming what it reads."""
        for each in self.inputs:
            if each.address == address:
                return each
        raise KeyError(f"{self.address} reads no {address!r}; it reads {', '.join(self.input_addresses) or 'no table'}")

    def column(self, name: str) -> Column:
        """The column called `name`; raises `KeyError` naming the table and what exists."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.address} has no column {name!r}; it has {', '.join(self.column_names)}")


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """A source of data: its address, the terms of use in one sentence, the words to cite it with, and its own tables."""

    name: str
    url: str
    terms: str
    citation: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class JobInputs:
    """Inputs of the job that writes `table`."""

    table: Table


def upstream(table: Table, tables: Mapping[str, Table]) -> frozenset[str]:
    """Addresses of all tables `table` is computed from, directly or not; raises `KeyError` for an unknown input."""
    found: set[str] = set()
    waiting = [table]
    while waiting:
        new = set(waiting.pop().input_addresses) - found
        found |= new
        waiting.extend(tables[address] for address in new)
    return frozenset(found)
