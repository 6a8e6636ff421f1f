"""How the sink's consumer is set up."""

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError

from finlake_clients.kafka.access import client_settings
from finlake_settings.groups import Kafka
from spark.contracts.stream_rows import MAX_RECORD_BYTES
from spark.contracts.streams import SINK_GROUP


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


def consumer_configuration(broker: Broker, on_event: Callable[[KafkaError], None]) -> dict[str, object]:
    """librdkafka's settings for a member of the group; `on_event` gets what is no record."""
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
