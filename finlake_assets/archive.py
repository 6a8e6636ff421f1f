"""The assets of the stream's tables: which offsets a run archives and from where, and what is rebuilt from them."""

from collections.abc import Mapping

import dagster as dg

from finlake_assets.asset_specs import described_by
from finlake_assets.lake_asset import AssetBuilder
from finlake_assets.partitions import Timeline
from finlake_assets.run_table_job import StepEvents, fail_for_good, publish
from finlake_assets.speed.chain import topic_key
from finlake_clients.kafka.topics import UnknownTopicError
from finlake_resources.resources import KafkaResource, LakeResource
from spark.contracts.job_inputs import ArchiveInputs, RebuildInputs
from spark.contracts.report import Window
from spark.contracts.streams import BY_CHANGES
from spark.contracts.table import Table


class ArchiveRequest(dg.Config):
    """`ranges`: by partition of the topic, first offset and end (not part of it).

    Empty, as by hand, asks for all that was appended up to the end of the run's last day. A range says how far to go; the
    archive always goes on from where it stands, so that no request can leave a hole or write a record twice.
    """

    ranges: dict[str, list[int]] = {}


class RebuildRequest(dg.Config):
    """`rebuild`: whether the run's days are rebuilt from all their changes, not only brought up to date."""

    rebuild: bool = False


def archived_asset(table: Table) -> AssetBuilder:
    """The builder of the asset of a table of changes: its topic from where the archive stands, whatever range was asked for."""

    def build(timeline: Timeline) -> dg.AssetsDefinition:
        @dg.multi_asset(**described_by(table, timeline=timeline, outside=[topic_key(BY_CHANGES[table.address].topic)]))
        def step(
            context: dg.AssetExecutionContext,
            config: ArchiveRequest,
            jobs: LakeResource,
            kafka: KafkaResource,
        ) -> StepEvents:
            def asked(_: Window) -> ArchiveInputs:
                return ArchiveInputs(table=table, topics=kafka, ends=ends_of(config.ranges))

            try:
                yield from publish(context, jobs, table, inputs=asked)
            except UnknownTopicError as problem:
                fail_for_good(str(problem))

        return step

    return build


def settled_asset(table: Table) -> AssetBuilder:
    """The builder of the asset of a table that takes whatever was archived since its last run, whatever the day."""

    def build(timeline: Timeline) -> dg.AssetsDefinition:
        @dg.multi_asset(**described_by(table, timeline=timeline))
        def step(context: dg.AssetExecutionContext, config: RebuildRequest, jobs: LakeResource) -> StepEvents:
            yield from publish(context, jobs, table, inputs=lambda _: RebuildInputs(table=table, rebuild=config.rebuild))

        return step

    return build


def ends_of(ranges: Mapping[str, list[int]]) -> dict[int, int] | None:
    """The end of each range by partition; None when no range was asked for."""
    for partition, bounds in ranges.items():
        if not partition.isdecimal() or len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1]:
            fail_for_good(
                f'{partition!r}: {bounds} is no range of offsets; write a partition and [first, end], such as "0": [100, 250]'
            )
    return {int(partition): bounds[1] for partition, bounds in ranges.items()} or None
