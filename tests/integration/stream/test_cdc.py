"""From a commit in Postgres to a record in Kafka, on the real engines, also when they are killed."""

import json
import os
import re
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import psutil
import psycopg
import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from deploy.local.connectors import connector_faults, stack_connectors
from deploy.local.doctor import examine
from deploy.local.postgres import MARKET_DATABASE, packaged_installation
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_clients.connect.change_capture import CONNECTOR
from finlake_clients.connect.rest import KafkaConnect, tls_context
from finlake_settings.checkout import CHECKOUT
from finlake_settings.groups import Kafka
from finlake_settings.local_stack import LOOPBACK
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.stream_rows import LONGEST_CAPTURED_TEXT, WIDEST_ROW_BYTES, trade_constraints
from tests.integration.stream.market import (
    FIRST_DAY,
    FIRST_TS,
    INSERT,
    LAST_DAY,
    as_role,
    as_superuser,
    insert_trades,
    new_id,
)
from tests.integration.stream.topics import Change, changes_from, end_of

pytestmark = pytest.mark.stack

SERVICES = ("kafka_connect",)
APPENDED_BY_BROKER = 2

eventually = retry(stop=stop_after_delay(60), wait=wait_fixed(0.1), reraise=True)


@pytest.fixture(scope="module")
def stack(idle_stack: LocalStack) -> LocalStack:
    idle_stack.up(services=SERVICES)
    return idle_stack


@pytest.fixture(scope="module")
def connect(stack: LocalStack) -> KafkaConnect:
    return KafkaConnect(stack.environment()["FINLAKE_CONNECT_URL"], stack.layout.connect_certificate)


@pytest.fixture(scope="module")
def kafka(stack: LocalStack) -> Kafka:
    return settings_from(Settings, stack.environment()).kafka


@pytest.fixture
def feed(stack: LocalStack) -> Iterator[psycopg.Connection]:
    with as_role(stack, "feed") as connection:
        connection.execute("SELECT ods.ensure_partitions(%s, %s)", [FIRST_DAY, LAST_DAY])
        connection.commit()
        yield connection


@pytest.fixture(scope="module")
def wanted(stack: LocalStack) -> dict[str, str]:
    return stack_connectors(stack.context)[CONNECTOR]


def numbers(changes: list[Change]) -> list[int]:
    return [change.after["message_seq"] for change in changes]


def kill(stack: LocalStack, name: str) -> None:
    program = Supervisor(stack.layout).program(name)
    os.kill(program.pid, signal.SIGKILL)


def test_committed_rows_come_out_in_order_each_with_its_own_lsn(feed: psycopg.Connection, kafka: Kafka) -> None:
    of, start = new_id(), end_of(kafka)
    before = datetime.now(UTC)
    insert_trades(feed, of, range(1, 51))
    insert_trades(feed, of, range(51, 101), datetime(2031, 5, 7, 12, tzinfo=UTC))
    after = datetime.now(UTC)
    changes = changes_from(kafka, start, lambda found: len(found) == 100, of=of)
    assert numbers(changes) == list(range(1, 101))
    lsns = [change.source["lsn"] for change in changes]
    assert lsns == sorted(set(lsns))
    committed = [datetime.fromtimestamp(change.source["ts_us"] / 1e6, UTC) for change in changes]
    assert committed == sorted(committed)
    assert before <= committed[0]
    assert committed[-1] <= after
    assert len(set(committed)) == 2
    assert {change.timestamp_type for change in changes} == {APPENDED_BY_BROKER}
    assert {change.value["op"] for change in changes} == {"c"}


def test_a_row_keeps_its_values_times_with_microseconds_and_arrays(feed: psycopg.Connection, kafka: Kafka) -> None:
    of, start = new_id(), end_of(kafka)
    insert_trades(feed, of, [1, 2], FIRST_TS.replace(microsecond=123456))
    first, second = changes_from(kafka, start, lambda found: len(found) == 2, of=of)
    assert first.after == {
        "received_ts": "2031-05-06T23:59:59.123456Z",
        "connection_id": of,
        "message_seq": 1,
        "trade_index": 0,
        "symbol": "AAPL",
        "price_usd": 2.5,
        "volume_shares": 2.0,
        "trade_ts": "2031-05-06T23:59:59.123000Z",
        "conditions": ["1", "12"],
    }
    assert second.after["conditions"] is None


