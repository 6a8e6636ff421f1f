"""A ClickHouse engine inside this process that starts empty and leaves nothing: where migrations and contracts are compared."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark.contracts.clickhouse import ONE_SERVER, Statement, render

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

_OWN_DATABASES = "('system', 'default', 'information_schema', 'INFORMATION_SCHEMA', 'finlake')"

CREATED = (
    "SELECT concat(database, '.', name), create_table_query FROM system.tables "
    f"WHERE database NOT IN {_OWN_DATABASES} AND name NOT LIKE '.inner%' ORDER BY 1"
)
"""Asks for name and CREATE statement, newlines as spaces, of every table and view outside the engine's own databases."""


class ScratchEngine:
    """An in-memory engine; `command` and `rows` as migrations need them."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def command(self, sql: str) -> None:
        """Run a statement without a result."""
        self._connection.query(sql)

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        """The rows of a query, every value as text."""
        text = str(self._connection.query(sql, "TSVRaw"))
        return [tuple(line.split("\t")) for line in text.splitlines()]

    def created(self) -> dict[str, str]:
        """Name to CREATE statement, newlines as spaces, of every table and view outside the engine's own databases."""
        return {name: definition for name, definition in self.rows(CREATED)}


@contextmanager
def scratch_engine() -> Iterator[ScratchEngine]:
    """An empty engine, gone at the end. Raises RuntimeError while this process holds an engine with files."""
    import chdb

    connection = chdb.connect(":memory:")
    try:
        yield ScratchEngine(connection)
    finally:
        connection.close()


def created_by(statements: Iterable[Statement]) -> dict[str, str]:
    """Name to CREATE statement of what `statements` leave in an empty engine."""
    with scratch_engine() as engine:
        for statement in render(statements, ONE_SERVER):
            engine.command(statement)
        return engine.created()
