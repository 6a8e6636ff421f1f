"""The chDB engine on one folder: opened once per process, reached through warm connections that are confined to one user."""

import fcntl
import importlib
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TextIO, TypedDict, cast

import structlog

from finlake_services.clickhouse_local.configuration import ENGINE_ROLE, role_of, write_configuration
from finlake_services.clickhouse_local.deduplication_logs import WrittenThrough, lines_without_part, take_back
from finlake_services.clickhouse_local.errors import EngineError
from finlake_services.clickhouse_local.users import User

IDLE_CONNECTIONS = 24
"""Connections kept warm over all users, databases and settings; the one unused for longest is closed first."""

PART_FOLLOWS_LINE_S = 1.0
"""A part that is not in its place this long after the line of its token will not come."""

SETTINGS_OF_ONE_STATEMENT = frozenset({"insert_deduplication_token", "log_comment"})
"""Settings that differ with every statement: a connection that has them will not be asked for again."""


log = structlog.get_logger()


class FolderInUseError(RuntimeError):
    """Another process has the engine's folder open."""


@dataclass(frozen=True)
class Result:
    """A finished statement: its output, and what it read and wrote."""

    output: bytes
    rows_read: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    bytes_written: int = 0


def quote_name(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quote_text(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_RAISED = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)
"""What the library raises: a RuntimeError with the engine's words, a UnicodeDecodeError when these are no UTF-8 because a value
of the statement in them is none, and whatever its binding makes of an exception of C++ or of an argument that it cannot take."""


def _engine_error(error: Exception) -> EngineError:
    if isinstance(error, UnicodeDecodeError):
        return EngineError(error.object.decode(errors="replace"))
    if isinstance(error, MemoryError):
        return EngineError("Code: 241. DB::Exception: No memory for the answer. (MEMORY_LIMIT_EXCEEDED)")
    if isinstance(error, RuntimeError):
        return EngineError(str(error))
    return EngineError(f"{type(error).__name__} of the engine's library: {error}")


class _QueryClass(Protocol):
    name: str


class _Classification(TypedDict):
    statement_count: int
    query_class: _QueryClass


class _RawResult(Protocol):
    def bytes(self) -> bytes: ...
    def rows_read(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...


class _RawConnection(Protocol):
    """chDB's own connection. Its Python wrapper has no classify_query; handles of streams and inserts are opaque."""

    def query(self, sql: str, output_format: str, *, params: dict[str, str]) -> _RawResult: ...
    def classify_query(self, sql: str) -> _Classification: ...
    def send_query(self, sql: str, output_format: str, *, params: dict[str, str]) -> object: ...
    def streaming_fetch_result(self, stream: object) -> _RawResult | None: ...
    def streaming_cancel_query(self, stream: object) -> None: ...
    def close(self) -> None: ...


class _Extension(Protocol):
    def connect(self, path: str) -> _RawConnection: ...
    def set_signal_handlers_enabled(self, enabled: int) -> None: ...
    def reset_signal_handlers(self) -> None: ...


def _extension() -> _Extension:
    # Imported here: the library is 450 MB and opens an engine in memory when it is imported.
    return cast(_Extension, importlib.import_module("chdb._chdb"))


class EngineConnection:
    """One connection with its own role, database and settings; used by one thread at a time. Raises `EngineError`."""

    def __init__(self, path: str, after_failed_insert: Callable[[], None] = lambda: None) -> None:
        self._after_failed_insert = after_failed_insert
        try:
            self._raw = _extension().connect(path)
        except _RAISED as error:
            raise _engine_error(error) from None

    def query(self, sql: str, output_format: str = "Null", params: Mapping[str, str] | None = None) -> Result:
        """Run a statement to its end."""
        try:
            result = self._raw.query(sql, output_format, params=dict(params or {}))
        except _RAISED as error:
            # The engine keeps what a failed statement had already written, and puts it before the next one's output.
            with suppress(*_RAISED):
                self._raw.query("SELECT 1", "Null", params={})
            raise _engine_error(error) from None
        return Result(result.bytes(), result.storage_rows_read(), result.storage_bytes_read())

    def classify(self, sql: str) -> tuple[int, str]:
        """How many statements the text holds, and what the most powerful of them does, without running it.

        That is READ_ONLY, MUTATING, MUTATING_GLOBAL or CONTROL; INTO OUTFILE makes any statement CONTROL. (0, UNKNOWN): the
        engine's parser cannot read it.
        """
        report = self._raw.classify_query(sql)
        return report["statement_count"], report["query_class"].name

    def stream(self, sql: str, output_format: str, params: Mapping[str, str]) -> "AnswerStream":
        """Start a statement whose output is fetched block by block."""
        try:
            return AnswerStream(self._raw, self._raw.send_query(sql, output_format, params=dict(params)))
        except _RAISED as error:
            raise _engine_error(error) from None

    def insert(self, sql: str, input_format: str, data: bytes) -> Result:
        """Insert `data`, which is in `input_format`, by a statement without FORMAT and data: all of it, or an error.

        The engine's own verb for data beside a statement reports success when a write failed (a full disk, an error in a
        materialized view). Read from a file, here one in memory, the same insert fails as it should.
        """
        file = os.memfd_create("insert")
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            written = self._raw.query(f"{sql} FROM INFILE '/proc/self/fd/{file}' FORMAT {input_format}", "Null", params={})
        except _RAISED as error:
            self._after_failed_insert()
            raise _engine_error(error) from None
        finally:
            os.close(file)
        return Result(b"", rows_written=written.rows_written(), bytes_written=written.bytes_written())

    def close(self) -> None:
        """Give the connection back to the engine."""
        self._raw.close()


class AnswerStream:
    """The output of a running statement; `rows_read` and `bytes_read` grow with it."""

    def __init__(self, raw: _RawConnection, handle: object) -> None:
        self._raw = raw
        self._handle = handle
        self._ended = False
        self.rows_read = 0
        self.bytes_read = 0

    def next_block(self) -> bytes | None:
        """The next block's bytes, None after the last."""
        if self._ended:
            return None
        try:
            block = self._raw.streaming_fetch_result(self._handle)
        except _RAISED as error:
            self._ended = True
            raise _engine_error(error) from None
        if block is None or block.rows_read() == 0:
            self._ended = True
            return None
        self.rows_read += block.storage_rows_read()
        self.bytes_read += block.storage_bytes_read()
        return block.bytes()

    def cancel(self) -> None:
        """Stop the statement unless it has ended."""
        if not self._ended:
            self._ended = True
            with suppress(*_RAISED):
                self._raw.streaming_cancel_query(self._handle)


class Engine:
    """The open folder. Every statement's connection comes from `connection` and goes back by `release`."""

    def __init__(self, home: Path, users: Iterable[User], memory_bytes: int) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(home)
        self.home = home
        self._path = str(home / "data")
        _use_own_temporary_folder(home / "tmp")
        _take_back_tokens(home)
        self._logs = WrittenThrough(home / "data")
        configuration = write_configuration(home, users, memory_bytes)
        _silence_signal_handlers()
        self._root = EngineConnection(f"{self._path}?config-file={configuration}")
        self._root_lock = threading.Lock()
        self._root.query(f"SET ROLE {ENGINE_ROLE}")
        self._replace_default_database()
        version, timezone = self.ask("SELECT version(), timezone()").decode().rstrip("\n").split("\t")
        self.version = version
        self.timezone = timezone
        self._idle: OrderedDict[tuple[object, ...], list[EngineConnection]] = OrderedDict()
        self._idle_count = 0
        self._idle_lock = threading.Lock()

    def _replace_default_database(self) -> None:
        """Put a plain database where chDB has an overlay with the file system, in which a table name is any file's path.

        The overlay is back at every start. DETACH + ATTACH fails for an empty database, so that one is made anew.
        """
        held = self.ask("SELECT count() FROM system.tables WHERE database = 'default'")
        self._root.query("USE system")
        if held.strip() == b"0":
            self._root.query("DROP DATABASE default SYNC")
            self._root.query("CREATE DATABASE default ENGINE = Atomic")
        else:
            self._root.query("DETACH DATABASE default")
            self._root.query("ATTACH DATABASE default")
        engine = self.ask("SELECT engine FROM system.databases WHERE name = 'default'").strip()
        if engine != b"Atomic":
            raise EngineError(f"database default has engine {engine.decode()}, must be Atomic: files would be readable by name")

    def ask(self, sql: str) -> bytes:
        """The endpoint's own question, as TabSeparated."""
        with self._root_lock:
            return self._root.query(sql, "TabSeparatedRaw").output

    def open_connection(self, user: User | None, database: str, settings: Mapping[str, str]) -> EngineConnection:
        """A new connection confined to `user` (None: the endpoint itself), in `database`, with `settings`."""
        if "insert_deduplication_token" in settings:
            self._write_logs_through()
        connection = EngineConnection(self._path, self._end_if_a_token_has_no_rows)
        try:
            connection.query("SET implicit_select = 0")
            connection.query(f"SET ROLE {role_of(user) if user else ENGINE_ROLE}")
            connection.query(f"USE {quote_name(database)}")
            merged = {**(_confining_settings(user) if user else {}), **settings}
            if merged:
                connection.query("SET " + ", ".join(f"{name} = {quote_text(value)}" for name, value in merged.items()))
            if user and user.rights == "reader":
                # Nothing can be written after it. Not 1: with it system.settings would say that no setting can be changed, and
                # clients would not send those that a reader may (settings.py); of the others the endpoint says so itself.
                connection.query("SET readonly = 2")
        except EngineError:
            connection.close()
            raise
        return connection

    def _write_logs_through(self) -> None:
        if refused := self._logs.extend():
            log.warning(
                "insert tokens are not synced as they are written: a loss of power may double an insert's rows",
                reason="the file system knows no FS_SYNC_FL",
                logs=[str(path) for path in refused],
            )

    def _end_if_a_token_has_no_rows(self) -> None:
        """End the process if it remembers the token of rows that it could not put in place, as on a disk with errors.

        It would answer their repeated insert with success, and nothing but a start makes it forget. While other inserts run,
        a line is without its part for an instant, too.
        """
        data = Path(self._path)
        lines = lines_without_part(data)
        give_up_at = time.monotonic() + PART_FOLLOWS_LINE_S
        while lines and time.monotonic() < give_up_at:
            time.sleep(PART_FOLLOWS_LINE_S / 20)
            lines &= lines_without_part(data)
        if lines:
            log.critical(
                "the engine ends: it remembers insert tokens without having their rows; its next start takes them back",
                logs=sorted({str(path) for path, _ in lines}),
            )
            os._exit(os.EX_IOERR)

    def connection(self, user: User | None, database: str, settings: Mapping[str, str]) -> EngineConnection:
        """A warm connection if there is one, else a new one; the caller must `release` it."""
        key = _pool_key(user, database, settings)
        with self._idle_lock:
            if kept := self._idle.get(key):
                self._idle_count -= 1
                return kept.pop()
        return self.open_connection(user, database, settings)

    def release(self, connection: EngineConnection, user: User | None, database: str, settings: Mapping[str, str]) -> None:
        """Keep a connection warm for the next statement with the same user, database and settings."""
        if not SETTINGS_OF_ONE_STATEMENT.isdisjoint(settings):
            connection.close()
            return
        key = _pool_key(user, database, settings)
        surplus: list[EngineConnection] = []
        with self._idle_lock:
            self._idle.setdefault(key, []).append(connection)
            self._idle.move_to_end(key)
            self._idle_count += 1
            while self._idle_count > IDLE_CONNECTIONS:
                oldest = next(iter(self._idle))
                if kept := self._idle[oldest]:
                    surplus.append(kept.pop(0))
                    self._idle_count -= 1
                if not self._idle[oldest]:
                    del self._idle[oldest]
        for closing in surplus:
            closing.close()

    def kill(self, marker: str) -> None:
        """Cancel the statement whose text begins with `marker`; returns at once."""
        with self._root_lock:
            self._root.query(f"KILL QUERY WHERE startsWith(query, {quote_text(marker)}) ASYNC")

    def close(self) -> None:
        """Close every connection, write what is buffered and let another process have the folder."""
        with self._idle_lock:
            kept = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in kept:
            connection.close()
        self._root.close()
        self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


NO_STATES = {"aggregate_function_input_format": "value"}
"""What is read as an aggregate function's state is a value for it, and not its memory as the client would have it."""


def _confining_settings(user: User) -> dict[str, str]:
    limits = user.limits
    settings = {
        "max_execution_time": limits.execution_s,
        "max_result_rows": limits.result_rows,
        "max_result_bytes": limits.result_bytes,
        "max_memory_usage": limits.memory_bytes,
        "max_threads": limits.threads,
        "max_block_size": limits.block_rows,
    }
    confined = {name: str(value) for name, value in settings.items() if value}
    if user.rights != "admin":
        # The rows of VALUES could call functions, and are not checked as text is.
        confined |= {"input_format_values_interpret_expressions": "0", "input_format_values_deduce_templates_of_expressions": "0"}
        confined |= NO_STATES
    return confined


def _pool_key(user: User | None, database: str, settings: Mapping[str, str]) -> tuple[object, ...]:
    return user.name if user else None, database, *sorted(settings.items())


def _use_own_temporary_folder(folder: Path) -> None:
    """Let the engine, which makes files of names that can be foretold, make them where no other account can place a link."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    # Of the process, where the engine looks; Python's own temporary files stay where they are.
    os.putenv("TMPDIR", str(folder))


def _lock(home: Path) -> TextIO:
    lock_file = (home / "endpoint.lock").open("w")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.close()
        raise FolderInUseError(f"{home} is open in another process; stop that one, or name another --home") from None
    return lock_file


def _take_back_tokens(home: Path) -> None:
    for taken in take_back(home / "data", scratch=home):
        log.warning(
            "insert tokens whose rows are not there were taken back; a repeated insert brings the rows",
            path=str(taken.log),
            without_part=taken.without_part,
            unreadable=taken.unreadable,
        )


def _silence_signal_handlers() -> None:
    # The engine would take SIGTERM and SIGSEGV for itself; the web server must be the one that hears SIGTERM.
    extension = _extension()
    extension.set_signal_handlers_enabled(0)
    extension.reset_signal_handlers()
