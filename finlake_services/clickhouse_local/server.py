"""ClickHouse's HTTP interface as a raw ASGI application: no framework stands between a request and the engine."""

import asyncio
import json
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from finlake_services.clickhouse_local.answers import (
    AnswerCutError,
    Answering,
    Headers,
    Receive,
    Scope,
    Send,
    content_type,
    reply,
    reply_unknown,
)
from finlake_services.clickhouse_local.bodies import Body, content_length
from finlake_services.clickhouse_local.compression import CheckedBlocks, chosen_encoding
from finlake_services.clickhouse_local.connections import user_connection_of
from finlake_services.clickhouse_local.engine import Engine
from finlake_services.clickhouse_local.errors import ClickHouseError, unexpected
from finlake_services.clickhouse_local.execution import Endpoint, Execution, Registry
from finlake_services.clickhouse_local.metrics import EndpointMetrics
from finlake_services.clickhouse_local.requests import (
    Request,
    authenticated,
    is_plain_kill,
    query_parameters,
    read_request,
)
from finlake_services.clickhouse_local.sessions import Sessions
from finlake_services.clickhouse_local.statement_policy import StatementPolicy
from finlake_services.clickhouse_local.syntax_tree import Parser
from finlake_services.clickhouse_local.turns import BEGINNING_AT_ONCE, KILLS, REFUSED_LOGINS, UNKNOWN, Turn, Turns
from finlake_services.clickhouse_local.users import User

DISPLAY_NAME: Final = "finlake-local"
SPARE_THREADS: Final = 8
"""Beside those that all users' statements can take."""
UNWATCHED_S: Final = 0.05
"""A statement that takes longer is watched for its client going away, and needs a place among its user's lasting ones."""
LONG_TEXT_BYTES: Final = 1 << 13
"""A longer text needs such a place from the beginning: already to take it apart takes long."""
REFUSED_LOGIN_S: Final = 0.1
"""So long a wrong login waits for its answer, in a line of all wrong ones: who tries passwords tries few a second."""
SESSIONS_EXPIRE_EVERY_S: Final = 10
QUICKLY_READ_BYTES: Final = 1 << 14
"""A plain body up to this size is read in no time; a longer one is left to a worker."""
TAKEN_APART: Final = frozenset({"content-encoding", "content-type", "decompress"})
"""Headers and parameters with which a body may be many times as long as it came, or be in many parts."""
DEEPEST_TRACE: Final = 8

_OK: Final = b"Ok.\n"
_OVER_A_LIMIT: Final = frozenset({202, 241, 307})
"""Codes of what a user has too much of: statements, sessions, connections, bytes."""


