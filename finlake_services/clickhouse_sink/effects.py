"""What a partition's stream does to the world: blocks built, offsets committed, rows inserted, each as often as it takes."""

import time
from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from finlake_services.clickhouse_sink.blocks import QUOTES, TRADES, Block, Shape, build
from finlake_services.clickhouse_sink.clickhouse import SinkConnection
from finlake_services.clickhouse_sink.consumer_events import is_rebalancing
from finlake_services.clickhouse_sink.dead_letters import DeadLetters
from finlake_services.clickhouse_sink.exactly_once import CommitRefusedError, Partition
from finlake_services.clickhouse_sink.metrics import SinkMetrics
from finlake_services.clickhouse_sink.records import LogRecord
from finlake_services.clickhouse_sink.retries import RebalancingError, Retries
from spark.transforms.avro_values import AvroValues

SHAPES: dict[str, Shape] = {shape.topic: shape for shape in (TRADES, QUOTES)}
"""What is made of each topic's records."""

# A block whose plan was committed longer ago than this first asks whether the partition is still its own.
_PROMPT_S = 5.0

log = structlog.get_logger()


class SinkEffects:
    """`exactly_once.Effects` of a member of the group: of its consumer, of ClickHouse and of the dead letters."""

    def __init__(
        self,
        consumer: Consumer,
        clickhouse: SinkConnection,
        dead_letters: DeadLetters,
        values: AvroValues,
        retries: Retries,
        metrics: SinkMetrics,
    ) -> None:
        self.inserted_at = float("-inf")
        """Monotonic seconds of the last insert's end."""
        self._consumer, self._clickhouse, self._dead_letters, self._values = consumer, clickhouse, dead_letters, values
        self._retries, self._metrics = retries, metrics
        self._committed_at = float("-inf")

    def prepare(self, partition: Partition, records: Sequence[LogRecord]) -> Block:
        """The block of these records."""
        shape = SHAPES[partition.topic]
        with self._metrics.step_seconds.labels("prepare").time():
            # A schema that the registry cannot tell now is waited for: whether a record can be read must not depend on the hour.
            return self._retries.run(
                lambda: build(
                    shape,
                    partition,
                    records,
                    lambda rows: self._clickhouse.held_identities(shape.table, partition, records[0].offset, rows),
                    self._values,
                )
            )

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        """Commit and wait for the answer; raises CommitRefusedError."""
        self._retries.run(lambda: self._commit_once(partition, offset, metadata))

    def _commit_once(self, partition: Partition, offset: int, metadata: str) -> None:
        begun = time.monotonic()
        wanted = TopicPartition(partition.topic, partition.number, offset, metadata=metadata)
        try:
            answer = self._consumer.commit(offsets=[wanted], asynchronous=False)
        except KafkaException as error:
            cause = error.args[0]
            kind = RebalancingError if is_rebalancing(cause) else CommitRefusedError
            raise kind(f"{partition}: the commit of {offset} {metadata!r} failed: {cause.str()}") from error
        if answer is None or answer[0].error is not None:
            raise CommitRefusedError(f"{partition}: the commit of {offset} {metadata!r} was refused: {answer}")
        self._committed_at = time.monotonic()
        self._metrics.last_commit_seconds.set(self._committed_at - begun)
        self._metrics.step_seconds.labels("commit").observe(self._committed_at - begun)

    def insert(self, partition: Partition, token: str, prepared: Block, confirm: Callable[[], None]) -> None:
        """Dead letters first, then the rows; `confirm` before every attempt but a prompt first one."""
        table = SHAPES[partition.topic].table

        def insert_once() -> None:
            if prepared.dead_letters:
                with self._metrics.step_seconds.labels("dead_letters").time():
                    self._dead_letters.send(prepared.dead_letters)
            if prepared.rows is not None:
                with self._metrics.step_seconds.labels("insert").time():
                    self._clickhouse.insert(table, prepared.rows, token)

        def confirm_unless_prompt(attempt: int) -> None:
            if attempt > 1 or time.monotonic() - self._committed_at > _PROMPT_S:
                confirm()

        self._retries.run(insert_once, confirm_unless_prompt)
        self.inserted_at = time.monotonic()
        self._count(partition, prepared)

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
