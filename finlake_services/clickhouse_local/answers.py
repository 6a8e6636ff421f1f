"""Answers on their way out: whole with their length or in parts, compressed or not, counted until they are read."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from typing import Any, Final

from finlake_services.clickhouse_local.compression import MINIMUM_BYTES, CheckedBlocks, Encoder, Plain, encoder
from finlake_services.clickhouse_local.connections import user_connection_of
from finlake_services.clickhouse_local.turns import Turns

# ASGI's own definitions: its messages hold values of many types.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SEND_TIMEOUT_S: Final = 30
"""A client that takes no PIECE_BYTES of its answer for so long is given up."""
UNKNOWN_SEND_TIMEOUT_S: Final = 10
"""So long one who has not logged in may take none of an answer; the line of those is not held meanwhile."""
PIECE_BYTES: Final = 1 << 17
"""An answer is handed to its connection by so much: the event loop copies it, and the rest waits where it is counted."""
QUICKLY_ENCODED_BYTES: Final = 1 << 14
"""What is compressed in no time; more is left to a worker."""

_CONTENT_TYPES: Final = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream",
    "Arrow": "application/vnd.apache.arrow.file",
    "ArrowStream": "application/vnd.apache.arrow.stream",
    "Parquet": "application/vnd.apache.parquet",
}


def content_type(output_format: str) -> bytes:
    """The media type of an answer in a format."""
    return _CONTENT_TYPES.get(output_format, "text/plain; charset=UTF-8").encode()


class AnswerCutError(ConnectionAbortedError):
    """The answer had begun when its statement failed; the connection is closed without the answer's end, as a server does."""


class Answering:
    """One answer on its way out: whole with its length, or in parts."""

    def __init__(
        self,
        scope: Scope,
        send: Send,
        receive: Receive,
        common_headers: Headers,
        workers: Executor,
        turns: Turns,
        user: str,
    ) -> None:
        self._scope = scope
        self._workers = workers
        self._turns = turns
        self._user = user
        self.receive = receive
        self.common_headers = common_headers
        self.blocks: CheckedBlocks | None = None
        self.started = False
        self.encoding: str | None = None
        self._send = send
        self._head_only = scope["method"] == "HEAD"
        self._encoder: Encoder = Plain()
        self._tag = secrets.token_hex(8)

    async def whole(self, body: bytes, headers: Headers) -> None:
        """Send a finished answer. Raises `ClickHouseError` (241) when too many others of the user are not read yet."""
        with self._turns.unread(self._user, len(body)):
            if self.blocks is not None:
                body = await self._encoded(self.blocks.encode, body)
            elif self.encoding and len(body) >= MINIMUM_BYTES:
                whole = encoder(self.encoding)
                body = await self._encoded(lambda part: whole.encode(part) + whole.finish(), body)
                headers = [*headers, (b"content-encoding", self.encoding.encode())]
            self.started = True
            await self._send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [*headers, (b"content-length", str(len(body)).encode())],
                }
            )
            await self._body(b"" if self._head_only else body, more=False)

    async def start(self, headers: Headers) -> None:
        """Begin an answer in parts."""
        self.started = True
        headers = [*headers, (b"x-clickhouse-exception-tag", self._tag.encode())]
        if self.encoding:
            self._encoder = encoder(self.encoding)
            headers.append((b"content-encoding", self.encoding.encode()))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def part(self, part: bytes) -> None:
        """Send the next part. Raises `ClickHouseError` (241) when too many bytes of the user's answers are not read yet."""
        encode = self.blocks.encode if self.blocks else self._encoder.encode if self.encoding else None
        with self._turns.unread(self._user, len(part)):
            if encode is not None:
                async with self._turns.lasting(self._user):
                    part = await self._encoded(encode, part)
            await self._body(part, more=True)

    async def _encoded(self, encode: Callable[[bytes], bytes], part: bytes) -> bytes:
        """Compress beside the event loop what takes longer than going there."""
        if len(part) <= QUICKLY_ENCODED_BYTES:
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
        """Send bytes piece by piece. Raises `AnswerCutError`, with its connection closed, when the client does not take them."""
        start = 0
        try:
            while len(body) - start > PIECE_BYTES:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._send({"type": "http.response.body", "body": body[start : start + PIECE_BYTES], "more_body": True})
                start += PIECE_BYTES
                # Nothing waits while a client reads as fast as it is written to.
                await asyncio.sleep(0)
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._send({"type": "http.response.body", "body": body[start:], "more_body": more})
        except TimeoutError as error:
            if connection := user_connection_of(self._scope):
                # Its close would wait for the client to read.
                connection.transport.abort()
            raise AnswerCutError(f"the client took nothing of its answer for {SEND_TIMEOUT_S} s") from error


async def reply(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a short answer."""
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


async def reply_unknown(scope: Scope, send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Answer who has not logged in; one who does not read the answers loses the connection."""
    try:
        async with asyncio.timeout(UNKNOWN_SEND_TIMEOUT_S):
            await reply(send, status, body, headers)
    except TimeoutError:
        if connection := user_connection_of(scope):
            connection.transport.abort()
            while not connection.cycle.disconnected:
                await asyncio.sleep(0)
