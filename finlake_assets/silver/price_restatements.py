"""silver.price_restatements: every new download judged against what was known before it, whatever the window."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from spark.contracts import silver
from spark.jobs.report import Window


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(silver.PRICE_RESTATEMENTS, timeline=timeline))
    def price_restatements(context: dg.AssetExecutionContext, jobs: SparkJobs) -> StepEvents:
        """Rows of days without a session take no part; what a restatement makes necessary is requested by a sensor."""

        def sessions(_: Window) -> dict[str, object]:
            # All that are known, not those up to the run's end: a verdict does not depend on the window that gives it.
            calendar = timeline.calendar
            return {"sessions": list(calendar.sessions(calendar.first_date, calendar.last_session))}

        yield from publish(context, jobs, silver.PRICE_RESTATEMENTS, inputs=sessions)

    return price_restatements
