"""Steps and checks that ask the lake are tried again when Spark or the catalog is away, whoever they are."""

from datetime import date

import dagster as dg
import pytest

from finlake_assets import outages
from finlake_assets.asset_specs import asset_key
from finlake_assets.checks.freshness import NAME
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_code_locations.build import build_defs
from tests.conftest import SettingsOf
from tests.finlake_assets.recording import LakeLog, recording_jobs
from tests.finlake_assets.stream_fakes import StreamLog, resources_of

pytestmark = pytest.mark.slow

AWAY = ServiceUnavailableError("spark_connect", "sc://127.0.0.1:1", "Socket closed")


@pytest.mark.parametrize(("times", "succeeds"), [(1, True), (outages.TRIES_MORE + 1, False)])
def test_a_check_whose_engine_goes_away_is_tried_again_and_does_not_fail_the_run(
    settings_of: SettingsOf,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    succeeds: bool,  # noqa: FBT001 - a value of the table
) -> None:
    monkeypatch.setattr(outages, "PAUSE_S", 0)
    asked: list[str] = []

    class Awaited(type(recording_jobs(LakeLog()))):  # type: ignore[misc]
        def newest(self, address: str) -> date | None:
            asked.append(address)
            if len(asked) <= times:
                raise AWAY
            return date(2018, 3, 27)

    fields = dict.fromkeys(("catalog_uri", "catalog_password_file", "warehouse", "spark_remote"), "-")
    defs = build_defs(settings_of("local", "sample"), jobs=Awaited(**fields), **resources_of(StreamLog()))
    key = dg.AssetCheckKey(asset_key("silver.prices_daily"), NAME)
    job = defs.get_repository_def().get_job("checks_only").get_subset(asset_selection=set(), asset_check_selection={key})
    result = job.execute_in_process(raise_on_error=False)
    assert result.success is succeeds
    assert asked == ["silver.prices_daily"] * min(times + 1, outages.TRIES_MORE + 1)
