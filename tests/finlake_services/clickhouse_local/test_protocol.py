"""Requests and answers as a ClickHouse server's HTTP interface has them."""

import collections
import contextlib
import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import lz4.frame
import psutil
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from finlake_services.clickhouse_local import engine
from finlake_services.clickhouse_local.errors import EngineError
from finlake_services.clickhouse_local.requests import is_plain_kill
from finlake_services.clickhouse_local.sessions import MOST_CONNECTIONS_OF_SESSIONS, MOST_SESSIONS_OF_A_USER
from finlake_services.clickhouse_local.turns import BEGINNING_AT_ONCE, LASTING_AT_ONCE
from tests.finlake_services.clickhouse_local.endpoint import Server

pytestmark = pytest.mark.slow

FOREVER = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what


def running(server: Server) -> int:
    """Statements that run now, as the endpoint's metrics say."""
    line = next(
        line
        for line in httpx.get(f"{server.url}/metrics").text.splitlines()
        if line.startswith("finlake_clickhouse_running_queries ")
    )
    return int(float(line.split()[1]))


def processes(admin: httpx.Client) -> int:
    """Statements that run now, as the engine says, without the one that asks."""
    return int(admin.post("/", content="SELECT count() FROM system.processes").text) - 1


def test_ping_replicas_status_and_root_answer_without_login(server: Server) -> None:
    for path in ("/ping", "/replicas_status", "/"):
        assert httpx.get(server.url + path).text == "Ok.\n"


def test_what_no_handler_takes_has_no_code_as_of_a_server(server: Server) -> None:
    assert httpx.get(f"{server.url}/nothing").status_code == 404
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = httpx.request(method, f"{server.url}/?query=SELECT")
        assert answer.status_code == 405
        assert "x-clickhouse-exception-code" not in answer.headers


def test_a_statement_comes_by_body_by_url_or_by_both(reader: httpx.Client) -> None:
    assert reader.post("/", content="SELECT 1").text == "1\n"
    assert reader.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert reader.post("/", params={"query": "SELECT 1,"}, content="2").text == "1\t2\n"
    assert reader.post("/", data={"query": "SELECT {x:UInt8}", "param_x": "3"}, files={}).status_code == 400
    assert reader.head("/", params={"query": "SELECT 1"}).headers["content-length"] == "2"


@pytest.mark.parametrize("space", ["\ufeff", "\n\ufeff ", "\u00a0", "\u200b\u2003", "\u3000\n"])
def test_space_of_an_editor_before_a_statement_is_passed_over(reader: httpx.Client, writer: httpx.Client, space: str) -> None:
    assert reader.post("/", content=f"{space}SELECT 1").text == "1\n"
    assert reader.get("/", params={"query": f"{space}SELECT 1"}).text == "1\n"
    broken = "INSERT INTO speed.ticks FORMAT CSV\nA,nonsense,1\n"
    with_space, without = (writer.post("/", content=text) for text in (space + broken, broken))
    assert with_space.status_code == 400
    assert with_space.headers["x-clickhouse-exception-code"] == without.headers["x-clickhouse-exception-code"]
    assert reader.post("/", content=space).headers["x-clickhouse-exception-code"] == "62"
    assert reader.post("/", content=f"{space}DROP TABLE speed.ticks").headers["x-clickhouse-exception-code"] in ("164", "497")
    kill = f"{space}KILL QUERY WHERE query_id = 'none'".encode()
    assert is_plain_kill({}, {}, kill)
    assert reader.post("/", content=kill).status_code == 200


def test_a_form_brings_statement_and_parameters(reader: httpx.Client) -> None:
    def field(value: str) -> tuple[None, str]:
        return None, value

    form = {"query": field("SELECT {x:UInt8} + {y:UInt8}"), "param_x": field("3"), "param_y": field("4")}
    assert reader.post("/", files=form).text == "7\n"
    external = reader.post("/", files={"t": ("t.csv", b"1\n")}, params={"query": "SELECT * FROM t"})
    assert external.headers["x-clickhouse-exception-code"] == "48"
    assert "values((1, 'x')" in external.text


