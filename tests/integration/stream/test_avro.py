"""The stream as Avro on the real engines: with a schema registry, a setting that is changed, columns that change, and deaths."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer
from tenacity import retry, stop_after_delay, wait_fixed

from deploy.local.connectors import connector_faults, local_placeholders, wanted_connectors
from deploy.local.schema_registry import registry_client, registry_url
from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_clients.clickhouse.connection import reader
from finlake_clients.connect.change_capture import CONNECTOR
from finlake_clients.connect.rest import KafkaConnect
from finlake_clients.kafka.access import client_settings
from finlake_clients.kafka.schema_registry import RegistryRefusedError, SchemaRegistry
from finlake_clients.kafka.topics import KafkaRecord, KafkaTopics
from finlake_proofs.repair.accept_columns import accept
from finlake_proofs.repair.replay import replay, spans
from finlake_reconciliation.reconcile import Reconciliation
from finlake_services.clickhouse_sink.dead_letters import origin_of
from finlake_settings.checkout import CHECKOUT
from spark.contracts.streams import DEAD_LETTERS_TOPIC, QUOTES, STREAMS, TRADES, CapturedTable
from spark.transforms.avro_values import FRAME, AvroValues
from spark.transforms.bronze.finnhub_changes import trade_decoder
from tests.avro_records import columns_in, declared_columns
from tests.integration.stream.market import as_role, as_superuser, new_id

pytestmark = pytest.mark.stack

SERVICES = ("clickhouse_sink", "kafka_connect", "capture_keeper")

eventually = retry(stop=stop_after_delay(120), wait=wait_fixed(0.2), reraise=True)


class Street:
    """A stack whose stream is Avro: what is written into Postgres, and what comes of it."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.settings = stack.settings().of(stack.layout)
        self.topics: KafkaTopics = KafkaTopics.of(self.settings.kafka)
        self.registry: SchemaRegistry = registry_client(stack.layout, stack.settings().ports)
        self.connect = KafkaConnect(self.settings.connect.url, stack.layout.connect_certificate)

    def write(self, count: int = 3, *, more: dict[str, str] | None = None) -> str:
        """Trades of a new connection, with more columns as SQL; returns its id."""
        connection_id, told = new_id(), more or {}
        columns = ", ".join(
            ("received_ts, connection_id, message_seq, trade_index, symbol, price_usd, volume_shares, trade_ts", *told)
        )
        values = ", ".join(("now(), %s, n, 0, 'AAPL', 187.5 + n, 0.1, date_trunc('milliseconds', now())", *told.values()))
        with as_role(self.stack, "feed") as feed:
            feed.execute("SELECT ods.ensure_partitions(current_date, current_date + 1)")
            feed.execute(
                f"INSERT INTO ods.finnhub_trades ({columns}) SELECT {values} FROM generate_series(1, %s) AS n".encode(),
                [connection_id, count],
            )
            feed.commit()
        return connection_id

    def alter(self, change: str) -> None:
        with as_superuser(self.stack) as administrator:
            administrator.execute(f"ALTER TABLE ods.finnhub_trades {change}".encode())

    def rows(self, connection_id: str) -> list[tuple[int, float]]:
        with reader(self.settings.clickhouse) as client:
            return [
                (int(number), float(price))
                for number, price in client.query(
                    "SELECT message_seq, price_usd FROM speed.stock_realtime "
                    "WHERE connection_id = {id:String} ORDER BY message_seq",
                    parameters={"id": connection_id},
                ).result_rows
            ]

    def wait_for(self, connection_id: str, count: int = 3) -> None:
        until(lambda: self.rows(connection_id) == [(n, 187.5 + n) for n in range(1, count + 1)])

    def records(self, topic: str = TRADES.topic, since: int = 0) -> list[KafkaRecord]:
        marks = self.topics.watermarks(topic)[0]
        return [record for batch in self.topics.read(topic, 0, max(marks.first, since), marks.end) for record in batch]

    def write_records(self, *values: bytes) -> list[int]:
        """Values as they are into the topic of trades; returns their offsets."""
        producer = Producer({**client_settings(self.settings.kafka), "log_level": 0})
        offsets: list[int] = []
        for value in values:
            producer.produce(
                TRADES.topic, value=value, partition=0, on_delivery=lambda _, message: offsets.append(int(message.offset() or 0))
            )
        producer.flush(10)
        return offsets

    def dead_offsets(self) -> set[int]:
        letters = [origin_of(record.key) for record in self.records(DEAD_LETTERS_TOPIC)]
        return {letter[1] for letter in letters if letter is not None}

    def let_connector_write(self, *, avro: bool) -> None:
        """Change the connector's format; returns when it writes that. What runs when it is told so may still be the old task."""
        context = self.stack.context
        self.connect.register(
            CONNECTOR, wanted_connectors(local_placeholders(context.layout, context.ports), avro=avro)[CONNECTOR]
        )
        self.connect.wait_until_running(CONNECTOR)
        until(lambda: self.format_of(self.write(1)) == (b"\0" if avro else b"{"))

    def format_of(self, connection_id: str) -> bytes:
        """How the newest record begins, after it has brought this connection's trade."""
        self.wait_for(connection_id, 1)
        return (self.records()[-1].value or b"")[:1]

    def kill(self, service: str) -> None:
        os.kill(Supervisor(self.stack.layout).program(service).pid, signal.SIGKILL)


