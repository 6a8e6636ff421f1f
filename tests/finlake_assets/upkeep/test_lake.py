"""Upkeep reaches every table, and a table that fails is neither hidden nor in the way of the others."""

import dagster as dg
import pytest

from finlake_assets.upkeep import lake as upkeep
from spark.contracts import lake
from tests.finlake_assets.recording import LakeLog, recording_jobs


def run(log: LakeLog) -> dg.ExecuteInProcessResult:
    return dg.materialize(upkeep.build(), resources={"jobs": recording_jobs(log)}, raise_on_error=False)


def test_every_action_is_taken_on_every_table() -> None:
    log = LakeLog()
    result = run(log)
    assert result.success
    assert set(log.tidied) == {(action, address) for action in upkeep.ACTIONS for address in lake.TABLES}
    key = dg.AssetKey(["upkeep", "compact"])
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == key]
    assert event.materialization.metadata["files"].value == 2 * len(lake.TABLES)
    assert event.materialization.metadata["failed_tables"].value == 0


@pytest.mark.parametrize("address", sorted(lake.TABLES)[:2])
def test_a_failure_is_named_after_all_tables_were_tried(address: str) -> None:
    log = LakeLog(failures={address: RuntimeError("disk full")})
    result = run(log)
    assert not result.success
    assert set(log.tidied) == {(action, each) for action in upkeep.ACTIONS for each in lake.TABLES}
    failure = result.failure_data_for_node("upkeep__compact")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert f"{address}: RuntimeError: disk full" in str(failure.user_failure_data.description)
    assert failure.user_failure_data.metadata["failed_tables"].value == 1