def test_parameters_are_values_and_never_text(reader: httpx.Client) -> None:
    answer = reader.post("/", content="SELECT {x:String} FORMAT JSONCompact", params={"param_x": "'); DROP TABLE speed.ticks --"})
    assert answer.json()["data"] == [["'); DROP TABLE speed.ticks --"]]
    assert reader.post("/", content="SELECT {x:Array(UInt8)}", params={"param_x": "[1,2]"}).text == "[1,2]\n"
    assert reader.post("/", content="SELECT {x:UInt8}").headers["x-clickhouse-exception-code"] == "456"


@pytest.mark.parametrize(
    ("statement", "code", "status"),
    [
        ("SELEC 1", "62", 400),
        ("", "62", 400),
        ("SELECT * FROM speed.nothing", "60", 404),
        ("SELECT nothing", "47", 404),
        ("SELECT * FROM nothing.ticks", "497", 403),
        ("SELECT throwIf(1)", "395", 500),
        ("SELECT toUInt8('x')", "6", 400),
        ("SELECT no_function(1)", "497", 403),
        ("SELECT 1 FORMAT Nothing", "73", 404),
        ("SELECT toUInt8(unhex('e9'))", "6", 400),
        ("SELECT throwIf(1, unhex('ff')) FORMAT JSON", "395", 500),
        ("SELECT 'x\\xff' AS `\\xff`, throwIf(1, `\\xff`)", "395", 500),
    ],
)
def test_errors_have_the_code_status_and_text_of_the_engine(reader: httpx.Client, statement: str, code: str, status: int) -> None:
    answer = reader.post("/", content=statement)
    assert answer.headers["x-clickhouse-exception-code"] == code, answer.text
    assert answer.status_code == status
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_an_answer_tells_its_id_format_server_timezone_and_what_it_read(reader: httpx.Client) -> None:
    answer = reader.post("/", content="SELECT * FROM speed.ticks FORMAT CSV", params={"query_id": "my-id"})
    assert answer.headers["x-clickhouse-query-id"] == "my-id"
    assert answer.headers["x-clickhouse-format"] == "CSV"
    assert answer.headers["x-clickhouse-timezone"]
    assert answer.headers["x-clickhouse-server-display-name"]
    assert answer.headers["content-type"].startswith("text/csv")
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert summary["read_rows"] == "10"
    assert int(summary["read_bytes"]) > 100
    assert int(summary["elapsed_ns"]) > 0
    assert reader.post("/", content="SELECT 1").headers["x-clickhouse-query-id"] != "my-id"


def test_an_insert_tells_how_many_rows_it_wrote(writer: httpx.Client, admin: httpx.Client) -> None:
    admin.post("/", content="CREATE TABLE speed.counted (a Int64) ENGINE = MergeTree ORDER BY a")
    answer = writer.post("/", content="INSERT INTO speed.counted VALUES (1), (2), (3)")
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "3"


@pytest.mark.parametrize(
    ("head", "data"),
    [
        ("INSERT INTO speed.kinds (a, b) VALUES", " (1, 'x;'), (2, 'y FORMAT z')"),
        ("INSERT INTO speed.kinds FORMAT CSV\n", "1,x;\n2,y FORMAT z\n"),
        ("INSERT INTO speed.kinds (b, a) FORMAT TSV\n", "x;\t1\ny FORMAT z\t2\n"),
        (
            "/* (FORMAT */ INSERT INTO TABLE `speed`.`kinds`(a,b)\nformat JSONEachRow ",
            '{"a":1,"b":"x;"}\n{"a":2,"b":"y FORMAT z"}',
        ),
        ("INSERT INTO speed.kinds SELECT number + 1, ['x;', 'y FORMAT z'][number + 1] FROM numbers(2)", ""),
    ],
)
def test_an_insert_brings_its_rows_in_any_form(
    writer: httpx.Client,
    admin: httpx.Client,
    head: str,
    data: str,
) -> None:
    for by_url in (False, True):
        admin.post("/", content="CREATE OR REPLACE TABLE speed.kinds (a Int64, b String) ENGINE = MergeTree ORDER BY a")
        params = {"query": head.rstrip()} if by_url else {}
        answer = writer.post("/", params=params, content=data if by_url else head + data)
        assert answer.status_code == 200, answer.text
        assert writer.post("/", content="SELECT * FROM speed.kinds ORDER BY a").text == "1\tx;\n2\ty FORMAT z\n"


