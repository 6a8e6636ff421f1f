"""One stay in the consumer group: partitions come and go, records are taken block by block, trouble outside is waited out.

Everything happens in the thread that calls `turn`, the group's callbacks too, so a partition is never given up while one
of its blocks is half done without that block hearing of it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from finlake_clients.kafka.access import client_settings
from finlake_clients.kafka.schema_registry import schemas_of
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_services.clickhouse_sink.blocks import QUOTES, TRADES, Block, Shape, build
from finlake_services.clickhouse_sink.clickhouse import ClickHouseUnavailableError, SinkConnection
from finlake_services.clickhouse_sink.dead_letters import DeadLetters, DeadLettersUnavailableError
from finlake_services.clickhouse_sink.exactly_once import (
    CommitRefusedError,
    Partition,
    PartitionStream,
    Resumption,
    TopicReplacedError,
    resumption,
)
from finlake_services.clickhouse_sink.metrics import SinkMetrics
from finlake_services.clickhouse_sink.records import LogRecord
from finlake_settings.groups import Kafka
from spark.contracts.stream_rows import MAX_RECORD_BYTES
from spark.contracts.streams import SINK_GROUP
from spark.transforms.avro_values import AvroValues

MAX_ROWS = 10_000

# A block costs ClickHouse the same whether it holds one row or a thousand: so long nothing is begun after a block. A
# record that comes after a pause is not held back.
_PACE_S = 0.05
# Without a new block for this long, what is in is committed for those who read the group's offsets.
_QUIET_S = 0.2
_POLL_S = 0.1
# A block whose plan was committed longer ago than this first asks whether the partition is still its own.
_PROMPT_S = 5.0
_QUERY_TIMEOUT_S = 10.0
_ASSIGNMENT = "an assignment"
# _FATAL comes instead of a record and is not marked as fatal: a member whose name another process took, or that the group
# takes for another after the broker's death, hears of it in this way alone and then nothing more.
_LOST_CODES = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNKNOWN_MEMBER_ID,  # noqa: SLF001
    }
)
_REBALANCING_CODES = frozenset({KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION})
_SHAPES: dict[str, Shape] = {shape.topic: shape for shape in (TRADES, QUOTES)}

Answer = TypeVar("Answer")
Stream = PartitionStream[Block]
log = structlog.get_logger()


class MembershipLostError(Exception):
    """The consumer cannot go on; a new one resumes from what is committed."""


class _RebalancingError(CommitRefusedError):
    """The group refused a commit because its members are being counted. When the partition is still ours afterwards, it was
    never another's, and the commit can be repeated."""


_WORTH_WAITING_FOR = (ClickHouseUnavailableError, DeadLettersUnavailableError, ServiceUnavailableError, _RebalancingError)


class StoppingError(Exception):
    """The process was told to end while it waited; a block in flight stays planned."""


class PartitionTakenError(Exception):
    """The group took the partition away while a block of it waited; its plan is the successor's."""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Where Kafka is, and how this process stands to it.

    `instance` names a static member: a new process of the name takes over at once instead of after the old one's session
    has timed out. `queue_kbytes` bounds what is fetched ahead.
    """

    kafka: Kafka
    instance: str | None = None
    queue_kbytes: int = 65_536
    session_timeout_ms: int = 6_000


@dataclass
class _Opening:
    """What is still to be asked of ClickHouse before a partition's first block."""

    resumed: Resumption
    is_first_commit: bool
    low: int
    high: int


