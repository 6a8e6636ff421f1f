"""gold.ml_labels: what the two sessions after each session brought."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline, sessions_ahead
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import gold, silver


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(
        gold.ML_LABELS, timeline=timeline, reads={silver.PRICES_DAILY.address: sessions_ahead(2)},
    ))
    def ml_labels(context: dg.AssetExecutionContext, jobs: SparkJobs) -> StepEvents:
        """A label is complete two sessions later; a new session completes those that waited for it."""
        yield from publish(context, jobs, gold.ML_LABELS)

    return ml_labels
