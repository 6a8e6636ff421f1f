"""What time brings: prices after a close, news after a day, months, checks, upkeep. New York time throughout."""

from datetime import UTC, date, datetime

import dagster as dg

from finlake_assets.automation import REACH
from finlake_assets.jobs import CHECKS_ONLY, PRICES_CHAIN, UPKEEP, range_tags
from finlake_assets.partitions import Timeline
from finlake_clients.calendar import NEW_YORK
from finlake_clients.gdelt.feed import expected_slots
from finlake_resources.resources import LakeResource, UniverseResource
from finlake_sensors.plans import (
    AFTER_CLOSE_HOURS,
    Skip,
    after_close_span,
    beyond_sources,
    month_before,
    news_day,
    plan_after_close,
    plan_news,
)
from spark.contracts.runs import BY_DAY, BY_MONTH, BY_SESSION

ZONE = str(NEW_YORK)


def after_close(timeline: Timeline, default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Prices of the session that has just closed, and of any session missed before it."""

    @dg.schedule(
        name="after_close",
        cron_schedule=f"0 {','.join(map(str, AFTER_CLOSE_HOURS))} * * 1-5",
        execution_timezone=ZONE,
        job_name=BY_SESSION,
        default_status=default_status,
        description="Asks for a session's prices two hours after its close, early closes included.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, jobs: LakeResource) -> dg.RunRequest | dg.SkipReason:
        session = plan_after_close(tick_of(context), timeline.calendar)
        if isinstance(session, Skip):
            return dg.SkipReason(session.reason)
        if ended := beyond_sources(session, timeline.sources_end_date):
            return dg.SkipReason(ended.reason)
        span = after_close_span(session, jobs.newest("silver.prices_daily"), timeline.history_start, timeline.calendar)
        # Gold follows the chain by itself, but only so far back; a longer gap takes gold along.
        follows = span.start >= session - REACH
        return dg.RunRequest(
            asset_selection=list(PRICES_CHAIN) if follows else None,
            tags={"finlake/cause": "after_close", **range_tags(span.start.isoformat(), span.end.isoformat())},
        )

    return schedule


def news(timeline: Timeline, default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """News of the day that is over, and once more for slots that were late."""

    @dg.schedule(
        name="news_of_the_day",
        cron_schedule="40 0,6 * * *",
        execution_timezone=ZONE,
        job_name=BY_DAY,
        default_status=default_status,
        description="Fetches a day after it is over, and again in the morning if slots were missing.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext,
        jobs: LakeResource,
        universe: UniverseResource,
    ) -> dg.RunRequest | dg.SkipReason:
        day = news_day(tick_of(context))
        if ended := beyond_sources(day, timeline.sources_end_date):
            return dg.SkipReason(ended.reason)
        decision = plan_news(day, len(jobs.loaded_slots(day, universe.read())), len(expected_slots(day)))
        return _one(decision)

    return schedule


def months(timeline: Timeline, default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """The month that is over."""

    @dg.schedule(
        name="month_end",
        cron_schedule="0 8 2 * *",
        execution_timezone=ZONE,
        job_name=BY_MONTH,
        default_status=default_status,
        description="Summarises a month once the news of its last session are in.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        month = month_before(tick_of(context))
        return _one(beyond_sources(month, timeline.sources_end_date) or month)

    return schedule


def checks(default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Every check over everything, freshness among them, when all of the night's work is due."""
    return dg.ScheduleDefinition(
        name="daily_checks",
        cron_schedule="0 9 * * *",
        execution_timezone=ZONE,
        job_name=CHECKS_ONLY,
        default_status=default_status,
        description="Judges everything published, freshness included.",
    )


def upkeep(default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Tidying, when the exchange is closed."""
    return dg.ScheduleDefinition(
        name="weekly_upkeep",
        cron_schedule="0 11 * * 6",
        execution_timezone=ZONE,
        job_name=UPKEEP,
        default_status=default_status,
        description="Tidies every table on Saturdays.",
    )


def tick_of(context: dg.ScheduleEvaluationContext) -> datetime:
    """The time the tick stands for, in UTC; a tick that is made up for late keeps its time."""
    return context.scheduled_execution_time.astimezone(UTC)


def _one(decision: date | Skip) -> dg.RunRequest | dg.SkipReason:
    """A run of one partition, or the reason why not."""
    if isinstance(decision, Skip):
        return dg.SkipReason(decision.reason)
    return dg.RunRequest(partition_key=decision.isoformat())
