"""Rows in files and out of them: which files of a table a write touches, and the files that take their place.

Belongs here: reading what has to be kept, sorting, cutting by partition, writing. Does not belong here: checks and commits
(publish.py). Until a commit names them, files are nothing to any reader.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysFalse, AlwaysTrue, BooleanExpression
from pyiceberg.expressions.visitors import bind
from pyiceberg.io.pyarrow import ArrowScan, expression_to_pyarrow, pyarrow_to_schema, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import FileScanTask, WriteTask
from pyiceberg.table import Table as IcebergTable

from spark.contracts.table import Table
from spark.lake.later_columns import ScanByTodaysColumns
from spark.schemas import arrow_schema

FILE_ROWS = 1_000_000
"""Rows of one file at most: a partition with more has several."""
PARTITIONS_AT_ONCE = 8
"""How many partitions are cut out of the rows at a time, so that a write over many months does not hold all rows twice."""


@dataclass(frozen=True, kw_only=True)
class Touched:
    """What a filter finds in a table: its rows, the files that hold any, and the other rows of these files."""

    matched: pa.Table
    files: Sequence[DataFile]
    kept: pa.Table


def touched_by(table: IcebergTable, replaced: BooleanExpression, contract: Table, snapshot_id: int) -> Touched:
    """What a write that replaces these rows of a snapshot has to deal with; columns are the contract's."""
    schema = arrow_schema(contract)
    matched, kept, files = [schema.empty_table()], [schema.empty_table()], []
    if replaced == AlwaysFalse():
        return Touched(matched=matched[0], files=(), kept=kept[0])
    scan = _scan(table, replaced, contract, snapshot_id)
    condition = is_true(table, replaced)
    for task in scan.plan_files():
        found = _read(table, contract, replaced, [task])
        if not found.num_rows:
            continue
        matched.append(found)
        files.append(task.file)
        if found.num_rows < task.file.record_count:
            kept.append(_read(table, contract, AlwaysTrue(), [task]).filter(~condition | condition.is_null()))
    return Touched(matched=pa.concat_tables(matched), files=tuple(files), kept=pa.concat_tables(kept))


def read_files(table: IcebergTable, contract: Table, files: Sequence[DataFile]) -> pa.Table:
    """All rows of some data files, with the contract's columns."""
    return _read(table, contract, AlwaysTrue(), [FileScanTask(each) for each in files])


def is_true(table: IcebergTable, expression: BooleanExpression) -> pc.Expression:
    """An Iceberg filter as a condition on Arrow rows of the table."""
    return expression_to_pyarrow(bind(table.schema(), expression, case_sensitive=True), table.schema())


def write_rows(table: IcebergTable, rows: pa.Table, contract: Table) -> list[DataFile]:
    """New data files of these rows (contract columns), in the contract's order; a file belongs to one partition."""
    metadata, schema = table.metadata, pyarrow_to_schema(rows.schema, name_mapping=table.schema().name_mapping)
    write_id, number = uuid4(), count()
    written: list[DataFile] = []
    cut = _by_partition(table, rows, contract)
    while part := list(islice(cut, PARTITIONS_AT_ONCE)):
        tasks = (
            WriteTask(
                write_uuid=write_id, task_id=next(number), schema=schema, record_batches=taken.to_batches(), partition_key=key
            )
            for key, taken in part
        )
        written += write_file(table.io, metadata, tasks)
    return written


def _by_partition(table: IcebergTable, rows: pa.Table, contract: Table) -> Iterator[tuple[PartitionKey | None, pa.Table]]:
    """The rows partition by partition, each sorted, with the partition's key; None where there are no partitions."""
    if not rows.num_rows:
        return
    keys: dict[str, pa.Array] = {}
    for each in table.spec().fields:
        source = table.schema().find_field(each.source_id)
        keys[each.name] = each.transform.pyarrow_transform(source.field_type)(rows[source.name])
    # Names of partition fields end with their transform, which no column's name does.
    sorted_by = [*keys, *contract.sort_order]
    columns = {**{name: rows[name] for name in contract.sort_order}, **keys}
    order = pc.sort_indices(
        pa.table([columns[name] for name in sorted_by], names=sorted_by), sort_keys=[(name, "ascending") for name in sorted_by]
    )
    for first, end in _runs([pc.take(column, order) for column in keys.values()], rows.num_rows):
        values = {name: column[order[first].as_py()].as_py() for name, column in keys.items()}
        for start in range(first, end, FILE_ROWS):
            yield _partition_key(table, values), rows.take(order.slice(start, min(end - start, FILE_ROWS)))


def _runs(columns: Sequence[pa.Array], row_count: int) -> Iterator[tuple[int, int]]:
    """Where stretches of equal values begin and end."""
    changes = np.zeros(max(row_count - 1, 0), dtype=bool)
    for column in columns:
        values = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).dictionary_encode(
            null_encoding="encode"
        )
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        codes = values.indices.to_numpy(zero_copy_only=False)
        changes |= codes[1:] != codes[:-1]
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), row_count]
    yield from zip(edges[:-1], edges[1:], strict=True)


def _partition_key(table: IcebergTable, values: Mapping[str, Any]) -> PartitionKey | None:
    spec = table.spec()
    if spec.is_unpartitioned():
        return None
    return PartitionKey(
        field_values=[PartitionFieldValue(field=each, value=values[each.name]) for each in spec.fields],
        partition_spec=spec,
        schema=table.schema(),
    )


def _scan(table: IcebergTable, row_filter: BooleanExpression, contract: Table, snapshot_id: int) -> ScanByTodaysColumns:
    return ScanByTodaysColumns(
        table.metadata, table.io, row_filter=row_filter, selected_fields=contract.column_names, snapshot_id=snapshot_id
    )


def _read(table: IcebergTable, contract: Table, row_filter: BooleanExpression, tasks: Sequence[Any]) -> pa.Table:
    schema = table.schema().select(*contract.column_names)
    found = ArrowScan(table.metadata, table.io, schema, row_filter).to_table(tasks)
    return found.select(list(contract.column_names)).cast(arrow_schema(contract))
