"""silver.price_restatements: every new download judged against what was known before it, whatever the window."""

from finlake_assets.lake_asset import UniverseSource, lake_asset
from finlake_clients.calendar import TradingCalendar
from spark.contracts import silver
from spark.contracts.job_inputs import PriceRestatementsInputs
from spark.contracts.report import Window


def inputs(_: Window, calendar: TradingCalendar, __: UniverseSource) -> PriceRestatementsInputs:
    """All sessions that are known, not those up to the run's end; a sensor requests what a restatement makes necessary."""
    return PriceRestatementsInputs(sessions=calendar.sessions(calendar.first_date, calendar.last_session))


build = lake_asset(silver.PRICE_RESTATEMENTS, inputs)
