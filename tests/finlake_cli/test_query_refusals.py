"""What Spark does not carry out is refused with the useful sentence first, the place that the user wrote, and the next step."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.errors import AnalysisException, ParseException
from rich.console import Console
from typer.testing import CliRunner

from finlake_cli.main import app
from finlake_cli.query import Query, QueryRefusedError
from finlake_cli.query_view import AnswerFormat
from spark.lake import embedded


class Jobs:
    """A lake whose Spark raises for whatever it is given."""

    engine = "spark"

    def __init__(self, raised: Callable[[str], Exception]) -> None:
        self.raised = raised

    def lake(self) -> Any:
        return self

    @property
    def spark(self) -> Any:
        return self

    @property
    def conf(self) -> Any:
        return self

    def set(self, name: str, value: str) -> None:
        """Takes every setting."""

    def sql(self, text: str) -> Any:
        raise self.raised(text)


def refused(raised: Callable[[str], Exception], text: str = "drop table x") -> str:
    with pytest.raises(QueryRefusedError) as error:
        Query.of(Jobs(raised), text)  # type: ignore[arg-type]
    return str(error.value)


def test_what_is_no_query_is_told_so_first_and_where_in_the_text_that_was_given() -> None:
    def raised(given: str) -> Exception:
        line = 1 + given.splitlines().index("drop table x")
        return ParseException(f"[PARSE_SYNTAX_ERROR] Syntax error at or near 'table': missing ')'. (line {line}, pos 5)")

    said = refused(raised)
    assert said.startswith("only queries, SHOW, DESCRIBE and EXPLAIN of a query are carried out")
    assert said.endswith("(line 1, pos 5)")
    assert "(line 2, pos 5)" in refused(raised, "select 1\ndrop table x")


@pytest.mark.parametrize(
    "message", ["Cannot find a snapshot older than 2020-01-01T00:00:00+00:00", "Cannot find snapshot with ID 5"]
)
def test_a_version_that_is_not_there_comes_with_the_query_that_lists_those_that_are(message: str) -> None:
    assert "from TABLE.snapshots" in refused(lambda _: AnalysisException(message))


def test_a_time_that_is_yet_to_come_is_refused() -> None:
    result = CliRunner().invoke(app, ["sql", "select 1", "--as-of", "9998-01-01"])
    assert result.exit_code == 2
    assert "is yet to come" in " ".join(result.output.split())


class EmbeddedLake:
    """The embedded engine without a table."""

    engine = "embedded"

    def lake(self) -> Any:
        return self

    @property
    def spark(self) -> Any:
        return embedded.session({})


TWO = "from values (1, 2) as t(a, b)"


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        (f"select hash(*) {TWO}", "name the columns, or start the stack with FINLAKE_ENGINE=spark"),
        (f"select hash(t.*) {TWO}", "name the columns, or start the stack with FINLAKE_ENGINE=spark"),
        (f"select array(*) {TWO}", "name the columns, or start the stack with FINLAKE_ENGINE=spark"),
        ("select 1 / 0", "divide by zero: `try_divide(a, b)`, or `nullif(b, 0)`"),
        ("select 1 % 0", "Remainder by zero: `try_divide(a, b)`, or `nullif(b, 0)`"),
        ("select cast('x' as int)", "'x' to value of Int32 type: `try_cast(value as type)` gives null there"),
        ("select cast('x' as date)", "`try_cast`"),
        ("select cast('x' as timestamp)", "`try_cast(value as type)` gives null there"),
    ],
)
def test_what_the_embedded_engine_cannot_answer_comes_with_the_next_step(text: str, next_step: str) -> None:
    with pytest.raises(QueryRefusedError) as refusal:
        Query.of(EmbeddedLake(), text).show(AnswerFormat.TABLE, 5, 0, Console(file=io.StringIO()))  # type: ignore[arg-type]
    said = str(refusal.value)
    assert next_step in said
    assert "Wildcard" not in said


@pytest.mark.parametrize(
    "text", ["select try_divide(1, 0) as n", "select 1 / nullif(0, 0) as n", "select try_cast('x' as int) as n"]
)
def test_what_the_next_step_names_is_null(text: str) -> None:
    assert Query.of(EmbeddedLake(), text).frame.toArrow().to_pylist() == [{"n": None}]  # type: ignore[arg-type]
