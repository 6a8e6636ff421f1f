"""silver.completeness: whether every bar that should be there is there."""

from datetime import date, datetime, timedelta

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, publish
from finlake_resources.calendar import TradingCalendar
from finlake_resources.spark_jobs import SparkJobs
from finlake_resources.universe_file import UniverseFile
from spark.contracts import silver
from spark.jobs.report import Window


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of the table."""

    @dg.multi_asset(**described_by(silver.COMPLETENESS, timeline=timeline))
    def completeness(context: dg.AssetExecutionContext, jobs: SparkJobs, universe: UniverseFile) -> StepEvents:
        """The calendar says which sessions there are and when they close; the universe file says who trades."""

        def expected(window: Window) -> dict[str, object]:
            calendar = timeline.calendar
            return {"universe": universe.read(), "sessions": due_sessions(window, calendar),
                    "since": calendar.previous(window.start) + timedelta(days=1)}

        yield from publish(context, jobs, silver.COMPLETENESS, inputs=expected)

    return completeness


def due_sessions(window: Window, calendar: TradingCalendar) -> list[tuple[date, datetime, datetime]]:
    """The sessions of a window, each with the time when its bars are due and the time when the next session's are."""
    freshness = silver.PRICES_DAILY.freshness
    assert freshness is not None
    patience = timedelta(hours=freshness.due_hours)
    sessions = calendar.sessions(window.start, window.end)
    return [
        (session, calendar.close_ts(session) + patience, calendar.close_ts(calendar.next(session)) + patience)
        for session in sessions
    ]
