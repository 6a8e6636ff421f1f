"""silver.completeness: whether every bar that should be there is there."""

from datetime import timedelta

from finlake_assets.lake_asset import UniverseSource, lake_asset
from finlake_clients.calendar import TradingCalendar
from spark.contracts import silver
from spark.contracts.job_inputs import CompletenessInputs
from spark.contracts.report import Window
from spark.contracts.sessions import DueSession


def inputs(window: Window, calendar: TradingCalendar, universe: UniverseSource) -> CompletenessInputs:
    """The calendar says which sessions there are and when they close; the universe file says who trades."""
    return CompletenessInputs(
        universe=universe.read(),
        sessions=due_sessions(window, calendar),
        since=calendar.previous(window.start) + timedelta(days=1),
    )


def due_sessions(window: Window, calendar: TradingCalendar) -> list[DueSession]:
    """The sessions of a window, each with the time when its bars are due and the time when the next session's are."""
    freshness = silver.PRICES_DAILY.freshness
    assert freshness is not None
    grace = timedelta(hours=freshness.due_hours)
    return [
        DueSession(
            session=session,
            due_ts=calendar.close_ts(session) + grace,
            overdue_ts=calendar.close_ts(calendar.next(session)) + grace,
        )
        for session in calendar.sessions(window.start, window.end)
    ]


build = lake_asset(silver.COMPLETENESS, inputs)