def test_a_connector_changed_by_hand_is_found_and_put_right(
    stack: LocalStack, connect: KafkaConnect, wanted: dict[str, str], feed: psycopg.Connection, kafka: Kafka
) -> None:
    assert connect.drift(CONNECTOR, wanted) == ()
    connect.register(CONNECTOR, {**wanted, "poll.interval.ms": "7", "max.batch.size": "999"})
    assert connect.drift(CONNECTOR, wanted) == ("max.batch.size", "poll.interval.ms")
    [finding] = [finding for finding in examine(stack) if finding.subject == f"connector {CONNECTOR}"]
    assert not finding.fine
    assert "poll.interval.ms is not as in finlake_clients/connect/connectors" in finding.detail
    stack.up(services=SERVICES)
    assert connect.drift(CONNECTOR, wanted) == ()
    of, start = new_id(), end_of(kafka)
    insert_trades(feed, of, [1])
    changes_from(kafka, start, lambda found: len(found) == 1, of=of)


def test_a_connector_that_was_stopped_runs_again_after_up(stack: LocalStack, connect: KafkaConnect) -> None:
    connect.stop(CONNECTOR)
    eventually(lambda: _assert(connect.status(CONNECTOR).state == "STOPPED"))()
    stack.up(services=SERVICES)
    assert connect.status(CONNECTOR).is_running


def test_the_worker_delivers_exactly_once(connect: KafkaConnect) -> None:
    assert connect.exactly_once_objections(CONNECTOR) == ()


def test_a_column_added_in_postgres_harms_nothing(stack: LocalStack, feed: psycopg.Connection, kafka: Kafka) -> None:
    of, start = new_id(), end_of(kafka)
    with as_superuser(stack) as superuser:
        insert_trades(feed, of, [1])
        superuser.execute("ALTER TABLE ods.finnhub_trades ADD COLUMN venue text")
        try:
            insert_trades(feed, of, [2, 3])
        finally:
            superuser.execute("ALTER TABLE ods.finnhub_trades DROP COLUMN venue")
        insert_trades(feed, of, [4])
    changes = changes_from(kafka, start, lambda found: len(found) == 4, of=of)
    assert numbers(changes) == [1, 2, 3, 4]
    assert ["venue" in change.after for change in changes] == [False, True, True, False]
    assert [change.after["price_usd"] for change in changes] == [2.5, 3.5, 4.5, 5.5]


def test_the_widest_row_of_postgres_passes(feed: psycopg.Connection, kafka: Kafka) -> None:
    of, start = new_id(), end_of(kafka)
    widest_id = (of + '"' * 64)[:64]
    values = [
        FIRST_TS,
        widest_id,
        2**63 - 1,
        2**31 - 1,
        "\\" * 64,
        -1.2345678901234567e-300,
        -1.2345678901234567e-300,
        FIRST_TS,
        ['"' * 7] * 32,
    ]
    feed.execute(INSERT.format("(%s, %s, %s, %s, %s, %s, %s, %s, %s)").encode(), values)
    feed.commit()
    (change,) = changes_from(kafka, start, lambda found: len(found) == 1, of=widest_id)
    assert change.after["conditions"] == values[-1]
    assert len(json.dumps(change.value)) < WIDEST_ROW_BYTES


def test_a_row_that_is_wider_than_the_constraints_allow_reaches_kafka_and_stops_nothing(
    stack: LocalStack,
    feed: psycopg.Connection,
    kafka: Kafka,
) -> None:
    of, start = new_id(), end_of(kafka)
    constraint = trade_constraints()["conditions_are_few"]
    with as_superuser(stack) as superuser:
        # As a row that is older than its constraints.
        superuser.execute("ALTER TABLE ods.finnhub_trades DROP CONSTRAINT conditions_are_few")
        try:
            insert_trades(feed, of, [1])
            superuser.execute(
                INSERT.format("(%s, %s, 2, 0, 'AAPL', 1, 1, '2031-05-06', array_fill(repeat('x', 1000), ARRAY[3000]))").encode(),
                [FIRST_TS, of],
            )
        finally:
            superuser.execute(
                f"ALTER TABLE ods.finnhub_trades ADD CONSTRAINT conditions_are_few CHECK ({constraint}) NOT VALID".encode()
            )
    insert_trades(feed, of, [3])
    changes = changes_from(kafka, start, lambda found: len(found) == 3, of=of)
    assert numbers(changes) == [1, 2, 3]
    assert len(changes[1].after["conditions"]) == 3000


def test_a_message_in_the_log_that_nobody_reads_stops_nothing(
    stack: LocalStack,
    connect: KafkaConnect,
    feed: psycopg.Connection,
    kafka: Kafka,
) -> None:
    of, start = new_id(), end_of(kafka)
    insert_trades(feed, of, [1])
    with as_superuser(stack) as superuser:
        for is_transactional in (True, False):
            superuser.execute("SELECT pg_logical_emit_message(%s, 'finlake', repeat('x', 20000000))", [is_transactional])
    insert_trades(feed, of, [2])
    assert numbers(changes_from(kafka, start, lambda found: len(found) == 2, of=of)) == [1, 2]
    assert connect.status(CONNECTOR).is_running


