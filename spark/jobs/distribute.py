"""How a pure kernel over one ticker's rows, or over any batch of rows, is spread over Spark's workers."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame

from spark.contracts.table import Table
from spark.schemas import arrow_schema, spark_schema

Kernel = Callable[[pl.DataFrame], pl.DataFrame]


def map_by_ticker(frame: DataFrame, kernel: Kernel, table: Table, order: tuple[str, ...]) -> DataFrame:
    """Apply `kernel` to each ticker's rows, sorted by `order`; the result has the contract's schema.

    A partition holds whole tickers and is handed over as Arrow: several times faster here than a grouped pandas map.
    """
    schema = arrow_schema(table)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        received = list(batches)
        if not received:
            return
        rows = _frame_of(pa.Table.from_batches(received))
        for one_ticker in rows.sort("ticker", *order).partition_by("ticker", maintain_order=True):
            yield from _batches(kernel(one_ticker), schema)

    return frame.repartition("ticker").mapInArrow(run, spark_schema(table))  # type: ignore[arg-type]


def map_by_key(frame: DataFrame, kernel: Kernel, table: Table, key: Sequence[str]) -> DataFrame:
    """Apply `kernel` to parts of the rows, each with all rows of its keys; the result has the contract's schema."""
    schema = arrow_schema(table)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        received = list(batches)
        if received:
            yield from _batches(kernel(_frame_of(pa.Table.from_batches(received))), schema)

    return frame.repartition(*key).mapInArrow(run, spark_schema(table))  # type: ignore[arg-type]


def map_batches(frame: DataFrame, kernel: Kernel, table: Table, spread_by: str) -> DataFrame:
    """Apply a row-wise `kernel` to batches of any rows, spread by a column; the result has the contract's schema.

    Without the spreading, every small file is a Python task of its own, at a quarter of a second each.
    """
    schema = arrow_schema(table)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield from _batches(kernel(_frame_of(pa.Table.from_batches([batch]))), schema)

    return frame.repartition(spread_by).mapInArrow(run, spark_schema(table))  # type: ignore[arg-type]


def _frame_of(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"expected a table from Spark, got {type(frame).__name__}")
    return frame


def _batches(rows: pl.DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    table: pa.Table = rows.select(schema.names).to_arrow().cast(schema)
    yield from table.to_batches()