class ConsumerSession:
    """A member of the group `clickhouse_sink`; void after any exception but PartitionTakenError, which stays inside."""

    def __init__(
        self,
        broker: Broker,
        clickhouse: SinkConnection,
        dead_letters: DeadLetters,
        metrics: SinkMetrics,
        stop: Event,
    ) -> None:
        self.waiting_for = _ASSIGNMENT
        self._clickhouse, self._dead_letters, self._metrics, self._stop = clickhouse, dead_letters, metrics, stop
        self._values = AvroValues(schemas_of(broker.kafka))
        self._streams: dict[Partition, Stream] = {}
        self._openings: dict[Partition, _Opening] = {}
        self._ends: dict[Partition, int] = {}
        self._arrived: dict[Partition, list[LogRecord]] = {}
        self._working: Stream | None = None
        self._committed_at = self._block_at = self._asked_kafka_at = float("-inf")
        self._logged: set[str] = set()
        self._is_waiting = self._is_patient = self._is_revoking = self._is_kafka_away = self._is_void = False
        self._consumer = Consumer(_configuration(broker, self._on_event))
        self._consumer.subscribe(list(_SHAPES), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def turn(self) -> None:
        """Take what is there, waiting a moment for it; or settle what has been quiet.

        Raises CommitRefusedError, MembershipLostError, KafkaException (join anew), StoppingError, and what no retry
        cures: TopicReplacedError, CorruptPlanError.
        """
        try:
            self._drain()
            # A call that assigns a partition may bring its first records, too.
            self._open_new()
            if self._arrived:
                self._take()
            else:
                self._settle_quiet()
        except BaseException:
            self._is_void = True
            raise

    def leave(self) -> None:
        """Commit what is in, unless an exception voided it, and leave the group."""
        self._consumer.close()

    # What a partition's stream does to the world (exactly_once.Effects).

    def prepare(self, partition: Partition, records: Sequence[LogRecord]) -> Block:
        shape = _SHAPES[partition.topic]
        with self._metrics.step_seconds.labels("prepare").time():
            # A schema that the registry cannot tell now is waited for: whether a record can be read must not depend on the hour.
            return self._patiently(
                lambda: build(
                    shape,
                    partition,
                    records,
                    lambda rows: self._clickhouse.held_identities(shape.table, partition, records[0].offset, rows),
                    self._values,
                )
            )

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        if self._is_revoking:
            self._commit_once(partition, offset, metadata)
        else:
            self._patiently(lambda: self._commit_once(partition, offset, metadata))

    def _commit_once(self, partition: Partition, offset: int, metadata: str) -> None:
        begun = time.monotonic()
        wanted = TopicPartition(partition.topic, partition.number, offset, metadata=metadata)
        try:
            answer = self._consumer.commit(offsets=[wanted], asynchronous=False)
        except KafkaException as error:
            cause = error.args[0]
            kind = _RebalancingError if cause.code() in _REBALANCING_CODES else CommitRefusedError
            raise kind(f"{partition}: the commit of {offset} {metadata!r} failed: {cause.str()}") from error
        if answer is None or answer[0].error is not None:
            raise CommitRefusedError(f"{partition}: the commit of {offset} {metadata!r} was refused: {answer}")
        self._committed_at = time.monotonic()
        self._metrics.last_commit_seconds.set(self._committed_at - begun)
        self._metrics.step_seconds.labels("commit").observe(self._committed_at - begun)

    def insert(self, partition: Partition, token: str, prepared: Block, confirm: Callable[[], None]) -> None:
        table = _SHAPES[partition.topic].table

        def insert_once() -> None:
            if prepared.dead_letters:
                with self._metrics.step_seconds.labels("dead_letters").time():
                    self._dead_letters.send(prepared.dead_letters)
            if prepared.rows is not None:
                with self._metrics.step_seconds.labels("insert").time():
                    self._clickhouse.insert(table, prepared.rows, token)

        self._patiently(insert_once, confirm)
        self._block_at = time.monotonic()
        self._count(partition, prepared)

    # Reading.

    def _drain(self) -> None:
        """Receive everything that has come, waiting a moment for the first and after it for the pace."""
        if not self._arrived:
            first = self._consumer.poll(_POLL_S)
            if first is None:
                return
            self._receive((first,))
        self._stop.wait(max(0.0, self._block_at + _PACE_S - time.monotonic()))
        self._receive(self._consumer.consume(MAX_ROWS, timeout=0))

    def _receive(self, messages: Iterable[Message]) -> None:
        """Lay each record before the partition it belongs to now; what the partition loses it is read again by another."""
        consumed_us = time.time_ns() // 1000
        for message in messages:
            if (error := message.error()) is not None:
                self._on_event(error, message)
                continue
            partition = Partition(message.topic() or "", message.partition() or 0)
            if partition in self._streams:
                if partition not in self._arrived:
                    self._arrived[partition] = []
                self._arrived[partition].append(
                    LogRecord(message.offset() or 0, message.value(), message.timestamp()[1], consumed_us),
                )
            self._is_kafka_away = False

    def _take(self) -> None:
        while self._arrived:
            partition = next(iter(self._arrived))
            stream, records = self._streams[partition], self._arrived.pop(partition)
            self._work(stream, lambda stream=stream, records=records: stream.take(records))  # type: ignore[misc]
        self._measure_lag()

    def _work(self, stream: Stream, action: Callable[[], None]) -> None:
        replays = stream.replays
        self._working = stream
        try:
            action()
        except PartitionTakenError:
            log.warning("partition taken away while a block waited", partition=str(stream.partition), plan=str(stream.in_flight))
        finally:
            self._working = None
        self._metrics.replays.labels(stream.partition.topic).inc(stream.replays - replays)

    def _settle_quiet(self) -> None:
        if time.monotonic() - self._block_at > _QUIET_S:
            for partition, stream in list(self._streams.items()):
                # The end is beyond what has arrived meanwhile.
                if self._streams.get(partition) is stream and partition not in self._arrived:
                    end = self._ends.get(partition)
                    self._work(stream, lambda stream=stream, end=end: stream.settle(end))  # type: ignore[misc]
        if self._is_kafka_away and time.monotonic() - self._asked_kafka_at > 1:
            self._asked_kafka_at = time.monotonic()
            self._is_kafka_away = not self._answers()
        self._measure_lag()

    def _on_event(self, error: KafkaError, message: Message | None = None) -> None:
        """An event of the consumer that is no record."""
        code = error.code()
        if code == KafkaError._PARTITION_EOF and message is not None:  # noqa: SLF001
            self._ends[Partition(str(message.topic()), int(message.partition() or 0))] = int(message.offset() or 0)
            self._is_kafka_away = False
        elif error.fatal() or code in _LOST_CODES:
            raise MembershipLostError(f"the consumer cannot go on: {error.str()}")
        elif code == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._is_kafka_away = True
            self._log_once("Kafka is away", error.str())
        elif code != KafkaError._TRANSPORT:  # noqa: SLF001
            self._log_once("Kafka reports", error.str())

    # The group.

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for committed in consumer.committed(partitions, timeout=_QUERY_TIMEOUT_S):
            if committed.error is not None:
                raise KafkaException(committed.error)
            partition = Partition(committed.topic, committed.partition)
            low, high = consumer.get_watermark_offsets(committed, timeout=_QUERY_TIMEOUT_S)
            offset = committed.offset if committed.offset >= 0 else None
            resumed = resumption(offset, committed.metadata or "", low, high)
            self._streams[partition] = PartitionStream(partition, resumed, self, MAX_ROWS)
            self._openings[partition] = _Opening(resumed, offset is None, low, high)
            log.info("partition assigned", partition=str(partition), start=resumed.start, replays=str(resumed.plan or ""))
        started = [
            TopicPartition(each.topic, each.partition, self._streams[Partition(each.topic, each.partition)].next_offset)
            for each in partitions
        ]
        consumer.incremental_assign(started)
        if self._is_waiting:
            consumer.pause(started)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            partition = Partition(each.topic, each.partition)
            is_open = partition not in self._openings
            stream = self._forget(partition)
            if stream is None or self._is_void or not is_open:
                continue
            self._is_revoking = True
            try:
                stream.settle()
            except CommitRefusedError as error:
                # The plan that stays committed is replayed by the successor and found to be in.
                log.warning("partition given up without a last commit", partition=str(partition), error=str(error))
            else:
                log.info("partition given up", partition=str(partition), next_offset=stream.next_offset)
            finally:
                self._is_revoking = False

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.waiting_for = _ASSIGNMENT
        for each in partitions:
            self._forget(Partition(each.topic, each.partition))
            log.warning("partition lost", partition=f"{each.topic}:{each.partition}")

    def _forget(self, partition: Partition) -> Stream | None:
        self._openings.pop(partition, None)
        self._ends.pop(partition, None)
        self._arrived.pop(partition, None)
        self._metrics.lag.remove(partition.topic, str(partition.number))
        return self._streams.pop(partition, None)

    def _open_new(self) -> None:
        """Before a partition's first block: compare with what ClickHouse holds, and note what Kafka no longer has."""
        while self._openings:
            stream = self._streams[next(iter(self._openings))]
            self._work(stream, lambda stream=stream: self._open(stream))  # type: ignore[misc]
        if self.waiting_for == _ASSIGNMENT and self._streams and not self._openings:
            self.waiting_for = ""

    def _open(self, stream: Stream) -> None:
        partition, opening = stream.partition, self._openings[stream.partition]
        held = self._patiently(lambda: self._clickhouse.last_offset(_SHAPES[partition.topic].table, partition))
        if held is not None and held >= opening.high:
            raise TopicReplacedError(
                f"ClickHouse holds offset {held} of {partition} but the log ends at {opening.high}: the topic was created anew. "
                f"Empty {_SHAPES[partition.topic].table.address} and its aggregates, or use a topic of another name",
            )
        resumed = opening.resumed
        if opening.is_first_commit and held is not None:
            # The group's offsets expired: rows would come twice. A block that was in flight then may lack aggregates.
            log.error("the group has forgotten its offsets, going on after the last row", partition=str(partition), offset=held)
            resumed = resumption(held + 1, "", opening.low, opening.high)
            self._working = self._streams[partition] = PartitionStream(partition, resumed, self, MAX_ROWS)
            self._arrived.pop(partition, None)
            self._consumer.seek(TopicPartition(partition.topic, partition.number, resumed.start))
        if resumed.gap is not None:
            gap, reason = resumed.gap, "Kafka's retention deleted the offsets before they were read"
            log.error(reason, partition=str(partition), first=gap.first, last=gap.last)
            self._patiently(lambda: self._clickhouse.note_gap(partition, gap, reason))
            self._metrics.gaps.labels(partition.topic).inc(gap.last - gap.first + 1)
        self._openings.pop(partition, None)

    # Waiting.

    def _patiently(self, action: Callable[[], Answer], confirm: Callable[[], None] | None = None) -> Answer:
        """`action`, as often as it takes; nothing is fetched meanwhile, and the process stays in the group."""
        attempts, is_outermost = 0, not self._is_patient

        def once() -> Answer:
            nonlocal attempts
            attempts += 1
            if confirm is not None and (attempts > 1 or time.monotonic() - self._committed_at > _PROMPT_S):
                confirm()
            return action()

        retrying = Retrying(
            retry=retry_if_exception_type(_WORTH_WAITING_FOR),
            wait=wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1),
            sleep=self._wait_in_group,
            before_sleep=self._note_wait,
        )
        self._is_patient = True
        try:
            answer = retrying(once)
            if is_outermost and self._is_waiting:
                log.info("going on")
            return answer
        finally:
            if is_outermost:
                self._is_patient = False
                if self._is_waiting:
                    self._end_wait()

    def _note_wait(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if not self._is_waiting:
            self._is_waiting = True
            self._metrics.is_waiting.set(1)
            self._consumer.pause(self._consumer.assignment())
        self.waiting_for = str(error)
        if isinstance(error, _RebalancingError):
            log.info("the group counts its members", commit=str(error))
        else:
            self._log_once("waiting", str(error))

    def _end_wait(self) -> None:
        self._is_waiting, self.waiting_for = False, "" if self._streams else _ASSIGNMENT
        self._metrics.is_waiting.set(0)
        self._logged.clear()
        self._consumer.resume(self._consumer.assignment())

    def _wait_in_group(self, seconds: float) -> None:
        """Let the time pass while the group's calls are answered."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stop.is_set():
                raise StoppingError
            message = self._consumer.poll(min(_POLL_S, left))
            if message is not None:
                self._receive((message,))
            if self._working is not None and self._streams.get(self._working.partition) is not self._working:
                raise PartitionTakenError

    def _answers(self) -> bool:
        """Whether Kafka answers a question about a partition of ours."""
        for partition in self._streams:
            try:
                self._consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.number), timeout=1)
            except KafkaException:
                return False
        return True

    # What is logged and measured.

    @property
    def is_kafka_away(self) -> bool:
        """No broker could be reached when last heard of."""
        return self._is_kafka_away

    def _log_once(self, event: str, error: str) -> None:
        """Log a trouble when it begins or becomes another, not at every attempt."""
        kind = error.split(" (")[0]
        if kind not in self._logged:
            self._logged.add(kind)
            log.error(event, error=error)

    def _count(self, partition: Partition, block: Block) -> None:
        metrics, topic = self._metrics, partition.topic
        metrics.blocks.labels(topic).inc()
        metrics.read_again.labels(topic).inc(block.read_again)
        metrics.not_applied.labels(topic).inc(block.not_applied)
        for letter in block.dead_letters:
            metrics.dead_letters.labels(topic, letter.reason).inc()
            log.warning("dead letter", partition=str(partition), offset=letter.offset, reason=letter.reason, detail=letter.detail)
        if block.rows is not None:
            metrics.rows.labels(topic).inc(block.rows.num_rows)
            newest = block.rows["committed_ts"][-1].value / 1e6
            metrics.last_commit_to_insert_seconds.labels(topic).set(time.time() - newest)

    def _measure_lag(self) -> None:
        for partition, stream in self._streams.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.number), cached=True)
            done = max(stream.next_offset, self._ends.get(partition, 0))
            self._metrics.lag.labels(partition.topic, str(partition.number)).set(max(0, high - done))


def _configuration(broker: Broker, on_event: Callable[[KafkaError], None]) -> dict[str, object]:
    configuration: dict[str, object] = {
        **client_settings(broker.kafka),
        "group.id": SINK_GROUP,
        "client.id": SINK_GROUP,
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # An offset that Kafka no longer has must not be passed over in silence.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "session.timeout.ms": broker.session_timeout_ms,
        "heartbeat.interval.ms": broker.session_timeout_ms // 4,
        "max.poll.interval.ms": 300_000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "queued.max.messages.kbytes": broker.queue_kbytes,
        "fetch.message.max.bytes": MAX_RECORD_BYTES,
        # The default waits a second before it fetches again after the queue was full.
        "fetch.queue.backoff.ms": 10,
        # A commit that is not answered by then is taken as refused.
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.max.ms": 2_000,
        "log_level": 2,
        "error_cb": on_event,
    }
    if broker.instance is not None:
        configuration["group.instance.id"] = broker.instance
    return configuration
