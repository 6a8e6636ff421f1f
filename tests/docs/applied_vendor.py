"""What follows from the recipe of a vendor: test_recipes.py runs this in the copy to which it was applied."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from finlake_code_locations.build import asset_module, timeline_for
from finlake_resources.resources import LakeResource
from finlake_resources.vendors import vendor_resources
from finlake_settings.checkout import CHECKOUT
from finlake_settings.processes import DagsterSettings
from finlake_settings.reading import settings_from
from spark.contracts import lake

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytest_plugins = ["tests.plugins.sample_server"]

RATES, FILES = "bronze.aureus_rates", "bronze.aureus_files"
KEYS = [dg.AssetKey(address.split(".")) for address in (RATES, FILES)]
KNOWN_DAY, LATER_DAY = date(2018, 3, 27), date(2018, 3, 28)


def lake_in(folder: Path) -> LakeResource:
    """A lake without a stack: the catalog in a file, the engine in this process."""

    class LakeOfFiles(LakeResource):
        def _catalog_properties(self) -> dict[str, str]:
            return {"uri": f"sqlite:///{folder}/catalog.db"}

    return LakeOfFiles(catalog_uri="-", catalog_password_file="-", spark_remote="-", warehouse=f"file://{folder}/warehouse")


def test_the_graph_and_the_day_of_the_lake_have_its_tables() -> None:
    assert {RATES, FILES} <= set(lake.of_window("day"))
    assert RATES in lake.table("silver.quarantine").input_addresses
    drawn = (CHECKOUT / "tests/definitions/graph.txt").read_text(encoding="utf-8")
    assert all(f"{key.to_user_string()} | bronze |" in drawn for key in KEYS)


@pytest.mark.filterwarnings("ignore:Delete operation did not match any records")
def test_the_step_fetches_writes_and_is_judged(tmp_path: Path, sample_server: "SampleServer") -> None:
    settings, jobs = settings_from(DagsterSettings, {"FINLAKE_SAMPLE_SOURCES_URL": sample_server.url}), lake_in(tmp_path)
    step = asset_module(lake.table(RATES)).build(timeline_for(settings))
    resources = {"jobs": jobs, "aureus": vendor_resources(settings)["aureus"]}
    for day in (KNOWN_DAY, LATER_DAY):
        assert dg.materialize([step], partition_key=day.isoformat(), resources=resources).success
    rows = jobs.lake().rows(RATES).to_pylist()
    assert [(row["day_date"], row["currency"]) for row in rows] == [(KNOWN_DAY, "JPY"), (KNOWN_DAY, "USD")]
    ledger = {row["day_date"]: (row["status"], row["row_count"]) for row in jobs.lake().rows(FILES).to_pylist()}
    assert ledger == {KNOWN_DAY: ("loaded", 2), LATER_DAY: ("absent", 0)}
    failed = {outcome.name for address in (RATES, FILES) for outcome in jobs.check(address) if not outcome.passed}
    assert failed == {"file_present"}
