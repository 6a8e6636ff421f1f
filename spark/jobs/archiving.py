"""How a range of a topic's offsets becomes rows of bronze, exactly once, however often and in whatever pieces it is asked for.

The archive has no place in Kafka: how far it has come stands in the snapshots of its table, and moves with the rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, In, LessThan

from spark.contracts.connectors import PartitionWatermarks, Topics
from spark.contracts.report import JobReport, OffsetRange, Provenance, TableReport, Window
from spark.contracts.table import Table
from spark.jobs.quarantine import Quarantined, quarantine
from spark.lake.snapshots import Progress
from spark.lake.storage import Lake, between
from spark.transforms.avro_values import AvroValues
from spark.transforms.bronze.finnhub_changes import ChangeDecoder
from spark.transforms.quarantine import Rejection, rejections_table

COMMIT_RECORDS = 100_000
"""Records of one commit: some 350 MB while they are written."""


class TopicMadeAnewError(Exception):
    """The archive stands behind the end of its topic: these are other records under the same offsets."""

    def __init__(self, archived: OffsetRange, end: int) -> None:
        super().__init__(
            f"{archived.topic}:{archived.partition} ends at offset {end}, but is archived up to {archived.end}: the topic was "
            "made anew. Nothing was archived; let the connector write to a topic of another name, or empty the lake's tables "
            "of this one."
        )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is left to do of a partition: a range to read, and before it what Kafka no longer has."""

    wanted: OffsetRange
    gone: OffsetRange | None


def archive(
    lake: Lake,
    window: Window,
    provenance: Provenance,
    *,
    table: Table,
    topic: str,
    topics: Topics,
    decoder: ChangeDecoder,
    ends: Mapping[int, int] | None,
) -> JobReport:
    """Archive every partition named in `ends` up to that offset; without `ends` all, up to the last date of the window.

    It goes on from where the archive stands, so that a range that is there already, in whole or in part, is not written
    again. Offsets that Kafka has deleted before that are reported, quarantined and passed over. Raises `TopicMadeAnewError`.
    """
    midnight = datetime.combine(window.end + timedelta(days=1), time(), tzinfo=UTC)
    wanted = topics.offsets_at(topic, midnight) if ends is None else ends
    todo = _todo(lake, table, topic, topics.watermarks(topic), wanted)
    values = AvroValues(topics.schema_of)
    reports: list[TableReport] = []
    kept_out: list[Quarantined] = []
    notes = [_words(each.gone) for each in todo if each.gone]
    for work in todo:
        if work.gone:
            kept_out.append(_remember(lake, table, work.gone, window, provenance))
        for part, rows, rejected in _parts(topics, decoder, values, work.wanted):
            if rejected.num_rows:
                references = In("reference", rejected["reference"].to_pylist())
                kept_out.append(
                    quarantine(
                        lake,
                        rejected,
                        source_table=table.address,
                        provenance=provenance,
                        replaced=And(EqualTo("source_name", topic), references),
                    )
                )
            reports.append(_commit(lake, table, part, rows, provenance))
            notes.append(f"{part}: {rows.num_rows} changes, {rejected.num_rows} unreadable records")
    if not reports:
        reports = [
            TableReport(
                address=table.address, row_count=0, snapshot_id=lake.snapshot_id(table.address), is_changed=False, window=window
            )
        ]
        notes = [f"{topic} is archived up to what was asked for"]
    return JobReport(
        tables=(*reports, *(each.report for each in kept_out)),
        notes=tuple(notes),
        quarantined_count=sum(each.count for each in kept_out),
        quarantine_samples=tuple(sample for each in kept_out for sample in each.samples)[:10],
    )


