"""Reading Kafka as the stream's consumers do: committed records only, from a place that a test has noted."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.cimpl import KafkaException
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from finlake_clients.kafka.access import client_settings
from finlake_settings.groups import Kafka

TRADES = "finlake.ods.finnhub_trades"


@dataclass(frozen=True)
class Change:
    """One record of a change topic; `value` is Debezium's envelope."""

    offset: int
    timestamp_type: int
    value: dict[str, Any]

    @property
    def after(self) -> dict[str, Any]:
        return dict(self.value["after"])

    @property
    def source(self) -> dict[str, Any]:
        return dict(self.value["source"])


@contextmanager
def _consumer(kafka: Kafka) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            **client_settings(kafka),
            "group.id": uuid4().hex,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


@retry(retry=retry_if_exception_type(KafkaException), stop=stop_after_delay(60), wait=wait_fixed(0.1), reraise=True)
def end_of(kafka: Kafka, topic: str = TRADES, partition: int = 0) -> int:
    """The offset of the next record of a partition.

    Asked again while it has no leader, as one just made, or one of a broker just started.
    """
    with _consumer(kafka) as consumer:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1])


def changes_from(
    kafka: Kafka,
    start: int,
    enough: Callable[[list[Change]], bool],
    *,
    of: str,
    topic: str = TRADES,
    timeout_s: float = 60,
) -> list[Change]:
    """The changes from `start` that concern the connection id `of`, until they are `enough` and no more come for a second.

    Others' rows may come all the while: the feed of the stack may run.

    Raises AssertionError with what was read when they never are.
    """
    found: list[Change] = []
    with _consumer(kafka) as consumer:
        consumer.assign([TopicPartition(topic, 0, start)])
        last_found = monotonic()
        deadline = last_found + timeout_s
        while monotonic() < deadline:
            message = consumer.poll(0.2)
            change = None if message is None or _is_error(message) else _change(message)
            if change is not None and change.after.get("connection_id") == of:
                found.append(change)
                last_found = monotonic()
            elif monotonic() - last_found > 1 and enough(found):
                return found
    raise AssertionError(f"{len(found)} changes of {of} after {timeout_s} s: {found[-3:]}")


def _is_error(message: Message) -> bool:
    error = message.error()
    if error is not None and error.fatal():
        raise KafkaException(error)
    return error is not None


def _change(message: Message) -> Change | None:
    value = message.value()
    if value is None:
        return None
    envelope = json.loads(value)
    if envelope["after"] is None:
        return None
    return Change(int(message.offset() or 0), message.timestamp()[0], envelope)
