"""Contracts as Polars schemas: what every Polars transform returns."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spark.contracts.table import ColumnType, Table

_TYPES: Mapping[ColumnType, pl.DataType] = {
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "double": pl.Float64(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us", "UTC"),
    "list<string>": pl.List(pl.String()),
}


def polars_schema(table: Table) -> dict[str, pl.DataType]:
    """Column name to Polars type in contract order; timestamps are microseconds in UTC."""
    return {column.name: _TYPES[column.type] for column in table.columns}


def conform(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """`frame` with exactly the contract's columns, in its order and types.

    Raises `polars.exceptions.ColumnNotFoundError` for a missing column, `InvalidOperationError` for a value that does
    not fit its type.
    """
    return frame.select(pl.col(name).cast(kind) for name, kind in polars_schema(table).items())


def assemble(columns: Mapping[str, pl.Series | NDArray[np.generic]], table: Table) -> pl.DataFrame:
    """A frame of the contract's columns, in its order and types, from columns of equal length; NaN becomes null.

    Series are made one by one: given arrays, Polars starts a pool of threads per frame, which costs more than the
    arithmetic of a ticker. Raises `KeyError` for a missing column.
    """
    return pl.DataFrame(
        [pl.Series(name, columns[name], dtype=kind, nan_to_null=True) for name, kind in polars_schema(table).items()]
    )
