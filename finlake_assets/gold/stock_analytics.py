"""gold.stock_analytics: prices, returns, trend, drawdown, volatility, regime and news beside each other."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline, sessions_back
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import gold, silver


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(
        gold.STOCK_ANALYTICS, timeline=timeline, reads={silver.PRICES_DAILY.address: sessions_back(199)},
    ))
    def stock_analytics(context: dg.AssetExecutionContext, jobs: SparkJobs) -> StepEvents:
        """The widest mean spans 200 sessions; the news are those of the session itself."""
        yield from publish(context, jobs, gold.STOCK_ANALYTICS)

    return stock_analytics
