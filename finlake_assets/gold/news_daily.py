"""gold.news_daily: news volume, tone and themes of every session, zeros where nothing was written."""

from finlake_assets.lake_asset import UniverseSource, lake_asset
from finlake_clients.calendar import TradingCalendar
from spark.contracts import gold
from spark.contracts.job_inputs import NewsDailyInputs
from spark.contracts.report import Window


def inputs(_: Window, calendar: TradingCalendar, universe: UniverseSource) -> NewsDailyInputs:
    """News of week-ends and holidays are those of the next session, and decay over the sessions after it."""
    return NewsDailyInputs(universe=universe.read(), sessions=calendar.sessions(calendar.first_date, calendar.last_session))


build = lake_asset(gold.NEWS_DAILY, inputs)
