"""Contracts translated for the engines: Iceberg schema and partition spec, Arrow schema, Spark schema.

Every column is optional in the engines' schemas: that a required column is filled is proven by the audit, so that a
bad row can be looked at on its branch instead of failing somewhere inside a writer.
"""

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from pyspark.sql import types as st

from spark.contracts.table import ColumnType, Table

_ARROW: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "list<string>": pa.list_(pa.string()),
}
_SPARK: dict[ColumnType, st.DataType] = {
    "string": st.StringType(),
    "boolean": st.BooleanType(),
    "int": st.IntegerType(),
    "long": st.LongType(),
    "double": st.DoubleType(),
    "date": st.DateType(),
    "timestamp": st.TimestampType(),
    "list<string>": st.ArrayType(st.StringType()),
}
_ICEBERG: dict[ColumnType, IcebergType] = {
    "string": StringType(),
    "boolean": BooleanType(),
    "int": IntegerType(),
    "long": LongType(),
    "double": DoubleType(),
    "date": DateType(),
    "timestamp": TimestamptzType(),
}
_TRANSFORMS = {"identity": IdentityTransform, "day": DayTransform, "month": MonthTransform}


def arrow_schema(table: Table) -> pa.Schema:
    """Arrow schema in contract order; timestamps are microseconds in UTC."""
    return pa.schema([pa.field(column.name, _ARROW[column.type]) for column in table.columns])


def spark_schema(table: Table) -> st.StructType:
    """Spark schema in contract order."""
    return st.StructType([st.StructField(column.name, _SPARK[column.type]) for column in table.columns])


def iceberg_schema(table: Table) -> Schema:
    """Iceberg schema in contract order with fresh field ids; unit and note become the column comment."""
    fields, next_id = [], len(table.columns) + 1
    for position, column in enumerate(table.columns, start=1):
        if column.type == "list<string>":
            kind: IcebergType = ListType(element_id=next_id, element_type=StringType(), element_required=False)
            next_id += 1
        else:
            kind = _ICEBERG[column.type]
        comment = f"{column.note} [{column.unit}]" if column.unit else column.note
        fields.append(NestedField(field_id=position, name=column.name, field_type=kind, required=False, doc=comment))
    return Schema(*fields)


def partition_spec(table: Table, schema: Schema) -> PartitionSpec:
    """Iceberg partition spec of the contract's layout."""
    if table.partitioning is None:
        return PartitionSpec()
    layout = table.partitioning
    return PartitionSpec(
        PartitionField(
            source_id=schema.find_field(layout.column).field_id,
            field_id=1000,
            transform=_TRANSFORMS[layout.transform](),
            name=f"{layout.column}_{layout.transform}",
        )
    )


def sort_order(table: Table, schema: Schema) -> SortOrder:
    """Iceberg sort order of the contract."""
    return SortOrder(
        *(SortField(source_id=schema.find_field(name).field_id, transform=IdentityTransform()) for name in table.sort_order)
    )
