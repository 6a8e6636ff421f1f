"""What the two tables of changes have in common: which offsets a run archives, and from where."""

from collections.abc import Mapping

import dagster as dg

from finlake_assets.publish import StepEvents, fail_for_good, publish
from finlake_resources.kafka import KafkaTopics, UnknownTopic
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts.table import Table
from spark.jobs.report import Window


class ArchiveRequest(dg.Config):
    """`ranges`: by partition of the topic, first offset and end (not part of it).

    Empty, as by hand, asks for all that was appended up to the end of the run's last day. A range says how far to go; the
    archive always goes on from where it stands, so that no request can leave a hole or write a record twice.
    """

    ranges: dict[str, list[int]] = {}


class RebuildRequest(dg.Config):
    """`rebuild`: whether the run's days are built anew from all their changes, not only brought up to date."""

    rebuild: bool = False


def archive(
    context: dg.AssetExecutionContext, jobs: SparkJobs, kafka: KafkaTopics, table: Table, request: ArchiveRequest,
) -> StepEvents:
    """Archive the topic of a table of changes, up to the ends that were asked for."""

    def asked(_: Window) -> Mapping[str, object]:
        return {"topics": kafka, "ends": ends_of(request.ranges)}

    try:
        yield from publish(context, jobs, table, inputs=asked)
    except UnknownTopic as problem:
        fail_for_good(str(problem))


def ends_of(ranges: Mapping[str, list[int]]) -> dict[int, int] | None:
    """The end of each range by partition; None when no range was asked for."""
    for partition, bounds in ranges.items():
        if not partition.isdecimal() or len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1]:
            fail_for_good(
                f"{partition!r}: {bounds} is no range of offsets; write a partition and [first, end], such as \"0\": [100, 250]")
    return {int(partition): bounds[1] for partition, bounds in ranges.items()} or None

