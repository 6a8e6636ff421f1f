"""Snapshots tell on which dates a table's inputs have changed since it was built."""

from datetime import date

import pytest

from finlake_clients.lake_client import LakeClient
from finlake_services.sample_sources import prices
from spark.contracts.report import Window
from spark.lake import tidying
from spark.lake.snapshots import ALL_DATES
from spark.lake.storage import Lake
from tests.integration.lake.chain import Chain, price_file, universe

pytestmark = pytest.mark.stack

BUILT = Window(start=date(2018, 1, 2), end=date(2018, 2, 28))
LATER = Window(start=date(2018, 3, 1), end=date(2018, 3, 27))
PRICES, INDICATORS = "silver.prices_daily", "gold.indicators"


def test_writes_are_changes_on_their_dates_compaction_is_none_and_a_write_by_hand_is_one_everywhere(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def changed() -> Window | None:
        return empty_lake.changed_since_built(INDICATORS, {PRICES: empty_lake.snapshot_id(PRICES)})

    chain = Chain(lake_jobs, universe("MSFT"))
    chain.load_prices(price_file("MSFT", prices.between(prices.history("MSFT"), BUILT.start, LATER.end), date(2018, 3, 28)))
    chain.build(PRICES, BUILT)
    assert changed() is None, "what was never built stands on nothing"
    chain.build(INDICATORS, BUILT)
    assert changed() is None

    before = empty_lake.snapshot_id(PRICES)
    # Months of one file are worth its while too.
    monkeypatch.setattr(tidying, "FEWEST_FILES", 1)
    assert lake_jobs.upkeep("compact", PRICES)["rewritten_files"] > 0
    assert empty_lake.snapshot_id(PRICES) != before
    assert changed() is None

    chain.build(PRICES, LATER)
    assert changed() == LATER

    empty_lake.table(PRICES).delete(f"session_date = '{LATER.end}'")
    assert changed() == ALL_DATES
