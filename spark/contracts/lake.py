"""All tables of the lake, by address."""

from spark.contracts import gold, silver
from spark.contracts.attribution import BRONZE_TABLES
from spark.contracts.table import Table, WindowKind, upstream

TABLES: dict[str, Table] = {table.address: table for table in (*BRONZE_TABLES, *silver.TABLES, *gold.TABLES)}

STEPS: tuple[Table, ...] = tuple(each for each in TABLES.values() if each.step == each.address)
"""The tables that have a step, a job and an asset of their own, in the order of layers."""


def table(address: str) -> Table:
    """The contract of `layer.table`; raises `KeyError` that lists what exists."""
    try:
        return TABLES[address]
    except KeyError:
        raise KeyError(f"no table {address!r} in the lake; it has {', '.join(sorted(TABLES))}") from None


def written_by(step: str) -> tuple[Table, ...]:
    """The tables that the step of the table at this address writes, its own first."""
    return tuple(sorted((each for each in TABLES.values() if each.step == step), key=lambda each: each.address != step))


def of_window(window: WindowKind) -> tuple[str, ...]:
    """Addresses of the tables of a calendar that a step writes."""
    return tuple(each.address for each in TABLES.values() if each.window == window and each.step)


def sources_of(address: str) -> frozenset[str]:
    """Addresses of all tables that a table is computed from, directly or not."""
    return upstream(table(address), TABLES)


def readers_of(address: str) -> frozenset[str]:
    """Addresses of all tables that are computed from a table, directly or not."""
    return frozenset(each for each in TABLES if address in sources_of(each))
