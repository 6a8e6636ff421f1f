"""Kafka's side: the changes of a topic, read once and forgotten, as sums; and how far the sink has come in it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from finlake_clients.kafka.topics import KafkaRecord, KafkaTopics
from finlake_reconciliation.buckets import Bucket, Buckets, Content, Tally, id_hash, merged, units
from finlake_reconciliation.comparison import Rows
from spark.contracts.streams import DEAD_LETTERS_TOPIC, SINK_GROUP, CapturedTable

NEW_ROW_OPS = frozenset({"c", "r"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)

Offsets = Mapping[int, int]
"""By partition of a topic, an offset."""


class Source(msgspec.Struct):
    """Where in Postgres a change comes from."""

    lsn: int


class Change(msgspec.Struct):
    """A change as Debezium tells it: `op` c for a new row, r for a row read again by a snapshot, u, d."""

    op: str
    source: Source
    after: dict[str, Any] | None = None
    before: dict[str, Any] | None = None


CHANGES = msgspec.json.Decoder(Change)


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The records a topic holds: from `first` up to `end`, which is not part of it, by partition."""

    first: Offsets
    end: Offsets


@dataclass(kw_only=True)
class TopicContent:
    """What a part of a topic holds below an LSN.

    `buckets` count each row once: a row that a snapshot read again (op r) is the same row. `last_offsets` are those of
    the last record of any kind. `altered_ids` are of rows that were deleted or updated, `dead_ids` of rows that the sink has
    put among the dead letters. `snapshot_lsn` is the newest LSN of any op r, above the asked one too.
    """

    buckets: Buckets = field(default_factory=dict)
    last_offsets: dict[int, int] = field(default_factory=dict)
    dead_ids: set[str] = field(default_factory=set)
    reread_count: int = 0
    unreadable: list[str] = field(default_factory=list)
    altered_ids: set[str] = field(default_factory=set)
    snapshot_lsn: int = -1


class NewRow(NamedTuple):
    """A new row of a topic; `is_reread` when a snapshot tells of it."""

    row_id: str
    symbol: str
    received_us: int
    content: Content
    is_reread: bool


