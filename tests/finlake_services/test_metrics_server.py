"""Whoever may ask a service for its metrics can hold no more of it than a few connections, and none of them for long."""

import ast
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from finlake_services import http_server
from finlake_services.clickhouse_local.connections import UsersHttp
from finlake_services.http_server import (
    HEADERS_TIMEOUT_S,
    MOST_HEADER_BYTES,
    MOST_UNKNOWN_CONNECTIONS,
    BoundedHttp,
    vouch_for,
)
from finlake_services.metrics_server import MetricsServer

ROOT = Path(__file__).parents[2]
ROOMS = ("finlake_services", "deploy", "finlake_clients", "finlake_resources", "finlake_proofs")


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("seen", "Seen", registry=registry).inc(3)
    return registry


@pytest.fixture
def server(registry: CollectorRegistry) -> Iterator[MetricsServer]:
    with contextlib.closing(MetricsServer(0, registry, lambda: (503, {"status": "waiting"}))) as server:
        yield server


def get(server: MetricsServer, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{server.port}{path}", timeout=20, trust_env=False)


def silent(server: MetricsServer, stack: contextlib.ExitStack, first: bytes = b"") -> socket.socket:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
    connection.sendall(first)
    return connection


def ends(connection: socket.socket) -> bool:
    """Whether the other side closes, after at most one answer."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65_536):
            pass
    return True


def test_metrics_health_and_readiness_are_told_and_nothing_else(server: MetricsServer, registry: CollectorRegistry) -> None:
    assert "seen_total 3.0" in get(server, "/metrics").text
    health = get(server, "/health")
    assert (health.status_code, health.json()) == (503, {"status": "waiting"})
    ready = get(server, "/ready")
    assert (ready.status_code, ready.text) == (503, "not ready\n")
    assert get(server, "/").status_code == 404
    with contextlib.closing(MetricsServer(0, registry)) as other:
        assert get(other, "/health").status_code == 404
        assert get(other, "/ready").text == "ready\n"
    with contextlib.closing(MetricsServer(0, registry, lambda: (200, {"status": "ok"}))) as well:
        assert get(well, "/ready").status_code == 200


def test_a_closed_server_gives_its_port_back_and_a_taken_port_is_an_error(registry: CollectorRegistry) -> None:
    with contextlib.closing(MetricsServer(0, registry)) as first, pytest.raises(OSError, match="in use"):
        MetricsServer(first.port, registry)
    with contextlib.closing(MetricsServer(first.port, registry)) as again:
        assert get(again, "/metrics").status_code == 200


@pytest.mark.parametrize("first", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"])
def test_who_says_nothing_more_is_left_in_time(server: MetricsServer, monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    assert HEADERS_TIMEOUT_S <= 10
    monkeypatch.setattr(http_server, "HEADERS_TIMEOUT_S", 0.1)
    with contextlib.ExitStack() as stack:
        assert ends(silent(server, stack, first))


def test_many_silent_connections_are_few_and_need_no_thread(server: MetricsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing ends them but their number.
    monkeypatch.setattr(http_server, "HEADERS_TIMEOUT_S", 600)
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        opened = [silent(server, stack) for _ in range(MOST_UNKNOWN_CONNECTIONS + 20)]
        assert get(server, "/metrics").status_code == 200
        assert all(ends(connection) for connection in opened[:20])
        assert threading.active_count() == before


def test_long_headers_are_refused(server: MetricsServer) -> None:
    with contextlib.ExitStack() as stack:
        connection = silent(server, stack)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nh: " + b"x" * (2 * MOST_HEADER_BYTES))
            assert connection.recv(4096).startswith(b"HTTP/1.1 431")


def test_strangers_push_out_nobody_who_has_logged_in(registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    async def application(scope, receive, send):  # type: ignore[no-untyped-def]
        vouch_for(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    monkeypatch.setattr("finlake_services.metrics_server._application", lambda *_: application)
    monkeypatch.setattr(http_server, "HEADERS_TIMEOUT_S", 600)
    with contextlib.closing(MetricsServer(0, registry)) as server, contextlib.ExitStack() as stack:
        # An idle connection ends for no other reason either.
        server._server.config.timeout_keep_alive = 600
        known = silent(server, stack, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert known.recv(4096).startswith(b"HTTP/1.1 204")
        strangers = [silent(server, stack) for _ in range(MOST_UNKNOWN_CONNECTIONS + 1)]
        assert ends(strangers[0])
        known.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert known.recv(4096).startswith(b"HTTP/1.1 204")


def test_every_http_server_of_the_project_is_a_bounded_one() -> None:
    served, others = [], []
    for path in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("uvicorn.run", "uvicorn.Config"):
                served.append(next((ast.unparse(each.value) for each in node.keywords if each.arg == "http"), str(path)))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "serve":
                served.append(next((ast.unparse(each.value) for each in node.keywords if each.arg == "protocol"), "BoundedHttp"))
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if {"wsgiref", "http.server", "start_http_server", "socketserver"} & {*names, str(module), str(module).split(".")[0]}:
                others.append(str(path))
    assert sorted(served) == ["BoundedHttp", "BoundedHttp", "BoundedHttp", "UsersHttp", "protocol"]
    assert issubclass(UsersHttp, BoundedHttp)
    assert others == []
