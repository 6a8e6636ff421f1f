"""How a pure kernel over one ticker's rows, or over any batch of rows, is carried out: ticker by ticker in this process, or
spread over Spark's workers.

A job says which rows of which snapshots its kernel is given (`Scan`). The kernel sees the same rows in the same order either way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows
from pyspark.sql import types as st

from spark.contracts import lake as contracts
from spark.contracts import silver
from spark.contracts.engine import require_room
from spark.contracts.table import Table
from spark.lake.expressions import as_sql
from spark.lake.storage import Lake
from spark.lake.write import Held, Rows
from spark.schemas import arrow_schema, spark_schema

Kernel = Callable[[pl.DataFrame], pl.DataFrame]
Together = Callable[[str, Mapping[str, pl.DataFrame]], pl.DataFrame]
AtOnce = Callable[[Mapping[str, pl.DataFrame]], pl.DataFrame]
Judge = Callable[[pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame]]
_Whole = Callable[[Mapping[str, pl.DataFrame], Sequence[str]], Iterator[pl.DataFrame]]

_INPUT, _ROWS, _REJECTED = "input", "rows", "rejected"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Rows of one snapshot of a table for which a filter is true, sorted by `order` within a ticker."""

    address: str
    snapshot_id: int
    where: BooleanExpression = AlwaysTrue()
    order: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """The contract."""
        return contracts.table(self.address)


def map_by_ticker(lake: Lake, scan: Scan, kernel: Kernel, table: Table) -> Rows:
    """What `kernel` makes of each ticker's rows; the result has the contract's schema."""
    return map_together(lake, {_ROWS: scan}, lambda _, frames: kernel(frames[_ROWS]), table)


def map_together(lake: Lake, scans: Mapping[str, Scan], kernel: Together, table: Table, tickers: Sequence[str] = ()) -> Rows:
    """What `kernel` makes of a ticker and its rows of several tables, given by the names of their scans.

    It is called for every ticker that has rows of the first table, and for all `tickers`, whether they have rows or not.
    """

    def by_ticker(frames: Mapping[str, pl.DataFrame], called_for: Sequence[str]) -> Iterator[pl.DataFrame]:
        parts = {
            name: {str(key[0]): part for key, part in rows.partition_by("ticker", as_dict=True).items()}
            for name, rows in frames.items()
        }
        for ticker in sorted({*next(iter(parts.values())), *called_for}):
            yield kernel(ticker, {name: parts[name].get(ticker, frames[name].clear()) for name in frames})

    return _mapped(lake, scans, by_ticker, table, tickers)


def map_tickers(lake: Lake, scans: Mapping[str, Scan], kernel: AtOnce, table: Table) -> Rows:
    """Like `map_together`, for a `kernel` that takes the rows of any number of tickers at once."""

    def at_once(frames: Mapping[str, pl.DataFrame], called_for: Sequence[str]) -> Iterator[pl.DataFrame]:
        yield kernel(frames)

    return _mapped(lake, scans, at_once, table, ())


