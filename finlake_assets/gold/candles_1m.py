"""gold.candles_1m: the minutes of archived trades."""

import dagster as dg

from finlake_assets.archive import RebuildRequest
from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import gold


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(gold.CANDLES_1M, timeline=timeline))
    def candles_1m(context: dg.AssetExecutionContext, config: RebuildRequest, jobs: SparkJobs) -> StepEvents:
        """Builds the minutes whose trades have changed since its last run, on whatever day they are."""
        yield from publish(context, jobs, gold.CANDLES_1M, inputs=lambda _: {"rebuild": config.rebuild})

    return candles_1m
