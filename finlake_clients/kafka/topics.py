"""Kafka's topics: what they hold, how far a group has come, and exact ranges of their records.

Belongs here: reading, of committed transactions only, without a trace in any group. Does not belong here: what a record
means, and how far the archive has come (that stands in the lake).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from finlake_clients.kafka.access import client_settings
from finlake_clients.kafka.schema_registry import schemas_of
from finlake_clients.service_client import ServiceClient, path_text
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_settings.groups import Kafka

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

SERVICE = "kafka"
# A consumer must name a group; nothing is ever committed under this one.
READING_GROUP = "finlake_reader"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH_RECORDS = 5_000
FETCHED_AHEAD_KB = 32 * 1024


class BrokerUnreachableError(ServiceUnavailableError):
    """The broker does not answer, or gives nothing for longer than is normal."""


class UnknownTopicError(ServiceUnavailableError):
    """The broker knows no such topic; those of the stream are made when it is started."""

    passes = False


class RangeUnreadableError(Exception):
    """A range that cannot be read as a whole: the range, the reason, the next step."""

    def __init__(self, range_name: str, reason: str, next_step: str) -> None:
        super().__init__(range_name, reason, next_step)
        self.range_name, self.reason, self.next_step = range_name, reason, next_step

    def __str__(self) -> str:
        return f"{self.range_name}: {self.reason}; {self.next_step}"


class RangeEatenByRetentionError(RangeUnreadableError):
    """The beginning of a range is gone: Kafka has deleted it, by age or by size."""


class RangeBeyondEndError(RangeUnreadableError):
    """A range reaches beyond what is committed to the topic."""


class Watermarks(NamedTuple):
    """What a partition holds: from offset `first` up to `end`, which is not part of it. Open transactions do not count."""

    first: int
    end: int


class KafkaRecord(NamedTuple):
    """A record as it came; `appended_ts` is the broker's time, UTC, to the millisecond."""

    offset: int
    appended_ts: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class KafkaTopics(ServiceClient):
    """The topics of a broker at `bootstrap` (`host:port`); `timeout_s` is how long an answer may take.

    `password_file` None: the broker asks for no login. `registry_url` None: no record is Avro.
    """

    bootstrap: str
    password_file: str | None
    registry_url: str | None = None
    registry_token_file: str | None = None
    timeout_s: float = 20.0

    @classmethod
    def of(cls, kafka: Kafka, *, timeout_s: float = 20.0) -> Self:
        """The topics of a broker; nothing is opened."""
        return cls(
            bootstrap=kafka.bootstrap,
            password_file=path_text(kafka.password_file),
            registry_url=kafka.registry_url,
            registry_token_file=path_text(kafka.registry_token_file),
            timeout_s=timeout_s,
        )

    @property
    def access(self) -> Kafka:
        """How its clients connect."""
        return Kafka(
            bootstrap=self.bootstrap,
            password_file=Path(self.password_file) if self.password_file else None,
            registry_url=self.registry_url,
            registry_token_file=Path(self.registry_token_file) if self.registry_token_file else None,
        )

    def schema_of(self, number: int) -> str | None:
        """The text of a schema by which records are written, None for a number that no registry knows."""
        return schemas_of(self.access)(number)

    def watermarks(self, topic: str) -> dict[int, Watermarks]:
        """What each partition holds now. Raises `UnknownTopicError`, `BrokerUnreachableError`."""
        from confluent_kafka import TopicPartition

        with self._consumer(topic) as consumer:
            found = {}
            for partition in self._partitions(consumer, topic):
                first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=self.timeout_s)
                found[partition] = Watermarks(first, end)
            return found

    def offsets_at(self, topic: str, moment: datetime) -> dict[int, int]:
        """By partition the first offset appended at `moment` (aware) or later; the end where there is none."""
        from confluent_kafka import TopicPartition

        millis = (moment - EPOCH) // timedelta(milliseconds=1)
        with self._consumer(topic) as consumer:
            asked = [TopicPartition(topic, partition, millis) for partition in self._partitions(consumer, topic)]
            answers = consumer.offsets_for_times(asked, timeout=self.timeout_s)
        ends = self.watermarks(topic)
        return {each.partition: ends[each.partition].end if each.offset < 0 else each.offset for each in answers}

    def first_appended(self, topic: str, partition: int, offset: int) -> datetime | None:
        """When the first record at or after an offset was appended; None when there is none yet."""
        marks = self.watermarks(topic)[partition]
        start = max(offset, marks.first)
        for batch in self.read(topic, partition, start, marks.end) if start < marks.end else ():
            return batch[0].appended_ts
        return None

    def committed(self, group: str, topic: str) -> dict[int, int | None]:
        """The next offset that a group will read in each partition; None where it has never committed one."""
        from confluent_kafka import TopicPartition

        with self._consumer(topic, group) as consumer:
            asked = [TopicPartition(topic, partition) for partition in self._partitions(consumer, topic)]
            answers = consumer.committed(asked, timeout=self.timeout_s)
        return {each.partition: None if each.offset < 0 else each.offset for each in answers}

    def group_lag(self, group: str, topic: str) -> dict[int, int]:
        """Offsets that a group has still to read in each partition, of those that are left."""
        committed = self.committed(group, topic)
        return {
            partition: marks.end - max(committed.get(partition) or 0, marks.first)
            for partition, marks in self.watermarks(topic).items()
        }

    def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[KafkaRecord]]:
        """The committed records from `first` up to `end`, in order, in batches; holes between offsets are no fault.

        Raises `RangeEatenByRetentionError` when the first of them are gone, `RangeBeyondEndError`, and
        `BrokerUnreachableError` also when nothing comes for `timeout_s`.
        """
        from confluent_kafka import TopicPartition

        if first >= end:
            return
        name = f"{topic}:{partition}@{first}-{end}"
        marks = self.watermarks(topic).get(partition)
        if marks is None:
            raise UnknownTopicError(SERVICE, self.bootstrap, f"{topic} has no partition {partition}")
        if first < marks.first:
            raise self._eaten(name, marks.first)
        if end > marks.end:
            raise RangeBeyondEndError(name, f"its last committed offset is {marks.end - 1}", "ask again when more is committed")
        with self._consumer(topic) as consumer:
            consumer.assign([TopicPartition(topic, partition, first)])
            batch: list[KafkaRecord] = []
            offset = first - 1
            while offset < end - 1:
                # One by one: asked for many at once, the client waits for as many as were asked for.
                message = consumer.poll(self.timeout_s)
                if message is None:
                    raise self._unreachable(name, f"nothing came for {self.timeout_s:g} s")
                offset = _offset_of(message)
                # Behind the last record there may be markers of transactions, which have offsets and are not shown.
                if self._is_end(message, name, marks) or offset >= end:
                    break
                batch.append(_record(message, offset))
                if len(batch) == BATCH_RECORDS:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _is_end(self, message: "Message", name: str, marks: Watermarks) -> bool:
        """Whether there is nothing after this; raises when it is an error instead of a record."""
        from confluent_kafka import KafkaError

        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise self._eaten(name, marks.first)
        raise self._unreachable(name, error.str())

    def _partitions(self, consumer: "Consumer", topic: str) -> list[int]:
        from confluent_kafka import KafkaError

        found = consumer.list_topics(topic, timeout=self.timeout_s).topics[topic]
        if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise UnknownTopicError(SERVICE, self.bootstrap, f"there is no topic {topic}")
        if found.error is not None:
            raise self._unreachable(topic, found.error.str())
        return sorted(found.partitions)

    @contextmanager
    def _consumer(self, thing: str, group: str = READING_GROUP) -> Iterator["Consumer"]:
        """A consumer for one question; its errors become those of this module."""
        from confluent_kafka import Consumer, KafkaException

        consumer = Consumer(
            {
                **client_settings(self.access),
                "group.id": group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                # An offset that is gone is an error, not a reason to begin elsewhere.
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": FETCHED_AHEAD_KB,
                # What is wrong is raised, not written to the standard error.
                "log_level": 0,
            }
        )
        try:
            yield consumer
        except KafkaException as error:
            raise self._unreachable(thing, _reason(error.args[0])) from error
        finally:
            consumer.close()

    def _eaten(self, name: str, first: int) -> RangeEatenByRetentionError:
        return RangeEatenByRetentionError(
            name,
            f"Kafka has deleted everything before offset {first}",
            f"go on from {first}; rows that Postgres still has come back when the connector takes a new snapshot",
        )

    def _unreachable(self, thing: str, reason: str) -> BrokerUnreachableError:
        return BrokerUnreachableError(SERVICE, self.bootstrap, f"{thing}: {reason}")


def _record(message: "Message", offset: int) -> KafkaRecord:
    _, millis = message.timestamp()
    headers = tuple((header[0], _bytes(header[1])) for header in message.headers() or ())
    return KafkaRecord(offset, EPOCH + timedelta(milliseconds=millis), _bytes(message.key()), _bytes(message.value()), headers)


def _offset_of(message: "Message") -> int:
    offset = message.offset()
    return -1 if offset is None else offset


def _bytes(content: bytes | str | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content


def _reason(error: "KafkaError") -> str:
    return error.str()