@contextmanager
def judged_by_ticker(lake: Lake, scan: Scan, judge: Judge, table: Table) -> Iterator[tuple[Rows, pa.Table]]:
    """What `judge` makes of each ticker's rows: rows of the table, and rows of the quarantine. It is called once for each."""

    def by_ticker(rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        for one_ticker in rows.sort("ticker", *scan.order).partition_by("ticker", maintain_order=True):
            yield judge(one_ticker)

    with _judged(lake, scan, by_ticker, table, "ticker") as found:
        yield found


@contextmanager
def judged_by_batch(lake: Lake, scan: Scan, judge: Judge, table: Table, spread_by: str) -> Iterator[tuple[Rows, pa.Table]]:
    """Like `judged_by_ticker`, for a `judge` that looks at each row alone; on Spark the rows are spread by a column.

    Without the spreading, every small file is a Python task of its own, at a quarter of a second each.
    """

    def whole(rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        if rows.height:
            yield judge(rows)

    with _judged(lake, scan, whole, table, spread_by) as found:
        yield found


def map_by_key(frame: DataFrame, kernel: Kernel, table: Table, key: Sequence[str]) -> DataFrame:
    """Apply `kernel` to parts of the rows, each with all rows of its keys; the result has the contract's schema."""
    schema = arrow_schema(table)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        received = list(batches)
        if received:
            yield from _batches(kernel(_frame_of(pa.Table.from_batches(received))), schema)

    return frame.repartition(*key).mapInArrow(run, spark_schema(table))  # type: ignore[arg-type]


# In this process ------------------------------------------------------------------------------------------------------


def _here(lake: Lake, scans: Mapping[str, Scan]) -> dict[str, pl.DataFrame]:
    """The rows of all scans. Raises `InputTooLargeError` when their files tell of too many, before any is read."""
    found = {name: lake.scan(each.address, each.where, each.table.column_names, each.snapshot_id) for name, each in scans.items()}
    files = [task.file for each in found.values() for task in each.plan_files()]
    require_room(
        " and ".join(each.address for each in scans.values()),
        sum(file.record_count for file in files),
        sum(file.file_size_in_bytes for file in files),
    )
    return {name: _frame_of(each.to_arrow()) for name, each in found.items()}


def _mapped(lake: Lake, scans: Mapping[str, Scan], kernel: _Whole, table: Table, tickers: Sequence[str]) -> Rows:
    if lake.has_spark:
        return _mapped_on_spark(lake, scans, kernel, table, tickers)

    def mapped() -> pa.Table:
        frames = {name: rows.sort("ticker", *scans[name].order) for name, rows in _here(lake, scans).items()}
        return _table_of(list(kernel(frames, tickers)), arrow_schema(table))

    return Held(mapped)


def _table_of(frames: Sequence[pl.DataFrame], schema: pa.Schema) -> pa.Table:
    if not frames:
        return schema.empty_table()
    return pl.concat([frame.select(schema.names) for frame in frames], rechunk=False).to_arrow().cast(schema)


# On Spark -------------------------------------------------------------------------------------------------------------


def _on_spark(lake: Lake, scan: Scan) -> DataFrame:
    return lake.frame_at(scan.address, scan.snapshot_id).where(as_sql(scan.where)).select(*scan.table.column_names)


def _mapped_on_spark(lake: Lake, scans: Mapping[str, Scan], kernel: _Whole, table: Table, tickers: Sequence[str]) -> DataFrame:
    """All tables' rows in one frame, each in a column of its own, so that a partition holds all of a ticker.

    Rows are handed over as Arrow: several times faster here than a grouped pandas map.
    """
    names, schema = list(scans), arrow_schema(table)
    # Names of scans may have dots in them.
    columns = {name: f"of_{number}" for number, name in enumerate(names)}
    schemas = {name: spark_schema(scan.table) for name, scan in scans.items()}
    orders = {name: scan.order for name, scan in scans.items()}
    frames = [
        _on_spark(lake, scan).select(
            "ticker",
            F.lit(name).alias(_INPUT),
            *(
                (F.struct(*scan.table.column_names) if other == name else F.lit(None).cast(schemas[other])).alias(columns[other])
                for other in names
            ),
        )
        for name, scan in scans.items()
    ]
    if tickers:
        wanted = lake.spark.createDataFrame([(each,) for each in tickers], "ticker string")
        frames.append(
            wanted.select(
                "ticker", F.lit("").alias(_INPUT), *(F.lit(None).cast(schemas[name]).alias(columns[name]) for name in names)
            )
        )

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        received = list(batches)
        if not received:
            return
        rows = pa.Table.from_batches(received)
        frames = {}
        for name in names:
            own = rows.filter(pc.equal(rows[_INPUT], name))[columns[name]]
            part = _frame_of(
                pa.Table.from_batches(
                    [pa.RecordBatch.from_struct_array(each) for each in own.chunks], schema=pa.schema(list(own.type))
                )
            )
            frames[name] = part.sort("ticker", *orders[name])
        for made in kernel(frames, rows.filter(pc.equal(rows[_INPUT], ""))["ticker"].to_pylist()):
            yield from _batches(made, schema)

    together = reduce(DataFrame.unionByName, frames)
    return together.repartition("ticker").mapInArrow(run, spark_schema(table))  # type: ignore[arg-type]


@contextmanager
def _judged(
    lake: Lake,
    scan: Scan,
    judge: Callable[[pl.DataFrame], Iterator[tuple[pl.DataFrame, pl.DataFrame]]],
    table: Table,
    spread_by: str,
) -> Iterator[tuple[Rows, pa.Table]]:
    quarantine = silver.QUARANTINE
    schemas = {_ROWS: arrow_schema(table), _REJECTED: arrow_schema(quarantine)}
    if not lake.has_spark:
        pairs = list(judge(_here(lake, {_ROWS: scan})[_ROWS]))
        good = _table_of([rows for rows, _ in pairs], schemas[_ROWS])
        yield Held(lambda: good), _table_of([rejected for _, rejected in pairs], schemas[_REJECTED])
        return

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        received = list(batches)
        if not received:
            return
        for pair in judge(_frame_of(pa.Table.from_batches(received))):
            for name, frame in zip(schemas, pair, strict=True):
                for batch in _batches(frame, schemas[name]):
                    columns = {
                        each: batch.to_struct_array() if each == name else pa.nulls(batch.num_rows, pa.struct(schema))
                        for each, schema in schemas.items()
                    }
                    yield pa.RecordBatch.from_pydict(columns)

    shape = st.StructType([st.StructField(_ROWS, spark_schema(table)), st.StructField(_REJECTED, spark_schema(quarantine))])
    both = _on_spark(lake, scan).repartition(spread_by).mapInArrow(run, shape).persist()  # type: ignore[arg-type]
    try:
        rejected = both.where(f"{_REJECTED} is not null").select(f"{_REJECTED}.*").toArrow().cast(schemas[_REJECTED])
        yield both.where(f"{_ROWS} is not null").select(f"{_ROWS}.*"), rejected
    finally:
        both.unpersist()


def _frame_of(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"expected a table from the engine, got {type(frame).__name__}")
    return frame


def _batches(rows: pl.DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    table: pa.Table = rows.select(schema.names).to_arrow().cast(schema)
    yield from table.to_batches()
