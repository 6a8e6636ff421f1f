"""Filters of rows, written once as Iceberg expressions: pyiceberg reads files by them, Spark by the SQL made of them here."""

from collections.abc import Iterable
from functools import singledispatch

from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Not,
    NotEqualTo,
    NotIn,
    NotNull,
    Or,
)
from pyiceberg.expressions.literals import DateLiteral, Literal, TimestampLiteral

from spark.contracts.report import Window

_COMPARED = {EqualTo: "=", NotEqualTo: "<>", GreaterThan: ">", GreaterThanOrEqual: ">=", LessThan: "<", LessThanOrEqual: "<="}


def between(column: str, window: Window) -> BooleanExpression:
    """`column` lies within the window."""
    return And(GreaterThanOrEqual(column, window.start.isoformat()), LessThanOrEqual(column, window.end.isoformat()))


def any_of(column: str, values: Iterable[object]) -> BooleanExpression:
    """`column` is one of the values; false when there are none."""
    listed = list(values)
    return In(column, listed) if listed else AlwaysFalse()


@singledispatch
def as_sql(expression: BooleanExpression) -> str:
    """The expression as a Spark SQL predicate; raises `TypeError` for a kind of expression that no filter here has."""
    compared = _COMPARED.get(type(expression))
    if compared is None:
        raise TypeError(f"{expression!r} has no form in SQL; add it to spark/lake/expressions.py")
    return f"{_name(expression)} {compared} {_literal(expression.literal)}"


@as_sql.register
def _(expression: AlwaysTrue) -> str:
    return "true"


@as_sql.register
def _(expression: AlwaysFalse) -> str:
    return "false"


@as_sql.register
def _(expression: And) -> str:
    return f"({as_sql(expression.left)} and {as_sql(expression.right)})"


@as_sql.register
def _(expression: Or) -> str:
    return f"({as_sql(expression.left)} or {as_sql(expression.right)})"


@as_sql.register
def _(expression: Not) -> str:
    return f"(not {as_sql(expression.child)})"


@as_sql.register
def _(expression: In) -> str:
    return f"{_name(expression)} in ({', '.join(sorted(map(_literal, expression.literals)))})"


@as_sql.register
def _(expression: NotIn) -> str:
    return f"{_name(expression)} not in ({', '.join(sorted(map(_literal, expression.literals)))})"


@as_sql.register
def _(expression: IsNull) -> str:
    return f"{_name(expression)} is null"


@as_sql.register
def _(expression: NotNull) -> str:
    return f"{_name(expression)} is not null"


def _name(expression: BooleanExpression) -> str:
    return f"`{expression.term.name}`"


def _literal(literal: Literal) -> str:  # type: ignore[type-arg]
    value = literal.value
    if isinstance(literal, DateLiteral):
        return f"date_from_unix_date({value})"
    if isinstance(literal, TimestampLiteral):
        return f"timestamp_micros({value})"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
