"""Each limit holds before the work is done, and for each user alone."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.clickhouse_local import answers, connections
from finlake_services.clickhouse_local import server as server_module
from finlake_services.clickhouse_local.bodies import Body, content_length
from finlake_services.clickhouse_local.connections import MOST_CONNECTIONS_OF_A_USER
from finlake_services.clickhouse_local.errors import ClickHouseError
from finlake_services.clickhouse_local.requests import MOST_FIELDS, Request, query_parameters, read_request
from finlake_services.clickhouse_local.statement_text import LONGEST_HEAD_BYTES, MOST_ELEMENTS, check_size, split_statement
from finlake_services.clickhouse_local.turns import (
    BEGINNING_AT_ONCE,
    BODIES_AT_ONCE,
    LASTING_AT_ONCE,
    MOST_UNREAD_BYTES,
    MOST_UNREAD_BYTES_OF_ALL,
    Turns,
)
from finlake_services.clickhouse_local.users import Rights, User, limits_of
from finlake_services.http_server import HEADERS_TIMEOUT_S, MOST_HEADER_BYTES, MOST_HEADERS, MOST_UNKNOWN_CONNECTIONS
from tests.finlake_services.clickhouse_local.endpoint import Server

CHAIN = " BETWEEN 1 AND 2"


def refusal(text: str) -> int:
    """The code with which a text is refused before the engine sees it, 0 when it is not."""
    try:
        check_size(text)
    except ClickHouseError as error:
        return error.code
    return 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT 1" + CHAIN * 40, 168),
        ("SELECT " + "(" * 40 + "1" + (CHAIN + ")") * 40, 168),
        ("SELECT " + "f(" * 20 + "1" + (CHAIN + ")") * 20, 168),
        ("SELECT 1" + " NOT between 1 and 2" * 40, 168),
        ("SELECT $$'$$" + CHAIN * 40, 168),
        ("SELECT \u2018'\u2019" + CHAIN * 40, 168),
        ("SELECT 1/*'*/" + CHAIN * 40, 168),
        ("SELECT 1 -- '\n" + CHAIN * 40, 168),
        ("SELECT '\\''" + CHAIN * 40, 168),
        ("SELECT " + "(" * 1000, 306),
        ("SELECT " + "([{" * 100, 306),
        ("SELECT " + "CASE WHEN 1 THEN " * 300, 306),
        ("SELECT " + "(/*)*/" * 1000, 306),
        ("SELECT " + "(')'," * 1000, 306),
        ("SELECT 1; SELECT 2", 62),
        ("SELECT 1;;/**/;x", 62),
        ("SELECT 1;; -- x", 0),
        ("SELECT ';' || $$;$$ AS `;`", 0),
        ("SELECT 1 WHERE " + " AND ".join(["a BETWEEN 1 AND 2"] * 500), 0),
        ("SELECT f(a BETWEEN 1 AND 2, b BETWEEN 3 AND 4) OR c BETWEEN 5 AND 6", 0),
        ("SELECT " + "(" * 100 + "1" + ")" * 100, 0),
        ("SELECT 1 IN (" + ", ".join(["(1, 'x')"] * 9000) + ")", 0),
        ("SELECT 'between between between'", 0),
    ],
)
def test_a_text_whose_tree_would_be_too_large_is_refused_by_its_text(text: str, code: int) -> None:
    began = time.process_time()
    assert refusal(text) == code
    assert time.process_time() - began < 1


@given(st.integers(0, 14), st.integers(0, 8))
def test_the_estimate_is_no_less_than_what_betweens_make_of_a_text(chained: int, flat: int) -> None:
    text = "SELECT " + ", ".join(["1" + CHAIN * chained] * (flat + 1))
    if (flat + 1) * 2**chained > MOST_ELEMENTS:
        assert refusal(text) == 168
    if (flat + 1) * 4 * 2**chained < MOST_ELEMENTS:
        assert refusal(text) == 0


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT " + b"(" * 4_000_000,
        b"/**/" * 1_000_000 + b"SELECT 1",
        b"INSERT INTO t " + b"a." * 2_000_000,
    ],
)
def test_a_head_that_does_not_end_is_refused_after_its_first_bytes(text: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ClickHouseError, match=str(LONGEST_HEAD_BYTES)):
        split_statement(text)
    assert time.process_time() - began < 1


def test_a_url_with_too_many_parameters_is_refused_before_they_are_read() -> None:
    assert len(query_parameters(b"&".join(b"a%d=1" % number for number in range(MOST_FIELDS)))) == MOST_FIELDS
    with pytest.raises(ClickHouseError, match=str(MOST_FIELDS)):
        query_parameters(b"a=1&" * (MOST_FIELDS + 1))


def test_nobody_waits_in_somebody_elses_line() -> None:
    async def run() -> list[str]:
        turns, order, over = Turns(), [], asyncio.Event()

        async def hold(user: str) -> None:
            async with turns.turn(user):
                order.append(user)
                await over.wait()

        flood = [asyncio.create_task(hold("many")) for _ in range(50)]
        await asyncio.sleep(0)
        other = asyncio.create_task(hold("other"))
        while "other" not in order:
            await asyncio.sleep(0)
        begun = list(order)
        over.set()
        await asyncio.gather(*flood, other)
        assert order.count("many") == 50
        return begun

    assert sorted(asyncio.run(run())) == ["many"] * BEGINNING_AT_ONCE + ["other"]


def test_a_turn_that_is_given_back_early_is_given_back_once() -> None:
    async def run() -> None:
        turns = Turns()
        for _ in range(5):
            async with turns.turn("one") as turn:
                turn.end()
                turn.end()
        async with contextlib.AsyncExitStack() as held:
            for _ in range(BEGINNING_AT_ONCE):
                await held.enter_async_context(turns.turn("one"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), turns.turn("one"):
                    pass

    asyncio.run(run())


def test_what_lasts_gives_its_turn_away_only_when_there_is_a_place_for_it() -> None:
    async def run() -> None:
        turns = Turns()
        async with contextlib.AsyncExitStack() as held:
            begun = [await held.enter_async_context(turns.turn("one")) for _ in range(BEGINNING_AT_ONCE)]
            for _ in range(LASTING_AT_ONCE - 1):
                await turns.lasting("one").acquire()
            await begun[0].last()
            await begun[0].last()
            third = await held.enter_async_context(turns.turn("one"))
            waiting = asyncio.create_task(third.last())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
            async with turns.turn("other") as other:
                await other.last()
            begun[0].end()
            await waiting
            begun[0].end()
            assert turns.lasting("one").locked()

    asyncio.run(run())


def test_unread_answers_of_one_user_are_bounded_together_and_leave_others_alone() -> None:
    turns = Turns()
    with turns.unread("one", MOST_UNREAD_BYTES + 1):
        with pytest.raises(ClickHouseError, match="MEMORY_LIMIT_EXCEEDED"), turns.unread("one", 1):
            pass
        with turns.unread("other", MOST_UNREAD_BYTES + 1):
            pass
    with (
        turns.unread("one", MOST_UNREAD_BYTES - 1),
        turns.unread("one", 1),
        pytest.raises(ClickHouseError, match="MEMORY_LIMIT_EXCEEDED"),
        turns.unread("one", 1),
    ):
        pass


def test_unread_answers_of_all_users_are_bounded_and_nobody_is_refused_a_first_one() -> None:
    turns = Turns()
    with (
        turns.unread("one", MOST_UNREAD_BYTES_OF_ALL),
        turns.unread("other", 1),
        pytest.raises(ClickHouseError, match="MEMORY_LIMIT_EXCEEDED"),
        turns.unread("other", 1),
    ):
        pass


def test_an_answer_is_counted_as_long_as_it_is_before_it_is_compressed() -> None:
    async def send(message: answers.Message) -> None:
        raise AssertionError("it is sent")

    async def run() -> None:
        turns = Turns()
        answer = answering(turns, send)
        answer.encoding = "gzip"
        for tell in (answer.part, lambda body: answer.whole(body, [])):
            with turns.unread("one", 1), pytest.raises(ClickHouseError, match="MEMORY_LIMIT_EXCEEDED"):
                await tell(bytes(MOST_UNREAD_BYTES))

    asyncio.run(run())


def answering(turns: Turns, send: answers.Send) -> answers.Answering:
    """An answer without a server."""

    async def receive() -> answers.Message:
        raise AssertionError("nothing is received")

    return answers.Answering({"method": "POST"}, send, receive, [], ThreadPoolExecutor(1), turns, "one")


@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_that_nobody_takes_is_cut_and_its_bytes_are_counted_until_then(
    monkeypatch: pytest.MonkeyPatch,
    *,
    whole: bool,
) -> None:
    monkeypatch.setattr(answers, "SEND_TIMEOUT_S", 0.01)
    turns = Turns()
    taken = []

    async def send(message: answers.Message) -> None:
        taken.append(len(message.get("body", b"")))
        if len(taken) == 3:
            with pytest.raises(ClickHouseError, match="MEMORY_LIMIT_EXCEEDED"), turns.unread("one", MOST_UNREAD_BYTES):
                pass
            await asyncio.Event().wait()

    async def run() -> None:
        answer = answering(turns, send)
        body = bytes(10 * answers.PIECE_BYTES)
        if not whole:
            await answer.start([])
        with pytest.raises(answers.AnswerCutError):
            await (answer.whole(body, []) if whole else answer.part(body))

    asyncio.run(run())
    assert taken == [0, answers.PIECE_BYTES, answers.PIECE_BYTES]
    with turns.unread("one", 1), turns.unread("one", MOST_UNREAD_BYTES - 1):
        pass


@pytest.mark.parametrize("is_known", [True, False])
def test_the_connection_of_one_who_takes_nothing_of_an_answer_is_closed(
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_known: bool,
) -> None:
    """What the transport still holds is given up with it: a plain close would wait for the client."""
    monkeypatch.setattr(answers, "SEND_TIMEOUT_S", 0.01)
    monkeypatch.setattr(answers, "UNKNOWN_SEND_TIMEOUT_S", 0.01)
    workers = ThreadPoolExecutor(1)
    body = bytes(64 << 20)
    asked = asyncio.Event()

    async def answer(scope: answers.Scope, receive: answers.Receive, send: answers.Send) -> None:
        asked.set()
        if is_known:
            await answers.Answering(scope, send, receive, [], workers, Turns(), "one").whole(body, [])
        else:
            await answers.reply_unknown(scope, send, 200, body, [])

    async def run() -> None:
        configuration = uvicorn.Config(answer, http=connections.UsersHttp, lifespan="off", log_level="critical")
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as silent:
            serving = uvicorn.Server(configuration)
            task = asyncio.create_task(serving.serve(sockets=[listening]))
            silent.setblocking(False)
            await asyncio.get_running_loop().sock_connect(silent, listening.getsockname())
            await asyncio.get_running_loop().sock_sendall(silent, 2 * b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(30):
                await asked.wait()
                while serving.server_state.connections:
                    await asyncio.sleep(0)
            serving.should_exit = True
            await task

    asyncio.run(run())


@given(st.integers(0, 5 * answers.PIECE_BYTES))
def test_an_answer_is_handed_over_whole_in_short_pieces(size: int) -> None:
    sent = bytearray()
    body = bytes(number % 251 for number in range(size))

    async def send(message: answers.Message) -> None:
        if message["type"] == "http.response.body":
            assert len(message["body"]) <= answers.PIECE_BYTES
            sent.extend(message["body"])
            assert message["more_body"] == (len(sent) < size)

    asyncio.run(answering(Turns(), send).whole(body, []))
    assert sent == body


def test_long_bodies_of_one_user_are_read_a_few_at_a_time() -> None:
    reader = User(name="one", rights="reader", databases=(), limits=limits_of("reader", 1 << 30), password_sha256=b"")

    async def run() -> list[int]:
        turns, begun, over = Turns(), [], asyncio.Event()

        def receiving(number: int) -> answers.Receive:
            async def receive() -> answers.Message:
                begun.append(number)
                if number < 5:
                    await over.wait()
                return {"type": "http.request", "body": b"x"}

            return receive

        reading = [
            asyncio.create_task(Body(turns).read(receiving(number), reader, length))
            for number, length in enumerate([None, 1 << 20, 1 << 20, None, None, 10])
        ]
        while 5 not in begun:
            await asyncio.sleep(0)
        first = list(begun)
        over.set()
        await asyncio.gather(*reading)
        assert sorted(begun) == list(range(6))
        return first

    assert asyncio.run(run()) == [*range(BODIES_AT_ONCE), 5]


def test_a_body_whose_length_is_beyond_the_limit_is_refused_before_it_is_read() -> None:
    reader = User(name="one", rights="reader", databases=(), limits=limits_of("reader", 1 << 30), password_sha256=b"")

    async def receive() -> answers.Message:
        raise AssertionError("it is read")

    with pytest.raises(ClickHouseError, match="TOO_MANY_BYTES"):
        asyncio.run(Body(Turns()).read(receive, reader, reader.limits.body_bytes + 1))


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({}, 0),
        ({"content-length": "12"}, 12),
        ({"transfer-encoding": "chunked"}, None),
        ({"transfer-encoding": "chunked", "content-length": "1"}, None),
        ({"content-length": "x"}, None),
    ],
)
def test_a_length_is_what_the_headers_tell(headers: dict[str, str], length: int | None) -> None:
    assert content_length(headers) == length


def test_a_long_text_is_told_from_an_inserts_rows() -> None:
    def request(rights: Rights, text: bytes) -> Request:
        user = User(name="one", rights=rights, databases=(), limits=limits_of(rights, 1 << 30), password_sha256=b"")
        return read_request(user, "POST", {}, {}, text)

    long = b"x" * server_module.LONG_TEXT_BYTES
    assert server_module.is_long_text(request("reader", b"SELECT " + long))
    assert server_module.is_long_text(request("reader", b"INSERT " + long))
    assert server_module.is_long_text(request("writer", b"SELECT " + long))
    assert not server_module.is_long_text(request("writer", b" insert " + long))
    assert not server_module.is_long_text(request("reader", b"SELECT 1"))


def test_bodies_of_one_user_are_bounded_together_and_leave_others_alone() -> None:
    turns = Turns()
    turns.hold_body("one", 60, 100)
    with pytest.raises(ClickHouseError, match="MEMORY_LIMIT_EXCEEDED"):
        turns.hold_body("one", 60, 100)
    turns.hold_body("other", 100, 100)
    turns.hold_body("one", -60, 0)
    turns.hold_body("one", 100, 100)


@pytest.fixture
def dial(server: Server) -> Iterator[Callable[[bytes], socket.socket]]:
    """Opens connections and sends the first bytes; closes what is left open."""
    with contextlib.ExitStack() as stack:

        def open_connection(first: bytes = b"") -> socket.socket:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            connection.sendall(first)
            return connection

        yield open_connection


def answer_of(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % number for number in range(MOST_HEADERS + 10)) + b"\r\n",
        b"GET / HTTP/1.1\r\nh: " + b"x" * (MOST_HEADER_BYTES + 10) + b"\r\n\r\n",
        b"GET /?" + b"x" * (MOST_HEADER_BYTES + 10) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nh: " + b"x" * (4 * MOST_HEADER_BYTES),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 1000,
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
def test_headers_beyond_their_limits_are_refused_with_a_code(dial: Callable[[bytes], socket.socket], sent: bytes) -> None:
    connection = dial(b"")
    with contextlib.suppress(ConnectionError):
        connection.sendall(sent)
    answer = answer_of(connection)
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400", b"HTTP/1.1 403")) or not answer
    assert not answer or b"x-clickhouse-exception-code" in answer


@pytest.mark.slow
def test_a_request_that_does_not_get_on_is_closed_in_time(
    dial: Callable[[bytes], socket.socket],
    server: Server,
) -> None:
    assert HEADERS_TIMEOUT_S <= 10
    halves = [dial(b""), dial(b"GET / HTTP/1.1\r\nHost: x\r\n"), dial(b"\r\n"), dial(b"GET /ping HTTP/1.1\r\n\r\n")]
    answered = b""
    while not answered.endswith(b"Ok.\n"):
        answered += halves[3].recv(4096)
    halves[3].sendall(b"\r\n")
    for half in halves:
        assert answer_of(half) == b""


@pytest.mark.slow
def test_connections_without_a_login_take_no_place_of_those_with_one(
    dial: Callable[[bytes], socket.socket],
    server: Server,
) -> None:
    with server.http("reader") as reader:
        assert reader.post("/", content="SELECT 1").text == "1\n"
        opened = [dial(b"GET / HTTP/1.1\r\n") for _ in range(MOST_UNKNOWN_CONNECTIONS + 20)]
        assert reader.post("/", content="SELECT 1").text == "1\n"
        for closed in opened[:15]:
            assert closed.recv(1) == b""
        with server.http("other_reader") as other:
            assert other.post("/", content="SELECT 1").text == "1\n"


@pytest.mark.slow
def test_one_users_connections_take_no_place_of_anothers(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.http("other_reader")) for _ in range(MOST_CONNECTIONS_OF_A_USER + 10)]
        # Idle ones give way to new ones.
        assert all(client.post("/", content="SELECT 1").text == "1\n" for client in held)
        with server.http("reader") as reader:
            assert reader.post("/", content="SELECT 1").text == "1\n"


def test_a_user_whose_connections_are_all_in_use_gets_no_further_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS_OF_A_USER", 2)

    class Transport:
        closed = False

        def is_closing(self) -> bool:
            return self.closed

        def close(self) -> None:
            self.closed = True

    class Connection(connections.UsersHttp):
        busy = True

        def __init__(self, together: set[object]) -> None:
            self.connections = together  # type: ignore[assignment]
            self.transport = Transport()  # type: ignore[assignment]
            together.add(self)

        @property
        def is_idle(self) -> bool:
            return not self.busy

    together: set[object] = set()
    first, second, third, other = (Connection(together) for _ in range(4))
    first.belongs_to("one")
    second.belongs_to("one")
    other.belongs_to("other")
    with pytest.raises(ClickHouseError, match="TOO_MANY_SIMULTANEOUS_QUERIES"):
        third.belongs_to("one")
    second.busy = False
    third.belongs_to("one")
    assert second.transport.is_closing()
    assert not other.transport.is_closing()


@pytest.mark.slow
def test_a_wrong_login_is_slow_for_the_one_who_tries_and_for_nobody_else(server: Server) -> None:
    def try_passwords() -> None:
        for _ in range(3):
            assert httpx.post(server.url, content="SELECT 1", auth=("reader", "wrong")).status_code == 403

    tries = [threading.Thread(target=try_passwords) for _ in range(8)]
    began = time.monotonic()
    for thread in tries:
        thread.start()
    with server.http("reader") as reader:
        assert reader.post("/", content="SELECT 1").text == "1\n"
        assert any(thread.is_alive() for thread in tries)
    for thread in tries:
        thread.join()
    assert time.monotonic() - began >= 24 * 0.1 / BEGINNING_AT_ONCE


@pytest.mark.slow
@pytest.mark.parametrize("parts", [MOST_FIELDS + 1, 200_000])
def test_a_form_with_too_many_parts_is_refused(server: Server, parts: int) -> None:
    with server.http("reader") as reader:
        answer = reader.post("/", content=b"--b\r\n" * parts, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.headers["x-clickhouse-exception-code"] == "36"
