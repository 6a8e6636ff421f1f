"""Columns that a table has gained after one of its snapshots: rows read as of that snapshot have them as null.

Both engines read a named snapshot with the columns of its time, so that a job which knows a new column would fail on an input
that was pinned before the upgrade that brought it.
"""

from functools import cached_property

from pyiceberg.schema import Schema
from pyiceberg.table import DataScan, FileScanTask
from pyiceberg.table import Table as IcebergTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts.table import Table
from spark.schemas import spark_schema


class ScanByTodaysColumns(DataScan):
    """A scan of any snapshot that shows the columns which the table has today. Its files are looked up once."""

    @cached_property
    def _planned(self) -> list[FileScanTask]:
        return list(super().plan_files())

    def plan_files(self) -> list[FileScanTask]:
        """The files with rows that may match."""
        return self._planned

    def projection(self) -> Schema:
        """The columns asked for, by the table's schema and not the snapshot's."""
        schema = self.table_metadata.schema()
        if "*" in self.selected_fields:
            return schema
        return schema.select(*self.selected_fields, case_sensitive=self.case_sensitive)


def lacks_columns(table: IcebergTable, snapshot_id: int) -> bool:
    """Whether a snapshot is of a time when the table had other columns than today."""
    snapshot = table.snapshot_by_id(snapshot_id)
    return snapshot is not None and snapshot.schema_id != table.schema().schema_id


def with_later_columns(frame: DataFrame, contract: Table) -> DataFrame:
    """A frame with the contract's columns that it lacks, as nulls of their declared types."""
    lacking = {
        field.name: F.lit(None).cast(field.dataType) for field in spark_schema(contract).fields if field.name not in frame.columns
    }
    return frame.withColumns(lacking) if lacking else frame
