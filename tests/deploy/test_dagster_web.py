"""Who may ask Dagster's webserver: this machine's own names, and no page from elsewhere."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from deploy.local.dagster_web import guarded

HERE = "127.0.0.1:3000"


async def page(_: Request) -> PlainTextResponse:
    return PlainTextResponse("runs")


async def subscription(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("runs")
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    routes = [Route("/graphql", page, methods=["GET", "POST"]), WebSocketRoute("/graphql", subscription)]
    return TestClient(guarded(Starlette(routes=routes)), base_url=f"http://{HERE}")


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200), ({"host": "localhost:3000"}, 200), ({"host": "127.0.0.1"}, 200), ({"origin": f"http://{HERE}"}, 200),
    ({"host": "rebound.example"}, 400), ({"host": "rebound.example:3000"}, 400), ({"host": "127.0.0.1.rebound.example"}, 400),
    ({"host": ""}, 400), ({"host": "www.localhost"}, 400),
    ({"origin": "http://rebound.example"}, 403), ({"origin": "null"}, 403), ({"origin": "http://127.0.0.1:8000"}, 403),
])
def test_only_this_machines_names_and_its_own_pages_are_answered(
    client: TestClient, headers: dict[str, str], status: int,
) -> None:
    assert client.get("/graphql", headers=headers).status_code == status
    assert client.post("/graphql", headers=headers, content="{}").status_code == status


@pytest.mark.parametrize("headers", [{"host": "rebound.example"}, {"origin": "http://rebound.example"}])
def test_a_websocket_is_refused_like_a_request(client: TestClient, headers: dict[str, str]) -> None:
    with client.websocket_connect("/graphql", headers={"host": HERE}) as socket:
        assert socket.receive_text() == "runs"
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/graphql", headers=headers):
        pass
