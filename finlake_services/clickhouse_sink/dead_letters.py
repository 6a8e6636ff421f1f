"""Records that can never become rows go to the topic `finlake.dead_letters`, with where they came from and why; whole, but for
what is longer than any record may be (the header `sha256` is of the whole).

Sent before their block is inserted and sent again when it is replayed: at least once. The key `topic:partition:offset` is
the same each time, so a reader takes the first of a key, and a compacted topic keeps one.
"""

import hashlib
import re
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from finlake_clients.kafka.access import client_settings
from finlake_services.clickhouse_sink.blocks import DeadLetter
from finlake_services.clickhouse_sink.exactly_once import Partition
from finlake_settings.groups import Kafka
from spark.contracts.stream_rows import MAX_LETTER_BYTES, MAX_RECORD_BYTES
from spark.contracts.streams import DEAD_LETTERS_TOPIC

_KEY = re.compile(rb"(?P<topic>[A-Za-z0-9._-]{1,249}):(?P<partition>[0-9]{1,9}):(?P<offset>[0-9]{1,19})")
_LAST_OFFSET = 2**63 - 1


class DeadLettersUnavailableError(Exception):
    """Kafka did not take a dead letter; whether it has it is unknown."""


class DeadLetters:
    """An idempotent producer, made at first use and again after a failure."""

    def __init__(self, kafka: Kafka, *, timeout_s: float = 10.0) -> None:
        self._kafka, self._timeout_s = kafka, timeout_s
        self._producer: Producer | None = None

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send and wait until Kafka has all of them. Raises DeadLettersUnavailableError."""
        if self._producer is None:
            self._producer = Producer(
                {
                    **client_settings(self._kafka),
                    "enable.idempotence": True,
                    "linger.ms": 0,
                    "compression.type": "lz4",
                    "message.max.bytes": MAX_RECORD_BYTES,
                    "message.timeout.ms": int(self._timeout_s * 1000),
                }
            )
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error.str())

        try:
            for letter in letters:
                self._producer.produce(
                    DEAD_LETTERS_TOPIC,
                    key=_key(letter.partition, letter.offset),
                    value=letter.value[:MAX_LETTER_BYTES],
                    headers=headers_of(letter),
                    on_delivery=delivered,
                )
            waiting = self._producer.flush(self._timeout_s * 1.5)
        except (KafkaException, BufferError) as error:
            failures.append(str(error))
            waiting = 0
        if failures or waiting:
            self._producer = None
            raise DeadLettersUnavailableError(
                f"Kafka at {self._kafka.bootstrap} did not take a record for {DEAD_LETTERS_TOPIC}: "
                f"{failures[0] if failures else 'no answer'}"
            )


def origin_of(key: bytes | None) -> tuple[Partition, int] | None:
    """Partition and offset of the record that a dead letter stands for, by its key; None for a key that no sink has written."""
    origin = _KEY.fullmatch(key or b"")
    if origin is None or int(origin["offset"]) > _LAST_OFFSET:
        return None
    return Partition(origin["topic"].decode(), int(origin["partition"])), int(origin["offset"])


def _key(partition: Partition, offset: int) -> str:
    return f"{partition}:{offset}"


def headers_of(letter: DeadLetter) -> list[tuple[str, str | bytes | None]]:
    """Where the record came from, why it is dead, and the digest of its whole value."""
    return [
        ("topic", letter.partition.topic),
        ("partition", str(letter.partition.number)),
        ("offset", str(letter.offset)),
        ("reason", letter.reason),
        ("detail", letter.detail[:1000]),
        ("sha256", hashlib.sha256(letter.value).hexdigest()),
    ]
