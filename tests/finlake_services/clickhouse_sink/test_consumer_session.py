"""A member of the group whose Kafka and ClickHouse do what a test says: what it commits, inserts, waits for and gives up."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from finlake_services.clickhouse_sink import consumer_session as module
from finlake_services.clickhouse_sink.blocks import QUOTES, TRADES, DeadLetter
from finlake_services.clickhouse_sink.clickhouse import ClickHouseUnavailableError
from finlake_services.clickhouse_sink.consumer_configuration import Broker
from finlake_services.clickhouse_sink.consumer_session import ConsumerSession, MembershipLostError, StoppingError
from finlake_services.clickhouse_sink.exactly_once import CommitRefusedError, Gap, Partition, TopicReplacedError
from finlake_services.clickhouse_sink.metrics import SinkMetrics
from finlake_settings.groups import Kafka
from spark.contracts.table import Table

TRADE_PARTITION, QUOTE_PARTITION = Partition(TRADES.topic, 0), Partition(QUOTES.topic, 0)


@dataclass
class FakeMessage:
    source: Partition
    at: int
    content: bytes = b""
    fault: KafkaError | None = None

    def topic(self) -> str:
        return self.source.topic

    def partition(self) -> int:
        return self.source.number

    def offset(self) -> int:
        return self.at

    def value(self) -> bytes:
        return self.content

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_772_463_600_300

    def error(self) -> KafkaError | None:
        return self.fault


@dataclass
class FakeKafka:
    """A consumer whose `poll` does the next thing of `script`: return a message, or run a function of the group."""

    script: list[FakeMessage | Callable[[], None]] = field(default_factory=list)
    offsets: dict[Partition, tuple[int, str]] = field(default_factory=dict)
    ends: dict[Partition, tuple[int, int]] = field(default_factory=dict)
    commits: list[tuple[Partition, int, str]] = field(default_factory=list)
    refuses_after: int | None = None
    refusals: list[int] = field(default_factory=list)
    calls: list[tuple[str, list[Partition]]] = field(default_factory=list)
    held: list[Partition] = field(default_factory=list)

    def subscribe(self, _: list[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def assigns(self, *partitions: Partition) -> Callable[[], None]:
        return lambda: self.callbacks["on_assign"](self, [TopicPartition(*partition) for partition in partitions])

    def revokes(self, *partitions: Partition) -> Callable[[], None]:
        def revoke() -> None:
            self.callbacks["on_revoke"](self, [TopicPartition(*partition) for partition in partitions])
            self.held = [partition for partition in self.held if partition not in partitions]

        return revoke

    def poll(self, _: float) -> FakeMessage | None:
        # As the real one: a call that runs the group's callbacks may go on to return a message.
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, FakeMessage):
                return step
            step()
        return None

    def consume(self, _: int, timeout: float) -> list[FakeMessage]:
        found = []
        while self.script and isinstance(self.script[0], FakeMessage):
            found.append(self.script.pop(0))
        return [each for each in found if isinstance(each, FakeMessage)]

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        found = []
        for each in partitions:
            offset, metadata = self.offsets.get(Partition(each.topic, each.partition), (-1001, ""))
            found.append(TopicPartition(each.topic, each.partition, offset, metadata=metadata))
        return found

    def get_watermark_offsets(self, each: TopicPartition, **_: Any) -> tuple[int, int]:
        return self.ends.get(Partition(each.topic, each.partition), (0, 1000))

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.held += _partitions(partitions)
        self.calls.append(("assign", _partitions(partitions)))

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(partition.topic, partition.number) for partition in self.held]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.calls.append(("pause", _partitions(partitions)))

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.calls.append(("resume", _partitions(partitions)))

    def seek(self, each: TopicPartition) -> None:
        self.calls.append((f"seek {each.offset}", _partitions([each])))

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        if self.refuses_after is not None and len(self.commits) >= self.refuses_after:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
        if self.refusals:
            raise KafkaException(KafkaError(self.refusals.pop(0)))
        (each,) = offsets
        self.commits.append((Partition(each.topic, each.partition), each.offset, each.metadata or ""))
        return offsets

    def close(self) -> None:
        self.calls.append(("close", []))


def _partitions(partitions: Sequence[TopicPartition]) -> list[Partition]:
    return [Partition(each.topic, each.partition) for each in partitions]


@dataclass
class FakeClickHouse:
    """Fails as often as `failures` says before each success; `last` is what it holds of a partition."""

    failures: int = 0
    last: dict[Partition, int] = field(default_factory=dict)
    inserts: list[tuple[str, str, list[int]]] = field(default_factory=list)
    gaps: list[tuple[Partition, Gap]] = field(default_factory=list)

    def insert(self, table: Table, rows: pa.Table, token: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ClickHouseUnavailableError(f"its disk is full (attempt {self.failures})")
        self.inserts.append((table.name, token, rows["kafka_offset"].to_pylist()))

    def last_offset(self, _: Table, partition: Partition) -> int | None:
        return self.last.get(partition)

    def note_gap(self, partition: Partition, gap: Gap, _: str) -> None:
        self.gaps.append((partition, gap))


@dataclass
class FakeDeadLetters:
    sent: list[int] = field(default_factory=list)

    def send(self, letters: Sequence[DeadLetter]) -> None:
        self.sent += [letter.offset for letter in letters]


@dataclass
class World:
    """One member between the fakes."""

    kafka: FakeKafka
    clickhouse: FakeClickHouse
    letters: FakeDeadLetters
    stop: Event
    member: ConsumerSession

    def turn(self, *script: FakeMessage | Callable[[], None]) -> None:
        """Play the script to its end, and what arrived with its last step."""
        self.kafka.script += script
        while self.kafka.script:
            self.member.poll_once()
        self.member.poll_once()

    def calls(self, name: str) -> list[list[Partition]]:
        return [partitions for call, partitions in self.kafka.calls if call == name]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    kafka, clickhouse, letters, stop = FakeKafka(), FakeClickHouse(), FakeDeadLetters(), Event()
    monkeypatch.setattr(module, "Consumer", lambda _: kafka)
    # Retries wait for the script's next event, not for the clock.
    monkeypatch.setattr(ConsumerSession, "_wait_in_group", _wait_without_clock)
    monkeypatch.setattr(module, "_QUIET_S", -1.0)
    nowhere = Kafka(bootstrap="nowhere:1", password_file=None, registry_url=None, registry_token_file=None)
    member = ConsumerSession(Broker(kafka=nowhere), clickhouse, letters, SinkMetrics(), stop)  # type: ignore[arg-type]
    return World(kafka, clickhouse, letters, stop, member)


_WAIT = ConsumerSession._wait_in_group


def _wait_without_clock(self: ConsumerSession, _: float) -> None:
    _WAIT(self, 0.0005)


def trade(at: int) -> FakeMessage:
    row = {
        "received_ts": "2026-03-02T15:00:00Z",
        "connection_id": "c",
        "message_seq": at,
        "trade_index": 0,
        "symbol": "AAPL",
        "price_usd": 1.0,
        "volume_shares": 1.0,
        "trade_ts": "2026-03-02T15:00:00Z",
    }
    value = {"op": "c", "after": row, "source": {"lsn": 1, "ts_us": 1_772_463_600_000_000}, "ts_us": 1_772_463_600_000_000}
    return FakeMessage(TRADE_PARTITION, at, json.dumps(value).encode())


def test_a_block_is_planned_inserted_and_settled_when_it_is_quiet(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3), trade(5))
    assert world.kafka.commits == [(TRADE_PARTITION, 3, "3-5"), (TRADE_PARTITION, 6, "")]
    assert world.clickhouse.inserts == [("stock_realtime", f"{TRADE_PARTITION}:3-5", [3, 5])]


def test_the_end_of_the_log_is_settled_beyond_the_last_records_markers(world: World) -> None:
    end = FakeMessage(TRADE_PARTITION, 7, fault=KafkaError(KafkaError._PARTITION_EOF))
    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3), end)
    assert world.kafka.commits[-1] == (TRADE_PARTITION, 7, "")


def test_a_pending_plan_is_confirmed_and_replayed_before_anything_else(world: World) -> None:
    world.kafka.offsets[TRADE_PARTITION] = (3, "3-5")
    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3), trade(5), trade(6))
    assert world.clickhouse.inserts == [
        ("stock_realtime", f"{TRADE_PARTITION}:3-5", [3, 5]),
        ("stock_realtime", f"{TRADE_PARTITION}:6-6", [6]),
    ]
    assert world.kafka.commits[:2] == [(TRADE_PARTITION, 3, "3-5"), (TRADE_PARTITION, 6, "6-6")]


def test_after_a_refused_commit_nothing_is_inserted_and_nothing_committed(world: World) -> None:
    world.kafka.refuses_after = 0
    with pytest.raises(CommitRefusedError):
        world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3))
    world.kafka.refuses_after = None
    world.kafka.revokes(TRADE_PARTITION)()
    assert world.clickhouse.inserts == []
    assert world.kafka.commits == []


REBALANCING = [KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION]


def test_a_commit_during_a_rebalance_is_repeated_when_the_partition_stays(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION))
    world.kafka.refusals = list(REBALANCING)
    world.turn(trade(3))
    assert world.kafka.commits == [(TRADE_PARTITION, 0, ""), (TRADE_PARTITION, 3, "3-3"), (TRADE_PARTITION, 4, "")]
    assert [offsets for _, _, offsets in world.clickhouse.inserts] == [[3]]


def test_a_commit_during_a_rebalance_that_takes_the_partition_is_not_repeated(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION, QUOTE_PARTITION))
    world.kafka.refusals = REBALANCING * 50
    world.turn(trade(3), world.kafka.revokes(TRADE_PARTITION))
    world.kafka.refusals = []
    assert world.clickhouse.inserts == []
    assert set(world.kafka.commits) == {(TRADE_PARTITION, 0, ""), (QUOTE_PARTITION, 0, "")}


def test_a_partition_taken_away_before_its_block_was_planned_is_settled_before_the_block(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3))
    world.kafka.refusals = [KafkaError.REBALANCE_IN_PROGRESS]
    world.turn(trade(4), world.kafka.revokes(TRADE_PARTITION))
    assert world.kafka.commits[-1] == (TRADE_PARTITION, 4, "")
    assert [offsets for _, _, offsets in world.clickhouse.inserts] == [[3]]


def test_while_clickhouse_fails_partitions_rest_and_each_attempt_confirms_the_plan(world: World) -> None:
    world.clickhouse.failures = 3
    world.turn(world.kafka.assigns(TRADE_PARTITION, QUOTE_PARTITION), trade(3))
    assert world.calls("pause") == [[TRADE_PARTITION, QUOTE_PARTITION]]
    assert world.calls("resume") == [[TRADE_PARTITION, QUOTE_PARTITION]]
    assert world.kafka.commits[:4] == [(TRADE_PARTITION, 3, "3-3")] * 4
    assert world.clickhouse.inserts == [("stock_realtime", f"{TRADE_PARTITION}:3-3", [3])]
    assert world.member.waiting_for == ""


def test_an_evicted_member_that_waited_does_not_insert(world: World) -> None:
    world.clickhouse.failures = 1
    world.kafka.refuses_after = 1
    with pytest.raises(CommitRefusedError):
        world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3))
    assert world.clickhouse.inserts == []


def test_a_partition_taken_away_while_its_block_waits_is_left_to_the_successor(world: World) -> None:
    world.clickhouse.failures = 1_000
    world.turn(world.kafka.assigns(TRADE_PARTITION, QUOTE_PARTITION), trade(3), world.kafka.revokes(TRADE_PARTITION))
    assert world.clickhouse.inserts == []
    assert (TRADE_PARTITION, 4, "") not in world.kafka.commits
    # The partition that stays is read again.
    assert world.calls("resume") == [[QUOTE_PARTITION]]


def test_a_partition_that_comes_back_while_its_block_waits_is_begun_anew(world: World) -> None:
    world.clickhouse.failures = 2
    world.kafka.offsets[TRADE_PARTITION] = (3, "3-3")

    def away_and_back() -> None:
        world.kafka.revokes(TRADE_PARTITION)()
        world.kafka.assigns(TRADE_PARTITION)()

    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3), away_and_back, trade(3))
    assert world.clickhouse.inserts == [("stock_realtime", f"{TRADE_PARTITION}:3-3", [3])]


def test_told_to_stop_while_waiting_the_plan_stays(world: World) -> None:
    world.clickhouse.failures = 1_000
    with pytest.raises(StoppingError):
        world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3), world.stop.set)
    world.kafka.revokes(TRADE_PARTITION)()
    assert set(world.kafka.commits) == {(TRADE_PARTITION, 3, "3-3")}


def test_a_partition_given_up_is_settled_first(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3), world.kafka.revokes(TRADE_PARTITION))
    assert world.kafka.commits == [(TRADE_PARTITION, 3, "3-3"), (TRADE_PARTITION, 4, "")]


def test_records_of_a_partition_given_up_are_dropped(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION))
    world.kafka.revokes(TRADE_PARTITION)()
    world.turn(trade(3))
    assert world.clickhouse.inserts == []


def test_what_arrived_for_a_partition_that_went_and_came_back_is_read_again(world: World) -> None:
    """The block that waited begins before what arrived while it waited: taken first, that would skip it."""
    world.clickhouse.failures = 2

    def away_and_back() -> None:
        world.kafka.revokes(TRADE_PARTITION)()
        world.kafka.offsets[TRADE_PARTITION] = (3, "3-3")
        world.kafka.assigns(TRADE_PARTITION)()

    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3), trade(4), away_and_back, trade(3), trade(4))
    assert sorted(offset for _, _, offsets in world.clickhouse.inserts for offset in offsets) == [3, 4]


def test_offsets_the_group_forgot_are_taken_from_the_table(world: World) -> None:
    world.clickhouse.last[TRADE_PARTITION] = 40
    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(39))
    world.turn(trade(41))
    assert world.calls("seek 41") == [[TRADE_PARTITION]]
    assert [offsets for _, _, offsets in world.clickhouse.inserts] == [[41]]


def test_a_partition_given_up_before_it_was_compared_with_the_table_is_not_settled(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION), world.kafka.revokes(TRADE_PARTITION))
    assert world.kafka.commits == []


def test_a_topic_that_was_made_anew_is_refused(world: World) -> None:
    world.clickhouse.last[TRADE_PARTITION] = 1000
    with pytest.raises(TopicReplacedError, match="created anew"):
        world.turn(world.kafka.assigns(TRADE_PARTITION), trade(3))


def test_a_gap_is_noted_before_the_first_block(world: World) -> None:
    world.kafka.offsets[TRADE_PARTITION], world.kafka.ends[TRADE_PARTITION] = (10, "10-12"), (20, 1000)
    world.turn(world.kafka.assigns(TRADE_PARTITION), trade(20))
    assert world.clickhouse.gaps == [(TRADE_PARTITION, Gap(10, 19))]
    assert world.clickhouse.inserts == [("stock_realtime", f"{TRADE_PARTITION}:20-20", [20])]


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL])
def test_what_the_consumer_cannot_go_on_with_ends_the_stay(world: World, code: int) -> None:
    with pytest.raises(MembershipLostError):
        world.turn(world.kafka.assigns(TRADE_PARTITION), FakeMessage(TRADE_PARTITION, 0, fault=KafkaError(code)))


def test_dead_letters_are_sent_before_their_offsets_are_done(world: World) -> None:
    world.turn(world.kafka.assigns(TRADE_PARTITION), FakeMessage(TRADE_PARTITION, 3, b"{"), trade(4))
    assert world.letters.sent == [3]
    assert world.clickhouse.inserts == [("stock_realtime", f"{TRADE_PARTITION}:3-4", [4])]
