"""One stay in the consumer group: partitions come and go, records are taken block by block, trouble outside is waited out.

Everything happens in the thread that calls `poll_once`, the group's callbacks too, so a partition is never given up while one
of its blocks is half done without that block hearing of it.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from threading import Event

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from finlake_clients.kafka.schema_registry import schemas_of
from finlake_services.clickhouse_sink.blocks import Block
from finlake_services.clickhouse_sink.clickhouse import SinkConnection
from finlake_services.clickhouse_sink.consumer_configuration import Broker, consumer_configuration
from finlake_services.clickhouse_sink.consumer_events import event_of
from finlake_services.clickhouse_sink.dead_letters import DeadLetters
from finlake_services.clickhouse_sink.effects import SHAPES, SinkEffects
from finlake_services.clickhouse_sink.exactly_once import CommitRefusedError, Partition, PartitionStream, resumption
from finlake_services.clickhouse_sink.metrics import SinkMetrics
from finlake_services.clickhouse_sink.opening import Opening
from finlake_services.clickhouse_sink.records import LogRecord
from finlake_services.clickhouse_sink.retries import Retries, TroubleLog
from spark.transforms.avro_values import AvroValues

MAX_ROWS = 10_000

# A block costs ClickHouse the same whether it holds one row or a thousand: so long nothing is begun after a block. A
# record that comes after a pause is not held back.
_PACE_S = 0.05
# Without a new block for this long, what is in is committed for those who read the group's offsets.
_QUIET_S = 0.2
_POLL_S = 0.1
_QUERY_TIMEOUT_S = 10.0

Stream = PartitionStream[Block]
log = structlog.get_logger()


class MembershipLostError(Exception):
    """The consumer cannot go on; a new one resumes from what is committed."""


class StoppingError(Exception):
    """The process was asked to end while it waited; a block in flight stays planned."""


class PartitionTakenError(Exception):
    """The group took the partition away while a block of it waited; its plan is the successor's."""


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
        self._clickhouse, self._metrics, self._stop = clickhouse, metrics, stop
        self._streams: dict[Partition, Stream] = {}
        self._openings: dict[Partition, Opening] = {}
        self._ends: dict[Partition, int] = {}
        self._arrived: dict[Partition, list[LogRecord]] = {}
        self._working: Stream | None = None
        self._asked_kafka_at = float("-inf")
        self._is_assigned = self._is_kafka_away = self._is_void = False
        self._troubles = TroubleLog()
        self._consumer = Consumer(consumer_configuration(broker, self._on_event))
        self._retries = Retries(self._consumer, self._wait_in_group, self._wait_ended, self._troubles, metrics)
        self._effects = SinkEffects(
            self._consumer, clickhouse, dead_letters, AvroValues(schemas_of(broker.kafka)), self._retries, metrics
        )
        self._consumer.subscribe(list(SHAPES), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    @property
    def waiting_for(self) -> str:
        """What keeps records from flowing, in words; empty when nothing does."""
        return self._retries.waiting_for or ("" if self._is_assigned else "an assignment")

    @property
    def is_kafka_away(self) -> bool:
        """No broker could be reached when last heard of."""
        return self._is_kafka_away

    def poll_once(self) -> None:
        """Take what is there, waiting a moment for it; or settle what has been quiet.

        Raises CommitRefusedError, MembershipLostError, KafkaException (rejoin), StoppingError, and what no retry
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

    # Reading.

    def _drain(self) -> None:
        """Receive everything that has come, waiting a moment for the first and after it for the pace."""
        if not self._arrived:
            first = self._consumer.poll(_POLL_S)
            if first is None:
                return
            self._receive((first,))
        self._stop.wait(max(0.0, self._effects.inserted_at + _PACE_S - time.monotonic()))
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
            self._work(stream, partial(stream.take, records))
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
        if time.monotonic() - self._effects.inserted_at > _QUIET_S:
            for partition, stream in list(self._streams.items()):
                # The end is beyond what has arrived meanwhile.
                if self._streams.get(partition) is stream and partition not in self._arrived:
                    end = self._ends.get(partition)
                    self._work(stream, partial(stream.settle, end))
        if self._is_kafka_away and time.monotonic() - self._asked_kafka_at > 1:
            self._asked_kafka_at = time.monotonic()
            self._is_kafka_away = not self._answers()
        self._measure_lag()

    def _on_event(self, error: KafkaError, message: Message | None = None) -> None:
        """An event of the consumer that is no record."""
        match event_of(error):
            case "end_of_partition" if message is not None:
                self._ends[Partition(str(message.topic()), int(message.partition() or 0))] = int(message.offset() or 0)
                self._is_kafka_away = False
            case "membership_lost":
                raise MembershipLostError(f"the consumer cannot go on: {error.str()}")
            case "brokers_away":
                self._is_kafka_away = True
                self._troubles.note("Kafka is away", error.str())
            case "other" | "end_of_partition":
                self._troubles.note("Kafka reports", error.str())

    # The group.

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for committed in consumer.committed(partitions, timeout=_QUERY_TIMEOUT_S):
            if committed.error is not None:
                raise KafkaException(committed.error)
            partition = Partition(committed.topic, committed.partition)
            low, high = consumer.get_watermark_offsets(committed, timeout=_QUERY_TIMEOUT_S)
            offset = committed.offset if committed.offset >= 0 else None
            resumed = resumption(offset, committed.metadata or "", low, high)
            self._streams[partition] = PartitionStream(partition, resumed, self._effects, MAX_ROWS)
            table = SHAPES[partition.topic].table.address
            self._openings[partition] = Opening(partition, table, resumed, offset is None, low, high)
            log.info("partition assigned", partition=str(partition), start=resumed.start, replays=str(resumed.plan or ""))
        started = [
            TopicPartition(each.topic, each.partition, self._streams[Partition(each.topic, each.partition)].next_offset)
            for each in partitions
        ]
        consumer.incremental_assign(started)
        if self._retries.is_waiting:
            consumer.pause(started)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            partition = Partition(each.topic, each.partition)
            is_open = partition not in self._openings
            stream = self._forget(partition)
            if stream is None or self._is_void or not is_open:
                continue
            try:
                with self._retries.off():
                    stream.settle()
            except CommitRefusedError as error:
                # The plan that stays committed is replayed by the successor and found to be in.
                log.warning("partition given up without a last commit", partition=str(partition), error=str(error))
            else:
                log.info("partition given up", partition=str(partition), next_offset=stream.next_offset)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._is_assigned = False
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
            self._work(stream, partial(self._open, stream))
        if self._streams and not self._openings:
            self._is_assigned = True

    def _open(self, stream: Stream) -> None:
        partition, opening = stream.partition, self._openings[stream.partition]
        held = self._retries.run(lambda: self._clickhouse.last_offset(SHAPES[partition.topic].table, partition))
        resumed = opening.after(held)
        if opening.has_forgotten(held):
            # A block that was in flight then may lack aggregates.
            log.error("the group has forgotten its offsets, going on after the last row", partition=str(partition), offset=held)
            self._working = self._streams[partition] = PartitionStream(partition, resumed, self._effects, MAX_ROWS)
            self._arrived.pop(partition, None)
            self._consumer.seek(TopicPartition(partition.topic, partition.number, resumed.start))
        if resumed.gap is not None:
            gap, reason = resumed.gap, "Kafka's retention deleted the offsets before they were read"
            log.error(reason, partition=str(partition), first=gap.first, last=gap.last)
            self._retries.run(lambda: self._clickhouse.note_gap(partition, gap, reason))
            self._metrics.gaps.labels(partition.topic).inc(gap.last - gap.first + 1)
        self._openings.pop(partition, None)

    # Waiting.

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

    def _wait_ended(self) -> None:
        self._is_assigned = bool(self._streams)

    def _answers(self) -> bool:
        """Whether Kafka answers a question about a partition of ours."""
        for partition in self._streams:
            try:
                self._consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.number), timeout=1)
            except KafkaException:
                return False
        return True

    # What is measured.

    def _measure_lag(self) -> None:
        for partition, stream in self._streams.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.number), cached=True)
            done = max(stream.next_offset, self._ends.get(partition, 0))
            self._metrics.lag.labels(partition.topic, str(partition.number)).set(max(0, high - done))
