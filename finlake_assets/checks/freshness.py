"""Is a table as new as the exchange's calendar, or the calendar of days, says it must be by now?

Dagster's own freshness looks at the time of the last materialization: a backfill of old history would make a stale
table fresh, and a holiday would make a good one stale. Here the newest rows are compared with the last date due.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.partitions import Timeline
from finlake_clients.calendar import NEW_YORK
from finlake_resources.resources import LakeResource
from spark.contracts import lake
from spark.contracts.table import Freshness, Table

NAME = "is_fresh"
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def build(timeline: Timeline, clock: Clock = utc_now) -> list[dg.AssetChecksDefinition]:
    """One check for every table whose contract says when it is due."""
    return [_check(table, table.freshness, timeline, clock) for table in lake.TABLES.values() if table.freshness is not None]


def last_due(window: str, freshness: Freshness, now: datetime, timeline: Timeline) -> date:
    """The newest session, or day, whose rows have to be there by `now`; never later than the sources go."""
    moment = now - timedelta(hours=freshness.due_hours)
    if window == "session":
        return timeline.newest_session(moment)
    day = moment.astimezone(NEW_YORK).date() - timedelta(days=1)
    return day if timeline.sources_end_date is None else min(day, timeline.sources_end_date)


def _check(table: Table, freshness: Freshness, timeline: Timeline, clock: Clock) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(table.address),
        name=NAME,
        description=f"The rows of a {table.window} are there {freshness.due_hours} hours after its end.",
    )
    @tried_again_after_outages()
    def is_fresh(jobs: LakeResource) -> dg.AssetCheckResult:
        """Late data warn; they stop nothing."""
        due, newest = last_due(table.window, freshness, clock(), timeline), jobs.newest(table.address)
        passed = newest is not None and newest >= due
        return dg.AssetCheckResult(
            passed=passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{table.address} reaches {newest or 'nothing'}; {due} is due"
            + ("" if passed else f". Launch the {table.window}s that are missing, or look why they did not run"),
            metadata={"newest": str(newest), "due": due.isoformat()},
        )

    return is_fresh
