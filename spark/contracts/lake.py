"""All tables of the lake, by address."""

from spark.contracts import bronze, gold, silver
from spark.contracts.table import Table

TABLES: dict[str, Table] = {table.address: table for table in (*bronze.TABLES, *silver.TABLES, *gold.TABLES)}


def table(address: str) -> Table:
    """The contract of `layer.table`; raises `KeyError` that lists what exists."""
    try:
        return TABLES[address]
    except KeyError:
        raise KeyError(f"no table {address!r} in the lake; it has {', '.join(sorted(TABLES))}") from None
