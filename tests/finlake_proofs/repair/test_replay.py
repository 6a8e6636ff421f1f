"""Dead letters are read as what anybody may have written: one whose key says nothing costs none of its neighbours."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_clients.kafka.topics import KafkaRecord, RangeBeyondEndError, RangeEatenByRetentionError, RangeUnreadableError
from finlake_proofs.repair.replay import OffsetRangeOfPartition, Replayed, _dead_letters
from finlake_services.clickhouse_sink.blocks import TRADES
from finlake_services.clickhouse_sink.dead_letters import _key, origin_of
from finlake_services.clickhouse_sink.exactly_once import Partition
from spark.contracts.streams import DEAD_LETTERS_TOPIC
from spark.transforms.avro_values import JSON_ALONE

STRANGE = [
    None,
    b"",
    b"a-key",
    b"topic:1",
    b"topic:x:1",
    b"topic:1:-1",
    b"topic:1:1:",
    b"\xff\xfe:1:1",
    b":1:1",
    b"topic:1:99999999999999999999",
    b"topic:1:9999999999999999999",
    "topic:1:\N{ARABIC-INDIC DIGIT ONE}".encode(),
]


def record(offset: int, key: bytes | None, value: bytes = b"{}") -> KafkaRecord:
    return KafkaRecord(offset, datetime(2026, 3, 2, tzinfo=UTC), key, value, ())


class Topics:
    """A topic of dead letters, and an empty object under every offset of another, or an error."""

    def __init__(self, letters: Sequence[KafkaRecord], error: type[RangeUnreadableError] | None = None) -> None:
        self.letters, self.error = letters, error

    def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[Sequence[KafkaRecord]]:
        if self.error is not None and topic != DEAD_LETTERS_TOPIC:
            raise self.error(f"{topic} {first}", "of a test", "nothing")
        yield self.letters if topic == DEAD_LETTERS_TOPIC else [record(offset, None) for offset in range(first, end)]


def replayed(*keys: bytes | None, error: type[RangeUnreadableError] | None = None) -> Replayed:
    topics: Any = Topics([record(offset, key) for offset, key in enumerate(keys)], error)
    span = OffsetRangeOfPartition(partition=Partition(DEAD_LETTERS_TOPIC, 0), first=0, end=len(keys))
    return _dead_letters(topics, None, span, JSON_ALONE)  # type: ignore[arg-type]


def test_letters_that_do_not_say_where_they_came_from_are_counted_and_the_others_are_tried() -> None:
    good = f"{TRADES.topic}:0:7".encode()
    assert replayed(*STRANGE, b"another.topic:0:1", good, good) == Replayed(read=len(STRANGE) + 2, unreadable=len(STRANGE) + 2)


@pytest.mark.parametrize("error", [RangeEatenByRetentionError, RangeBeyondEndError])
def test_a_letter_whose_record_its_topic_no_longer_holds_is_unreachable(error: type[RangeUnreadableError]) -> None:
    assert replayed(f"{TRADES.topic}:0:7".encode(), error=error) == Replayed(read=1, unreachable=1)


@pytest.mark.parametrize("key", STRANGE)
def test_a_key_that_no_sink_writes_names_no_record(key: bytes | None) -> None:
    assert origin_of(key) is None


@given(st.integers(0, 999), st.integers(0, 2**63 - 1))
def test_what_the_sink_writes_is_read_back(partition: int, offset: int) -> None:
    origin = Partition(TRADES.topic, partition)
    assert origin_of(_key(origin, offset).encode()) == (origin, offset)
