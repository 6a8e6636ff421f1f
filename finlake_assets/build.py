"""The city map: the lake's tables, what ClickHouse serves, the chain of the stream, checks, jobs, and what runs by itself.

Read on in a layer's folder, then in the contract (spark/contracts) and the transform (spark/transforms) of a table.
"""

import warnings

import dagster as dg

from finlake_assets import automation, jobs
from finlake_assets.bronze import finnhub_quotes_cdc, finnhub_trades_cdc, gdelt_gkg, stooq_prices
from finlake_assets.checks import (
    across_tables,
    bars,
    continuity,
    freshness,
    price_jumps,
    price_verdicts,
    reconciled,
    restated_history,
    row_counts,
    speed_against_batch,
)
from finlake_assets.checks import serving as serving_checks
from finlake_assets.checks import stream as stream_checks
from finlake_assets.gold import (
    candles_1m,
    indicators,
    ml_features,
    ml_labels,
    monthly_summary,
    news_daily,
    stock_analytics,
)
from finlake_assets.partitions import Timeline
from finlake_assets.serving import following, gold_ml_features, gold_stock_analytics, prices_unified
from finlake_assets.silver import (
    completeness,
    news_mentions,
    price_decisions,
    price_restatements,
    prices_daily,
    quarantine,
    quotes,
    trades,
)
from finlake_assets.speed import chain, health_job
from finlake_assets.speed.rules import StreamLimits, hours_of
from finlake_assets.upkeep import lake as lake_upkeep
from finlake_resources.build import build_resources
from finlake_resources.calendar import TradingCalendar
from finlake_resources.environment import EnvironmentName
from finlake_resources.settings import Settings
from finlake_sensors import registry

TABLES = (
    stooq_prices, gdelt_gkg, finnhub_trades_cdc, finnhub_quotes_cdc,
    price_restatements, prices_daily, completeness, news_mentions, trades, quotes,
    indicators, news_daily, stock_analytics, monthly_summary, ml_features, ml_labels, candles_1m,
)

SERVED = (gold_stock_analytics, gold_ml_features, prices_unified)

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
    limits, hours = StreamLimits(), hours_of(settings.sources, is_watched=settings.runs_unattended)
    tables = [module.build(timeline) for module in TABLES]
    served = [module.build() for module in SERVED]
    if settings.runs_unattended:
        tables, served = automation.with_automation(tables), following.with_automation(served)
    fresh = freshness.build(timeline)
    about_now = [
        *fresh, *stream_checks.build(limits, timeline.calendar, hours=hours), *serving_checks.build(),
        speed_against_batch.build(), *reconciled.build(), *restated_history.build(),
    ]
    lake_jobs = jobs.build(apart=about_now)
    unattended = registry.build(settings, timeline, lake_jobs, limits)
    return dg.Definitions(
        assets=[
            *tables, price_decisions.build(), quarantine.build(), *served,
            *chain.build(is_watched=settings.runs_unattended), *lake_upkeep.build(),
        ],
        asset_checks=[
            *about_now, *across_tables.build(), *bars.build(settings.sources_holes), *row_counts.build(), *continuity.build(),
            *price_verdicts.build(), *price_jumps.build(),
        ],
        jobs=[*lake_jobs.values(), following.job(), health_job.build(limits, timeline.calendar, hours=hours)],
        schedules=unattended.schedules,
        sensors=unattended.sensors,
        resources={**build_resources(settings), **resource_overrides},
        executor=EXECUTORS[settings.environment],
    )