def _todo(
    lake: Lake, table: Table, topic: str, watermarks: Mapping[int, PartitionWatermarks], ends: Mapping[int, int]
) -> list[_Work]:
    """What is left to do, by partition."""
    archived = lake.positions(table.address)
    todo = []
    for partition, marks in sorted(watermarks.items()):
        at = archived.get((topic, partition), 0)
        if marks.end < at:
            raise TopicMadeAnewError(OffsetRange(topic=topic, partition=partition, first=0, end=at), marks.end)
        first, end = max(at, marks.first), min(ends.get(partition, 0), marks.end)
        if end <= at:
            continue
        gone = OffsetRange(topic=topic, partition=partition, first=at, end=first) if first > at else None
        wanted = OffsetRange(topic=topic, partition=partition, first=first, end=max(first, end))
        todo.append(_Work(wanted=wanted, gone=gone))
    return todo


def _parts(
    topics: Topics,
    decoder: ChangeDecoder,
    values: AvroValues,
    wanted: OffsetRange,
) -> Iterator[tuple[OffsetRange, pa.Table, pa.Table]]:
    """The range in parts that fit into memory, each with its rows and its rejected records; also one without records."""
    first, rows, rejected, read_count = wanted.first, [], [], 0
    batches = topics.read(wanted.topic, wanted.partition, wanted.first, wanted.end) if wanted.end > wanted.first else ()
    empty = decoder.decode((), wanted.topic, wanted.partition)
    for batch in chain(batches, (None,)):
        if batch is not None:
            changes = decoder.decode(batch, wanted.topic, wanted.partition, values)
            rows.append(changes.rows)
            rejected.append(changes.rejected)
            read_count += len(batch)
        if batch is None or read_count >= COMMIT_RECORDS:
            end = wanted.end if batch is None else batch[-1].offset + 1
            part = OffsetRange(topic=wanted.topic, partition=wanted.partition, first=first, end=end)
            yield part, pa.concat_tables([empty.rows, *rows]), pa.concat_tables([empty.rejected, *rejected])
            first, rows, rejected, read_count = end, [], [], 0


def _commit(lake: Lake, table: Table, part: OffsetRange, rows: pa.Table, provenance: Provenance) -> TableReport:
    """The part's rows, and with them how far the archive has come."""
    return lake.replace_rows(
        table.address,
        rows,
        replaced=_rows_of(part, rows),
        provenance=provenance,
        progress=Progress(positions={(part.topic, part.partition): part.end}, ranges=(part,)),
        audited=_offsets_of(part),
    )


def _rows_of(part: OffsetRange, rows: pa.Table) -> BooleanExpression:
    """Rows of these offsets that a run has left behind which died between its rows and their position."""
    offsets = _offsets_of(part)
    if not rows.num_rows:
        return offsets
    dates = pc.min_max(rows["appended_date"])
    return And(between("appended_date", Window(start=dates["min"].as_py(), end=dates["max"].as_py())), offsets)


def _offsets_of(part: OffsetRange) -> BooleanExpression:
    return And(
        EqualTo("kafka_topic", part.topic),
        EqualTo("kafka_partition", part.partition),
        GreaterThanOrEqual("kafka_offset", part.first),
        LessThan("kafka_offset", part.end),
    )


def _remember(lake: Lake, table: Table, gone: OffsetRange, window: Window, provenance: Provenance) -> Quarantined:
    """A row in quarantine that says which offsets will never be archived."""
    rejection = Rejection(
        source_table=table.address,
        source_name=gone.topic,
        reference=f"{gone.partition}@{gone.first}-{gone.end}",
        reason="deleted_before_archived",
        message=_words(gone),
        raw_text="",
        ticker=None,
        day_date=window.end,
    )
    replaced = And(EqualTo("source_name", gone.topic), EqualTo("reference", rejection.reference))
    return quarantine(lake, rejections_table([rejection]), source_table=table.address, replaced=replaced, provenance=provenance)


def _words(gone: OffsetRange) -> str:
    return (
        f"GAP {gone}: Kafka had deleted these {gone.end - gone.first} offsets before they were archived; archiving went on "
        "after them. Rows that Postgres still has come back when the connector takes a new snapshot"
    )
