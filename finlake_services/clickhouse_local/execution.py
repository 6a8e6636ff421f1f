"""One statement from its text to its last block: checked, given a connection, run, and let go."""

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from finlake_services.clickhouse_local.engine import AnswerStream, Engine, EngineConnection, Result, quote_text
from finlake_services.clickhouse_local.errors import ClickHouseError, EngineError, access_denied, not_in_readonly
from finlake_services.clickhouse_local.native_blocks import check_types_of_rows, is_plain_type, with_revision
from finlake_services.clickhouse_local.requests import Request, check_database, checked_format
from finlake_services.clickhouse_local.sessions import Session, Sessions
from finlake_services.clickhouse_local.statement_policy import StatementPolicy, concealed
from finlake_services.clickhouse_local.statement_text import StatementText, first_word, split_statement, tail_format
from finlake_services.clickhouse_local.syntax_tree import Parser, SyntaxTree, killed_query_id, used_database
from finlake_services.clickhouse_local.users import User

LONGEST_TEXT_BYTES: Final = 1 << 18
"""A statement's text, without the rows of an INSERT: what the engine's parser takes at most (`max_query_size`)."""

_STREAMED_FORMATS: Final = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "JSONCompactEachRow",
        "LineAsString",
        "RawBLOB",
        "Values",
    }
)
"""Formats whose blocks can follow each other; of any other the engine gives the whole answer at once."""

_SHORT_ANSWER_BYTES: Final = 1 << 20
"""An answer up to this size is sent whole, or refused by its status; a longer one begins as soon as it is as long."""

_READING: Final = ("Select", "Show", "Describe", "Exists", "Explain", "Check")
_KEPT_BY_CONNECTION: Final = frozenset({"Set", "UseQuery", "SetRoleQuery", "TransactionControl"})


@dataclass
class Running:
    """A statement that has begun and not ended."""

    user: str
    query_id: str
    marker: str
    started: float = field(default_factory=time.monotonic)
    killed: bool = False


class Registry:
    """Running statements by query id; how many each user has."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running: dict[tuple[str, str], Running] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def enter(self, request: Request) -> Running:
        """Note a statement. Raises `ClickHouseError` when the user has too many (202) or one with this id (216).

        A KILL is never one too many.
        """
        with self._lock:
            own = sum(running.user == request.user.name for running in self._running.values())
            if own >= request.user.limits.concurrent and not request.is_kill:
                raise ClickHouseError(
                    202,
                    "TOO_MANY_SIMULTANEOUS_QUERIES",
                    f"Too many simultaneous queries for user "
                    f"{request.user.name}. Current: {own}, maximum: {request.user.limits.concurrent}",
                )
            # An id of somebody else's statement is free: a refusal would tell of it.
            key = request.user.name, request.query_id
            if key in self._running:
                raise ClickHouseError(
                    216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", f"Query with id = {request.query_id} is already running"
                )
            # The engine gives its own ids; a comment of ours before the text finds a statement again.
            running = Running(request.user.name, request.query_id, f"/* finlake {next(self._numbers)} */")
            self._running[key] = running
            return running

    def leave(self, running: Running) -> None:
        """Forget a statement."""
        with self._lock:
            self._running.pop((running.user, running.query_id), None)

    def cancel(self, running: Running) -> None:
        """Cancel a statement."""
        running.killed = True
        self._engine.kill(running.marker)

    def kill(self, query_id: str, user: str | None) -> list[Running]:
        """Cancel the statement with this id of `user`, or (None) those of all users; returns them."""
        with self._lock:
            found = [each for each in self._running.values() if each.query_id == query_id and user in (None, each.user)]
        for running in found:
            self.cancel(running)
        return found

    def kill_all(self) -> None:
        """Cancel whatever still runs."""
        with self._lock:
            found = list(self._running.values())
        for running in found:
            self.cancel(running)

    def of_user(self, user: str) -> list[Running]:
        """A user's statements that run now."""
        with self._lock:
            return [running for running in self._running.values() if running.user == user]

    def count(self) -> int:
        """How many statements run."""
        return len(self._running)


@dataclass(frozen=True)
class Endpoint:
    """What every execution works with."""

    engine: Engine
    parser: Parser
    policy: StatementPolicy
    sessions: Sessions
    registry: Registry


