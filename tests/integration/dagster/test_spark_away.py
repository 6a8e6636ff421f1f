"""A Spark server that dies under a run, where Apache Spark computes the lake: a stack of its own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_settings.checkout import CHECKOUT
from spark.lake.session import forget
from tests.integration.dagster.span import BY_SESSION, INDICATORS, PRICES, SPAN, WINDOW
from tests.integration.dagster.webserver import Webserver

if TYPE_CHECKING:
    from spark.lake.storage import Lake

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    home = Path(tempfile.mkdtemp(prefix="finlake-"))
    home.chmod(0o711)
    stack = LocalStack(home, free_ports(), jars=CHECKOUT / ".finlake" / "jars", variables={"FINLAKE_ENGINE": "spark"})
    try:
        stack.up(services=("spark_connect", "sample_sources", "dagster_webserver", "dagster_daemon"))
        yield stack
    finally:
        stack.down()
        shutil.rmtree(home)


def test_a_step_whose_spark_server_is_killed_is_tried_again_and_the_run_ends_well_by_itself(
    webserver: Webserver,
    stack: LocalStack,
    lake: "Lake",
    span_run: str,
) -> None:
    undisturbed = {address: lake.content(address, WINDOW) for address in (PRICES, INDICATORS)}
    for address in undisturbed:
        lake.table(address).delete()

    run_id = webserver.client.launch(
        BY_SESSION, first_key=SPAN[0], last_key=SPAN[-1], assets=("silver/prices_daily", "gold/indicators")
    )
    webserver.until_step(run_id, "gold__indicators")
    psutil.Process(Supervisor(stack.layout).program("spark_connect").pid).kill()
    ended = webserver.end_of(run_id)
    # This process has a session on the server that died, too.
    forget(lake.location.spark_remote)

    assert ended.status == "SUCCESS", ended.errors
    events = webserver.events(run_id)
    tried_again = [event["stepKey"] for event in events if event["__typename"] == "ExecutionStepUpForRetryEvent"]
    assert tried_again == ["gold__indicators"]
    assert {address: lake.content(address, WINDOW) for address in undisturbed} == undisturbed
    assert {address: set(lake.table(address).metadata.refs) for address in undisturbed} == {
        address: {"main"} for address in undisturbed
    }
