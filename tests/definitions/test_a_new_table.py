"""A gold table is a contract, a transform, a job, one statement and its test: all else follows, or refuses to load."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROOMS = (
    "finlake_assets",
    "finlake_cli",
    "finlake_clients",
    "finlake_code_locations",
    "finlake_proofs",
    "finlake_reconciliation",
    "finlake_resources",
    "finlake_sensors",
    "finlake_settings",
    "spark",
    "deploy",
)

CONTRACT = """
GAPS = Table(
    layer="gold", name="gaps", summary="From each close to the next open.", grain=("ticker", "session_date"),
    columns=(TICKER, SESSION_DATE, _value("gap", "fraction", "O / previous C - 1", f"{_PRICES}.open_usd", *_CLOSE)),
    window="session", window_column="session_date", partitioning=_BY_SESSION, sort_order=("ticker", "session_date"),
    inputs=(Input(_PRICES, sessions_back=1),), rows_equal=_PRICES, freshness=Freshness(due_hours=9),
)
TABLES = (*TABLES, GAPS)
"""
ASSET = '''"""gold.gaps: from each close to the next open."""

from finlake_assets.lake_asset import lake_asset
from spark.contracts import gold

build = lake_asset(gold.GAPS)
'''
WHAT_FOLLOWS = """
from datetime import UTC, date, datetime

import dagster as dg

from finlake_cli.planned_runs import Buildable, planned_runs
from finlake_code_locations.build import build_defs
from finlake_assets.jobs import RESTATED_CHAIN
from finlake_clients.calendar import TradingCalendar
from finlake_settings.processes import DagsterSettings
from finlake_settings.reading import settings_from

key = dg.AssetKey(["gold", "gaps"])
defs = build_defs(settings_from(DagsterSettings, {"FINLAKE_SOURCES": "live"}))
spec = defs.resolve_asset_graph().get(key)
assert spec.automation_condition is not None
assert key in defs.resolve_job_def("lake_by_session").asset_layer.executable_asset_keys
mapping = spec.partition_mappings[dg.AssetKey(["silver", "prices_daily"])]
assert mapping.start_offset == -1
checks = {each.name for each in defs.resolve_asset_graph().asset_check_keys if each.asset_key == key}
assert checks >= {"grain_is_unique", "required_columns_present", "is_fresh", "rows_equal_prices"}, checks
assert key in RESTATED_CHAIN
known = Buildable(calendar=TradingCalendar(), now=datetime(2024, 5, 15, tzinfo=UTC), history_start=date(2000, 1, 3))
(run,) = planned_runs(date(2024, 5, 13), date(2024, 5, 14), known, ["gold/gaps"]).runs
assert run.assets == ("gold/gaps",)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the rooms with the contract added."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("universe.toml", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    with (tmp_path / "spark/contracts/gold.py").open("a", encoding="utf-8") as contracts:
        contracts.write(CONTRACT)
    return tmp_path


def run_in(checkout: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_everything_else_follows_from_its_contract(checkout: Path) -> None:
    (checkout / "finlake_assets/gold/gaps.py").write_text(ASSET, encoding="utf-8")
    done = run_in(checkout, WHAT_FOLLOWS)
    assert done.returncode == 0, done.stderr


def test_a_contract_without_an_asset_refuses_to_load_and_names_the_file_to_write(checkout: Path) -> None:
    done = run_in(checkout, "from finlake_code_locations.lake import defs; defs()")
    assert done.returncode != 0
    assert "gold.gaps has a contract and no asset. Write finlake_assets/gold/gaps.py" in done.stderr