class ClickHouseHttp:
    """The application. Call it by ASGI; its lifespan's end closes the engine."""

    def __init__(self, engine: Engine, users: dict[str, User]) -> None:
        self._engine = engine
        self._users = users
        self._endpoint = Endpoint(engine, Parser(engine), StatementPolicy(engine), Sessions(), Registry(engine))
        self._metrics = EndpointMetrics(self._endpoint)
        self._turns = Turns()
        most = sum(user.limits.concurrent + 3 * BEGINNING_AT_ONCE for user in users.values())
        self._workers = ThreadPoolExecutor(most + SPARE_THREADS, "statement")
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path, method = scope["path"], scope["method"]
        if path in ("/ping", "/replicas_status"):
            await reply_unknown(scope, send, 200, _OK, [])
        elif path == "/metrics":
            async with self._turns.turn(UNKNOWN):
                text = await asyncio.to_thread(self._metrics.text)
            await reply_unknown(scope, send, 200, text, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")])
        elif path not in ("/", "/query"):
            await reply_unknown(scope, send, 404, f"There is no handle {path}\n".encode(), [])
        elif method not in ("GET", "HEAD", "POST"):
            await reply_unknown(scope, send, 405, f"Method {method} is not supported\n".encode(), [])
        elif method in ("GET", "HEAD") and not scope["query_string"]:
            await reply_unknown(scope, send, 200, _OK, [])
        else:
            await self._statement(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        expiry = asyncio.create_task(self._expire_sessions())
        while (await receive())["type"] != "lifespan.shutdown":
            pass
        expiry.cancel()
        await asyncio.to_thread(self._close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _expire_sessions(self) -> None:
        while True:
            await asyncio.sleep(SESSIONS_EXPIRE_EVERY_S)
            await asyncio.to_thread(self._endpoint.sessions.expire)

    def _close(self) -> None:
        self._endpoint.registry.kill_all()
        self._workers.shutdown()
        self._endpoint.sessions.close()
        self._engine.close()
        self._log.info("clickhouse endpoint stopped")

    async def _statement(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        execution: Execution | None = None
        answering: Answering | None = None
        body_held = Body(self._turns)
        common = self._common_headers()
        try:
            query = query_parameters(scope["query_string"])
            user = await self._known_user(scope, headers, query)
            body = await body_held.read(receive, user, content_length(headers))
            if body is None:
                return
            line = f"{user.name}{KILLS}" if is_plain_kill(headers, query, body) else user.name
            async with self._turns.turn(line) as turn:
                request = await self._read(user, scope["method"], headers, query, body)
                common.append((b"x-clickhouse-query-id", request.query_id.encode()))
                if is_long_text(request):
                    await turn.last()
                execution = Execution(self._endpoint, request)
                if not await self._begin(execution, receive, turn):
                    return
            answering = Answering(scope, send, receive, common, self._workers, self._turns, user.name)
            if query.get("compress") == "1":
                answering.blocks = CheckedBlocks(query.get("network_compression_method", "LZ4"))
            elif query.get("enable_http_compression") == "1":
                answering.encoding = chosen_encoding(headers.get("accept-encoding", ""))
            await self._answer(execution, answering)
        except ClickHouseError as error:
            if error.code in _OVER_A_LIMIT:
                # Its frames hold the answer that was too long.
                error.__traceback__ = None
                # At once, the client would ask again at once, and its refusals would keep the event loop busy.
                async with self._turns.turn(f"{body_held.user}{REFUSED_LOGINS}"):
                    await asyncio.sleep(REFUSED_LOGIN_S)
            await self._refuse(send, error, common)
        except OSError:
            # The client went away, or its answer was cut.
            raise
        except Exception as error:
            self._log.error("clickhouse endpoint met an error", kind=type(error).__name__, where=_where(error))
            if answering is not None and answering.started:
                raise AnswerCutError(type(error).__name__) from error
            await self._refuse(send, unexpected(error), common)
        finally:
            body_held.release()
            if execution is not None:
                if not execution.closed:
                    await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._workers, execution.close))
                self._metrics.queries.labels(request.user.name, execution.kind).inc()
                self._metrics.seconds.labels(execution.kind).observe(execution.elapsed_ns / 1e9)
                self._metrics.rows_inserted.inc(execution.result.rows_written)

    async def _refuse(self, send: Send, error: ClickHouseError, common: Headers) -> None:
        self._metrics.errors.labels(str(error.code)).inc()
        code = str(error.code).encode()
        await reply(
            send,
            error.http_status,
            f"{error}\n".encode(errors="replace"),
            [(b"content-type", b"text/plain; charset=UTF-8"), (b"x-clickhouse-exception-code", code), *common],
        )

    async def _read(self, user: User, method: str, headers: dict[str, str], query: dict[str, str], body: bytes) -> Request:
        """The request out of its parts; what takes time is done beside the event loop, in which everybody waits."""
        if len(body) <= QUICKLY_READ_BYTES and not TAKEN_APART.intersection((*headers, *query)):
            return read_request(user, method, headers, query, body)
        async with self._turns.unpacking(user.name):
            return await asyncio.get_running_loop().run_in_executor(
                self._workers, read_request, user, method, headers, query, body
            )

    def _common_headers(self) -> Headers:
        return [
            (b"x-clickhouse-server-display-name", DISPLAY_NAME.encode()),
            (b"x-clickhouse-timezone", self._engine.timezone.encode()),
        ]

    async def _known_user(self, scope: Scope, headers: dict[str, str], query: dict[str, str]) -> User:
        try:
            user = authenticated(self._users, headers, query)
        except ClickHouseError:
            async with self._turns.turn(REFUSED_LOGINS):
                await asyncio.sleep(REFUSED_LOGIN_S)
            raise
        if connection := user_connection_of(scope):
            connection.belongs_to(user.name)
        return user

    async def _begin(self, execution: Execution, receive: Receive, turn: Turn) -> bool:
        """Begin a statement; False when the client went away, and with it a statement that only reads."""
        starting = asyncio.get_running_loop().run_in_executor(self._workers, execution.begin)
        done, _ = await asyncio.wait({starting}, timeout=UNWATCHED_S)
        if done:
            turn.end()
            await starting
            return True
        lasting = asyncio.create_task(turn.last())
        leaving = asyncio.create_task(_client_left(receive))
        try:
            await _first_of(starting, leaving)
            if starting.done():
                await starting
                return True
            await asyncio.to_thread(execution.abandon)
            with suppress(ClickHouseError):
                await starting
            return False
        finally:
            leaving.cancel()
            lasting.cancel()
            await asyncio.wait({lasting})
            turn.end()

    async def _answer(self, execution: Execution, answering: Answering) -> None:
        headers = [
            (b"content-type", content_type(execution.output_format)),
            (b"x-clickhouse-format", execution.output_format.encode()),
            (b"x-clickhouse-summary", _summary(execution)),
            *answering.common_headers,
        ]
        if execution.finished:
            await answering.whole(execution.next_part() or b"", headers)
            return
        leaving = asyncio.create_task(_client_left(answering.receive))
        try:
            await answering.start(headers)
            while not leaving.done() and await self._pass_on(execution, answering, leaving):
                pass
            if not leaving.done():
                await answering.end()
        except ClickHouseError as error:
            if leaving.done():
                return
            self._metrics.errors.labels(str(error.code)).inc()
            await answering.exception(str(error))
            raise AnswerCutError(str(error)) from error
        finally:
            leaving.cancel()

    async def _pass_on(self, execution: Execution, answering: Answering, leaving: "asyncio.Task[None]") -> bool:
        """Send the next part, which nobody holds when the one after it is made; False when there is none."""
        async with self._turns.lasting(execution.user.name):
            fetching = asyncio.get_running_loop().run_in_executor(self._workers, execution.next_part)
            await _first_of(fetching, leaving)
            if not fetching.done():
                await asyncio.to_thread(execution.abandon)
            part = await fetching
        if part is not None and not leaving.done():
            await answering.part(part)
        return part is not None


def is_long_text(request: Request) -> bool:
    """Whether a text is long as such; of an INSERT, which a reader has none of, the rows may be."""
    is_insert = request.user.rights != "reader" and request.text[:LONG_TEXT_BYTES].lstrip()[:6].upper() == b"INSERT"
    return len(request.text) > LONG_TEXT_BYTES and not is_insert


def _where(error: Exception) -> list[str]:
    """Places in the code that led to the error; not its text, which may hold a statement's values."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)][-DEEPEST_TRACE:]


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(*futures: "asyncio.Future[Any]") -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _summary(execution: Execution) -> bytes:
    result = execution.result
    return json.dumps(
        {
            "read_rows": str(result.rows_read),
            "read_bytes": str(result.bytes_read),
            "written_rows": str(result.rows_written),
            "written_bytes": str(result.bytes_written),
            "total_rows_to_read": "0",
            "result_rows": str(result.rows_written),
            "result_bytes": str(result.bytes_written),
            "elapsed_ns": str(execution.elapsed_ns),
        }
    ).encode()
