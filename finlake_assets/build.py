"""The city map: every table of the lake, the checks across them, the jobs over them, and what runs by itself.

Read on in a layer's folder, then in the contract (spark/contracts) and the transform (spark/transforms) of a table.
"""

import warnings

import dagster as dg

from finlake_assets import automation, jobs
from finlake_assets.bronze import gdelt_gkg, stooq_prices
from finlake_assets.checks import across_tables, freshness
from finlake_assets.gold import indicators, ml_features, ml_labels, monthly_summary, news_daily, stock_analytics
from finlake_assets.partitions import Timeline
from finlake_assets.silver import news_mentions, price_restatements, prices_daily, quarantine
from finlake_assets.upkeep import lake as lake_upkeep
from finlake_resources.build import build_resources
from finlake_resources.calendar import TradingCalendar
from finlake_resources.environment import EnvironmentName
from finlake_resources.settings import Settings
from finlake_sensors import registry

TABLES = (
    stooq_prices, gdelt_gkg,
    price_restatements, prices_daily, news_mentions,
    indicators, news_daily, stock_analytics, monthly_summary, ml_features, ml_labels,
)

# Spark computes; a step only waits for it. Steps share a process where that process is all there is.
EXECUTORS: dict[EnvironmentName, dg.ExecutorDefinition] = {
    "local": dg.in_process_executor,
    "staging": dg.multiprocess_executor,
    "production": dg.multiprocess_executor,
}


def build_defs(settings: Settings, **resource_overrides: object) -> dg.Definitions:
    """All definitions for the settings; `resource_overrides` replace resources by key, in tests above all."""
    with warnings.catch_warnings():
        # Beta: mappings onto partitions that do not exist yet; preview: nothing that stored data depend on.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _build(settings, resource_overrides)


def timeline_for(settings: Settings) -> Timeline:
    """The dates that exist for the settings."""
    return Timeline(TradingCalendar(), settings.history_start, settings.sources_end_date)


def _build(settings: Settings, resource_overrides: dict[str, object]) -> dg.Definitions:
    timeline = timeline_for(settings)
    tables = [module.build(timeline) for module in TABLES]
    if settings.runs_unattended:
        tables = automation.with_automation(tables)
    fresh = freshness.build(timeline)
    lake_jobs = jobs.build(apart=fresh)
    unattended = registry.build(settings, timeline, lake_jobs)
    return dg.Definitions(
        assets=[*tables, quarantine.build(), *lake_upkeep.build()],
        asset_checks=[*fresh, *across_tables.build()],
        jobs=list(lake_jobs.values()),
        schedules=unattended.schedules,
        sensors=unattended.sensors,
        resources={**build_resources(settings), **resource_overrides},
        executor=EXECUTORS[settings.environment],
    )
