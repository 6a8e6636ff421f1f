"""silver.trades: what each trade is after all its archived changes."""

import dagster as dg

from finlake_assets.archive import RebuildRequest
from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import silver


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(silver.TRADES, timeline=timeline))
    def trades(context: dg.AssetExecutionContext, config: RebuildRequest, jobs: SparkJobs) -> StepEvents:
        """Takes all that was archived since its last run, whatever the day."""
        yield from publish(context, jobs, silver.TRADES, inputs=lambda _: {"rebuild": config.rebuild})

    return trades
