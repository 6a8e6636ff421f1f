"""Who gets through the door in front of Dagster: by its own name, from its own pages, with the password."""

import asyncio
import base64
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

from deploy.local.webserver_door import Receive, Scope, Send, guarded, misuse_of, refusal_of
from finlake_clients.dagster_login import USER

HOSTS = ("127.0.0.1:3000", "localhost:3000")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


GOOD = {"host": "127.0.0.1:3000", "authorization": basic(f"{USER}:right")}


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the graph"})


DOOR = guarded(pages, hosts=HOSTS, password="right")


def test_the_password_opens_the_door() -> None:
    assert refusal_of(GOOD, HOSTS, "right") is None
    assert refusal_of({**GOOD, "host": "LOCALHOST:3000", "origin": "http://localhost:3000"}, HOSTS, "right") is None


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        basic(f"{USER}:wrong"),
        basic(f"{USER}:"),
        basic(":right"),
        basic("right"),
        f"Bearer {USER}:right",
        "Basic ???",
        "Basic cmlnaHQ=\x00",
        "Basic \xe9",
        basic("root:right"),
        basic(f"{USER}:right "),
    ],
)
def test_without_the_password_the_door_stays_shut(authorization: str) -> None:
    refusal = refusal_of({**GOOD, "authorization": authorization}, HOSTS, "right")
    assert refusal is not None
    assert refusal[0] == 401
    assert "right" not in refusal[1]


def test_who_comes_in_is_told_of_and_who_does_not_is_not() -> None:
    told: list[Scope] = []
    door = httpx.ASGITransport(app=guarded(pages, hosts=HOSTS, password="right", let_in=told.append))

    async def ask(password: str) -> int:
        async with httpx.AsyncClient(transport=door, base_url="http://127.0.0.1:3000", auth=(USER, password)) as client:
            return (await client.get("/")).status_code

    assert asyncio.run(ask("wrong")) == 401
    assert told == []
    assert asyncio.run(ask("right")) == 200
    assert [scope["path"] for scope in told] == ["/"]


@pytest.mark.parametrize("host", ["", "evil.example:3000", "127.0.0.1", "127.0.0.1:3001", "127.0.0.1.evil.example:3000"])
def test_a_name_that_was_made_to_point_here_is_refused_whatever_it_knows(host: str) -> None:
    refusal = refusal_of({**GOOD, "host": host}, HOSTS, "right")
    assert refusal is not None
    assert refusal[0] == 421


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "https://127.0.0.1:3000", "http://127.0.0.1:18090"])
def test_a_browser_that_lends_the_password_to_another_page_is_refused(origin: str) -> None:
    refusal = refusal_of({**GOOD, "origin": origin}, HOSTS, "right")
    assert refusal is not None
    assert refusal[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "Cross-Site"},
        {"referer": "http://evil.example/"},
        {"referer": "http://127.0.0.1:18090/"},
        {"referer": "https://127.0.0.1:3000/"},
        {"referer": "http://127.0.0.1:3000@evil.example/"},
        {"referer": "http://127.0.0.1:3000.evil.example/"},
        {"referer": ""},
        {"referer": "http://[evil/"},
        {"origin": "http://127.0.0.1:3000", "referer": "http://evil.example/"},
    ],
)
def test_another_page_that_a_browser_names_by_other_headers_is_refused(headers: dict[str, str]) -> None:
    refusal = refusal_of({**GOOD, **headers}, HOSTS, "right")
    assert refusal is not None
    assert refusal[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "referer": "http://127.0.0.1:3000/runs?x=y"},
        {"origin": "http://localhost:3000", "referer": "http://localhost:3000"},
    ],
)
def test_its_own_pages_and_programs_come_in(headers: dict[str, str]) -> None:
    assert refusal_of({**GOOD, **headers}, HOSTS, "right") is None


