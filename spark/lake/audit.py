"""The audit of rows: a contract's checks, over any frame that has the contract's columns, or over rows in memory.

Does not belong here: which rows are audited, and what follows from it (spark/lake/publish.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl
import pyarrow as pa
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts.report import CheckOutcome
from spark.contracts.table import Check, Table

SAMPLE_ROWS = 10
# What an engine is sent at once of rows in memory, well below what a message may hold.
SENT_BYTES = 32 * 1024 * 1024


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
    counted = (
        frame.groupBy(table.window_column)
        .agg(
            F.count(F.lit(1)),
            _fingerprint(table),
            F.count(F.lit(1)) - F.count_distinct(grain),
            *(F.count_if(F.expr(f"not ({check.predicate})")) for check in checks),
        )
        .collect()
    )
    content = WindowContent(by_date={row[0]: (row[1], row[2]) for row in counted})
    doubled_count = sum(row[3] for row in counted)
    judged_count = content.row_count
    outcomes = [
        CheckOutcome(
            name="grain_is_unique",
            severity="error",
            why=f"one row per {', '.join(table.grain)}",
            failing_count=doubled_count,
            judged_count=judged_count,
            samples=_doubled(frame, table) if doubled_count else (),
        )
    ]
    for position, check in enumerate(checks, start=4):
        failing = sum(row[position] for row in counted)
        samples = _samples(frame.where(F.expr(f"not ({check.predicate})")), table) if failing else ()
        outcomes.append(
            CheckOutcome(
                name=check.name,
                severity=check.severity,
                why=check.why,
                failing_count=failing,
                judged_count=judged_count,
                samples=samples,
            )
        )
    return tuple(outcomes), content


@dataclass(frozen=True, kw_only=True)
class RowsAudit:
    """What an audit found of rows in memory: its checks, and the number of rows by date."""

    checks: tuple[CheckOutcome, ...]
    count_by_date: Mapping[date | None, int]


def audit_rows(rows: pa.Table, table: Table, engine: Callable[[], SparkSession], kept_keys: pa.Table | None = None) -> RowsAudit:
    """All checks of rows in memory (contract columns). The engine is asked for the predicates alone, which are its SQL.

    `kept_keys` are keys of other rows, which no new row may have. Samples are looked for only where a check fails.
    """
    frame = pl.DataFrame(pl.from_arrow(rows))
    counted = dict(frame.group_by(table.window_column).len().iter_rows())
    checks = _all_checks(table)
    failing = dict(zip([check.name for check in checks], _failing_counts(rows, table, checks, engine), strict=True))
    doubled = _doubled_keys(frame, table, kept_keys)
    outcomes = [
        CheckOutcome(
            name="grain_is_unique",
            severity="error",
            why=f"one row per {', '.join(table.grain)}",
            judged_count=frame.height,
            failing_count=int((doubled["count"] - 1).sum()),
            samples=tuple(
                {name: str(value) for name, value in row.items()} for row in doubled.head(SAMPLE_ROWS).iter_rows(named=True)
            ),
        )
    ]
    for check in checks:
        count = failing[check.name]
        outcomes.append(
            CheckOutcome(
                name=check.name,
                severity=check.severity,
                why=check.why,
                failing_count=count,
                judged_count=frame.height,
                samples=_offending(rows, table, check, engine) if count else (),
            )
        )
    return RowsAudit(checks=tuple(outcomes), count_by_date=counted)


def _doubled_keys(frame: pl.DataFrame, table: Table, kept_keys: pa.Table | None) -> pl.DataFrame:
    """Keys of rows that stand more than once, with those of other rows, and how often."""
    grain = list(table.grain)
    keys = frame.select(grain)
    if kept_keys is not None and kept_keys.num_rows:
        kept = pl.DataFrame(pl.from_arrow(kept_keys)).select(pl.col(name).cast(keys.schema[name]) for name in grain)
        keys = pl.concat([keys, kept.join(keys.unique(), on=grain, how="semi", nulls_equal=True)])
    if not keys.is_duplicated().any():
        return keys.head(0).with_columns(pl.lit(0, pl.UInt32).alias("count"))
    return keys.group_by(grain, maintain_order=True).len("count").filter(pl.col("count") > 1)


def _failing_counts(rows: pa.Table, table: Table, checks: tuple[Check, ...], engine: Callable[[], SparkSession]) -> list[int]:
    """For each check the number of rows for which it is false; null is not false."""
    if not rows.num_rows:
        return [0] * len(checks)
    counts = [0] * len(checks)
    for part in _sent(rows, table, checks):
        frame = engine().createDataFrame(part)
        found = frame.agg(*(F.count_if(F.expr(f"not ({check.predicate})")) for check in checks)).collect()[0]
        counts = [count + more for count, more in zip(counts, found, strict=True)]
    return counts


def _offending(rows: pa.Table, table: Table, check: Check, engine: Callable[[], SparkSession]) -> tuple[Mapping[str, str], ...]:
    """A few of the rows for which a check is false, as text."""
    samples: list[Mapping[str, str]] = []
    first = 0
    for part in _sent(rows, table, (check,)):
        numbered = part.append_column("number", pa.array(range(first, first + part.num_rows), pa.int64()))
        first += part.num_rows
        frame = engine().createDataFrame(numbered).where(F.expr(f"not ({check.predicate})")).select("number")
        found = [row[0] for row in frame.limit(SAMPLE_ROWS - len(samples)).collect()]
        samples += [
            {name: str(value) for name, value in row.items()}
            for row in rows.select(_sample_columns(table)).take(found).to_pylist()
        ]
        if len(samples) >= SAMPLE_ROWS:
            break
    return tuple(samples)


def _sent(rows: pa.Table, table: Table, checks: tuple[Check, ...]) -> Iterator[pa.Table]:
    """The rows in parts, with those columns only that the checks name."""
    words = {word for check in checks for word in re.findall(r"\w+", check.predicate)}
    named = rows.select([name for name in table.column_names if name in words])
    step = max(1, named.num_rows * SENT_BYTES // max(named.nbytes, 1))
    for first in range(0, named.num_rows, step):
        yield named.slice(first, step)


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
    columns = _sample_columns(table)
    return tuple({name: str(row[name]) for name in columns} for row in frame.limit(SAMPLE_ROWS).collect())


def _sample_columns(table: Table) -> list[str]:
    """Columns by which people can identify and judge a row."""
    return [*table.grain, *(c.name for c in table.columns if c.type != "string" and c.name not in table.grain)][:12]
