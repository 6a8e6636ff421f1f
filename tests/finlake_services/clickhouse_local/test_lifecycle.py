"""Start, stop, restart, kill -9: what the endpoint's folder holds afterwards, and what is said when it cannot start."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from finlake_services.clickhouse_local.configuration import LEAST_FREE_BYTES
from finlake_services.clickhouse_local.deduplication_logs import is_written_through
from tests.finlake_services.clickhouse_local.endpoint import Server

pytestmark = pytest.mark.slow

BLOCK_ROWS = 500
DEDUPLICATE = {"deduplicate_blocks_in_dependent_materialized_views": "1", "insert_deduplicate": "1", "async_insert": "0"}


def block(number: int) -> bytes:
    """Rows of one insert, all of one symbol."""
    return b"".join(b"B%d,2026-01-05 14:30:00,%d\n" % (number, row) for row in range(BLOCK_ROWS))


def insert(client: httpx.Client, number: int) -> httpx.Response:
    """Insert a block under its own token."""
    return client.post(
        "/",
        content=block(number),
        params={"query": "INSERT INTO speed.ticks FORMAT CSV", "insert_deduplication_token": f"block:{number}", **DEDUPLICATE},
    )


@pytest.fixture(scope="module")
def own_server(new_server: Callable[[], Server]) -> Server:
    """An endpoint that these tests may stop and start."""
    return new_server()


def test_a_token_inserts_once_into_the_table_and_its_view(own_server: Server) -> None:
    with own_server.http("sink") as writer:
        for _ in range(3):
            assert insert(writer, 1).status_code == 200
        assert writer.post("/", content="SELECT count() FROM speed.ticks WHERE symbol = 'B1'").text == "500\n"
        assert writer.post("/", content="SELECT sum(ticks) FROM speed.totals WHERE symbol = 'B1'").text == "500\n"


def test_a_token_is_on_the_disk_before_its_part_is(own_server: Server) -> None:
    with own_server.http("sink") as writer:
        assert insert(writer, 2).status_code == 200
    logs = list(own_server.home.glob("data/store/*/*/deduplication_logs/*.txt"))
    assert len(logs) >= 2
    if '"logs"' in own_server.log():
        pytest.skip(f"the file system of {own_server.home} does not know the attribute; the endpoint says so and goes on")
    assert all(is_written_through(log) for log in logs)


def test_a_restart_keeps_tables_and_tokens_and_gives_no_file_a_name(own_server: Server) -> None:
    with own_server.http("admin") as admin:
        admin.post("/", content="CREATE TABLE default.kept (a Int8) ENGINE = MergeTree ORDER BY a")
        admin.post("/", content="INSERT INTO default.kept VALUES (1)")
    assert own_server.end(signal.SIGTERM) == 0
    own_server.start()
    with own_server.http("sink") as writer, own_server.http("admin") as admin:
        insert(writer, 1)
        assert writer.post("/", content="SELECT count() FROM speed.ticks WHERE symbol = 'B1'").text == "500\n"
        assert writer.post("/", content="SELECT sum(ticks) FROM speed.totals WHERE symbol = 'B1'").text == "500\n"
        assert admin.post("/", content="SELECT * FROM default.kept").text == "1\n"
        _check_that_files_have_no_names(admin)
        admin.post("/", content="DROP TABLE default.kept SYNC")


def _check_that_files_have_no_names(admin: httpx.Client) -> None:
    assert admin.post("/", content="SELECT engine FROM system.databases WHERE name = 'default'").text == "Atomic\n"
    assert admin.post("/", content="SELECT * FROM default.`/etc/passwd`").headers["x-clickhouse-exception-code"] == "60"


def test_a_second_process_on_the_folder_is_refused_with_the_reason(own_server: Server) -> None:
    second = subprocess.run(own_server.command(), capture_output=True, timeout=60, check=False)
    assert second.returncode == 1
    reason = json.loads(second.stdout.splitlines()[-1])["reason"]
    assert str(own_server.home) in reason
    assert "open in another process" in reason
    assert httpx.get(f"{own_server.url}/ping").text == "Ok.\n"


@pytest.mark.stack
def test_sigterm_ends_it_in_spite_of_a_running_statement(own_server: Server) -> None:
    with own_server.http("reader") as reader:
        asking = threading.Thread(target=lambda: pytest.raises(httpx.HTTPError, _ask_forever, reader))
        asking.start()
        while "running_queries 1.0" not in httpx.get(f"{own_server.url}/metrics").text:
            pass
        began = time.monotonic()
        assert own_server.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 15
        asking.join(timeout=10)
    own_server.start()


def _ask_forever(reader: httpx.Client) -> None:
    reader.post("/", content="SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1").raise_for_status()


def test_acknowledged_blocks_survive_kill_9_and_none_is_partial(own_server: Server) -> None:
    _kill_amid_inserts(own_server, first=100, kills=1)


@pytest.mark.stack
def test_acknowledged_blocks_survive_many_kills(own_server: Server) -> None:
    _kill_amid_inserts(own_server, first=10_000, kills=15)


def _kill_amid_inserts(server: Server, first: int, kills: int) -> None:
    """Kill the process amid inserts, start it, repeat what was not acknowledged: nothing is lost, doubled or cut."""
    sent = first
    for _ in range(kills):
        acknowledged = threading.Event()

        def send(acknowledged: threading.Event = acknowledged, start: int = sent) -> None:
            nonlocal sent
            with server.http("sink") as writer:
                for number in range(start, start + 1000):
                    try:
                        insert(writer, number).raise_for_status()
                    except httpx.TransportError:
                        return
                    sent = number + 1
                    if number >= start + 5:
                        acknowledged.set()

        sending = threading.Thread(target=send)
        sending.start()
        assert acknowledged.wait(timeout=30)
        server.end(signal.SIGKILL)
        sending.join(timeout=10)
        server.start()
        with server.http("admin") as admin:
            _check_that_files_have_no_names(admin)
        with server.http("sink") as writer:
            held = _rows_by_symbol(writer, "SELECT symbol, count() FROM speed.ticks")
            assert set(held.values()) == {BLOCK_ROWS}
            assert {f"B{number}" for number in range(first, sent)} <= set(held)
            # The block that was not acknowledged is sent again, as the sink does; the token tells whether it is there.
            assert insert(writer, sent).status_code == 200
            sent += 1
    with server.http("sink") as writer:
        totals = _rows_by_symbol(writer, "SELECT symbol, sum(ticks) FROM speed.totals")
        assert set(totals.values()) == {BLOCK_ROWS}
        assert {f"B{number}" for number in range(first, sent)} <= set(totals)


def _rows_by_symbol(client: httpx.Client, select: str) -> dict[str, int]:
    text = client.post("/", content=f"{select} WHERE symbol LIKE 'B%' GROUP BY symbol").text
    return {symbol: int(rows) for symbol, _, rows in (line.partition("\t") for line in text.splitlines())}


@pytest.fixture
def full_table(own_server: Server) -> Iterator[str]:
    """A table that finds its disk full."""
    with own_server.http("admin") as admin:
        admin.post(
            "/",
            content="CREATE TABLE speed.full (a Int8) ENGINE = MergeTree ORDER BY a "
            f"SETTINGS min_free_disk_bytes_to_perform_insert = {1 << 60}",
        )
        yield "speed.full"
        admin.post("/", content="DROP TABLE speed.full SYNC")


@pytest.mark.parametrize(("statement", "data"), [("INSERT INTO {} SELECT 1", ""), ("INSERT INTO {} FORMAT TSV", "1\n")])
def test_a_full_disk_is_clickhouses_own_error_and_the_endpoint_lives(
    own_server: Server,
    full_table: str,
    statement: str,
    data: str,
) -> None:
    with own_server.http("admin") as admin:
        answer = admin.post("/", params={"query": statement.format(full_table)}, content=data)
        assert answer.headers["x-clickhouse-exception-code"] == "243"
        assert "NOT_ENOUGH_SPACE" in answer.text
        assert admin.post("/", content=f"SELECT count() FROM {full_table}").text == "0\n"


def test_every_table_finds_its_disk_full_before_a_token_would_be_lost(own_server: Server) -> None:
    with own_server.http("admin") as admin:
        setting = "SELECT value FROM system.merge_tree_settings WHERE name = 'min_free_disk_bytes_to_perform_insert'"
        assert admin.post("/", content=setting).text == f"{LEAST_FREE_BYTES}\n"


def test_an_insert_that_a_materialized_view_refuses_is_an_error_and_not_acknowledged(own_server: Server) -> None:
    with own_server.http("admin") as admin:
        for statement in (
            "CREATE TABLE speed.few (symbol String, n Int64) ENGINE = MergeTree ORDER BY symbol",
            "CREATE MATERIALIZED VIEW speed.refused ENGINE = MergeTree ORDER BY s "
            "AS SELECT throwIf(n < 0, 'no negative numbers') AS s FROM speed.few",
        ):
            assert admin.post("/", content=statement).status_code == 200
        answer = admin.post("/", params={"query": "INSERT INTO speed.few FORMAT TSV"}, content="a\t-1\n")
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (500, "395")
        answer = admin.post("/", params={"query": "INSERT INTO speed.few FORMAT TSV"}, content="b\t1\n")
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        ("nonsense", "must be JSON"),
        ("{}", "holds no users"),
        ('{"a b": {}}', "a name is"),
        ('{"a": 1}', "must be an object"),
        ('{"a": {"rights": "owner", "password_file": "p"}}', "rights must be"),
        ('{"a": {"rights": "reader"}}', "password_file must be"),
        ('{"a": {"rights": "reader", "password_file": "missing"}}', "missing"),
        ('{"a": {"rights": "reader", "password_file": "empty"}}', "is empty"),
        ('{"a": {"rights": "reader", "password_file": "p", "databases": ["system"]}}', "must not name system"),
        ('{"a": {"rights": "reader", "password_file": "p", "databases": ["x`; DROP"]}}', "list of database names"),
    ],
)
def test_a_users_file_that_cannot_be_used_is_refused_with_file_and_reason(tmp_path: Path, users: str, reason: str) -> None:
    from finlake_services.clickhouse_local.users import UsersFileError, read_users

    (tmp_path / "p").write_text("secret")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "users.json").write_text(users)
    with pytest.raises(UsersFileError, match=reason) as refused:
        read_users(tmp_path / "users.json", 1 << 30)
    assert "users.json" in str(refused.value)
    assert "secret" not in str(refused.value)
