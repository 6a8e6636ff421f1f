"""Postgres, which holds the catalog of the lake and all that Dagster knows of its runs, goes away in the middle of a run."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from spark.contracts import lake as contracts
from tests.integration.dagster.span import BY_SESSION, SPAN
from tests.integration.dagster.webserver import Webserver, until

if TYPE_CHECKING:
    from spark.lake.audit import WindowContent
    from spark.lake.storage import Lake

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(1200)]

AWAY_S = 120
TOLD_ONCE = {
    "RunStartEvent",
    "RunSuccessEvent",
    "ExecutionStepStartEvent",
    "ExecutionStepSuccessEvent",
    "MaterializationEvent",
    "AssetMaterializationPlannedEvent",
    "AssetCheckEvaluationPlannedEvent",
    "AssetCheckEvaluationEvent",
}
# These say when something was looked at, or are kept as what was decided once.
LEDGERS = ("silver.price_restatements", "silver.completeness", "silver.price_decisions")


@pytest.fixture
def built(lake: "Lake", span_run: str) -> dict[str, "WindowContent"]:
    """What an undisturbed run made of the tables that are computed, which are empty when the test begins."""
    tables = [
        address
        for address, table in contracts.TABLES.items()
        if table.layer != "bronze" and address not in LEDGERS and lake.catalog.table_exists(address)
    ]
    contents = {address: lake.content(address) for address in tables}
    for address in tables:
        lake.table(address).delete()
    return contents


def killed(stack: LocalStack) -> None:
    """Postgres dies; its supervisor starts it again."""
    psutil.Process(Supervisor(stack.layout).program("postgres").pid).kill()


def away(stack: LocalStack) -> None:
    """Postgres is stopped and started two minutes later."""
    supervisor = Supervisor(stack.layout)
    supervisor.stop("postgres")
    Event().wait(AWAY_S)
    supervisor.start("postgres")


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("silver__prices_daily", killed),
        ("gold__indicators", killed),
        ("gold__ml_features", killed),
        ("gold__indicators", away),
    ],
)
def test_a_run_outlasts_its_postgres_and_leaves_what_an_undisturbed_one_does(
    webserver: Webserver,
    stack: LocalStack,
    lake: "Lake",
    built: dict[str, "WindowContent"],
    span_run: str,
    step: str,
    fault: Callable[[LocalStack], None],
) -> None:
    with ExitStack() as on:
        on.enter_context(webserver.running_sensor("run_failures"))
        run_id = webserver.client.launch(BY_SESSION, first_key=SPAN[0], last_key=SPAN[-1])
        webserver.until_step(run_id, step)
        fault(stack)
        ended = webserver.end_of(run_id)
        back = datetime.now(UTC).timestamp()
        ticks = until(
            lambda: webserver.ticks()["run_failures"],
            lambda ticks: any(tick["timestamp"] > back and tick["status"] in ("SKIPPED", "SUCCESS") for tick in ticks),
            timeout_s=180,
        )

    assert ended.status == "SUCCESS", ended.errors
    assert ticks
    assert {address: lake.content(address) for address in built} == built
    tables = [address for address in contracts.TABLES if lake.catalog.table_exists(address)]
    assert {address: set(lake.table(address).metadata.refs) for address in tables} == {address: {"main"} for address in tables}
    assert told(webserver.events(run_id)) == told(webserver.events(span_run))


def told(events: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """How often a run tells what is told once of a step, a session or a check, however often it was tried."""
    return Counter((event["__typename"], str(event["stepKey"])) for event in events if event["__typename"] in TOLD_ONCE)
