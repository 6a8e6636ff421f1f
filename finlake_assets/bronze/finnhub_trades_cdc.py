"""bronze.finnhub_trades_cdc: the changes of trades that Kafka holds and the archive does not."""

import dagster as dg

from finlake_assets.archive import ArchiveRequest, archive
from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents
from finlake_assets.speed.chain import topic_key
from finlake_resources.kafka import KafkaTopics
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import bronze


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(
        bronze.FINNHUB_TRADES_CDC, timeline=timeline, outside=[topic_key("finlake.ods.finnhub_trades")]))
    def finnhub_trades_cdc(
        context: dg.AssetExecutionContext, config: ArchiveRequest, jobs: SparkJobs, kafka: KafkaTopics,
    ) -> StepEvents:
        """Goes on from where the archive stands, whatever range was asked for."""
        yield from archive(context, jobs, kafka, bronze.FINNHUB_TRADES_CDC, config)

    return finnhub_trades_cdc
