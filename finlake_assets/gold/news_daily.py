"""gold.news_daily: news volume, tone and themes of every session, zeros where nothing was written."""

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline, sessions_back
from finlake_assets.publish import StepEvents, publish
from finlake_resources.spark_jobs import SparkJobs
from finlake_resources.universe_file import UniverseFile
from spark.contracts import gold, silver
from spark.jobs.report import Window

# Days a session waits for: its own news lie in the last of these, also after the longest closure. The older ones that
# only decay into it are read where they exist, so that news can begin anywhere in the history.
AWAITED_SESSIONS = 7


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(
        gold.NEWS_DAILY, timeline=timeline, reads={silver.NEWS_MENTIONS.address: sessions_back(AWAITED_SESSIONS)},
    ))
    def news_daily(context: dg.AssetExecutionContext, jobs: SparkJobs, universe: UniverseFile) -> StepEvents:
        """News of week-ends and holidays are those of the next session."""

        def decaying(_: Window) -> dict[str, object]:
            everything = timeline.calendar.sessions(timeline.calendar.first_date, timeline.calendar.last_session)
            return {"universe": universe.read(), "sessions": list(everything)}

        yield from publish(context, jobs, gold.NEWS_DAILY, inputs=decaying)

    return news_daily