def test_a_wide_text_in_a_column_that_somebody_added_is_cut_and_stops_nothing(
    stack: LocalStack,
    feed: psycopg.Connection,
    kafka: Kafka,
) -> None:
    of, start = new_id(), end_of(kafka)
    with as_superuser(stack) as superuser:
        superuser.execute("ALTER TABLE ods.finnhub_trades ADD COLUMN note text")
        try:
            insert_trades(feed, of, [1])
            superuser.execute("UPDATE ods.finnhub_trades SET note = repeat('x', 5000000) WHERE connection_id = %s", [of])
        finally:
            superuser.execute("ALTER TABLE ods.finnhub_trades DROP COLUMN note")
    insert_trades(feed, of, [2])
    changes = changes_from(kafka, start, lambda found: len(found) == 3, of=of)
    assert [len(change.after.get("note") or "") for change in changes] == [0, LONGEST_CAPTURED_TEXT, 0]


def test_a_lost_slot_leads_to_a_re_read_and_loses_nothing(
    stack: LocalStack, connect: KafkaConnect, feed: psycopg.Connection, kafka: Kafka
) -> None:
    of, start = new_id(), end_of(kafka)
    insert_trades(feed, of, range(1, 11))
    changes_from(kafka, start, lambda found: len(found) == 10, of=of)
    connect.stop(CONNECTOR)
    insert_trades(feed, of, range(11, 21))
    with as_superuser(stack) as superuser:
        # Refused until the connector that has been stopped has left it.
        eventually(lambda: superuser.execute("SELECT pg_drop_replication_slot('finlake_ods')"))()
    insert_trades(feed, of, range(21, 31))
    connect.resume(CONNECTOR)
    connect.wait_until_running(CONNECTOR)
    changes = changes_from(kafka, start, lambda found: set(numbers(found)) == set(range(1, 31)), of=of)
    again = [change for change in changes if change.value["op"] == "r"]
    assert set(numbers(again)) == set(range(1, 31))
    insert_trades(feed, of, [31])
    after = changes_from(kafka, changes[-1].offset + 1, lambda found: len(found) == 1, of=of)
    assert [(change.value["op"], change.after["message_seq"]) for change in after] == [("c", 31)]


def test_nothing_is_lost_and_nothing_doubled_when_connect_and_kafka_are_killed(
    stack: LocalStack, feed: psycopg.Connection, kafka: Kafka
) -> None:
    of, start = new_id(), end_of(kafka)
    stopped = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stopped.wait(0.02):
            insert_trades(feed, of, range(written + 1, written + 51))
            written += 50

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for victims in (("kafka_connect",), ("kafka",)):
            seen = written
            eventually(lambda seen=seen: _assert(written > seen + 500))()
            for victim in victims:
                kill(stack, victim)
            stack.up(services=SERVICES)
    finally:
        stopped.set()
        writer.join()
    changes = changes_from(kafka, start, lambda found: len(set(numbers(found))) == written, of=of)
    assert Counter(numbers(changes)) == Counter(range(1, written + 1))
    assert written > 1000


def test_a_failed_connector_comes_back_by_itself_and_meanwhile_status_says_why(
    stack: LocalStack,
    connect: KafkaConnect,
    feed: psycopg.Connection,
    kafka: Kafka,
) -> None:
    stack.up(services=("capture_keeper",))
    of, start = new_id(), end_of(kafka)
    insert_trades(feed, of, [1])
    changes_from(kafka, start, lambda found: len(found) == 1, of=of)
    with as_superuser(stack) as superuser:
        superuser.execute("ALTER ROLE cdc NOLOGIN")
        try:
            superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cdc'")
            insert_trades(feed, of, [2])
            eventually(lambda: _assert(connect.status(CONNECTOR).failure is not None))()
            (fault,) = connector_faults(stack.context)[CONNECTOR]
            assert fault.startswith("it has failed: ")
            assert "not permitted to log in" in fault
            assert "the first change after LSN " in fault
        finally:
            superuser.execute("ALTER ROLE cdc LOGIN")
    assert numbers(changes_from(kafka, start, lambda found: len(found) == 2, of=of, timeout_s=120)) == [1, 2]
    eventually(lambda: _assert(connector_faults(stack.context)[CONNECTOR] == []))()