def test_an_insert_with_a_broken_row_writes_nothing(writer: httpx.Client) -> None:
    answer = writer.post("/", content="INSERT INTO speed.ticks FORMAT CSV\nA,2026-01-05 14:30:00,1\nA,nonsense,1\n")
    assert answer.status_code == 400
    assert writer.post("/", content="SELECT count() FROM speed.ticks").text == "10\n"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_bodies_are_compressed_both_ways(writer: httpx.Client, encoding: str) -> None:
    compress = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "lz4": lz4.frame.compress,
    }[encoding]
    decompress = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "lz4": lz4.frame.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(data).read(),
    }[encoding]
    for rows in (10_000, 200_000):
        statement = f"SELECT number FROM numbers({rows})".encode()
        with writer.stream(
            "POST",
            "/",
            content=compress(statement),
            params={"enable_http_compression": "1"},
            headers={"Content-Encoding": encoding, "Accept-Encoding": encoding},
        ) as answer:
            assert answer.headers["content-encoding"] == encoding
            raw = b"".join(answer.iter_raw())
        assert decompress(raw) == b"".join(b"%d\n" % number for number in range(rows))


def test_a_broken_or_unknown_encoding_is_refused(writer: httpx.Client) -> None:
    for encoding, code in (("gzip", "354"), ("zstd", "354"), ("lz4", "354"), ("br", "89"), ("nothing", "89")):
        answer = writer.post("/", content=b"SELECT 1", headers={"Content-Encoding": encoding})
        assert answer.headers["x-clickhouse-exception-code"] == code
    cut = gzip.compress(b"SELECT 1" * 100)[:-12]
    assert writer.post("/", content=cut, headers={"Content-Encoding": "gzip"}).status_code == 500


def test_a_body_beyond_the_limit_is_refused_also_when_it_grows_by_decompression(reader: httpx.Client) -> None:
    for content, encoding in (
        (b" " * (5 << 20), "identity"),
        (gzip.compress(b" " * (5 << 20)), "gzip"),
        (zstandard.ZstdCompressor().compress(b" " * (5 << 20)), "zstd"),
        (lz4.frame.compress(b" " * (5 << 20)), "lz4"),
    ):
        answer = reader.post("/", content=content, headers={"Content-Encoding": encoding})
        assert answer.headers["x-clickhouse-exception-code"] == "307"


def test_a_long_answer_streams_and_is_complete(reader: httpx.Client) -> None:
    with reader.stream("POST", "/", content="SELECT number FROM numbers(3000000)") as answer:
        assert "content-length" not in answer.headers
        lines = sum(part.count(b"\n") for part in answer.iter_bytes())
    assert lines == 3_000_000


def test_an_error_amid_an_answer_is_told_in_its_tagged_frame_and_cuts_the_connection(reader: httpx.Client) -> None:
    received = bytearray()
    with reader.stream("POST", "/", content="SELECT throwIf(number = 2500000, 'boom') FROM numbers(3000000)") as answer:
        assert answer.status_code == 200
        tag = answer.headers["x-clickhouse-exception-tag"].encode()
        parts = answer.iter_bytes()
        with pytest.raises(httpx.RemoteProtocolError):
            collections.deque(map(received.extend, parts), maxlen=0)
    assert b"\r\n__exception__\r\n" + tag + b"\r\nCode: 395. DB::Exception: boom" in received
    assert received.endswith(tag + b"\r\n__exception__\r\n")
    assert reader.post("/", content="SELECT 1").text == "1\n"


def test_an_answer_begins_when_it_is_long_and_a_short_one_fails_by_its_status(reader: httpx.Client) -> None:
    boom = "throwIf(number = 250000, 'boom') FROM numbers(300000)"
    short = reader.post("/", content=f"SELECT {boom}")
    assert (short.status_code, short.headers["x-clickhouse-exception-code"]) == (500, "395")
    with reader.stream("POST", "/", content=f"SELECT repeat('x', 200), {boom}") as answer:
        assert answer.status_code == 200


