"""gold.ml_features: scale-free, point-in-time features of a session."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import gold


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(gold.ML_FEATURES, timeline=timeline))
    def ml_features(context: dg.AssetExecutionContext, jobs: SparkJobs) -> StepEvents:
        """Only rows of the session itself are read: what they look back on is in their own tables."""
        yield from publish(context, jobs, gold.ML_FEATURES)

    return ml_features
