"""silver.news_mentions: which articles are about which companies, and for which session they were available."""

from finlake_assets.lake_asset import UniverseSource, lake_asset
from finlake_clients.calendar import TradingCalendar
from spark.contracts import silver
from spark.contracts.job_inputs import NewsMentionsInputs
from spark.contracts.report import Window


def inputs(window: Window, calendar: TradingCalendar, universe: UniverseSource) -> NewsMentionsInputs:
    """The closes around the window decide which session a time belongs to, early closes included."""
    around = calendar.sessions(calendar.previous(window.start), calendar.next(window.end))
    return NewsMentionsInputs(universe=universe.read(), closes=[(day, calendar.close_ts(day)) for day in around])


build = lake_asset(silver.NEWS_MENTIONS, inputs)