def test_a_websocket_is_known_by_its_origin() -> None:
    said = {**GOOD, "sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:3000"}
    assert refusal_of(said, HOSTS, "right", is_websocket=True) is None
    refusal = refusal_of({**said, "origin": "http://evil.example"}, HOSTS, "right", is_websocket=True)
    assert refusal is not None
    assert refusal[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/graphql", {}, 405),
        ("HEAD", "/graphql", {"accept": "*/*"}, 405),
        ("GET", "/graphql", {"accept": "text/html,*/*"}, None),
        ("GET", "/", {}, None),
        ("GET", "/graphql/x", {}, None),
        ("GET", "/logs/run/step/out", {}, None),
        ("POST", "/graphql", {"content-type": "application/json"}, None),
        ("POST", "/graphql", {"content-type": "Application/JSON; charset=utf-8"}, None),
        ("POST", "/graphql", {}, 415),
        ("POST", "/graphql", {"content-type": "text/plain; x=application/json"}, 415),
        ("POST", "/graphql", {"content-type": "application/graphql"}, 415),
        ("POST", "/graphql", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/report_asset_materialization/a", {"content-type": "multipart/form-data; boundary=x"}, 415),
        ("GET", "/logs/../../etc/passwd", {}, 404),
        ("GET", "/logs/a/../b/out", {}, 404),
        ("GET", "/logs/x", {}, 404),
        ("GET", "/logs/", {}, 404),
        ("GET", "/logs/a//", {}, 404),
        ("GET", "/logs//a/out", {}, 404),
        ("GET", "/logs/a\0/out", {}, 404),
    ],
)
def test_only_what_the_pages_ask_for_is_passed_on(method: str, path: str, headers: dict[str, str], status: int | None) -> None:
    refusal = misuse_of(method, path, headers)
    assert (refusal and refusal[0]) == status


def test_a_mutation_in_an_address_does_not_come_through() -> None:
    async def get() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(DOOR), base_url="http://127.0.0.1:3000") as client:
            address = "/graphql?query=mutation{setAutoMaterializePaused(paused:true)}"
            return [
                (await client.get(address, headers=GOOD)).status_code,
                (await client.get("/logs/..%2f..%2fx/out", headers=GOOD)).status_code,
                (await client.post("/graphql", json={"query": "{version}"}, headers=GOOD)).status_code,
            ]

    assert asyncio.run(get()) == [405, 404, 200]


def ask(headers: dict[str, str]) -> httpx.Response:
    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(DOOR), base_url="http://127.0.0.1:3000") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(get())


def test_a_stranger_gets_nothing_of_what_is_behind_and_a_browser_asks_for_the_password() -> None:
    refused = ask({})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="finlake", charset="UTF-8"')
    assert "the graph" not in refused.text
    assert ask({"authorization": GOOD["authorization"]}).text == "the graph"


@pytest.mark.parametrize(("authorization", "answer"), [(GOOD["authorization"], "websocket.accept"), ("", "websocket.close")])
def test_a_websocket_passes_the_same_door(authorization: str, answer: str) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost:3000"), (b"authorization", authorization.encode())]
    asyncio.run(DOOR({"type": "websocket", "path": "/graphql", "headers": headers}, receive, send))  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == [answer]


def test_a_header_that_comes_twice_counts_as_none() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    host, right = (b"host", b"127.0.0.1:3000"), (b"authorization", GOOD["authorization"].encode())
    for headers in ([host, (b"host", b"evil.example"), right], [(b"host", b"evil.example"), host, right]):
        asyncio.run(DOOR({"type": "http", "headers": headers}, None, send))  # type: ignore[arg-type]
    assert [message["status"] for message in sent if "status" in message] == [421, 421]


@pytest.mark.parametrize("values", [(b"text/html", b"*/*"), (b"*/*", b"text/html")])
def test_accept_that_comes_twice_opens_nothing(values: tuple[bytes, bytes]) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [*((name.encode(), value.encode()) for name, value in GOOD.items()), *((b"accept", value) for value in values)]
    asyncio.run(DOOR({"type": "http", "method": "GET", "path": "/graphql", "headers": headers}, None, send))  # type: ignore[arg-type]
    assert [message["status"] for message in sent if "status" in message] == [405]
