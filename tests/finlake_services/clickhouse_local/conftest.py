"""One running endpoint for all tests that only speak to it, own ones for those that stop it."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.finlake_services.clickhouse_local.endpoint import USERS, Server


@pytest.fixture(scope="session")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    """Makes servers that a test may stop; they are stopped after the last test at the latest."""
    made: list[Server] = []

    def make() -> Server:
        server = Server(tmp_path_factory.mktemp("clickhouse"))
        server.write_users()
        server.start()
        server.make_tables()
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.end()


@pytest.fixture(scope="session")
def server(new_server: Callable[[], Server]) -> Server:
    """The endpoint that every test of this folder may ask."""
    return new_server()


@pytest.fixture(scope="session")
def clients(server: Server) -> Iterator[dict[str, httpx.Client]]:
    """A plain HTTP client of each user."""
    made = {user: server.http(user) for user in USERS}
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def admin(clients: dict[str, httpx.Client]) -> httpx.Client:
    """The administrator's plain HTTP client."""
    return clients["admin"]


@pytest.fixture
def writer(clients: dict[str, httpx.Client]) -> httpx.Client:
    """The sink's plain HTTP client."""
    return clients["sink"]


@pytest.fixture
def reader(clients: dict[str, httpx.Client]) -> httpx.Client:
    """A reader's plain HTTP client."""
    return clients["reader"]
