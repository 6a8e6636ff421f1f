"""The real local stack for integration tests: one per test session, in a state folder of its own, on free ports."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.layout import REPOSITORY
from deploy.local.ports import free_ports
from deploy.local.stack import LocalStack


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """All services, up and ready; the jars are those of the checkout."""
    # A short path; others may walk through it, because root's Postgres runs as another user.
    home = Path(tempfile.mkdtemp(prefix="finlake-"))
    home.chmod(0o711)
    stack = LocalStack(home, free_ports(), jars=REPOSITORY / ".finlake" / "jars")
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def stack_environment(stack: LocalStack) -> dict[str, str]:
    """The FINLAKE_* variables and DAGSTER_HOME with which a process uses the stack."""
    return stack.environment()
