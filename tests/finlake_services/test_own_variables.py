"""Each service starts, as in a cluster, with the variables that it uses alone; without one of them it ends and names it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import LOOPBACK
from tests.finlake_settings.test_reading import IN_PRODUCTION, OWN

PORT = {"sample_sources": "--port"}
ARGUMENTS = {"capture_keeper": ["--connector", "finlake-ods"]}
STARTS = {
    "clickhouse_sink": "sink start",
    "trade_feed": "trade feed start",
    "capture_keeper": "keeper start",
    "sample_sources": "sample sources start",
}


@pytest.fixture
def port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def process(service: str, port: int, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The service, which knows these variables alone; ended in the end."""
    command = [
        sys.executable,
        "-m",
        f"finlake_services.{service}",
        PORT.get(service, "--metrics-port"),
        str(port),
        *ARGUMENTS.get(service, []),
    ]
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={"PATH": "/usr/bin:/bin", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("service", STARTS)
def test_a_service_starts_with_its_own_variables(service: str, port: int, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    # Nothing answers there: what a service waits for, it waits for after its start.
    nowhere = {
        name: value.replace("//postgres/", f"//{LOOPBACK}:1/").replace("kafka:9092", f"{LOOPBACK}:1")
        for name, value in OWN[service].items()
    }
    token = {"FINLAKE_FINNHUB_TOKEN_FILE": str(tmp_path / "token")} if service == "trade_feed" else {}
    with process(service, port, IN_PRODUCTION | nowhere | token) as started:
        assert started.stdout is not None
        assert json.loads(started.stdout.readline())["event"] == STARTS[service]


@pytest.mark.parametrize("service", [service for service in STARTS if OWN[service]])
def test_a_service_that_lacks_a_variable_ends_and_names_it(service: str, port: int, tmp_path: Path) -> None:
    name = next(iter(OWN[service]))
    lacking = {each: value for each, value in OWN[service].items() if each != name}
    with process(service, port, IN_PRODUCTION | lacking) as started:
        said, _ = started.communicate(timeout=60)
    assert started.returncode == 1
    assert json.loads(said.strip().splitlines()[-1])["reason"].startswith(f"{name} is not set, and production has no default; ")
