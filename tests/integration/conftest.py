"""The real local stack for integration tests: one per test session, in a state folder of its own, on free ports."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from finlake_settings.checkout import CHECKOUT
from spark.contracts.engine import Engine
from spark.lake import embedded
from tests.integration.lake.chain import empty, jobs_of

if TYPE_CHECKING:
    from finlake_clients.lake_client import LakeClient
    from spark.lake.storage import Lake

ENGINES: tuple[Engine, ...] = ("embedded", "spark")


@pytest.fixture(scope="session")
def idle_stack() -> Iterator[LocalStack]:
    """A stack of which nothing runs yet: `up` starts what a test needs. The jars are those of the checkout."""
    # A short path; others may walk through it, because root's Postgres runs as another user.
    home = Path(tempfile.mkdtemp(prefix="finlake-"))
    home.chmod(0o711)
    stack = LocalStack(home, free_ports(), jars=CHECKOUT / ".finlake" / "jars")
    try:
        yield stack
    finally:
        stack.down()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def stack(idle_stack: LocalStack) -> LocalStack:
    """All services, up and ready."""
    idle_stack.up()
    return idle_stack


@pytest.fixture(scope="session")
def stack_environment(stack: LocalStack) -> dict[str, str]:
    """The FINLAKE_* variables and DAGSTER_HOME with which a process uses the stack."""
    return stack.environment()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the lake run on the engine of one machine; those marked `both_engines` on Apache Spark too, or on it alone."""
    if "engine" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        engines = ENGINES if "both_engines" in marks else ENGINES[1:] if "spark_alone" in marks else ENGINES[:1]
        metafunc.parametrize("engine", engines, scope="session")


@pytest.fixture(scope="session")
def lake_environment(idle_stack: LocalStack, engine: Engine) -> dict[str, str]:
    """The variables with which a process uses the lake alone; Postgres runs, and Spark if it computes. Dagster need not."""
    idle_stack.up(services=("spark_connect",) if engine == "spark" else ("postgres",))
    return {**idle_stack.environment(), "FINLAKE_ENGINE": engine}


@pytest.fixture(scope="session")
def lake_jobs(lake_environment: dict[str, str]) -> Iterator["LakeClient"]:
    """The jobs of the stack's lake; this process leaves the engine before that goes down."""
    jobs = jobs_of(lake_environment)
    yield jobs
    if jobs.engine == "spark":
        jobs.lake().spark.stop()
    else:
        embedded.stop()


@pytest.fixture
def empty_lake(lake_jobs: "LakeClient") -> Iterator["Lake"]:
    """The stack's lake without any table, before and after the test."""
    lake = lake_jobs.lake()
    empty(lake)
    yield lake
    empty(lake)
