"""silver.prices_daily: the latest accepted bar of every session of the window."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import silver
from spark.jobs.report import Window


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(silver.PRICES_DAILY, timeline=timeline))
    def prices_daily(context: dg.AssetExecutionContext, jobs: SparkJobs) -> StepEvents:
        """The calendar says which dates are sessions; bars of other dates are quarantined."""

        def sessions(window: Window) -> dict[str, object]:
            return {"sessions": list(timeline.calendar.sessions(window.start, window.end))}

        yield from publish(context, jobs, silver.PRICES_DAILY, inputs=sessions)

    return prices_daily
