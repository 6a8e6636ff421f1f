"""What a connection may cost before anybody has said who they are: the one HTTP server of all services of this project.

uvicorn bounds none of it with its quick parser (`limit_concurrency` counts all alike, so that one client could take every place;
`h11_max_incomplete_event_size` is for its other parser), so its protocol is extended here.
"""

import asyncio
import time
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES: Final = 128 << 10
"""URL and headers of one request together."""
MOST_HEADERS: Final = 100
HEADERS_TIMEOUT_S: Final = 5.0
"""From a connection's beginning, or from a later request's first byte, to the end of its headers; from the line before a chunk
of a body to the chunk, and from the last chunk to the end of what follows it."""
PAID_BYTES: Final = 16
"""Each byte of a body makes up for so many that are none, so that a long body may come in chunks of a byte."""
MOST_UNKNOWN_CONNECTIONS: Final = 64
"""Connections on which nobody has logged in; one more closes the oldest of them."""
MOST_DISCARDED_BYTES: Final = 16 << 20
"""Of a body that is refused so much is still read, so that the client comes to read its answer."""


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 with bounded headers, time and numbers; an application finds it in its scope by `connection_of`."""

    is_known = False
    opened_at = 0.0
    _headers_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _header_count = 0
    _is_unfinished = False
    _has_advanced = False
    _unfinished_bytes = 0
    _paid_bytes = 0
    _has_body_to_come = False
    _discarded_bytes = 0
    _refusal = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Note a connection; of too many that are unknown the oldest has to go."""
        super().connection_made(transport)
        self.opened_at = time.monotonic()
        self._await_end()
        unknown = [each for each in self.present() if not each.is_known]
        if len(unknown) > MOST_UNKNOWN_CONNECTIONS:
            min(unknown, key=lambda each: each.opened_at).transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def present(self) -> list["BoundedHttp"]:
        """The open connections of this server, this one among them."""
        return [each for each in self.connections if isinstance(each, BoundedHttp) and not each.transport.is_closing()]

    def _await_end(self) -> None:
        if self._headers_timer is None:
            self._headers_timer = self.loop.call_later(HEADERS_TIMEOUT_S, self._give_up)

    def _give_up(self) -> None:
        self._headers_timer = None
        if self.flow.read_paused:
            # It is not the client who keeps us waiting.
            self._await_end()
        else:
            self.transport.close()

    def _advance(self) -> None:
        self._is_unfinished, self._has_advanced = False, True
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def data_received(self, data: bytes) -> None:
        """Take in what has come.

        The parser keeps a line until it ends, and copies it with each piece; it tells of no byte of it before. So what comes and
        is no body is counted here, whatever it is: headers, what stands between two requests, sizes and extensions of chunks,
        the lines after the last chunk.
        """
        self._has_advanced = False
        self._paid_bytes = 0
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_unfinished or not self._has_advanced:
            # uvicorn's own timer of an idle connection has stopped, although nothing may have begun.
            self._await_end()
        self._unfinished_bytes = max(0, self._unfinished_bytes - self._paid_bytes)
        if self._unfinished_bytes > MOST_HEADER_BYTES:
            self._refusal = f"headers, or what stands between the parts of a body, may have {MOST_HEADER_BYTES} bytes"
            self.send_400_response("")
        elif self._has_body_to_come and self.cycle is not None and self.cycle.response_complete:
            # Nobody reads it any more; it is borne for a while only.
            self._discarded_bytes += len(data)
            if self._discarded_bytes > MOST_DISCARDED_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {"connection": cast(Any, self)}
        self._header_bytes = self._header_count = 0
        self._is_unfinished = True

    def on_url(self, url: bytes) -> None:
        """A part of the URL has come."""
        self._count(len(url), 0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer of a body, has come."""
        self._count(len(name) + len(value), 1)
        super().on_header(name, value)

    def _count(self, size: int, headers: int) -> None:
        self._header_bytes += size
        self._header_count += headers
        if self._header_bytes > MOST_HEADER_BYTES or self._header_count > MOST_HEADERS:
            self._refusal = f"URL and headers may have {MOST_HEADER_BYTES} bytes and {MOST_HEADERS} headers"
            raise ValueError(self._refusal)

    def on_headers_complete(self) -> None:
        """The headers are there."""
        super().on_headers_complete()
        self._has_body_to_come = True
        self._unfinished_bytes = 0
        self._advance()

    def on_chunk_header(self) -> None:
        """The line before a chunk has come, or before what follows the last one."""
        self._is_unfinished = True

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        self._paid_bytes += PAID_BYTES * len(body)
        self._advance()
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """A chunk is there, or what follows the last one."""
        self._advance()

    def on_message_complete(self) -> None:
        """The request is there."""
        self._has_body_to_come = False
        self._unfinished_bytes = 0
        self._advance()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or too long for one, and close the connection; without a word beside another answer."""
        status, reason = (b"431 Request Header Fields Too Large", self._refusal) if self._refusal else (b"400 Bad Request", msg)
        headers, text = self.refusal_of(reason)
        if self._may_answer():
            self.transport.write(
                b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=UTF-8\r\n%bcontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, headers, len(text), text)
            )
        self.transport.close()
        self._stop_timer()

    def _may_answer(self) -> bool:
        """Whether no answer to what came before is on its way, and none to this has begun."""
        if self.cycle is None:
            return True
        return not self.pipeline and not self.cycle.response_started if self._has_body_to_come else self.cycle.response_complete

    def refusal_of(self, reason: str) -> tuple[bytes, bytes]:
        """Further header lines and the text with which a request is refused that is none."""
        return b"", f"{reason}\n".encode()


def connection_of(scope: Any) -> BoundedHttp | None:
    """The connection on which a request came; None behind another server."""
    found = scope.get("extensions", {}).get("connection")
    return found if isinstance(found, BoundedHttp) else None


def vouch_for(scope: Any) -> None:
    """Note that who sends a request has logged in: their connection gives way to no stranger's."""
    connection = connection_of(scope)
    if connection is not None:
        connection.is_known = True
