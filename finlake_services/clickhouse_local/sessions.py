"""HTTP sessions: what a client's `session_id` keeps from one statement to the next.

A reader or writer can keep the current database only (SET and temporary tables are refused). An administrator's session gets
a connection of its own at the first statement that changes it, and from then on takes one statement at a time.
"""

import threading
import time
from collections.abc import Mapping

from finlake_services.clickhouse_local.engine import Engine, EngineConnection, quote_name, quote_text
from finlake_services.clickhouse_local.errors import ClickHouseError, EngineError
from finlake_services.clickhouse_local.requests import Request
from finlake_services.clickhouse_local.users import User

MOST_SESSIONS_OF_A_USER = 250
MOST_CONNECTIONS_OF_SESSIONS = 24
"""Connections of the engine that a user's sessions hold until their timeout."""


class Session:
    """One session; `connection` is None while it keeps no more than its database."""

    def __init__(self) -> None:
        self.database = ""
        self.connection: EngineConnection | None = None
        self.expires_at = 0.0
        self._busy = threading.Lock()
        self._holder: Request | None = None
        self._before: dict[str, str] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a statement has the session's connection."""
        return self._busy.locked()

    def take_connection(self, engine: Engine, request: Request, database: str) -> EngineConnection:
        """The session's connection with the request's database and settings. Raises `ClickHouseError` (373) while it is taken."""
        if not self._busy.acquire(timeout=1):
            raise ClickHouseError(373, "SESSION_IS_LOCKED", f"Session {request.session_id} is locked by a concurrent client")
        self._holder = request
        try:
            if self.connection is None:
                self.connection = engine.open_connection(request.user, database, {})
            elif request.database:
                self.connection.query(f"USE {quote_name(request.database)}")
            if request.settings:
                self._before = _present(self.connection, request.settings)
                wanted = ", ".join(f"{name} = {quote_text(value)}" for name, value in request.settings.items())
                self.connection.query(f"SET {wanted}")
        except EngineError:
            self.leave(request)
            raise
        return self.connection

    def leave(self, request: Request) -> None:
        """Undo the settings of the request that has the connection, and let the next one have it."""
        if self._holder is not request:
            return
        before, self._before = self._before, {}
        try:
            if before and self.connection is not None:
                self.connection.query("SET " + ", ".join(f"{name} = {value}" for name, value in before.items()))
        finally:
            self._holder = None
            self._busy.release()

    def close(self) -> None:
        """Close the session's connection."""
        if self.connection is not None:
            self.connection.close()


def _present(connection: EngineConnection, settings: Mapping[str, str]) -> dict[str, str]:
    """Right-hand sides that set `settings` back to what they are now."""
    names = ", ".join(quote_text(name) for name in settings)
    rows = connection.query(f"SELECT name, changed, value FROM system.settings WHERE name IN ({names})", "TabSeparatedRaw").output
    before = {}
    for row in rows.decode().splitlines():
        name, changed, value = row.split("\t", 2)
        before[name] = quote_text(value) if changed == "1" else "DEFAULT"
    return before


class Sessions:
    """Sessions by user and id; those not used for their timeout are closed by `expire`. Each user has a number of their own."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def enter(self, request: Request) -> Session:
        """The request's session, made when it is new. Raises `ClickHouseError` (372) when it had to exist."""
        key = (request.user.name, request.session_id or "")
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                if request.session_must_exist:
                    raise ClickHouseError(372, "SESSION_NOT_FOUND", f"Session {request.session_id} not found")
                own = sum(name == request.user.name for name, _ in self._sessions)
                if own >= MOST_SESSIONS_OF_A_USER:
                    raise ClickHouseError(
                        202,
                        "TOO_MANY_SIMULTANEOUS_QUERIES",
                        f"User {request.user.name} has {own} sessions already; they end after their timeout",
                    )
                session = self._sessions[key] = Session()
            session.expires_at = time.monotonic() + request.session_timeout_s
            return session

    def check_connections(self, user: User) -> None:
        """Raise `ClickHouseError` (202) when the user's sessions hold as many connections of the engine as they may."""
        with self._lock:
            held = sum(name == user.name and session.connection is not None for (name, _), session in self._sessions.items())
        if held >= MOST_CONNECTIONS_OF_SESSIONS:
            raise ClickHouseError(
                202,
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                f"{held} sessions of user {user.name} keep settings or temporary tables already; they end after their timeout",
            )

    def expire(self) -> None:
        """Close the sessions whose time is over."""
        now = time.monotonic()
        with self._lock:
            over = [key for key, session in self._sessions.items() if session.expires_at < now and not session.is_busy]
            closing = [self._sessions.pop(key) for key in over]
        for session in closing:
            session.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            closing = list(self._sessions.values())
            self._sessions.clear()
        for session in closing:
            session.close()
