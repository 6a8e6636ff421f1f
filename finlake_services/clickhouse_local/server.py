"""ClickHouse's HTTP interface as a raw ASGI application: no framework stands between a request and the engine."""

import asyncio
import json
import secrets
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from finlake_services.clickhouse_local.compression import MINIMUM_BYTES, CheckedBlocks, Encoder, Plain, chosen_encoding, encoder
from finlake_services.clickhouse_local.connections import connection_of
from finlake_services.clickhouse_local.engine import Engine
from finlake_services.clickhouse_local.errors import ClickHouseError, unexpected
from finlake_services.clickhouse_local.execution import Endpoint, Execution, Registry
from finlake_services.clickhouse_local.judgement import Judge
from finlake_services.clickhouse_local.metrics import Metrics
from finlake_services.clickhouse_local.requests import Request, authenticated, query_parameters, read_request
from finlake_services.clickhouse_local.sessions import Sessions
from finlake_services.clickhouse_local.syntax_tree import Parser
from finlake_services.clickhouse_local.turns import (
    BEGINNING_AT_ONCE,
    BODIES_PER_LIMIT,
    REFUSED_LOGINS,
    UNKNOWN,
    Turn,
    Turns,
)
from finlake_services.clickhouse_local.users import User

# ASGI's own definitions: its messages hold values of many types.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

DISPLAY_NAME: Final = "finlake-local"
SPARE_THREADS: Final = 8
"""Beside those that all users' statements can take."""
PATIENCE_S: Final = 0.05
"""A statement that takes longer is watched for its client going away, and lets its user's next one begin."""
BODY_TIMEOUT_S: Final = 300
"""A body that has not come within this time is given up."""
REFUSED_LOGIN_S: Final = 0.1
"""So long a wrong login waits for its answer, two at a time: who tries passwords tries twenty a second."""
SEND_TIMEOUT_S: Final = 300
"""A client that takes none of its answer for so long is given up."""
UNKNOWN_SEND_TIMEOUT_S: Final = 10
"""So long one who has not logged in may take none of an answer; the line of those is not held meanwhile."""
SESSIONS_EXPIRE_EVERY_S: Final = 10
QUICKLY_READ_BYTES: Final = 1 << 14
"""A plain body up to this size is read in no time; a longer one is left to a worker."""
TAKEN_APART: Final = frozenset({"content-encoding", "content-type", "decompress"})
"""Headers and parameters with which a body may be many times as long as it came, or be in many parts."""
DEEPEST_TRACE: Final = 8

_CONTENT_TYPES: Final = {
    "JSON": "application/json; charset=UTF-8", "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8", "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8", "TSV": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream", "RowBinary": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream", "Arrow": "application/vnd.apache.arrow.file",
    "ArrowStream": "application/vnd.apache.arrow.stream", "Parquet": "application/vnd.apache.parquet",
}
_OK: Final = b"Ok.\n"
_OVER_A_LIMIT: Final = frozenset({202, 241, 307})
"""Codes of what a user has too much of: statements, sessions, connections, bytes."""


class AnswerCut(ConnectionAbortedError):
    """The answer had begun when its statement failed; the connection is closed without the answer's end, as a server does."""


