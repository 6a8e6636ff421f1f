"""gold.monthly_summary: whole months from the daily analytics."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline, months_back
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import gold


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(
        gold.MONTHLY_SUMMARY, timeline=timeline, reads={gold.STOCK_ANALYTICS.address: months_back(1)},
    ))
    def monthly_summary(context: dg.AssetExecutionContext, jobs: SparkJobs) -> StepEvents:
        """A month's return starts at the previous month's last close, so that month is read too."""
        yield from publish(context, jobs, gold.MONTHLY_SUMMARY)

    return monthly_summary
