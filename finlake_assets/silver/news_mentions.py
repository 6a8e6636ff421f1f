"""silver.news_mentions: which articles are about which companies, and for which session they were available."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from finlake_resources.universe_file import UniverseFile
from spark.contracts import silver
from spark.jobs.report import Window


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(silver.NEWS_MENTIONS, timeline=timeline))
    def news_mentions(context: dg.AssetExecutionContext, jobs: SparkJobs, universe: UniverseFile) -> StepEvents:
        """The closes around the window decide which session a time belongs to, early closes included."""

        def matching(window: Window) -> dict[str, object]:
            calendar = timeline.calendar
            around = calendar.sessions(calendar.previous(window.start), calendar.next(window.end))
            return {"universe": universe.read(), "closes": [(day, calendar.close_ts(day)) for day in around]}

        yield from publish(context, jobs, silver.NEWS_MENTIONS, inputs=matching)

    return news_mentions
