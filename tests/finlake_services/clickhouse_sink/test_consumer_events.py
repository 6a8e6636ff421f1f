"""What the consumer's errors mean for the member of the group."""

import pytest
from confluent_kafka import KafkaError

from finlake_services.clickhouse_sink.consumer_events import ConsumerEvent, event_of, is_rebalancing


@pytest.mark.parametrize(
    ("code", "event"),
    [
        (KafkaError._PARTITION_EOF, "end_of_partition"),
        (KafkaError.UNKNOWN_MEMBER_ID, "membership_lost"),
        (KafkaError.OFFSET_OUT_OF_RANGE, "membership_lost"),
        (KafkaError._ALL_BROKERS_DOWN, "brokers_away"),
        (KafkaError._TRANSPORT, "connection_lost"),
        (KafkaError._TIMED_OUT, "other"),
    ],
)
def test_an_error_is_one_event(code: int, event: ConsumerEvent) -> None:
    assert event_of(KafkaError(code)) == event


def test_what_is_fatal_to_the_consumer_ends_the_membership() -> None:
    assert event_of(KafkaError(KafkaError._TIMED_OUT, "gone", fatal=True)) == "membership_lost"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(KafkaError.REBALANCE_IN_PROGRESS, True), (KafkaError.ILLEGAL_GENERATION, True), (KafkaError.UNKNOWN_MEMBER_ID, False)],
)
def test_only_a_group_that_counts_its_members_is_waited_for(code: int, expected: bool) -> None:
    assert is_rebalancing(KafkaError(code)) is expected