@eventually
def until(condition: Callable[[], object]) -> None:
    assert condition()


def assert_proven(street: Street) -> None:
    """Postgres, Kafka and ClickHouse hold the same rows."""
    report = Reconciliation.of(street.settings).run(None)
    assert [each for each in report.engines if not each.is_proven] == []
    assert [each for each in report.derived if not each.is_proven] == []
    assert report.is_proven


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    home = Path(tempfile.mkdtemp(prefix="finlake-"))
    home.chmod(0o711)
    stack = LocalStack(home, free_ports(), jars=CHECKOUT / ".finlake" / "jars", variables={"FINLAKE_STREAM_FORMAT": "avro"})
    try:
        stack.up(services=SERVICES)
        yield Street(stack)
    finally:
        stack.down()
        shutil.rmtree(home)


def test_trades_flow_as_avro_and_are_everywhere(street: Street) -> None:
    start = street.topics.watermarks(TRADES.topic)[0].end
    connection_id = street.write(50)
    street.wait_for(connection_id, 50)
    records = street.records(since=start)
    assert len(records) == 50
    assert all((record.value or b"")[:1] == b"\0" and (record.key or b"")[:1] == b"{" for record in records)
    changes = trade_decoder().decode(records, TRADES.topic, 0, AvroValues(street.topics.schema_of))
    assert (changes.rows["message_seq"].to_pylist(), changes.rejected.num_rows) == (list(range(1, 51)), 0)
    assert_proven(street)


@pytest.mark.parametrize("table", STREAMS, ids=lambda table: table.name)
def test_the_schema_in_the_registry_has_the_declared_columns(street: Street, table: CapturedTable) -> None:
    if table is QUOTES:
        with as_role(street.stack, "feed") as feed:
            feed.execute("SELECT ods.ensure_partitions(current_date, current_date + 1)")
            feed.execute(
                "INSERT INTO ods.finnhub_quotes "
                "VALUES (now(), %s, 1, 'AAPL', 1, NULL, 2, 3, 4, 5, 6, date_trunc('second', now()))",
                [new_id()],
            )
            feed.commit()
    else:
        street.write(1)
    until(lambda: street.registry.versions(table.subject))
    _, schema = street.registry.schema(table.subject, 1)
    assert list(columns_in(schema).items()) == list(declared_columns(table.operational).items())


def test_without_the_token_nothing_is_told(street: Street) -> None:
    url = registry_url(street.stack.settings().ports)
    with pytest.raises(RegistryRefusedError):
        SchemaRegistry(url, None).schema_of(1)
    closed = (
        "/",
        "/ui/",
        "/health",
        "/metrics",
        "/apis",
        "/apis/ccompat/v6/subjects",
        "/apis/registry/v2/system/info",
        "/apis/registry/v2/admin/export",
        "/apis/registry/v2/search/artifacts",
        "/apis/ccompat/v7/../../registry/v2/system/info",
    )
    open_to_the_token = (
        "/apis/ccompat/v7/subjects",
        "/apis/registry/v2/groups/default/artifacts",
        "/apis/registry/v2/ids/contentIds/1",
    )
    for path in (*closed, *open_to_the_token):
        assert httpx.get(url + path, trust_env=False).status_code >= 400, path
    token = {"authorization": f"Bearer {street.stack.layout.registry_token.read_text()}"}
    for path in closed:
        assert httpx.get(url + path, headers=token, trust_env=False).status_code >= 400, path
    big = {"schema": '"' + "x" * 300_000 + '"'}
    assert httpx.post(f"{url}/apis/ccompat/v7/subjects/x/versions", json=big, headers=token, trust_env=False).status_code == 413


