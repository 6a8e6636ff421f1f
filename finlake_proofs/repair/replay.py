"""`finlake replay`: a range of a topic is read again, and what ClickHouse lacks of it is put there.

Records are judged and converted by the sink's own code. Only offsets that the sink has passed are taken, so that nobody
else inserts them meanwhile, and a row whose id is there already is left alone: replaying twice adds nothing.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from finlake_clients.kafka.topics import KafkaRecord, KafkaTopics, RangeUnreadableError
from finlake_services.clickhouse_sink.blocks import QUOTES, TRADES, Arrived, Shape, build
from finlake_services.clickhouse_sink.clickhouse import SinkConnection
from finlake_services.clickhouse_sink.dead_letters import origin_of
from finlake_services.clickhouse_sink.exactly_once import Partition
from finlake_services.clickhouse_sink.records import LogRecord, PoisonError
from finlake_settings.groups import SinkClickHouse
from spark.contracts.streams import DEAD_LETTERS_TOPIC, SINK_GROUP
from spark.transforms.avro_values import JSON_ALONE, AvroValues

BLOCK_RECORDS = 5_000
ANY_OFFSET = 2**62
SHAPES: dict[str, Shape] = {shape.topic: shape for shape in (TRADES, QUOTES)}


class ReplayError(Exception):
    """A range cannot be replayed; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class OffsetRangeOfPartition:
    """From offset `first` up to `end`, which is not part of it, of a partition."""

    partition: Partition
    first: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What became of records read again.

    `not_rows` tell of updates and deletes, which live tables do not apply; `unreadable` can still not become rows, or do not
    say where they came from;
    `unreachable` are neither in their topic any more nor whole among the dead letters.
    """

    read: int = 0
    already_there: int = 0
    added: int = 0
    not_rows: int = 0
    unreadable: int = 0
    unreachable: int = 0

    def __add__(self, other: "Replayed") -> "Replayed":
        return Replayed(
            read=self.read + other.read,
            already_there=self.already_there + other.already_there,
            added=self.added + other.added,
            not_rows=self.not_rows + other.not_rows,
            unreadable=self.unreadable + other.unreadable,
            unreachable=self.unreachable + other.unreachable,
        )


def spans(topics: KafkaTopics, topic: str, start: str, end: str) -> list[OffsetRangeOfPartition]:
    """The range of each partition, as far as the topic holds it; `start` and `end` are offsets or ISO times (UTC).

    Raises `ReplayError` for a topic without rows, for a bound that is neither, and for an empty range.
    """
    if topic not in SHAPES and topic != DEAD_LETTERS_TOPIC:
        raise ReplayError(f"{topic} holds no rows; name one of {', '.join((*SHAPES, DEAD_LETTERS_TOPIC))}")
    extents = topics.watermarks(topic)
    firsts, ends = (_offsets(topics, topic, bound, extents) for bound in (start, end))
    found = [
        OffsetRangeOfPartition(
            partition=Partition(topic, number), first=max(firsts[number], extent.first), end=min(ends[number], extent.end)
        )
        for number, extent in sorted(extents.items())
    ]
    ranges = [span for span in found if span.first < span.end]
    if not ranges:
        held = ", ".join(f"partition {number}: {extent.first} to {extent.end - 1}" for number, extent in sorted(extents.items()))
        raise ReplayError(f"{topic} holds nothing from {start} to {end}; it holds {held}")
    return ranges


def replay(server: SinkClickHouse, topics: KafkaTopics, ranges: Sequence[OffsetRangeOfPartition]) -> Replayed:
    """Put into ClickHouse what it lacks of these ranges. Raises `ReplayError` where the sink has not come so far."""
    clickhouse = SinkConnection(server.url, server.sink_password_file)
    values = AvroValues(topics.schema_of)
    total = Replayed()
    for span in ranges:
        if span.partition.topic == DEAD_LETTERS_TOPIC:
            total += _dead_letters(topics, clickhouse, span, values)
        else:
            _require_passed(topics, span)
            for records in topics.read(span.partition.topic, span.partition.number, span.first, span.end):
                total += insert_missing(clickhouse, span.partition, [_log_record(record) for record in records], values)
    return total


def insert_missing(
    clickhouse: SinkConnection,
    partition: Partition,
    records: Sequence[LogRecord],
    values: AvroValues = JSON_ALONE,
) -> Replayed:
    """Insert the rows of some records of one partition that ClickHouse does not hold under any offset."""
    shape = SHAPES[partition.topic]
    arrived, unreadable = _rows(shape, records, values)
    held = clickhouse.held_identities(shape.table, partition, ANY_OFFSET, arrived) if arrived else set()
    missing: set[int] = set()
    for each in arrived:
        if each.row.identity not in held:
            missing.add(each.offset)
            held.add(each.row.identity)
    lacking = [record for record in records if record.offset in missing]
    if lacking:
        block = build(shape, partition, lacking, lambda _: (), values)
        assert block.rows is not None
        # A token of its own: under the sink's, ClickHouse could take the rows for a block that it has had.
        offsets = ",".join(str(record.offset) for record in lacking)
        digest = hashlib.sha256(offsets.encode()).hexdigest()[:16]
        clickhouse.insert(shape.table, block.rows, f"replay:{partition}:{digest}:{time.time_ns()}")
    return Replayed(
        read=len(records),
        added=len(lacking),
        already_there=len(arrived) - len(lacking),
        unreadable=unreadable,
        not_rows=len(records) - len(arrived) - unreadable,
    )


def _rows(shape: Shape, records: Sequence[LogRecord], values: AvroValues) -> tuple[list[Arrived], int]:
    """The rows of some records, and how many records can still not become rows."""
    arrived: list[Arrived] = []
    unreadable = 0
    for record in records:
        try:
            change = shape.decoder.new_row(record.value, values)
        except PoisonError:
            unreadable += 1
            continue
        if change is not None and change.after is not None:
            arrived.append(Arrived(record.offset, record.appended_ms, record.consumed_us, change, change.after))
    return arrived, unreadable


def _dead_letters(topics: KafkaTopics, clickhouse: SinkConnection, span: OffsetRangeOfPartition, values: AvroValues) -> Replayed:
    """Try the records again that dead letters stand for, each once however often it was sent."""
    originals: dict[Partition, dict[int, LogRecord]] = {}
    unreachable = unreadable = 0
    for letters in topics.read(DEAD_LETTERS_TOPIC, span.partition.number, span.first, span.end):
        for letter in letters:
            origin = origin_of(letter.key)
            # Whoever may write to the topic may put there what no sink has sent.
            if origin is None or origin[0].topic not in SHAPES:
                unreadable += 1
                continue
            partition, offset = origin
            known = originals.setdefault(partition, {})
            if offset in known:
                continue
            record = _original(topics, partition, offset, letter)
            if record is None:
                unreachable += 1
            else:
                known[offset] = record
    total = Replayed(read=unreachable + unreadable, unreachable=unreachable, unreadable=unreadable)
    for partition, records in originals.items():
        for part in _parts([records[offset] for offset in sorted(records)]):
            total += insert_missing(clickhouse, partition, part, values)
    return total


def _original(topics: KafkaTopics, partition: Partition, offset: int, letter: KafkaRecord) -> LogRecord | None:
    """The record itself, else what its dead letter holds of it when that is the whole; None when neither is there."""
    try:
        for records in topics.read(partition.topic, partition.number, offset, offset + 1):
            return _log_record(records[0])
    except RangeUnreadableError:
        digests = [value.decode() for name, value in letter.headers if name == "sha256" and value is not None]
        if digests == [hashlib.sha256(letter.value or b"").hexdigest()]:
            return _log_record(letter)._replace(offset=offset)
    return None


def _require_passed(topics: KafkaTopics, span: OffsetRangeOfPartition) -> None:
    reached = topics.committed(SINK_GROUP, span.partition.topic)[span.partition.number] or 0
    if reached < span.end:
        raise ReplayError(
            f"the sink has come to offset {reached} of {span.partition} and is about to insert the rest itself; replay up to "
            f"{reached}, or wait until it has passed {span.end - 1}"
        )


def _offsets(topics: KafkaTopics, topic: str, bound: str, partitions: Iterable[int]) -> Mapping[int, int]:
    if bound.isdecimal():
        return dict.fromkeys(partitions, int(bound))
    try:
        moment = datetime.fromisoformat(bound)
    except ValueError as error:
        raise ReplayError(f"{bound!r} is neither an offset nor a time like 2026-11-21T14:30:00") from error
    return topics.offsets_at(topic, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _log_record(record: KafkaRecord) -> LogRecord:
    return LogRecord(record.offset, record.value, int(record.appended_ts.timestamp() * 1000), time.time_ns() // 1000)


def _parts(records: Sequence[LogRecord]) -> Iterator[Sequence[LogRecord]]:
    for begin in range(0, len(records), BLOCK_RECORDS):
        yield records[begin : begin + BLOCK_RECORDS]
