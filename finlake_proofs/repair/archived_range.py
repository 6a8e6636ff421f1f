"""Bringing a range of a topic to the lake's bronze table of its changes, where that does not hold it yet."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from finlake_clients.kafka.topics import KafkaTopics
from finlake_clients.lake_client import LakeClient
from finlake_proofs.repair.replay import OffsetRangeOfPartition
from spark.contracts.job_inputs import ArchiveInputs
from spark.contracts.report import Provenance, Window
from spark.contracts.streams import STREAMS

PROVENANCE = Provenance(run_id="replay", partition="replay", code_version="replay")


def archive_spans(jobs: LakeClient, topics: KafkaTopics, ranges: Sequence[OffsetRangeOfPartition]) -> Iterator[str]:
    """Archive up to the ends of the ranges; one line per table that archives one of their topics."""
    today = datetime.now(UTC).date()
    for stream in STREAMS:
        address = stream.changes.address
        ends = {span.partition.number: span.end for span in ranges if span.partition.topic == stream.topic}
        if ends:
            report = jobs.run(
                ArchiveInputs(table=stream.changes, topics=topics, ends=ends),
                window=Window(start=today, end=today),
                provenance=PROVENANCE,
            )
            added = sum(table.row_count for table in report.tables if table.address == address and table.is_changed)
            yield f"{address}: {added} changes archived" if added else f"{address} holds the range already"