class Execution:
    """Runs one request. `begin`, then `next_part` until None, `close` in any case; all of them in worker threads.

    `finished` says that the statement is over, and what is left of its output is one part at most, which takes no time. The
    connection is then already given back, so that the client's next statement finds it, whatever the network does with this
    one's last byte. A part is held by nobody here once it is taken.
    """

    def __init__(self, endpoint: Endpoint, request: Request) -> None:
        self._endpoint = endpoint
        self._request = request
        self._running = endpoint.registry.enter(request)
        self._started = time.perf_counter()
        self._connection: EngineConnection | None = None
        self._session: Session | None = None
        self._database = request.database
        self._keep = True
        self._stream: AnswerStream | None = None
        self._ready: deque[bytes] = deque()
        self._abandoned = False
        self.closed = False
        self.output_format = request.default_format
        self.kind = "other"
        self.finished = False
        self.result = Result(b"")

    def begin(self) -> None:
        """Check and start the statement, up to the first part of its output."""
        try:
            self._begin()
        except BaseException as error:
            self._keep = False
            self.close()
            if isinstance(error, EngineError):
                raise concealed(self._request.user, error) from None
            raise

    def _begin(self) -> None:
        request, endpoint = self._request, self._endpoint
        statement = split_statement(request.text)
        if len(statement.sql) > LONGEST_TEXT_BYTES:
            raise ClickHouseError(62, "SYNTAX_ERROR", f"Max query size exceeded: {LONGEST_TEXT_BYTES} bytes")
        try:
            sql = statement.sql.decode()
        except UnicodeDecodeError as error:
            raise ClickHouseError(36, "BAD_ARGUMENTS", "The text of a statement must be UTF-8") from error
        if statement.input_format is not None:
            checked_format(request.user, statement.input_format)
        checked = sql if statement.input_format is None else f"{sql} FORMAT {statement.input_format}"
        tree = endpoint.parser.tree(checked, request.parameters)
        endpoint.policy.check(request.user, first_word(statement.sql), tree, sql)
        if not request.may_change and not tree.root.startswith(_READING):
            raise not_in_readonly(request.user.name, "Cannot execute this statement by GET: use POST; GET runs")
        self.kind = "insert" if tree.root == "InsertQuery" else "select" if tree.root.startswith(_READING) else "other"
        self._enter_session()
        if tree.root == "InsertQuery" and request.user.rights != "admin":
            self._check_target(tree, statement)
        if tree.root == "KillQueryQuery":
            self._kill(tree)
            return
        if tree.root == "ShowProcesslistQuery" and request.user.rights != "admin":
            self._show_processes(sql)
            return
        if tree.root == "UseQuery":
            check_database(request.user, used_database(tree.nodes))
        if tree.root == "UseQuery" and (self._session is None or self._session.connection is None):
            self._use(tree)
            return
        self._take_connection(tree)
        if self._running.killed or (self._abandoned and self.kind == "select"):
            raise ClickHouseError(394, "QUERY_WAS_CANCELLED", "Query was cancelled")
        marked = f"{self._running.marker} {sql}"
        if statement.input_format is not None:
            self._finish(self._held().insert(marked, statement.input_format, statement.data))
            return
        self._choose_format(tree, sql)
        if tree.root.startswith("Select") and self.output_format in _STREAMED_FORMATS:
            self._stream = self._held().stream(marked, self.output_format, request.parameters)
            self._look_ahead()
        else:
            self._finish(self._held().query(marked, self.output_format, request.parameters))

    def _look_ahead(self) -> None:
        while not self.finished and sum(map(len, self._ready)) <= _SHORT_ANSWER_BYTES:
            self._fetch()
        if self.finished:
            self._ready = deque([b"".join(self._ready)])

    def _choose_format(self, tree: SyntaxTree, sql: str) -> None:
        asked = tree.select_format if tree.root.startswith("Select") else tail_format(sql)
        if asked:
            self.output_format = checked_format(self._request.user, asked)

    def _enter_session(self) -> None:
        request = self._request
        if request.session_id is not None:
            self._session = self._endpoint.sessions.enter(request)
            self._database = self._database or self._session.database
        self._database = self._database or "default"

    def _check_target(self, tree: SyntaxTree, statement: StatementText) -> None:
        """Raise unless the rows are of plain types, by what they say of themselves and by the table's columns.

        Of bytes the engine would make the memory of an aggregate function's state, also within a Dynamic or JSON. Views fill
        such columns, by the -State of what was inserted elsewhere.
        """
        user = self._request.user.name
        check_types_of_rows(statement.input_format or "", statement.data)
        *database, table = (node.name for node in tree.nodes if node.depth == 1 and node.kind == "Identifier")
        types = self._endpoint.engine.ask(
            f"SELECT DISTINCT type FROM system.columns WHERE table = {quote_text(table)} "
            f"AND database = {quote_text(database[0] if database else self._database)}"
        ).decode()
        if other := next((each for each in types.splitlines() if not is_plain_type(each)), None):
            raise access_denied(
                user,
                f"INSERT into {table}, which has a column of type {other[:100]}; only values of plain "
                "types can be inserted, states of aggregate functions by a view",
            )

    def _take_connection(self, tree: SyntaxTree) -> None:
        request, engine = self._request, self._endpoint.engine
        self._keep = tree.root not in _KEPT_BY_CONNECTION and not tree.makes_temporary
        if self._session is not None and (self._session.connection is not None or not self._keep):
            if self._session.connection is None:
                self._endpoint.sessions.check_connections(request.user)
            self._connection = self._session.take_connection(engine, request, self._database)
        else:
            self._connection = engine.connection(request.user, self._database, request.settings)

    def _held(self) -> EngineConnection:
        if self._connection is None:
            raise RuntimeError("the statement has no connection")
        return self._connection

    def _finish(self, result: Result) -> None:
        self.result = replace(result, output=b"")
        self._ready.append(self._framed(result.output))
        self.finished = True
        self.close()

    def _framed(self, part: bytes) -> bytes:
        return with_revision(part, self._request.protocol_revision) if self.output_format == "Native" else part

    def _kill(self, tree: SyntaxTree) -> None:
        user = self._request.user
        killed = self._endpoint.registry.kill(killed_query_id(tree), None if user.rights == "admin" else user.name)
        rows = ", ".join(f"('waiting', {quote_text(each.query_id)}, {quote_text(each.user)}, '')" for each in killed)
        self._connection = self._endpoint.engine.connection(user, self._database, self._request.settings)
        no_row = "('', '', '', '')"
        columns = "kill_status String, query_id String, user String, query String"
        self._finish(
            self._connection.query(
                f"SELECT * FROM values({quote_text(columns)}, {rows or no_row}) WHERE {int(bool(killed))}", self.output_format
            )
        )

    def _show_processes(self, sql: str) -> None:
        """The user's own statements; the engine, which knows one user, would show everybody's."""
        self.output_format = checked_format(self._request.user, tail_format(sql) or self.output_format)
        rows = ", ".join(
            f"({quote_text(each.user)}, {quote_text(each.query_id)}, {time.monotonic() - each.started})"
            for each in self._endpoint.registry.of_user(self._request.user.name)
        )
        self._connection = self._endpoint.engine.connection(self._request.user, self._database, self._request.settings)
        self._finish(
            self._connection.query(
                f"SELECT * FROM values('user String, query_id String, elapsed Float64', {rows}) ORDER BY elapsed DESC",
                self.output_format,
            )
        )

    def _use(self, tree: SyntaxTree) -> None:
        database = used_database(tree.nodes)
        # Opening a connection there says whether the database exists.
        self._connection = self._endpoint.engine.connection(self._request.user, database, {})
        self._keep = False
        if self._session is not None:
            self._session.database = database
        self._finish(Result(b""))

    def next_part(self) -> bytes | None:
        """The next part of the output, None after the last."""
        if not self._ready and not self.finished:
            self._fetch()
        return self._ready.popleft() if self._ready else None

    def _fetch(self) -> None:
        """Have the next block ready, or the statement finished."""
        if self._stream is None:
            return
        try:
            block = self._stream.next_block()
        except BaseException:
            self._keep = False
            raise
        self.result = Result(b"", self._stream.rows_read, self._stream.bytes_read)
        if block is None:
            self.finished = True
            self.close()
        else:
            self._ready.append(self._framed(block))

    @property
    def user(self) -> User:
        """Who asked."""
        return self._request.user

    @property
    def elapsed_ns(self) -> int:
        """Time since the request was taken."""
        return int((time.perf_counter() - self._started) * 1e9)

    def abandon(self) -> None:
        """Nobody waits for the answer: cancel the statement if it only reads. One that writes goes on to its end."""
        self._abandoned = True
        if self.kind == "select":
            self._endpoint.registry.cancel(self._running)

    def close(self) -> None:
        """Stop what still runs and give everything back; may be called again."""
        if self.closed:
            return
        self.closed = True
        request = self._request
        try:
            if self._stream is not None and not self.finished:
                self._keep = False
                self._stream.cancel()
            if self._connection is not None and (self._session is None or self._connection is not self._session.connection):
                if self._keep and not self._running.killed:
                    self._endpoint.engine.release(self._connection, request.user, self._database, request.settings)
                else:
                    self._connection.close()
            if self._session is not None:
                self._session.leave(request)
        finally:
            self._endpoint.registry.leave(self._running)
