"""The audit of rows: a contract's checks and a fingerprint, over any frame that has the contract's columns.

Does not belong here: which rows are audited, and what follows from it (spark/lake/storage.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts.report import CheckOutcome
from spark.contracts.table import Check, Table

SAMPLE_ROWS = 10


@dataclass(frozen=True, kw_only=True)
class WindowContent:
    """Fingerprint of a table's rows in a window: number of rows and an order-free hash, by date."""

    by_date: Mapping[date | None, tuple[int, int]]

    @property
    def row_count(self) -> int:
        """Rows in the window."""
        return sum(count for count, _ in self.by_date.values())


def content_of(frame: DataFrame, table: Table) -> WindowContent:
    """Fingerprint of any rows that have the table's columns."""
    grouped = frame.groupBy(table.window_column).agg(F.count(F.lit(1)), _fingerprint(table))
    return WindowContent(by_date={row[0]: (row[1], row[2]) for row in grouped.collect()})


def audit(frame: DataFrame, table: Table) -> tuple[tuple[CheckOutcome, ...], WindowContent]:
    """All checks in one pass over the rows, plus their fingerprint; samples are read only for failures."""
    checks = _all_checks(table)
    grain = F.struct(*(F.col(name) for name in table.grain))
    counted = frame.groupBy(table.window_column).agg(
        F.count(F.lit(1)), _fingerprint(table),
        F.count(F.lit(1)) - F.count_distinct(grain),
        *(F.count_if(F.expr(f"not ({check.predicate})")) for check in checks),
    ).collect()
    content = WindowContent(by_date={row[0]: (row[1], row[2]) for row in counted})
    doubled_count = sum(row[3] for row in counted)
    judged_count = content.row_count
    outcomes = [CheckOutcome(name="grain_is_unique", severity="error", why=f"one row per {', '.join(table.grain)}",
                             failing_count=doubled_count, judged_count=judged_count,
                             samples=_doubled(frame, table) if doubled_count else ())]
    for position, check in enumerate(checks, start=4):
        failing = sum(row[position] for row in counted)
        samples = _samples(frame.where(F.expr(f"not ({check.predicate})")), table) if failing else ()
        outcomes.append(CheckOutcome(name=check.name, severity=check.severity, why=check.why,
                                     failing_count=failing, judged_count=judged_count, samples=samples))
    return tuple(outcomes), content


def _all_checks(table: Table) -> tuple[Check, ...]:
    """The contract's checks and one for its required columns."""
    required = " and ".join(f"{column.name} is not null" for column in table.columns if not column.nullable)
    return (Check(name="required_columns_present", predicate=required, why="these columns are never null"), *table.checks)


def _fingerprint(table: Table) -> SparkColumn:
    """Order-free hash of rows. Spark's hash passes over nulls, so that which columns are null is hashed too."""
    is_null = [F.col(column.name).isNull() for column in table.columns if column.nullable]
    return F.bit_xor(F.xxhash64(*(F.col(name) for name in table.column_names), *is_null))


def _doubled(frame: DataFrame, table: Table) -> tuple[Mapping[str, str], ...]:
    """Keys that stand more than once."""
    keys = frame.groupBy(*table.grain).count().where("count > 1").limit(SAMPLE_ROWS).collect()
    return tuple({name: str(row[name]) for name in (*table.grain, "count")} for row in keys)


def _samples(frame: DataFrame, table: Table) -> tuple[Mapping[str, str], ...]:
    """Offending rows as text, key and short columns first."""
    columns = [*table.grain, *(c.name for c in table.columns if c.type != "string" and c.name not in table.grain)][:12]
    return tuple({name: str(row[name]) for name in columns} for row in frame.limit(SAMPLE_ROWS).collect())
