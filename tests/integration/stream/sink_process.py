"""Sinks as processes of their own, trades as Debezium would write them, and what ClickHouse made of them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_clients.kafka.access import client_settings
from finlake_services.clickhouse_sink.blocks import TRADES
from finlake_settings.checkout import CHECKOUT
from finlake_settings.groups import Kafka
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.streams import DEAD_LETTERS_TOPIC, SINK_GROUP
from tests.deploy.clickhouse.recomputed import Tick
from tests.integration.stream.topics import end_of

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

TOPIC = TRADES.topic


def wait_until(condition: Callable[[], object], what: str, within_s: float = 60) -> None:
    """Ask again and again until the answer is true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class SinkProcess:
    """A running sink."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> int:
        """End it as a supervisor would; returns its exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def health(self) -> dict[str, str]:
        try:
            return dict(httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).json())
        except httpx.TransportError:
            return {"status": "absent", "waiting_for": ""}

    def wait_until_ok(self) -> None:
        wait_until(lambda: self.health()["status"] == "ok", f"the sink to be well (see {self.log})")

    def metric(self, name: str) -> float:
        """Sum over the labels of a metric; 0 while it has no value or the sink does not answer."""
        try:
            text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        except httpx.TransportError:
            return 0
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)

    def events(self) -> list[dict[str, Any]]:
        return events_of(self.log)


