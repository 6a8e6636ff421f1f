"""What a connection may cost before anybody has said who they are: the one HTTP server of all services of this project.

uvicorn bounds none of it with its quick parser (`limit_concurrency` counts all alike, so that one client could take every place;
`h11_max_incomplete_event_size` is for its other parser), so its protocol is extended here.
"""

import asyncio
import time
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LOOPBACK: Final = "127.0.0.1"

MOST_HEADER_BYTES: Final = 128 << 10
"""URL and headers of one request together."""
MOST_HEADERS: Final = 100
HEADERS_TIMEOUT_S: Final = 5.0
"""From a connection's beginning, or from a later request's first byte, to the end of its headers."""
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
    _unfinished_bytes = 0
    _is_between_bodies = True
    _ended_messages = 0
    _discarded_bytes = 0
    _refusal = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Note a connection; of too many that are unknown the oldest has to go."""
        super().connection_made(transport)
        self.opened_at = time.monotonic()
        self._await_headers()
        unknown = [each for each in self.present() if not each.is_known]
        if len(unknown) > MOST_UNKNOWN_CONNECTIONS:
            min(unknown, key=lambda each: each.opened_at).transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._end_headers()
        super().connection_lost(exc)

    def present(self) -> list["BoundedHttp"]:
        """The open connections of this server, this one among them."""
        return [each for each in self.connections if isinstance(each, BoundedHttp) and not each.transport.is_closing()]

    def _await_headers(self) -> None:
        if self._headers_timer is None:
            self._headers_timer = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def _end_headers(self) -> None:
        self._unfinished_bytes = 0
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def data_received(self, data: bytes) -> None:
        """Take in what has come. What stands between two requests, or in headers that do not end, is bounded too."""
        ended = self._ended_messages
        super().data_received(data)
        if self._is_between_bodies and ended == self._ended_messages and not self.transport.is_closing():
            # uvicorn's own timer of an idle connection has stopped, although nothing may have begun.
            self._await_headers()
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > MOST_HEADER_BYTES:
                self._refusal = "the headers are too long"
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {"connection": cast(Any, self)}
        self._header_bytes = self._header_count = 0
        self._await_headers()

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
        self._is_between_bodies = False
        self._end_headers()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body has come. One that nobody reads any more is borne for a while only."""
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > MOST_DISCARDED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._is_between_bodies = True
        self._ended_messages += 1
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or too long for one, and close the connection."""
        status, reason = (b"431 Request Header Fields Too Large", self._refusal) if self._refusal else (b"400 Bad Request", msg)
        headers, text = self.refusal_of(reason)
        self.transport.write(b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=UTF-8\r\n%bcontent-length: %d\r\n"
                             b"connection: close\r\n\r\n%b" % (status, headers, len(text), text))
        self.transport.close()
        self._end_headers()

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
