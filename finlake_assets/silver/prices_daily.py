"""silver.prices_daily: the latest accepted bar of every session of the window."""

from finlake_assets.lake_asset import UniverseSource, lake_asset
from finlake_clients.calendar import TradingCalendar
from spark.contracts import silver
from spark.contracts.job_inputs import PricesDailyInputs
from spark.contracts.report import Window


def inputs(window: Window, calendar: TradingCalendar, _: UniverseSource) -> PricesDailyInputs:
    """The calendar says which dates are sessions; bars of other dates are quarantined."""
    return PricesDailyInputs(sessions=calendar.sessions(window.start, window.end))


build = lake_asset(silver.PRICES_DAILY, inputs)
