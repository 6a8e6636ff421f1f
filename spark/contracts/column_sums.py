"""Exact sums of every column of a table, in Spark's SQL and in ClickHouse's: equal sums say that a copy is complete.

A column counts its values that are not null, and adds up whole numbers made of them, so that no order of rows changes a
digit: of a double `rint(value * 1e8)`, of a text 60 bits of its MD5, of a date its day, of a timestamp its microseconds.
Lists have no sums.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from spark.contracts.speed import UNITS_PER_ONE
from spark.contracts.table import Column, ColumnType, Table

UNITS_LIMIT = 2**63
"""A double whose units would not fit 64 bits counts 0 in both engines: neither converts it exactly."""

HASH_DIGITS = 15
"""Hexadecimal digits of a text's MD5 that are added up."""


@dataclass(frozen=True)
class ColumnSum:
    """Values of a column that are not null, and the sum of the whole numbers made of them."""

    present: int
    total: int


@dataclass(frozen=True, kw_only=True)
class TableSums:
    """Rows of a table, and the sums of its columns by name."""

    row_count: int
    columns: Mapping[str, ColumnSum]

    def differences(self, found: "TableSums") -> list[str]:
        """What `found` has otherwise, in words; empty when all sums are equal."""
        said = [] if found.row_count == self.row_count else [f"{found.row_count} rows instead of {self.row_count}"]
        for name, expected in self.columns.items():
            here = found.columns[name]
            if here.present != expected.present:
                said.append(f"{name} has {here.present} values instead of {expected.present}")
            elif here.total != expected.total:
                said.append(f"{name} adds up to {here.total} instead of {expected.total}")
        return said


WHOLE_FROM = 2**52


def spark_sums(table: Table) -> list[str]:
    """Spark SQL expressions over a table's rows, for `sums_of`."""
    return _expressions(table, "count(*)", lambda column: f"sum(cast({_SPARK[column.type](column.name)} as decimal(20, 0)))")


def clickhouse_sums(table: Table) -> list[str]:
    """ClickHouse expressions over a table's rows, for `sums_of`."""
    # Of nullable columns only, a sum over nothing is null.
    return _expressions(table, "count()", lambda column: f"ifNull(sum(toInt128({_CLICKHOUSE[column.type](column.name)})), 0)")


def sums_of(table: Table, row: Sequence[object]) -> TableSums:
    """The answer to either list of expressions as sums; a sum over nothing is 0."""
    numbers = [0 if number is None else int(str(number)) for number in row]
    return TableSums(
        row_count=numbers[0],
        columns={
            column.name: ColumnSum(present=numbers[1 + 2 * position], total=numbers[2 + 2 * position])
            for position, column in enumerate(table.columns)
        },
    )


def _expressions(table: Table, rows: str, total: Callable[[Column], str]) -> list[str]:
    counted = ((f"count({column.name})", total(column)) for column in table.columns)
    return [rows, *(expression for pair in counted for expression in pair)]


def half_even(number: str) -> str:
    """SQL of a double rounded to a whole number, halves to the even one, as IEEE 754 and ClickHouse's roundBankers do.

    Not `rint`, which Sail rounds otherwise. From 2^52 on every double is whole; below, that added and taken away rounds.
    """
    return (
        f"case when abs({number}) >= {WHOLE_FROM}D then {number} when {number} >= 0D "
        f"then ({number} + {WHOLE_FROM}D) - {WHOLE_FROM}D else ({number} - {WHOLE_FROM}D) + {WHOLE_FROM}D end"
    )


def _spark_units(name: str) -> str:
    units = half_even(f"({name} * {UNITS_PER_ONE}D)")
    return f"case when abs({units}) < {UNITS_LIMIT}D then cast({units} as bigint) when {name} is not null then 0 end"


def _clickhouse_units(name: str) -> str:
    units = f"roundBankers({name} * {UNITS_PER_ONE})"
    return f"if(abs({units}) < {UNITS_LIMIT}, toInt64({units}), 0)"


_SPARK: dict[ColumnType, Callable[[str], str]] = {
    "string": lambda name: f"conv(cast(left(md5({name}), {HASH_DIGITS}) as string), 16, 10)",
    "boolean": lambda name: f"cast({name} as int)",
    "int": lambda name: name,
    "long": lambda name: name,
    "double": _spark_units,
    "date": lambda name: f"unix_date({name})",
    "timestamp": lambda name: f"unix_micros({name})",
}
_CLICKHOUSE: dict[ColumnType, Callable[[str], str]] = {
    "string": lambda name: f"bitShiftRight(reinterpretAsUInt64(reverse(substring(MD5({name}), 1, 8))), {64 - 4 * HASH_DIGITS})",
    "boolean": lambda name: f"toInt8({name})",
    "int": lambda name: name,
    "long": lambda name: name,
    "double": _clickhouse_units,
    "date": lambda name: f"toInt32({name})",
    "timestamp": lambda name: f"toUnixTimestamp64Micro({name})",
}
