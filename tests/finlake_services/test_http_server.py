"""Whatever comes on a connection and is no part of a body is bounded, in whichever pieces it comes."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from finlake_services import http_server
from finlake_services.http_server import HEADERS_TIMEOUT_S, MOST_DISCARDED_BYTES, MOST_HEADER_BYTES, BoundedHttp

START = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"1\r\na\r\n"
ENDLESS = {
    "URL": (b"GET /", b"y"),
    "header": (b"GET / HTTP/1.1\r\nX: ", b"y"),
    "headers": (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
    "name of a header": (b"GET / HTTP/1.1\r\n", b"y"),
    "lines between requests": (b"", b"\r\n"),
    "trailer": (START + CHUNK + b"0\r\nX: ", b"y"),
    "trailers": (START + CHUNK + b"0\r\n", b"X: y\r\n"),
    "name of a trailer": (START + CHUNK + b"0\r\n", b"y"),
    "extension of a chunk": (START + b"8;", b"y"),
    "extension of a later chunk": (START + CHUNK + b"8;x=", b"y"),
    "extension of the last chunk": (START + CHUNK + b"0;", b"y"),
    "size of a chunk": (START, b"0"),
    "extensions of small chunks": (START, b"1;" + b"y" * 1000 + b"\r\na\r\n"),
}
"""What begins, and what goes on for ever after it."""


class Wire(asyncio.Transport):
    """The other end of a connection: what was written to it, and whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Connection:
    """One connection to a server of `application`, without a network: `feed` is what a client sends."""

    def __init__(self, application: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.wire = Wire()
        config = uvicorn.Config(application, http=BoundedHttp, ws="none", lifespan="off", log_config=None)
        self.protocol = BoundedHttp(config, ServerState(), {}, self.loop)
        self.protocol.connection_made(self.wire)

    def feed(self, data: bytes) -> None:
        self.protocol.data_received(data)
        # The application's task takes its turn.
        for _ in range(5):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def end(self) -> None:
        self.wire.close()
        self.protocol.connection_lost(None)
        while self.protocol.tasks:
            self.loop.run_until_complete(asyncio.wait(set(self.protocol.tasks)))
        self.loop.close()


@contextlib.contextmanager
def connected(application: Any) -> Iterator[Connection]:
    connection = Connection(application)
    try:
        yield connection
    finally:
        connection.end()


def application_that(*, reads: bool, told: list[bytes]) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", reads
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        told.append(body)
        await send({"type": "http.response.start", "status": 200 if reads else 403, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    return application


def fed_until_closed(connection: Connection, first: bytes, rest: bytes, piece_bytes: int, most: int) -> int:
    """How many bytes were taken until the connection was closed."""
    fed = 0
    for data in (first[at : at + piece_bytes] for at in range(0, len(first), piece_bytes)):
        connection.feed(data)
        fed += len(data)
    piece = rest * (piece_bytes // len(rest) + 1)
    while not connection.wire.closed:
        assert fed <= most
        connection.feed(piece)
        fed += len(piece)
    return fed


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("piece_bytes", [65_536, 1_021])
@pytest.mark.parametrize("endless", ENDLESS)
def test_what_does_not_end_is_refused_soon_whatever_it_is(endless: str, piece_bytes: int, reads: bool) -> None:
    first, rest = ENDLESS[endless]
    most = 2 * MOST_HEADER_BYTES + 2 * piece_bytes + len(first)
    with connected(application_that(reads=reads, told=[])) as connection:
        fed_until_closed(connection, first, rest, piece_bytes, most)
        statuses = connection.wire.written.count(b"HTTP/1.1 ")
        is_body = first.startswith(START)
        assert connection.wire.written.startswith(b"HTTP/1.1 403" if is_body and not reads else b"HTTP/1.1 431")
        assert statuses == 1


@pytest.mark.parametrize("endless", ENDLESS)
def test_it_is_refused_byte_by_byte_too(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_HEADER_BYTES", 2_000)
    first, rest = ENDLESS[endless]
    with connected(application_that(reads=True, told=[])) as connection:
        for at in range(len(first)):
            connection.feed(first[at : at + 1])
        assert not connection.wire.closed
        fed = 0
        while not connection.wire.closed:
            connection.feed(rest[fed % len(rest) :][:1])
            fed += 1
            assert fed <= 4_100
        assert connection.wire.written.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "part", [b"1000;" + b"y" * 0x800 + b"\r\n" + b"a" * 0x1000 + b"\r\n", b"10000\r\n" + b"a" * 0x10000 + b"\r\n"]
)
def test_a_body_that_was_refused_is_read_on_for_a_while_only_with_all_that_comes_with_it(part: bytes) -> None:
    with connected(application_that(reads=False, told=[])) as connection:
        fed_until_closed(connection, START, part, 65_536, MOST_DISCARDED_BYTES + (1 << 20))


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GE", b"T"),
        (b"GET / HTTP/1.1\r\nX: ", b"y"),
        (START + b"8", b";"),
        (START + CHUNK + b"8;", b"y"),
        (START + b"8;y", b"\r\n"),
        (START + CHUNK + b"0\r\n", b"X"),
        (START + CHUNK + b"0\r\nX: y", b"y"),
    ],
)
def test_what_was_begun_has_its_time_however_slowly_it_goes_on(begun: bytes, more: bytes) -> None:
    assert HEADERS_TIMEOUT_S <= 10
    with connected(application_that(reads=True, told=[])) as connection:
        connection.feed(begun[:-1])
        connection.feed(begun[-1:])
        timer = connection.protocol._headers_timer
        assert timer is not None
        connection.feed(more)
        assert connection.protocol._headers_timer is timer
        timer._run()
        assert connection.wire.closed


def test_a_client_that_we_keep_waiting_is_given_more_time() -> None:
    with connected(application_that(reads=True, told=[])) as connection:
        connection.feed(START + CHUNK + b"8\r\n")
        connection.protocol.flow.pause_reading()
        timer = connection.protocol._headers_timer
        assert timer is not None
        timer._run()
        assert not connection.wire.closed
        assert connection.protocol._headers_timer is not None


@pytest.mark.parametrize("rest", [START, START + CHUNK, START + b"2\r\na", START + CHUNK + b"1;x\r\na\r\n"])
def test_a_body_may_rest_between_its_parts(rest: bytes) -> None:
    with connected(application_that(reads=True, told=[])) as connection:
        for at in range(len(rest)):
            connection.feed(rest[at : at + 1])
        assert connection.protocol._headers_timer is None


@given(
    bodies=st.lists(
        st.tuples(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.binary(max_size=20), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_requests_arrive_whole_in_whichever_pieces_they_come(
    bodies: list[tuple[list[bytes], bytes, bool]],
    cuts: list[int],
) -> None:
    sent = b""
    for chunks, name, has_trailer in bodies:
        sent += START + b"".join(b"%x;n=%b\r\n%b\r\n" % (len(each), name.hex().encode(), each) for each in chunks)
        sent += b"0\r\n" + b"X: y\r\n" * has_trailer + b"\r\n"
    told: list[bytes] = []
    with connected(application_that(reads=True, told=told)) as connection:
        number = 0
        while sent:
            size = cuts[number % len(cuts)]
            connection.feed(sent[:size])
            sent, number = sent[size:], number + 1
        for _ in bodies:
            connection.feed(b"")
        assert told == [b"".join(chunks) for chunks, _, _ in bodies]
        assert not connection.wire.closed


def test_a_long_body_in_chunks_of_a_byte_arrives() -> None:
    told: list[bytes] = []
    with connected(application_that(reads=True, told=told)) as connection:
        connection.feed(START)
        for _ in range(40):
            connection.feed(CHUNK * 10_000)
        connection.feed(b"0\r\n\r\n")
        assert [len(body) for body in told] == [400_000]
        assert connection.wire.written.startswith(b"HTTP/1.1 200")