class ChangeTopics:
    """The change topics of the stream. Every verb raises `ServiceUnavailableError` when Kafka does not answer."""

    def __init__(self, topics: KafkaTopics) -> None:
        self._topics = topics
        from spark.transforms.avro_values import AvroValues

        self._values = AvroValues(topics.schema_of)

    def extent(self, topic: str) -> Extent:
        """Oldest offsets and ends; open transactions do not count."""
        marks = self._topics.watermarks(topic)
        return Extent(
            first={number: each.first for number, each in marks.items()}, end={number: each.end for number, each in marks.items()}
        )

    def sink_offsets(self, topic: str) -> Offsets:
        """The offset up to which the sink has put each partition into ClickHouse; 0 where it has not begun.

        A commit with a plan in its metadata names the first offset of a block that may not be there yet.
        """
        return {number: offset or 0 for number, offset in self._topics.committed(SINK_GROUP, topic).items()}

    def newest_lsn(self, topic: str, since: Offsets) -> int:
        """The largest LSN among a topic's records from some offsets on; -1 when there is none."""
        records = self._records_of(topic, since, self.extent(topic).end)
        return max((self._change(record).source.lsn for _, record in records), default=-1)

    def dead_letters(self, topic: str) -> frozenset[tuple[int, int]]:
        """Partition and offset of every record of a topic that the sink could not make a row of."""
        extent = self.extent(DEAD_LETTERS_TOPIC)
        letters = self._records_of(DEAD_LETTERS_TOPIC, extent.first, extent.end)
        places = ((letter.key or b"").decode().rsplit(":", 2) for _, letter in letters)
        return frozenset((int(partition), int(offset)) for name, partition, offset in places if name == topic)

    def content(
        self,
        relation: CapturedTable,
        start: Offsets,
        end: Offsets,
        *,
        below_lsn: int,
        known_hashes: Callable[[], Iterable[int]] = tuple,
    ) -> TopicContent:
        """What lies between two offsets of each partition, as sums.

        No row is kept. Of rows that were read again the ids' hashes are, and the part is then read a second and a third time.
        `known_hashes` gives the ids of rows that are counted elsewhere: one of them that is read again does not count here.
        """
        content, tally, dead = TopicContent(), Tally(), self.dead_letters(relation.topic)
        reread: set[int] = set()
        for place, change, record in self._changes(relation, start, end, content):
            if change.op == "r":
                content.snapshot_lsn = max(content.snapshot_lsn, change.source.lsn)
            if change.source.lsn >= below_lsn:
                continue
            if record is not None and place in dead:
                content.dead_ids.add(record.row_id)
            if record is None:
                content.altered_ids.add(_id(change.after or change.before or {}, relation))
            elif record.is_reread:
                content.reread_count += 1
                reread.add(id_hash(record.row_id))
            else:
                tally.add(record.row_id, record.symbol, record.received_us, record.content)
        content.buckets = tally.buckets()
        if reread:
            reread.difference_update(known_hashes())
            alone = self._known_by_snapshot_alone(relation, start, end, below_lsn, reread)
            content.buckets = merged([content.buckets, alone])
        return content

    def rows(
        self, relation: CapturedTable, start: Offsets, end: Offsets, buckets: Collection[Bucket], *, below_lsn: int
    ) -> tuple[Rows, Mapping[str, Content]]:
        """The rows of some buckets between two offsets, and apart from them those that a snapshot read again."""
        found: dict[str, list[Content]] = {}
        again: dict[str, Content] = {}
        wanted = set(buckets)
        for record in self._rows(relation, start, end, below_lsn):
            if Bucket.of(record.symbol, record.received_us) not in wanted:
                continue
            if record.is_reread:
                again[record.row_id] = record.content
            else:
                found.setdefault(record.row_id, []).append(record.content)
        return found, again

    def _known_by_snapshot_alone(
        self, relation: CapturedTable, start: Offsets, end: Offsets, below_lsn: int, reread: set[int]
    ) -> Buckets:
        """Sums of the rows that were read again and have no record of their own; each counts once."""
        alone = set(reread)
        for record in self._rows(relation, start, end, below_lsn):
            if not record.is_reread:
                alone.discard(id_hash(record.row_id))
        tally = Tally()
        for record in self._rows(relation, start, end, below_lsn):
            if record.is_reread and id_hash(record.row_id) in alone:
                alone.discard(id_hash(record.row_id))
                tally.add(record.row_id, record.symbol, record.received_us, record.content)
        return tally.buckets()

    def _rows(self, relation: CapturedTable, start: Offsets, end: Offsets, below_lsn: int) -> Iterator[NewRow]:
        for _, change, record in self._changes(relation, start, end, TopicContent()):
            if record is not None and change.source.lsn < below_lsn:
                yield record

    def _changes(
        self, relation: CapturedTable, start: Offsets, end: Offsets, content: TopicContent
    ) -> Iterator[tuple[tuple[int, int], Change, NewRow | None]]:
        """Readable changes at their partition and offset, with their row when they tell of a new one.

        `content` learns of offsets and of what is unreadable.
        """
        for partition, record in self._records_of(relation.topic, start, end):
            content.last_offsets[partition] = record.offset
            try:
                change = self._change(record)
                row = _row(change, relation)
            except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
                content.unreadable.append(f"{relation.topic}:{partition}:{record.offset}")
            else:
                yield (partition, record.offset), change, row

    def _change(self, record: KafkaRecord) -> Change:
        return CHANGES.decode(self._values.as_json(record.value or b""))

    def _records_of(self, topic: str, start: Offsets, end: Offsets) -> Iterator[tuple[int, KafkaRecord]]:
        """Records with a value from `start` up to `end`, beside their partition."""
        for partition, last in sorted(end.items()):
            for batch in self._topics.read(topic, partition, start.get(partition, 0), last):
                yield from ((partition, record) for record in batch if record.value is not None)


def _row(change: Change, relation: CapturedTable) -> NewRow | None:
    """The row a change tells of, None for one that alters a row or removes it."""
    if change.op not in NEW_ROW_OPS:
        return None
    row = change.after or {}
    content = Content(tuple(units(row[number]) for number in relation.numbers), _microseconds(row[relation.event_ts.name]))
    return NewRow(_id(row, relation), row["symbol"], _microseconds(row["received_ts"]), content, change.op == "r")


def _id(row: Mapping[str, Any], relation: CapturedTable) -> str:
    return ":".join(str(row[column]) for column in relation.id_columns)


def _microseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - EPOCH) // US
