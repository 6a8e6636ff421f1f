"""Fixtures that give tests the sample sources on a free loopback port.

Use: `pytest_plugins = ["tests.plugins.sample_server"]`.
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Thread

import httpx
import pytest
import uvicorn

from finlake_services.sample_sources.server import create_app


@dataclass(frozen=True)
class SampleServer:
    """A running sample server; `url` has no trailing slash."""

    url: str

    def set_faults(self, source: str, faults: Mapping[str, str | Mapping[str, str | int]]) -> None:
        """Put faults in force: target to kind, or to {"kind": ..., "times": n}."""
        httpx.post(f"{self.url}/_faults", json={source: dict(faults)}).raise_for_status()

    def clear_faults(self) -> None:
        """Let every answer be right again."""
        httpx.delete(f"{self.url}/_faults").raise_for_status()


@pytest.fixture(scope="session")
def running_sample_server() -> Iterator[SampleServer]:
    # The socket is bound before the server starts, so nobody else can take the port in between.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(), log_level="error", access_log=False))
        # Connections wait in the backlog until the server accepts them: no polling for its start.
        listener.listen(128)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        httpx.get(f"{url}/health", timeout=30).raise_for_status()
        yield SampleServer(url)
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def sample_server(running_sample_server: SampleServer) -> Iterator[SampleServer]:
    """The sample server without faults; those a test sets are cleared after it."""
    running_sample_server.clear_faults()
    yield running_sample_server
    running_sample_server.clear_faults()
