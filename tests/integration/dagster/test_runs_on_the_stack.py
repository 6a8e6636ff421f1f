"""A person at the webserver: runs on the real stack over the sample sources."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from deploy.cli.dagster_client import DagsterClient
from deploy.local.stack import LocalStack
from tests.integration.dagster.webserver import Webserver
from tests.integration.lake.chain import empty, jobs_of

if TYPE_CHECKING:
    from spark.storage import Lake

pytestmark = pytest.mark.stack

BY_SESSION = "lake_by_session"
SPAN = ["2018-03-20", "2018-03-21", "2018-03-22", "2018-03-23", "2018-03-26"]
LAST = "2018-03-27"
PRICES, INDICATORS = "silver.prices_daily", "gold.indicators"


@pytest.fixture(scope="module")
def webserver(stack: LocalStack) -> Webserver:
    return Webserver(DagsterClient(stack.environment()["FINLAKE_DAGSTER_URL"]))


@pytest.fixture(scope="module")
def lake(stack: LocalStack) -> Iterator["Lake"]:
    """The lake that the stack's runs write; without tables at first and at last."""
    lake = jobs_of(stack.environment()).lake()
    empty(lake)
    yield lake
    empty(lake)


@pytest.fixture(scope="module")
def span_run(webserver: Webserver, lake: "Lake") -> str:
    """The run that built the span: everything by session, in one run."""
    progress = webserver.run(BY_SESSION, SPAN[0], SPAN[-1])
    assert progress.status == "SUCCESS", progress.errors
    return progress.run_id


def test_a_range_of_sessions_is_one_run_that_fills_every_session(
    webserver: Webserver, lake: "Lake", span_run: str,
) -> None:
    for address in (PRICES, INDICATORS, "gold.ml_features"):
        by_date = lake.content(address).by_date
        assert [str(day) for day in sorted(filter(None, by_date))] == SPAN, address
    for key in SPAN:
        metadata = webserver.newest_metadata("silver/prices_daily", key)
        assert metadata["dagster/partition_row_count"] == lake.content(PRICES).by_date[date.fromisoformat(key)][0]


def test_one_session_is_materialised_by_its_date(webserver: Webserver, lake: "Lake", span_run: str) -> None:
    progress = webserver.run(BY_SESSION, LAST, LAST)

    assert progress.status == "SUCCESS", progress.errors
    assert [check for check in progress.checks if check.severity == "ERROR" and not check.passed] == []
    assert {"silver/prices_daily", "gold/indicators"} <= {check.asset for check in progress.checks}
    written = lake.content(PRICES).by_date[date.fromisoformat(LAST)][0]
    assert progress.row_counts["silver/prices_daily"] == written > 0
    metadata = webserver.newest_metadata("silver/prices_daily", LAST)
    assert metadata["iceberg/snapshot_id"] == str(lake.snapshot_id(PRICES))


def test_a_backfill_of_several_sessions_is_a_single_run(webserver: Webserver, span_run: str) -> None:
    backfill = webserver.backfill("silver/prices_daily", SPAN)

    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert [run["status"] for run in backfill["runs"]] == ["SUCCESS"]
    tags = {tag["key"]: tag["value"] for tag in backfill["runs"][0]["tags"]}
    assert tags["dagster/asset_partition_range_start"] == SPAN[0]
    assert tags["dagster/asset_partition_range_end"] == SPAN[-1]


def test_the_asset_graph_shows_lineage_columns_and_judged_checks(webserver: Webserver, span_run: str) -> None:
    assets = webserver.assets()

    def inputs(asset: str) -> set[str]:
        return {"/".join(key["path"]) for key in assets[asset]["dependencyKeys"]}

    assert {"gold/indicators", "gold/news_daily"} <= inputs("gold/ml_features")
    assert "silver/prices_daily" in inputs("gold/indicators")
    assert {"bronze/stooq_prices", "silver/price_restatements"} & inputs("silver/prices_daily")
    for asset in ("bronze/stooq_prices", "silver/prices_daily", "gold/indicators", "gold/ml_features"):
        schemas = {entry["label"]: entry["schema"] for entry in assets[asset]["metadataEntries"] if "schema" in entry}
        assert "ticker" in [column["name"] for column in schemas["dagster/column_schema"]["columns"]], asset
    checks = assets["gold/indicators"]["assetChecksOrError"]["checks"]
    blocking = [check["executionForLatestMaterialization"] for check in checks if check["blocking"]]
    assert blocking
    assert {execution["status"] for execution in blocking} == {"SUCCEEDED"}


def test_a_schedule_skips_a_holiday_and_says_so(webserver: Webserver, span_run: str) -> None:
    good_friday = webserver.tick("after_close", datetime(2018, 3, 30, 22, 0, tzinfo=UTC).timestamp())
    session = webserver.tick("after_close", datetime(2018, 3, 27, 22, 0, tzinfo=UTC).timestamp())

    assert "2018-03-30" in good_friday["skipReason"]
    assert good_friday["runRequests"] in (None, [])
    assert len(session["runRequests"]) == 1
