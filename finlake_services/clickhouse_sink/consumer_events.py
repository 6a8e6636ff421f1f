"""What the consumer's errors mean for the member of the group: pure."""

from typing import Literal

from confluent_kafka import KafkaError

ConsumerEvent = Literal["end_of_partition", "membership_lost", "brokers_away", "connection_lost", "other"]
"""What the consumer may say instead of bringing a record.

A lost connection is made again by the consumer; when all brokers are away it says that too.
"""

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


def event_of(error: KafkaError) -> ConsumerEvent:
    """What an error means that came instead of a record."""
    code = error.code()
    if code == KafkaError._PARTITION_EOF:  # noqa: SLF001
        return "end_of_partition"
    if error.fatal() or code in _LOST_CODES:
        return "membership_lost"
    if code == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
        return "brokers_away"
    if code == KafkaError._TRANSPORT:  # noqa: SLF001
        return "connection_lost"
    return "other"


def is_rebalancing(error: KafkaError) -> bool:
    """Whether the group refuses a commit only because its members are being counted."""
    return error.code() in _REBALANCING_CODES