@dataclass(frozen=True)
class Street:
    """Kafka and ClickHouse of a stack, as producer, operator and reader."""

    stack: LocalStack
    logs: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        return self.stack.environment()

    @property
    def kafka(self) -> Kafka:
        return settings_from(Settings, self.environment).kafka

    # Sinks.

    @contextmanager
    def sink(
        self, *, instance: str | None = None, module: str = "finlake_services.clickhouse_sink", arguments: Sequence[str] = ()
    ) -> Iterator[SinkProcess]:
        """A sink that has begun to start; ended with the block if it still runs."""
        port = free_ports()["clickhouse_sink"]
        log = self.logs / f"sink-{uuid4().hex[:6]}.log"
        command = [sys.executable, "-m", module, "--metrics-port", str(port), *arguments]
        if instance is not None:
            command += ["--instance", instance]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )
        sink = SinkProcess(process, port, log)
        try:
            yield sink
        finally:
            if process.poll() is None:
                # A frozen process does not hear SIGTERM; a member that leaves is not waited for by the next one.
                sink.signal(signal.SIGCONT)
                sink.stop()

    def wait_for_rows(self, sink: SinkProcess, rows: int, flow: "Flow") -> None:
        """Wait until a sink has inserted more than so many rows; a failure tells how far every partition and log is."""

        def inserted() -> bool:
            flow.check()
            assert sink.process.poll() is None, f"the sink ended with {sink.process.returncode} (see {sink.log})"
            return sink.metric("finlake_sink_rows_total") > rows

        try:
            wait_until(inserted, f"the sink to have inserted more than {rows} rows (see {sink.log})")
        except AssertionError as error:
            error.add_note(f"{len(flow.ticks)} trades are written; health: {sink.health()}")
            for partition in range(3):
                error.add_note(f"partition {partition}: end {self.end(partition)}, committed {self.committed(partition)}")
            for log in sorted(self.logs.glob("*.log"), key=lambda log: log.stat().st_mtime)[-4:]:
                error.add_note(f"{log.name}:\n" + "\n".join(log.read_text().splitlines()[-8:]))
            raise

    # The stack's processes.

    def pid(self, service: str) -> int:
        return Supervisor(self.stack.layout).programs()[service].pid

    def kill(self, service: str) -> None:
        """Kill a service; its supervisor starts it again."""
        os.kill(self.pid(service), signal.SIGKILL)

    @contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        """The service is frozen inside the block: it takes connections and answers nothing."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # Kafka.

    def produce(
        self,
        ticks: Iterable[Tick],
        *,
        op: str = "c",
        partition: int = 0,
        aborts: random.Random | None = None,
    ) -> list[Tick]:
        """Write one transaction; returns the trades with the offsets they got. Now and then one is aborted before it."""
        producer = Producer(
            {
                **client_settings(self.kafka),
                "transactional.id": uuid4().hex,
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        producer.init_transactions(30)
        made = list(ticks)
        if aborts is not None and aborts.random() < 0.3:
            producer.begin_transaction()
            producer.produce(TOPIC, value=record(made[0], op), partition=partition)
            producer.flush(10)
            producer.abort_transaction(30)
        producer.begin_transaction()
        written: list[Tick] = []

        def delivered(tick: Tick) -> Callable[[object, Message], None]:
            return lambda _, message: written.append(
                replace(tick, offset=int(message.offset() or 0), partition=int(message.partition() or 0)),
            )

        for tick in made:
            producer.produce(TOPIC, value=record(tick, op), partition=partition, on_delivery=delivered(tick))
        producer.commit_transaction(30)
        assert len(written) == len(made)
        # The broker answers when it has decided to commit; readers see the records a moment later.
        last = max((tick.offset for tick in written), default=-1)
        wait_until(lambda: self.end(partition) > last, f"partition {partition} to show what was committed")
        return written

    def produce_raw(self, values: Sequence[bytes], topic: str = TOPIC) -> list[int]:
        """Write values as they are into partition 0; returns their offsets."""
        producer = Producer({**client_settings(self.kafka), "log_level": 0})
        offsets: list[int] = []

        def delivered(_: object, message: Message) -> None:
            offsets.append(int(message.offset() or 0))

        for value in values:
            producer.produce(topic, value=value, partition=0, on_delivery=delivered)
        producer.flush(10)
        return offsets

    def delete_before(self, offset: int) -> None:
        """Delete records of partition 0 as retention would."""
        asked = TopicPartition(TOPIC, 0, offset)
        admin = AdminClient({**client_settings(self.kafka), "log_level": 0})
        admin.delete_records([asked])[asked].result(30)

    def ensure_partitions(self, count: int) -> None:
        """The topic has at least so many partitions, whichever test asks first."""
        admin = AdminClient({**client_settings(self.kafka), "log_level": 0})
        if len(admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions) < count:
            admin.create_partitions([NewPartitions(TOPIC, count)])[TOPIC].result(30)

    def end(self, partition: int = 0) -> int:
        return end_of(self.kafka, TOPIC, partition)

    def committed(self, partition: int = 0) -> tuple[int, str]:
        """What the sink's group has committed."""
        with self._consumer() as consumer:
            (found,) = consumer.committed([TopicPartition(TOPIC, partition)], timeout=20)
            return found.offset, found.metadata or ""

    def take_name(self, instance: str) -> None:
        """Be the group's static member of this name until it has been given a partition, then be no more."""
        intruder = Consumer(
            {
                **client_settings(self.kafka),
                "group.id": SINK_GROUP,
                "group.instance.id": instance,
                "log_level": 0,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 6_000,
                "enable.auto.commit": False,
            }
        )
        intruder.subscribe([TOPIC])
        try:
            wait_until(lambda: intruder.poll(0.1) is not None or intruder.assignment(), f"the group to take another {instance}")
        finally:
            intruder.close()

    def dead_letters(self) -> list[Message]:
        with self._consumer(topic_end=True) as consumer:
            consumer.assign([TopicPartition(DEAD_LETTERS_TOPIC, 0, 0)])
            letters: list[Message] = []
            while True:
                message = consumer.poll(10)
                assert message is not None
                if message.error() is not None:
                    return letters
                letters.append(message)

    @contextmanager
    def _consumer(self, *, topic_end: bool = False) -> Iterator[Consumer]:
        consumer = Consumer(
            {
                **client_settings(self.kafka),
                "group.id": SINK_GROUP,
                "enable.auto.commit": False,
                "log_level": 0,
                "isolation.level": "read_committed",
                "enable.partition.eof": topic_end,
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()

    # ClickHouse.

    @cached_property
    def reader(self) -> "Client":
        import clickhouse_connect

        return clickhouse_connect.get_client(
            dsn=self.environment["FINLAKE_CLICKHOUSE_URL"],
            username="reader",
            autogenerate_session_id=False,
            password=Path(self.environment["FINLAKE_CLICKHOUSE_READER_PASSWORD_FILE"]).read_text().strip(),
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(_with_zone(value) for value in row) for row in self.reader.query(query).result_rows]

    def count(self, like: str) -> int:
        return int(self.rows(f"SELECT count() FROM speed.stock_realtime WHERE symbol LIKE '{like}%'")[0][0])

    def offsets(self, like: str) -> list[tuple[int, int]]:
        """Partition and offset of every row, in order."""
        return self.rows(
            f"SELECT kafka_partition, kafka_offset FROM speed.stock_realtime WHERE symbol LIKE '{like}%' ORDER BY 1, 2",
        )

    def view(self, name: str, like: str) -> list[tuple[Any, ...]]:
        return self.rows(f"SELECT * EXCEPT (is_final) FROM speed.{name} WHERE symbol LIKE '{like}%' ORDER BY 1, 2")

    def wait_until_done(self, partitions: Iterable[int] = (0,)) -> None:
        """Everything produced is inserted, and the group's offsets say so."""
        for partition in partitions:
            wait_until(
                lambda partition=partition: self.committed(partition) == (self.end(partition), ""),  # type: ignore[misc]
                f"partition {partition} to be settled",
            )


def _with_zone(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


@dataclass
class Flow:
    """Trades that go on being written, three partitions in turn; `ticks` are those that were."""

    street: Street
    ticks: list[Tick] = field(default_factory=list)
    _ended: Event = field(default_factory=Event)
    _writing: Future[None] = field(default_factory=Future)

    def start(self, name: str, seed: int) -> None:
        chance = random.Random(seed)

        def write() -> None:
            turn = 0
            while not self._ended.is_set():
                self.ticks += self.street.produce(made_up(name, turn, 30), partition=turn % 3, aborts=chance)
                turn += 1

        pool = ThreadPoolExecutor(1)
        self._writing = pool.submit(write)
        pool.shutdown(wait=False)

    def check(self) -> None:
        """Raise what ended the flow before its time."""
        if self._writing.done():
            self._writing.result()

    def stop(self) -> None:
        self._ended.set()
        self._writing.result(60)


@contextmanager
def flowing(street: Street, name: str, seed: int) -> Iterator[Flow]:
    """Trades are written until the flow is stopped, or the block ends."""
    flow = Flow(street)
    flow.start(name, seed)
    try:
        yield flow
    finally:
        flow.stop()


def events_of(log: Path) -> list[dict[str, Any]]:
    """What a sink logged."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


def made_up(name: str, seed: int, count: int, *, at: datetime | None = None) -> list[Tick]:
    """Trades of two symbols that begin with `name`: out of order, some late by an hour, some equal, some with a flaw."""
    chance, begin = random.Random(seed), at or datetime.now(UTC).replace(microsecond=0)
    ticks: list[Tick] = []
    for number in range(count):
        late_ms = chance.choice([0, 0, 20, 300, 61_000, 3_600_000])
        price_usd, volume_shares = round(chance.uniform(1, 500), 4), chance.choice([1.0, 100.0, 0.00012345, 2.5e11])
        tick = Tick(
            f"{name}:{chance.randint(1, 2)}",
            begin + timedelta(milliseconds=number * 20 - late_ms),
            price_usd,
            volume_shares,
            number,
        )
        if chance.random() < 0.03:
            tick = replace(tick, price_usd=0.0, flaw="price_not_positive")
        ticks.append(replace(ticks[-1], offset=number) if ticks and chance.random() < 0.05 else tick)
    return ticks


def record(tick: Tick, op: str = "c") -> bytes:
    """A trade as Debezium writes it; symbol and the offset as given identify it."""
    now_us = int(time.time() * 1e6)
    row: Mapping[str, object] = {
        "received_ts": iso(tick.trade_ts),
        "connection_id": tick.symbol,
        "message_seq": tick.offset,
        "trade_index": 0,
        "symbol": tick.symbol,
        "price_usd": tick.price_usd,
        "volume_shares": tick.volume_shares,
        "trade_ts": iso(tick.trade_ts),
        "conditions": None,
    }
    source = {"lsn": tick.offset, "ts_us": now_us, "snapshot": "false"}
    return json.dumps({"before": None, "after": row, "source": source, "op": op, "ts_us": now_us}).encode()


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