@pytest.mark.parametrize("output", ["TabSeparated", "JSON"])
def test_a_client_that_goes_away_takes_its_statement_with_it(
    server: Server,
    admin: httpx.Client,
    reader: httpx.Client,
    output: str,
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        reader.post("/", content=f"{FOREVER} FORMAT {output}", timeout=0.5)
    until(lambda: processes(admin) == 0 and running(server) == 0, "the statement still runs")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT number FROM numbers(9000000)",
        "SELECT number FROM numbers(1000000000000) WHERE number < 200000 OR sipHash64(number) = 1",
    ],
)
def test_a_client_that_leaves_amid_a_stream_takes_its_statement_with_it(
    server: Server,
    admin: httpx.Client,
    reader: httpx.Client,
    statement: str,
) -> None:
    with reader.stream("POST", "/", content=statement) as answer:
        unread = answer.iter_raw()
        next(unread)
    until(lambda: processes(admin) == 0 and running(server) == 0, "the statement still runs")


@contextlib.contextmanager
def statement_of_reader(server: Server, admin: httpx.Client, query_id: str) -> Iterator[list[httpx.Response]]:
    """A statement of the reader's runs inside the block, which has to end it; its answer is there afterwards."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        with server.http("reader") as asking:
            answers.append(asking.post("/", content=FOREVER, params={"query_id": query_id}))

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: processes(admin) == 1, "the statement does not run")
    yield answers
    thread.join(timeout=20)


def test_a_statement_is_killed_by_its_author_or_an_administrator_only(
    server: Server,
    clients: dict[str, httpx.Client],
) -> None:
    kill = "KILL QUERY WHERE query_id = 'long'"
    for killer in ("reader", "admin"):
        with statement_of_reader(server, clients["admin"], "long") as answers:
            assert clients["sink"].post("/", content=kill).text == clients["other_reader"].post("/", content=kill).text == ""
            again = clients["reader"].post("/", content="SELECT 1", params={"query_id": "long"})
            assert again.headers["x-clickhouse-exception-code"] == "216"
            assert clients[killer].post("/", content=kill).text == "waiting\tlong\treader\t\n"
        assert answers[0].headers["x-clickhouse-exception-code"] == "394"


@pytest.mark.parametrize("user", ["reader", "admin"])
def test_statements_that_hold_all_places_of_a_user_do_not_hold_up_their_kill(
    server: Server,
    clients: dict[str, httpx.Client],
    user: str,
) -> None:
    places = BEGINNING_AT_ONCE + LASTING_AT_ONCE
    with ThreadPoolExecutor(places) as asking:

        def ask(number: int) -> httpx.Response:
            with server.http(user) as client:
                return client.post("/", content=f"{FOREVER} SETTINGS max_threads = 1", params={"query_id": f"held-{number}"})

        answers = [asking.submit(ask, number) for number in range(places)]
        try:
            until(lambda: running(server) == places, "the statements do not run")
            for number in range(places):
                killed = clients[user].post("/", content=f"KILL QUERY WHERE query_id = 'held-{number}'")
                assert killed.text == f"waiting\theld-{number}\t{user}\t\n"
        finally:
            for number in range(places):
                clients["admin"].post("/", content=f"KILL QUERY WHERE query_id = 'held-{number}'")
    assert [answer.result().headers["x-clickhouse-exception-code"] for answer in answers] == ["394"] * places


def test_an_id_of_somebody_elses_statement_is_as_good_as_any(server: Server, clients: dict[str, httpx.Client]) -> None:
    with statement_of_reader(server, clients["admin"], "taken"):
        for user in ("other_reader", "sink"):
            assert clients[user].post("/", content="SELECT 1", params={"query_id": "taken"}).text == "1\n"
        assert processes(clients["admin"]) == 1
        assert clients["reader"].post("/", content="KILL QUERY WHERE query_id = 'taken'").text == "waiting\ttaken\treader\t\n"


@pytest.mark.parametrize("comment", ["-- FORMAT Native", "# FORMAT Native", "/* FORMAT Native */"])
def test_a_comment_asks_for_no_format(reader: httpx.Client, comment: str) -> None:
    for statement in ("SHOW TABLES FROM speed LIKE 'ticks'", "SELECT 'ticks'", "EXISTS speed.ticks"):
        plain, commented = (reader.post("/", content=text) for text in (statement, f"{statement} {comment}"))
        assert commented.headers["x-clickhouse-format"] == "TabSeparated"
        assert commented.text == plain.text


def test_the_list_of_processes_shows_a_user_its_own(server: Server, clients: dict[str, httpx.Client]) -> None:
    with statement_of_reader(server, clients["admin"], "shown"):
        shown = clients["reader"].post("/", content="SHOW PROCESSLIST FORMAT JSONEachRow", params={"query_id": "asks"})
        assert [json.loads(line)["query_id"] for line in shown.text.splitlines()] == ["shown", "asks"]
        others = clients["sink"].post("/", content="SHOW PROCESSLIST", params={"query_id": "other"}).text
        assert "other" in others
        assert "shown" not in others
        clients["reader"].post("/", content="KILL QUERY WHERE query_id = 'shown'")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("SELECT getServerSetting('max_connections')", "configuration is for its administrator"),
        ("SELECT 1 SETTINGS allow_ddl = 1", "Cannot modify 'allow_ddl' setting"),
        ("SELECT 1 SETTINGS max_execution_time = 0", "the most is 30"),
    ],
)
def test_what_a_client_may_not_ask_is_answered_with_a_sentence(reader: httpx.Client, asked: str, sentence: str) -> None:
    assert sentence in reader.post("/", content=asked).text


def test_a_session_takes_one_statement_at_a_time(server: Server, admin: httpx.Client) -> None:
    session = {"session_id": "taken"}
    admin.post("/", content="SET max_threads = 1", params=session)
    long = "SELECT number FROM numbers(9000000)"
    with server.http("admin") as other, other.stream("POST", "/", content=long, params=session) as held:
        unread = held.iter_raw()
        next(unread)
        assert admin.post("/", content="SELECT 1", params=session).headers["x-clickhouse-exception-code"] == "373"
    until(lambda: admin.post("/", content="SELECT getSetting('max_threads')", params=session).text == "1\n", "still taken")


@pytest.mark.parametrize(
    "condition",
    [
        "1",
        "user = 'sink'",
        "query_id != ''",
        "query_id = 'x' OR 1",
        "query_id IN ('x')",
        "query_id = 1",
    ],
)
def test_kill_takes_a_query_id_and_nothing_else(reader: httpx.Client, admin: httpx.Client, condition: str) -> None:
    for client in (reader, admin):
        assert client.post("/", content=f"KILL QUERY WHERE {condition}").headers["x-clickhouse-exception-code"] == "36"


def test_a_result_beyond_the_readers_limit_is_refused(reader: httpx.Client) -> None:
    for statement, params, code in (
        ("SELECT number FROM numbers(11000000) FORMAT Null", {}, "396"),
        ("SELECT number FROM numbers(100) FORMAT JSON", {"max_result_rows": "10"}, "396"),
        ("SELECT length(groupArray(number)) FROM numbers(1000000000)", {}, "241"),
        (FOREVER, {"max_execution_time": "1", "max_threads": "1"}, "159"),
    ):
        answer = reader.post("/", content=statement, params=params)
        assert answer.headers["x-clickhouse-exception-code"] == code, answer.text


@pytest.mark.parametrize("output", ["JSON", "Parquet", "Arrow", "CSVWithNames", "Native", "TabSeparated"])
def test_nothing_of_a_failed_answer_gets_into_the_next_one(admin: httpx.Client, reader: httpx.Client, output: str) -> None:
    for client, session in ((reader, {}), (admin, {}), (admin, {"session_id": "fails"})):
        client.post("/", content="SET max_threads = 1", params=session)
        failed = client.post("/", content=f"SELECT throwIf(number = 99999) FROM numbers(100000) FORMAT {output}", params=session)
        assert failed.headers["x-clickhouse-exception-code"] == "395"
        assert client.post("/", content="SELECT 1", params=session).text == "1\n"


def test_too_many_statements_at_once_are_refused_and_others_go_on(
    server: Server,
    reader: httpx.Client,
    writer: httpx.Client,
) -> None:
    unread = []
    with contextlib.ExitStack() as held:
        for _ in range(12):
            asking = held.enter_context(server.http("reader"))
            answer = held.enter_context(asking.stream("POST", "/", content="SELECT number FROM numbers(9000000)"))
            unread.append(answer.iter_raw())
            next(unread[-1])
        refused = reader.post("/", content="SELECT 1")
        assert refused.headers["x-clickhouse-exception-code"] == "202"
        assert refused.status_code == 503
        assert reader.post("/", content="KILL QUERY WHERE query_id = 'none'").status_code == 200
        assert writer.post("/", content="SELECT 1").text == "1\n"
    until(lambda: running(server) == 0, "the statements still run")
    assert reader.post("/", content="SELECT 1").text == "1\n"


def test_the_word_alone_gives_a_session_no_connection(reader: httpx.Client) -> None:
    for statement in ("SELECT 1 /* TEMP */", "SELECT 1 AS TEMPORARY", "SELECT 'TEMPORARY'"):
        reader.post("/", content=statement, params={"session_id": "word"}).raise_for_status()
    for database in ("system", "hidden"):
        answer = reader.post("/", content=f"USE {database}", params={"session_id": "word"})
        assert "USE " in answer.text
        assert answer.headers["x-clickhouse-exception-code"] == "497"
    reader.post("/", content="USE speed", params={"session_id": "word"}).raise_for_status()
    assert reader.post("/", content="SELECT count() FROM ticks", params={"session_id": "word"}).status_code == 200


def test_sessions_that_hold_a_connection_are_bounded(new_server: Callable[[], Server]) -> None:
    with new_server().http("admin") as admin:
        for number in range(MOST_CONNECTIONS_OF_SESSIONS):
            kept = "SET max_threads = 1" if number % 2 else "CREATE TEMPORARY TABLE mine (a Int8)"
            admin.post("/", content=kept, params={"session_id": str(number)}).raise_for_status()
        over = admin.post("/", content="SET max_threads = 1", params={"session_id": "over"})
        assert over.headers["x-clickhouse-exception-code"] == "202"
        assert admin.post("/", content="SELECT 1", params={"session_id": "over"}).text == "1\n"
        assert admin.post("/", content="SELECT count() FROM mine", params={"session_id": "0"}).text == "0\n"


def test_a_format_of_the_library_is_unknown_to_an_administrator_too(admin: httpx.Client) -> None:
    for asked in ("SELECT 1 FORMAT DataFrame", "SHOW TABLES FORMAT dataframe", "SELECT 1 FORMAT nonsense"):
        answer = admin.post("/", content=asked)
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (404, "73"), answer.text
        assert answer.text.startswith("Code: 73. DB::Exception: ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("Code: 62. DB::Exception: Syntax error"), 62),
        (RuntimeError("Unsupported output format dataframe"), 73),
        (RuntimeError("its own words"), 1002),
        (ValueError("vector::reserve"), 1002),
        (MemoryError(), 241),
        (IndexError("at"), 1002),
        (TypeError("incompatible arguments"), 1002),
        (OverflowError("large"), 1002),
        (UnicodeDecodeError("utf-8", b"Code: 6. DB::Exception: \xff", 0, 1, "invalid"), 6),
    ],
)
def test_whatever_the_library_raises_has_a_code(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    class Raw:
        def query(self, *_: object, params: object) -> object:
            raise error

    class Extension:
        def connect(self, _: str) -> Raw:
            return Raw()

    monkeypatch.setattr(engine, "_extension", Extension)
    connection = engine.EngineConnection("x")
    with pytest.raises(EngineError, match=f"^Code: {code}. DB::Exception: ") as raised:
        connection.query("SELECT 1")
    assert raised.value.code == code
    with pytest.raises(EngineError, match=f"^Code: {code}. DB::Exception: "):
        connection.insert("INSERT INTO t", "CSV", b"")


def test_an_administrators_session_keeps_settings_and_temporary_tables(admin: httpx.Client) -> None:
    def ask(statement: str, **params: str) -> str:
        return admin.post("/", content=statement, params={"session_id": "kept", **params}).text

    ask("SET max_block_size = 77")
    ask("CREATE TEMPORARY TABLE mine (a Int8)")
    ask("INSERT INTO mine VALUES (5)")
    assert ask("SELECT a, getSetting('max_block_size') FROM mine") == "5\t77\n"
    both = "SELECT getSetting('max_block_size'), getSetting('max_threads')"
    assert ask(both, max_block_size="33", max_threads="1") == "33\t1\n"
    assert ask("SELECT getSetting('max_block_size')") == "77\n"
    assert admin.post("/", content="SELECT getSetting('max_block_size')").text != "77\n"
    assert admin.post("/", content="SELECT * FROM mine").status_code == 404
    other = admin.post("/", content="SELECT 1", params={"session_id": "unknown", "session_check": "1"})
    assert other.headers["x-clickhouse-exception-code"] == "372"


def test_settings_and_databases_of_one_statement_do_not_reach_the_next(admin: httpx.Client, reader: httpx.Client) -> None:
    asked = "SELECT getSetting('max_threads'), currentDatabase()"
    for client in (reader, admin):
        before = client.post("/", content=asked).text
        assert client.post("/", content=asked, params={"max_threads": "1", "database": "speed"}).text == "1\tspeed\n"
        assert client.post("/", content=asked).text == before
    admin.post("/", content="SET max_threads = 1")
    admin.post("/", content="USE speed")
    assert admin.post("/", content=asked).text == before


def test_a_readers_session_keeps_its_database(reader: httpx.Client) -> None:
    session = {"session_id": "mine"}
    assert reader.post("/", content="USE speed", params=session).status_code == 200
    assert reader.post("/", content="SELECT count() FROM ticks", params=session).text == "10\n"
    assert reader.post("/", content="SELECT count() FROM ticks").status_code == 404
    assert reader.post("/", content="USE nothing", params=session).status_code == 403


@pytest.mark.parametrize("name", ["JSON\r\nSet-Cookie: a=b", "J SON", "", "x" * 65])
def test_a_name_of_a_format_cannot_become_a_header(reader: httpx.Client, name: str) -> None:
    answer = reader.post("/", content="SELECT 1", params={"default_format": name})
    assert "set-cookie" not in answer.headers
    assert answer.headers.get("x-clickhouse-exception-code") == (None if name == "" else "73")


@pytest.mark.parametrize("output", ["DataFrame", "dataframe", "ArrowTable", "arrowtable", "datastore", "Debug", "PrettyCompact"])
def test_formats_that_only_the_library_knows_do_no_harm(reader: httpx.Client, output: str) -> None:
    answer = reader.post("/", content="SELECT 1 AS a", params={"default_format": output})
    assert (answer.status_code == 200) == (output == "PrettyCompact"), answer.text
    assert reader.post("/", content="SELECT 1").text == "1\n"


@pytest.mark.parametrize(
    "text",
    [
        "INSERT " + "/*" * 500_000,
        "INSERT INTO t " + "'`" * 500_000,
        "SELECT '" + "x" * 2_000_000,
        "INSERT " + "(" * 3_900_000,
        "/**/" * 900_000 + "SELECT 1",
    ],
)
def test_a_text_of_nonsense_is_refused_at_once(reader: httpx.Client, text: str) -> None:
    assert reader.post("/", content=text, timeout=20).headers["x-clickhouse-exception-code"] == "62"


@pytest.mark.parametrize(
    ("statement", "params"),
    [
        ("EXPLAIN CURRENT TRANSACTION", {}),
        ("SELECT 1", {"session_id": "a", "session_timeout": "9" * 5000}),
        ("SELECT 1", {"client_protocol_version": "9" * 5000}),
        ("SELECT 1", {"client_protocol_version": "\u0661"}),
        ("SELECT 1", {"max_result_rows": "nan"}),
        ("SELECT 1", {"max_result_rows": "1" * 5000}),
        ("SELECT 1", {"": "1"}),
        ("SELECT 1", {"param_": "1"}),
        ("SELECT {a:Int8}", {"param_a": "\0"}),
        ("SELECT 1", {"database": "\0"}),
        ("SELECT 1", {"query_id": "\u00e9"}),
        ("SELECT \0", {}),
        ("EXPLAIN", {}),
        ("SHOW", {}),
        ("KILL QUERY", {}),
        ("USE", {}),
    ],
)
def test_whatever_a_client_sends_is_answered_with_a_code_or_a_result(
    reader: httpx.Client,
    statement: str,
    params: dict[str, str],
) -> None:
    answer = reader.post("/", content=statement, params=params)
    assert answer.status_code == 200 or "x-clickhouse-exception-code" in answer.headers, answer.text
    assert "Traceback" not in answer.text


def test_one_users_sessions_take_no_place_of_anothers(clients: dict[str, httpx.Client]) -> None:
    def open_session(user: str, number: int, **more: str) -> str:
        # Longer than the test takes on any machine; none is left for the tests after it.
        asked = {"session_id": f"many-{number}", "session_timeout": "60", **more}
        return str(clients[user].post("/", content="SELECT 1", params=asked).headers.get("x-clickhouse-exception-code", ""))

    codes = [open_session("other_reader", number) for number in range(MOST_SESSIONS_OF_A_USER + 5)]
    assert codes.count("202") >= 5
    assert open_session("reader", 0, close_session="1") == ""
    for number in range(MOST_SESSIONS_OF_A_USER):
        open_session("other_reader", number, close_session="1")


def test_a_block_is_unpacked_to_the_size_of_its_header_and_no_further(reader: httpx.Client) -> None:
    packed = zstandard.ZstdCompressor().compress(b" " * (600 << 20))
    block = struct.pack("<BII", 0x90, len(packed) + 9, 100) + packed
    digest = CityHash128(block)
    framed = struct.pack("<QQ", digest >> 64, digest & (1 << 64) - 1) + block
    began = time.monotonic()
    answer = reader.post("/", content=framed, params={"decompress": "1"})
    assert answer.headers["x-clickhouse-exception-code"] == "271"
    assert time.monotonic() - began < 5


def test_metrics_count_statements_errors_rows_seconds_and_memory(
    server: Server,
    writer: httpx.Client,
    reader: httpx.Client,
) -> None:
    writer.post("/", content="INSERT INTO speed.counted VALUES (1)")
    reader.post("/", content="SELECT nothing_at_all")
    text = httpx.get(f"{server.url}/metrics").text
    for sample in (
        'finlake_clickhouse_queries_total{kind="insert",user="sink"}',
        'finlake_clickhouse_errors_total{code="47"}',
        "finlake_clickhouse_rows_inserted_total",
        'finlake_clickhouse_query_seconds_bucket{kind="select",le="0.005"}',
        "finlake_clickhouse_resident_memory_bytes",
    ):
        line = next(line for line in text.splitlines() if line.startswith(sample))
        assert float(line.split()[-1]) > 0
    assert "nothing_at_all" not in text
    assert not any(password in text for password in server.passwords.values())


def test_it_listens_on_loopback_only(server: Server) -> None:
    listening = psutil.Process(server.process.pid if server.process else 0).net_connections()
    assert {connection.laddr.ip for connection in listening if connection.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data" + ";" * 60_000,
        "multipart/form-data; boundary=b" + "; a=b" * 9,
        "multipart/form-data; " + "boundary*0=x;" * 6_000,
        "multipart/form-data; boundary=" + "=?utf-8?q?a?= " * 4_000 + "b",
        "multipart/form-data; boundary=" + "b" * 1024,
    ],
)
def test_a_form_whose_headers_would_take_long_to_read_is_refused_at_once(reader: httpx.Client, content_type: str) -> None:
    answer = reader.post("/", content=b"--b\r\n", headers={"Content-Type": content_type})
    assert answer.headers["x-clickhouse-exception-code"] == "36"
    assert "parameters" in answer.text
    part = b'--b\r\nContent-Disposition: form-data; name="query"%b\r\n\r\nSELECT 1\r\n--b--'
    for more in (b";" * 900, b"; a=b" * 9, b"=?utf-8?q?a?= " * 9):
        answer = reader.post("/", content=part % more, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert "parameters" in answer.text


@pytest.mark.parametrize(
    "upgrade",
    [
        b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET  HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_of_http_is_refused_without_a_traceback(server: Server, upgrade: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(upgrade)
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
    assert "Traceback" not in server.log()


def test_who_reads_no_answers_keeps_nobody_else_from_them(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for path, times in ((b"/metrics", 310), (b"/ping", 20_000)):
            request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path
            for _ in range(2):
                silent = stack.enter_context(socket.socket())
                silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                silent.connect(("127.0.0.1", server.port))
                silent.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    rest = request * times
                    while rest:
                        rest = rest[silent.send(rest) :]
        for _ in range(3):
            assert httpx.get(f"{server.url}/metrics", timeout=10).status_code == 200
            assert httpx.get(f"{server.url}/ping", timeout=10).text == "Ok.\n"


def test_a_login_that_is_no_ascii_is_a_wrong_one(server: Server) -> None:
    answer = httpx.post(server.url, content="SELECT 1", headers=[(b"Authorization", b"Basic \xff")])
    assert answer.headers["x-clickhouse-exception-code"] == "516"