def test_a_topic_holds_both_formats_after_the_setting_was_changed_and_all_of_it_is_read(street: Street) -> None:
    start = street.topics.watermarks(TRADES.topic)[0].end
    written = [street.write()]
    street.wait_for(written[-1])
    for avro in (False, True):
        street.let_connector_write(avro=avro)
        written.append(street.write())
        street.wait_for(written[-1])
    begins = [(record.value or b"")[:1] for record in street.records(since=start)]
    assert (begins[:3], begins[-3:]) == ([b"\0"] * 3, [b"\0"] * 3)
    assert begins.count(b"{") >= 4
    assert_proven(street)
    again = replay(street.settings.clickhouse, street.topics, spans(street.topics, TRADES.topic, str(start), str(10**9)))
    assert (again.read, again.already_there, again.added) == (len(begins), len(begins), 0)


def test_what_is_broken_or_of_an_unknown_schema_is_a_dead_letter_and_the_stream_goes_on(street: Street) -> None:
    good = next(record.value for record in reversed(street.records()) if (record.value or b"")[:1] == b"\0")
    assert good is not None
    offsets = street.write_records(b"\0", FRAME.pack(999_999) + good[5:], good[:-1], good + b"\0", b"{")
    street.wait_for(street.write())
    until(lambda: set(offsets) <= street.dead_offsets())


def test_a_registry_that_was_killed_knows_every_number_again(street: Street) -> None:
    known = {
        table.subject: [street.registry.schema(table.subject, each) for each in street.registry.versions(table.subject)]
        for table in STREAMS
    }
    street.kill("schema_registry")
    connection_id = street.write()
    street.kill("clickhouse_sink")
    street.wait_for(connection_id)

    @eventually
    def found() -> dict[str, list[tuple[int, str]]]:
        return {
            subject: [street.registry.schema(subject, each) for each in street.registry.versions(subject)] for subject in known
        }

    assert found() == known


def test_a_reader_waits_for_a_registry_that_is_silent_and_makes_no_dead_letters_meanwhile(street: Street) -> None:
    program = Supervisor(street.stack.layout).program("schema_registry")
    before = street.dead_offsets()
    os.kill(program.pid, signal.SIGSTOP)
    try:
        street.kill("clickhouse_sink")
        connection_id = street.write()
        port = street.stack.settings().ports["clickhouse_sink"]
        health = f"http://127.0.0.1:{port}/health"
        until(lambda: "schema_registry at" in httpx.get(health, trust_env=False).json()["waiting_for"])
        assert street.rows(connection_id) == []
    finally:
        os.kill(program.pid, signal.SIGCONT)
    street.wait_for(connection_id)
    assert street.dead_offsets() == before


def test_a_compatible_column_flows(street: Street) -> None:
    before = street.registry.versions(TRADES.subject)
    street.alter("ADD COLUMN venue text")
    street.wait_for(street.write(more={"venue": "'XNYS'"}))
    assert len(street.registry.versions(TRADES.subject)) == len(before) + 1
    street.alter("DROP COLUMN venue")
    street.wait_for(street.write())


def test_an_incompatible_column_is_refused_with_what_to_do_and_goes_on_when_it_is_taken(street: Street) -> None:
    end = street.topics.watermarks(TRADES.topic)[0].end
    street.alter("ADD COLUMN fee_usd float8 NOT NULL DEFAULT 0")
    street.alter("ALTER COLUMN fee_usd DROP DEFAULT")
    connection_id = street.write(more={"fee_usd": "0.5"})

    @eventually
    def fault() -> str:
        found = "; ".join(connector_faults(street.stack.context)[CONNECTOR])
        assert "refuses the new columns of finlake.ods.finnhub_trades" in found, found
        return found

    assert "docs/incompatible-columns.md" in fault()
    assert street.records(since=end) == []
    told: list[str] = []
    version = accept(street.registry, TRADES, told.append)
    assert version == street.registry.versions(TRADES.subject)[-1]
    street.wait_for(connection_id)
    # The registry knows these columns already.
    street.alter("DROP COLUMN fee_usd")
    street.wait_for(street.write())
    assert_proven(street)


def test_a_stack_that_writes_json_again_still_reads_what_is_avro(street: Street) -> None:
    """The last of this module: the stack is started with another setting."""
    first = street.write()
    street.wait_for(first)
    street.stack.down()
    stack = LocalStack(street.stack.layout.home, jars=street.stack.layout.jars, variables={"FINLAKE_STREAM_FORMAT": "json"})
    stack.up(services=SERVICES)
    changed = Street(stack)
    second = changed.write()
    changed.wait_for(second)
    assert changed.rows(first) == street.rows(first)
    newest = changed.records()[-1].value or b""
    assert newest[:1] == b"{"
    assert_proven(changed)
