"""The stack's webserver and lake, and the run that built some sessions of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from deploy.local.stack import LocalStack
from finlake_clients.dagster_graphql import DagsterClient
from tests.integration.dagster.span import BY_SESSION, SPAN
from tests.integration.dagster.webserver import Webserver
from tests.integration.lake.chain import empty, jobs_of

if TYPE_CHECKING:
    from spark.lake.storage import Lake


@pytest.fixture(scope="module")
def webserver(stack: LocalStack) -> Webserver:
    return Webserver(DagsterClient(stack.environment()["FINLAKE_DAGSTER_URL"], stack.layout.dagster_web_password))


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
