"""A query asked of the lake: what Spark refuses is said in one line, and rows are read part by part."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from finlake_cli.query_view import WRITERS, AnswerFormat, say, show_records, show_table
from finlake_cli.reading import SETTINGS, asked_query, only_tells, outside_in_plan, outside_in_text, parse_of
from spark.contracts import lake as contracts
from spark.lake.answers import answer_parts, answer_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from rich.console import Console

    from finlake_clients.lake_client import LakeClient

# Where Spark met what it did not understand.
_LINE = re.compile(r"\bline (\d+)")
# How Iceberg says that a table has no snapshot of that time or that number.
_NO_SUCH_VERSION = re.compile(r"cannot find (?:a )?snapshot", re.IGNORECASE)


# What the embedded engine says in words of its own: what it means, and the next step. Spark says these itself.
_MEANINGS = (
    (
        re.compile(r"does not support logical expression Wildcard|A null type field may not be non-nullable"),
        "the embedded engine takes * within a function in few of them, such as count and struct; name the columns, or start the "
        "stack with FINLAKE_ENGINE=spark, which takes it in all",
    ),
    (
        re.compile(r"(?:divide|Remainder) by zero", re.IGNORECASE),
        "{said}: `try_divide(a, b)`, or `nullif(b, 0)` in place of the divisor, gives null there",
    ),
    (
        re.compile(r"cannot cast|can't cast|invalid timestamp", re.IGNORECASE),
        "{said}: `try_cast(value as type)` gives null there",
    ),
)


class QueryRefusedError(Exception):
    """Spark does not understand or cannot carry out a query, or it is none; the message is the first line of the reason."""


@contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """Raise `QueryRefusedError` for whatever Spark raises within."""
    from pyspark.errors import PySparkException

    # Spark's client logs the whole plan and the server's stack beside the error that it raises.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    try:
        yield
    # An answer whose column has no type is no error of Spark's client, which meets it.
    except (PySparkException, ValueError) as error:
        if isinstance(error, ValueError) and not _MEANINGS[0][0].search(str(error)):
            raise
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise QueryRefusedError(_with_next_step(said)) from error


def _assert_reads(spark: "SparkSession", text: str) -> None:
    """Spark carries a command out as soon as it has understood it, `drop table` too: nothing reaches it that was not judged."""
    from pyspark.errors import ParseException

    outside = outside_in_text(text)
    if outside is None and not only_tells(text):
        try:
            with refusals_in_one_line():
                (parsed,), *_ = spark.sql(parse_of(asked_query(text))).collect()
        except QueryRefusedError as error:
            if isinstance(error.__cause__, ParseException):
                # The text begins in the second line of what Spark was given.
                said = _LINE.sub(lambda found: f"line {int(found[1]) - 1}", str(error))
                raise QueryRefusedError(
                    "only queries, SHOW, DESCRIBE and EXPLAIN of a query are carried out, tables are written by `finlake run` "
                    f"alone; this is no query that Spark understands: {said}",
                ) from error
            raise
        outside = outside_in_plan(parsed)
    if outside is not None:
        raise QueryRefusedError(f"`finlake sql` only reads the lake and refuses {outside}")


@dataclass(frozen=True)
class Query:
    """A query that an engine has understood, and the name of the engine."""

    frame: "DataFrame"
    engine: str

    @classmethod
    def of(cls, jobs: "LakeClient", text: str) -> "Query":
        """The query of a text; raises `QueryRefusedError` with what is wrong with it in one line, also when it would write."""
        return _of_spark(jobs, text) if jobs.engine == "spark" else _of_embedded(jobs, text)

    def page(self, limit: int | None, offset: int = 0) -> "DataFrame":
        """At most `limit` rows from the `offset`th on."""
        frame = self.frame.offset(offset) if offset else self.frame
        return frame if limit is None else frame.limit(limit)

    def show(self, form: AnswerFormat, limit: int | None, offset: int, console: "Console") -> None:
        """Rows for people, all or at most so many, and below them how many there are and how to see the others."""
        with refusals_in_one_line():
            page = self.page(None if limit is None else limit + 1, offset)
            columns = answer_schema(page).names
            rows = [row for part in answer_parts(page) for row in zip(*(each.to_pylist() for each in part.columns), strict=True)]
            has_more = limit is not None and len(rows) > limit
            total = self.frame.count() if has_more else offset + len(rows)
        rows = rows[:limit]
        if form is AnswerFormat.RECORDS:
            show_records(columns, rows, console)
        else:
            show_table(columns, rows, console)
        end = offset + len(rows)
        if has_more:
            say(
                console,
                f"rows {offset + 1:,} to {end:,} of {total:,}; the next: --offset {end} (name an "
                "order in the query); all of them: --output FILE.csv",
            )
        elif not rows:
            say(console, f"no row after the first {offset:,}" if offset else "no row")
        say(console, f"answered by {self.engine}")

    def write(self, form: AnswerFormat, limit: int | None, offset: int, sink: IO[bytes]) -> int:
        """All rows, or a page of them, into a file; returns how many."""
        with refusals_in_one_line():
            page = self.page(limit, offset)
            return WRITERS[form](answer_parts(page), answer_schema(page), sink)


def _of_spark(jobs: "LakeClient", text: str) -> Query:
    spark = jobs.lake().spark
    with refusals_in_one_line():
        for name, value in SETTINGS.items():
            spark.conf.set(name, value)
    _assert_reads(spark, text)
    with refusals_in_one_line():
        return Query(frame=spark.sql(text), engine=f"Apache Spark {spark.version}")


def _of_embedded(jobs: "LakeClient", text: str) -> Query:
    from finlake_cli.embedded_query import EmbeddedQuery, engine_name

    outside = outside_in_text(text)
    if outside is not None:
        raise QueryRefusedError(f"`finlake sql` only reads the lake and refuses {outside}")
    lake = jobs.lake()
    asked = EmbeddedQuery(lake, lambda said: QueryRefusedError(_with_next_step(" ".join(said.split()))))
    with refusals_in_one_line():
        query = asked_query(text)
        if only_tells(text):
            frame = asked.described(text)
        elif query is not text:
            frame = asked.explained(query)
        else:
            frame = asked.query(text)
        # A frame is understood when its columns are asked for.
        frame.schema  # noqa: B018
        return Query(frame=frame, engine=engine_name())


def _with_next_step(said: str) -> str:
    # Where Spark itself names one of these functions, nothing is left to say.
    if "try_" not in said:
        said = next((meaning.format(said=said) for found, meaning in _MEANINGS if found.search(said)), said)
    if "TABLE_OR_VIEW_NOT_FOUND" in said and "Tables are" not in said:
        said += f" Tables are {', '.join(sorted(contracts.TABLES))}"
    if _NO_SUCH_VERSION.search(said):
        said += '. `finlake sql "select committed_at, snapshot_id from TABLE.snapshots"` lists what each named table has'
    return said
