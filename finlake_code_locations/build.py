"""The city map: the lake's tables, what ClickHouse serves, the chain of the stream, checks, jobs, and what runs by itself.

Read on in a layer's folder, then in the contract (spark/contracts) and the transform (spark/transforms) of a table.
"""

import warnings
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import dagster as dg

from finlake_assets import automation, jobs
from finlake_assets.asset_specs import asset_spec
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
    stale_prices,
)
from finlake_assets.checks import serving as serving_checks
from finlake_assets.checks import stream as stream_checks
from finlake_assets.partitions import Timeline
from finlake_assets.serving import following, gold_ml_features, gold_stock_analytics, prices_unified
from finlake_assets.speed import chain, health_job
from finlake_assets.speed.rules import HealthLimits, hours_of
from finlake_assets.upkeep import lake as lake_upkeep
from finlake_clients.calendar import TradingCalendar
from finlake_resources.build import build_resources
from finlake_sensors import registry
from finlake_settings.declaration import EnvironmentName
from finlake_settings.processes import DagsterSettings
from spark.contracts import lake
from spark.contracts.table import Table

SERVED = (gold_stock_analytics, gold_ml_features, prices_unified)

# Spark computes; a step only waits for it. Steps share a process where that process is all there is.
EXECUTORS: dict[EnvironmentName, dg.ExecutorDefinition] = {
    "local": dg.in_process_executor,
    "staging": dg.multiprocess_executor,
    "production": dg.multiprocess_executor,
}


class MissingAssetError(LookupError):
    """A contract says that a step writes its table, and there is none."""


def build_defs(settings: DagsterSettings, **resource_overrides: object) -> dg.Definitions:
    """All definitions for the settings; `resource_overrides` replace resources by key, in tests above all."""
    with warnings.catch_warnings():
        # Beta: mappings onto partitions that do not exist yet; preview: nothing that stored data depend on.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _build(settings, resource_overrides)


def timeline_for(settings: DagsterSettings) -> Timeline:
    """The dates that exist for the settings."""
    return Timeline(TradingCalendar(), settings.history_start, settings.sources_end_date)


def asset_module(table: Table) -> ModuleType:
    """The module of a table's asset; raises `MissingAssetError` for a contract without one."""
    name = f"finlake_assets.{table.address}"
    if find_spec(name) is None:
        stem = table.name.upper()
        raise MissingAssetError(
            f"{table.address} has a contract and no asset. Write {name.replace('.', '/')}.py with the statement "
            f"build = lake_asset({table.layer}.{stem}), or has_step=False into the contract where no step writes it"
        )
    return import_module(name)


def _build(settings: DagsterSettings, resource_overrides: dict[str, object]) -> dg.Definitions:
    timeline = timeline_for(settings)
    limits, hours = HealthLimits(), hours_of(settings.sources, is_watched=settings.unattended)
    tables = [asset_module(table).build(timeline) for table in lake.STEPS]
    external = [asset_spec(table) for table in lake.TABLES.values() if not table.has_step]
    served = [module.build() for module in SERVED]
    if settings.unattended:
        tables, served = automation.with_automation(tables), following.with_automation(served)
    fresh = freshness.build(timeline)
    about_now = [
        *fresh,
        *stream_checks.build(limits, timeline.calendar, hours=hours),
        *serving_checks.build(),
        speed_against_batch.build(),
        *reconciled.build(),
        *restated_history.build(),
    ]
    lake_jobs = jobs.build(apart=about_now)
    unattended = registry.build(settings, timeline, lake_jobs, limits)
    return dg.Definitions(
        assets=[
            *tables,
            *external,
            *served,
            *chain.build(is_watched=settings.unattended),
            *lake_upkeep.build(),
        ],
        asset_checks=[
            *about_now,
            *across_tables.build(),
            *bars.build(settings.sources_holes),
            *row_counts.build(),
            *continuity.build(),
            *price_verdicts.build(),
            *price_jumps.build(),
            *stale_prices.build(),
        ],
        jobs=[*lake_jobs.values(), following.job(), health_job.build(limits, timeline.calendar, hours=hours)],
        schedules=unattended.schedules,
        sensors=unattended.sensors,
        resources={**build_resources(settings), **resource_overrides},
        executor=EXECUTORS[settings.environment],
    )
