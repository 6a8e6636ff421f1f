"""When a table follows its inputs by itself: as soon as all of them are complete for a partition, never before.

Tables without inputs have no condition: schedules and sensors fill them, because only a calendar knows whether a
session is over. Dagster makes the key of the next session early (on a Saturday there is one for Monday); a table that
waits for all its inputs cannot be led astray by that, an asset that asks "is something missing?" can.
"""

from datetime import timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key, contract_of
from spark.contracts import lake
from spark.contracts.table import Table

# How far back a late or corrected input still pulls its readers along; older history is a run over a range.
REACH = timedelta(days=31)


def when_inputs_complete() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """Fires for a partition of the last month that is missing, or has a newer input, once no input is missing.

    Inputs written in the same run do not count as newer, so a run over a whole chain is not repeated. What was missing
    before the condition was first evaluated stays missing: history is filled by a run over a range.
    """
    condition = dg.AutomationCondition
    needed = condition.newly_missing() | condition.any_deps_updated()
    # What people write now and then, or never, is no input to wait for.
    by_hand = dg.AssetSelection.assets(*(asset_key(name) for name, table in lake.TABLES.items() if table.window == "none"))
    ready = ~condition.any_deps_missing().ignore(by_hand) & ~condition.any_deps_in_progress() & ~condition.in_progress()
    return (
        condition.in_latest_time_window(REACH) & needed.since_last_handled() & ready & condition.all_deps_blocking_checks_passed()
    ).with_label("when_inputs_complete")


def follows_by_itself(table: Table) -> bool:
    """Whether a table has inputs to follow; whole months are left to their schedule."""
    return bool(table.inputs) and table.window in ("session", "day")


def with_automation(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same assets, those that have inputs with the condition to follow them."""
    return [asset.map_asset_specs(_automated) for asset in assets]


def _automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    if not follows_by_itself(contract_of(spec.key)):
        return spec
    return spec.replace_attributes(automation_condition=when_inputs_complete())
