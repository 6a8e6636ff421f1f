"""Frames in the contract's shape."""

import numpy as np
import polars as pl
import pytest
from polars.exceptions import ColumnNotFoundError

from spark.contracts.gold import ML_LABELS
from spark.contracts.lake import TABLES
from spark.transforms.polars_schema import assemble, conform, polars_schema


def test_every_table_of_the_lake_has_a_polars_schema_that_arrow_can_carry() -> None:
    for table in TABLES.values():
        empty = pl.DataFrame(schema=polars_schema(table))
        assert tuple(empty.to_arrow().column_names) == table.column_names


def test_a_conformed_frame_has_the_contracts_columns_order_and_types() -> None:
    columns = {name: pl.Series([None]) for name in reversed(ML_LABELS.column_names)}
    frame = conform(pl.DataFrame({"surplus": [1], **columns}), ML_LABELS)
    assert frame.schema == polars_schema(ML_LABELS)
    with pytest.raises(ColumnNotFoundError):
        conform(frame.drop("entry_date"), ML_LABELS)


def test_undefined_numbers_become_null() -> None:
    columns = {
        name: np.array([np.nan, 2.0]) if name.endswith("return") else pl.Series([None, None]) for name in ML_LABELS.column_names
    }
    frame = assemble(columns, ML_LABELS)
    assert frame.schema == polars_schema(ML_LABELS)
    assert frame["tradable_return"].to_list() == [None, 2.0]
