"""gold.indicators: technical indicators on adjusted prices, from the state in the previous row."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline, sessions_back
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import gold, silver


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(
        gold.INDICATORS, timeline=timeline, reads={silver.PRICES_DAILY.address: sessions_back(199)},
    ))
    def indicators(context: dg.AssetExecutionContext, jobs: SparkJobs) -> StepEvents:
        """The widest rolling column looks back over 200 sessions; recursive ones over one row."""
        yield from publish(context, jobs, gold.INDICATORS)

    return indicators