class ClickHouseHttp:
    """The application. Call it by ASGI; its lifespan's end closes the engine."""

    def __init__(self, engine: Engine, users: dict[str, User]) -> None:
        self._engine = engine
        self._users = users
        self._endpoint = Endpoint(engine, Parser(engine), Judge(engine), Sessions(), Registry(engine))
        self._metrics = Metrics(self._endpoint)
        self._turns = Turns()
        most = sum(user.limits.concurrent + 2 * BEGINNING_AT_ONCE for user in users.values())
        self._workers = ThreadPoolExecutor(most + SPARE_THREADS, "statement")
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path, method = scope["path"], scope["method"]
        if path in ("/ping", "/replicas_status"):
            await _reply_unknown(scope, send, 200, _OK, [])
        elif path == "/metrics":
            async with self._turns.turn(UNKNOWN):
                text = await asyncio.to_thread(self._metrics.text)
            await _reply_unknown(scope, send, 200, text, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")])
        elif path not in ("/", "/query"):
            await _reply_unknown(scope, send, 404, f"There is no handle {path}\n".encode(), [])
        elif method not in ("GET", "HEAD", "POST"):
            await _reply_unknown(scope, send, 405, f"Method {method} is not supported\n".encode(), [])
        elif method in ("GET", "HEAD") and not scope["query_string"]:
            await _reply_unknown(scope, send, 200, _OK, [])
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
        answering: _Answering | None = None
        body_held = _Body(self._turns)
        common = self._common_headers()
        try:
            query = query_parameters(scope["query_string"])
            user = await self._known_user(scope, headers, query)
            body = await body_held.read(receive, user)
            if body is None:
                return
            async with self._turns.turn(user.name) as turn:
                request = await self._read(user, scope["method"], headers, query, body)
                common.append((b"x-clickhouse-query-id", request.query_id.encode()))
                execution = Execution(self._endpoint, request)
                first = await self._begin(execution, receive, turn)
            if first is None:
                return
            answering = _Answering(send, receive, common, self._workers, head_only=scope["method"] == "HEAD")
            if query.get("compress") == "1":
                answering.blocks = CheckedBlocks(query.get("network_compression_method", "LZ4"))
            elif query.get("enable_http_compression") == "1":
                answering.encoding = chosen_encoding(headers.get("accept-encoding", ""))
            await self._answer(execution, first, answering)
        except ClickHouseError as error:
            if error.code in _OVER_A_LIMIT:
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
                raise AnswerCut(type(error).__name__) from error
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
        await _reply(send, error.http_status, f"{error}\n".encode(errors="replace"), [
            (b"content-type", b"text/plain; charset=UTF-8"), (b"x-clickhouse-exception-code", code), *common])

    async def _read(self, user: User, method: str, headers: dict[str, str], query: dict[str, str], body: bytes) -> Request:
        """The request out of its parts; what takes time is done beside the event loop, in which everybody waits."""
        if len(body) <= QUICKLY_READ_BYTES and not TAKEN_APART.intersection((*headers, *query)):
            return read_request(user, method, headers, query, body)
        return await asyncio.get_running_loop().run_in_executor(
            self._workers, read_request, user, method, headers, query, body)

    def _common_headers(self) -> Headers:
        return [(b"x-clickhouse-server-display-name", DISPLAY_NAME.encode()),
                (b"x-clickhouse-timezone", self._engine.timezone.encode())]

    async def _known_user(self, scope: Scope, headers: dict[str, str], query: dict[str, str]) -> User:
        try:
            user = authenticated(self._users, headers, query)
        except ClickHouseError:
            async with self._turns.turn(REFUSED_LOGINS):
                await asyncio.sleep(REFUSED_LOGIN_S)
            raise
        if connection := connection_of(scope):
            connection.belongs_to(user.name)
        return user

    async def _begin(self, execution: Execution, receive: Receive, turn: Turn) -> bytes | None:
        """The first part of the answer; None when the client went away, and with it a statement that only reads."""
        starting = asyncio.get_running_loop().run_in_executor(self._workers, execution.begin)
        done, _ = await asyncio.wait({starting}, timeout=PATIENCE_S)
        turn.end()
        if done:
            return await starting
        leaving = asyncio.create_task(_client_left(receive))
        try:
            await _first_of(starting, leaving)
            if starting.done():
                return await starting
            await asyncio.to_thread(execution.abandon)
            with suppress(ClickHouseError):
                await starting
            return None
        finally:
            leaving.cancel()

    async def _answer(self, execution: Execution, first: bytes, answering: "_Answering") -> None:
        headers = [
            (b"content-type", _CONTENT_TYPES.get(execution.output_format, "text/plain; charset=UTF-8").encode()),
            (b"x-clickhouse-format", execution.output_format.encode()),
            (b"x-clickhouse-summary", _summary(execution)),
            *answering.common_headers,
        ]
        if execution.finished:
            await answering.whole(first, headers)
            return
        leaving = asyncio.create_task(_client_left(answering.receive))
        try:
            await answering.start(headers)
            part: bytes | None = first
            while part is not None and not leaving.done():
                await answering.part(part)
                part = await self._next_part(execution, leaving)
            if not leaving.done():
                await answering.end()
        except ClickHouseError as error:
            if leaving.done():
                return
            self._metrics.errors.labels(str(error.code)).inc()
            await answering.exception(str(error))
            raise AnswerCut(str(error)) from error
        finally:
            leaving.cancel()


    async def _next_part(self, execution: Execution, leaving: "asyncio.Task[None]") -> bytes | None:
        fetching = asyncio.get_running_loop().run_in_executor(self._workers, execution.next_part)
        await _first_of(fetching, leaving)
        if not fetching.done():
            await asyncio.to_thread(execution.abandon)
        return await fetching


class _Answering:
    """One answer on its way out: whole with its length, or in parts."""

    def __init__(
        self, send: Send, receive: Receive, common_headers: Headers, workers: Executor, *, head_only: bool,
    ) -> None:
        self._workers = workers
        self.receive = receive
        self.common_headers = common_headers
        self.blocks: CheckedBlocks | None = None
        self.started = False
        self.encoding: str | None = None
        self._send = send
        self._head_only = head_only
        self._encoder: Encoder = Plain()
        self._tag = secrets.token_hex(8)

    async def whole(self, body: bytes, headers: Headers) -> None:
        """Send a finished answer."""
        self.started = True
        if self.blocks is not None:
            body = await self._encoded(self.blocks.encode, body)
        elif self.encoding and len(body) >= MINIMUM_BYTES:
            whole = encoder(self.encoding)
            body = await self._encoded(lambda part: whole.encode(part) + whole.finish(), body)
            headers = [*headers, (b"content-encoding", self.encoding.encode())]
        await _reply(self._send, 200, body, headers, head_only=self._head_only)

    async def start(self, headers: Headers) -> None:
        """Begin an answer in parts."""
        self.started = True
        headers = [*headers, (b"x-clickhouse-exception-tag", self._tag.encode())]
        if self.encoding:
            self._encoder = encoder(self.encoding)
            headers.append((b"content-encoding", self.encoding.encode()))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def part(self, part: bytes) -> None:
        """Send the next part."""
        encode = self.blocks.encode if self.blocks else self._encoder.encode if self.encoding else None
        await self._body(await self._encoded(encode, part) if encode else part, more=True)

    async def _encoded(self, encode: Callable[[bytes], bytes], part: bytes) -> bytes:
        """Compress beside the event loop what takes longer than going there."""
        if len(part) <= QUICKLY_READ_BYTES:
            return encode(part)
        return await asyncio.get_running_loop().run_in_executor(self._workers, encode, part)

    async def end(self) -> None:
        """Send what is kept back, and the end."""
        await self._body(self._encoder.finish(), more=False)

    async def exception(self, text: str) -> None:
        """Tell within the answer that it fails here, framed by the tag of the header so that no data can be taken for it."""
        message = f"{text}\n{len(text.encode()) + 1} {self._tag}"
        framed = f"\r\n__exception__\r\n{self._tag}\r\n{message}\r\n__exception__\r\n".encode()
        await self._body(self._encoder.encode(framed) + self._encoder.finish(), more=True)

    async def _body(self, body: bytes, *, more: bool) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


async def _reply(send: Send, status: int, body: bytes, headers: Headers, *, head_only: bool = False) -> None:
    await send({"type": "http.response.start", "status": status,
                "headers": [*headers, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": b"" if head_only else body})


async def _reply_unknown(scope: Scope, send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Answer who has not logged in; one who does not read the answers loses the connection."""
    try:
        async with asyncio.timeout(UNKNOWN_SEND_TIMEOUT_S):
            await _reply(send, status, body, headers)
    except TimeoutError:
        if connection := connection_of(scope):
            connection.transport.abort()
            while not connection.cycle.disconnected:
                await asyncio.sleep(0)


class _Body:
    """A request's body, counted for its user from its first byte until the request ends."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.user = ""
        self._size = 0

    async def read(self, receive: Receive, user: User) -> bytes | None:
        """The whole body; None when the client goes away before its end.

        Raises `ClickHouseError` beyond the user's limit for one (307) or for all at once (241), or when it does not end (209).
        """
        self.user = user.name
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._read(receive, user.limits.body_bytes)
        except TimeoutError as error:
            raise ClickHouseError(209, "SOCKET_TIMEOUT", f"The request's body has not ended within {BODY_TIMEOUT_S} s") from error

    async def _read(self, receive: Receive, limit: int) -> bytes | None:
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            if self._size + len(part) > limit:
                raise ClickHouseError(307, "TOO_MANY_BYTES", f"Request body is larger than {limit} bytes; send it in parts")
            self._turns.hold_body(self.user, len(part), BODIES_PER_LIMIT * limit)
            self._size += len(part)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def release(self) -> None:
        """The body is not needed any more."""
        self._turns.hold_body(self.user, -self._size, 0)
        self._size = 0


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
    return json.dumps({
        "read_rows": str(result.rows_read), "read_bytes": str(result.bytes_read), "written_rows": str(result.rows_written),
        "written_bytes": str(result.bytes_written), "total_rows_to_read": "0", "result_rows": str(result.rows_written),
        "result_bytes": str(result.bytes_written), "elapsed_ns": str(execution.elapsed_ns),
    }).encode()