def test_a_change_that_debezium_cannot_pass_is_taken_out_as_the_page_says(
    stack: LocalStack,
    connect: KafkaConnect,
    feed: psycopg.Connection,
    kafka: Kafka,
) -> None:
    stack.up(services=("capture_keeper",))
    of, start = new_id(), end_of(kafka)
    insert_trades(feed, of, [1])
    changes_from(kafka, start, lambda found: len(found) == 1, of=of)
    constraint = trade_constraints()["conditions_are_few"]
    with as_superuser(stack) as superuser:
        superuser.execute("ALTER TABLE ods.finnhub_trades DROP CONSTRAINT conditions_are_few")
        superuser.execute(
            INSERT.format("(%s, %s, 2, 0, 'AAPL', 1, 1, '2031-05-06', array_fill(repeat('x', 1000), ARRAY[9000]))").encode(),
            [FIRST_TS, of],
        )
        superuser.execute(
            f"ALTER TABLE ods.finnhub_trades ADD CONSTRAINT conditions_are_few CHECK ({constraint}) NOT VALID".encode()
        )
    insert_trades(feed, of, [3])
    eventually(lambda: _assert(connect.status(CONNECTOR).failure is not None))()
    (fault,) = connector_faults(stack.context)[CONNECTOR]
    assert "RecordTooLarge" in fault
    assert "docs/stuck-change.md" in fault

    find, delete, forget = re.findall(r"^```sql\n(.*?)^```", (CHECKOUT / "docs/stuck-change.md").read_text(), re.M | re.S)
    widest = psql(stack, find).splitlines()[0].split("|")
    assert widest[:3] == [of, "2", "0"]
    assert int(widest[3]) > 8_000_000
    for word, value in zip(("<connection_id>", "<message_seq>", "<trade_index>"), widest, strict=False):
        delete = delete.replace(word, value)
    assert psql(stack, delete) == "DELETE 1"
    # Refused while the keeper tries once more.
    eventually(lambda: psql(stack, forget))()

    changes = changes_from(kafka, start, lambda found: set(numbers(found)) == {1, 3}, of=of, timeout_s=150)
    assert {(change.value["op"], change.after["message_seq"]) for change in changes} == {("c", 1), ("r", 1), ("r", 3)}
    insert_trades(feed, of, [4])
    after = changes_from(kafka, changes[-1].offset + 1, lambda found: len(found) == 1, of=of)
    assert numbers(after) == [4]
    eventually(lambda: _assert(connector_faults(stack.context)[CONNECTOR] == []))()


def psql(stack: LocalStack, statement: str) -> str:
    """What Postgres's own client prints for its administrator; raises when Postgres refuses."""
    environment = {"PGPASSWORD": stack.layout.password_file("postgres").read_text().strip()}
    command = [
        str(packaged_installation() / "bin" / "psql"),
        "-h",
        LOOPBACK,
        "-p",
        str(stack.settings().ports["postgres"]),
        "-U",
        "postgres",
        "-At",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        statement,
        MARKET_DATABASE,
    ]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_no_answer_of_connect_no_process_and_no_log_shows_a_password(stack: LocalStack, connect: KafkaConnect) -> None:
    passwords = {file.read_text().strip() for file in stack.layout.secrets.rglob("*.password")}
    assert len(passwords) >= 6
    # Whoever reaches the worker may try to let it read what it should not.
    probing = connect.config(CONNECTOR) | {
        "database.hostname": f"${{directory:{stack.layout.secrets}:lake.password}}",
        "database.user": f"${{directory:{stack.layout.connect_secrets}/..:postgres.password}}",
    }
    certificate = tls_context(stack.layout.connect_certificate)
    with httpx.Client(base_url=connect.url, verify=certificate, timeout=30, trust_env=False) as worker:
        answers = [
            worker.get("/connectors?expand=info&expand=status"),
            worker.get(f"/connectors/{CONNECTOR}/tasks"),
            worker.put("/connector-plugins/PostgresConnector/config/validate", json=probing),
        ]
    # What the worker may not read stays a reference, and the plugin finds that no host is named so.
    assert f"{stack.layout.secrets}:lake.password}} has invalid format" in answers[-1].text
    shown = [answer.text for answer in answers]
    for process in Supervisor(stack.layout).leftovers():
        try:
            shown.append(" ".join([*process.cmdline(), *process.environ().values()]))
        except psutil.NoSuchProcess:
            continue
    shown += [log.read_text() for log in stack.layout.logs.iterdir()]
    assert any(CONNECTOR in text for text in shown)
    assert not [text[:200] for text in shown for password in passwords if password in text]


def _assert(condition: bool) -> None:
    assert condition
