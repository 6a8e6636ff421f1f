"""What a service says about itself: Prometheus metrics at /metrics, whether it does its work at /ready, and at /health why not.

A service that waits for nothing has no health, and is ready when it answers.

Whoever can reach the port may ask, so the server's bounds (http_server.py) hold for everybody.
"""

import json
import socket
from collections.abc import Callable
from threading import Thread
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, make_asgi_app

from finlake_services.http_server import BoundedHttp
from finlake_settings.local_stack import LOOPBACK

Health = Callable[[], tuple[int, dict[str, str]]]
"""HTTP status and the body, which is sent as JSON."""


class MetricsServer:
    """Answers in a thread of its own from now on, until it is closed. Raises OSError when the port is taken."""

    def __init__(self, port: int, registry: CollectorRegistry, health: Health | None = None, *, host: str = LOOPBACK) -> None:
        self._socket = socket.create_server((host, port))
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                _application(registry, health),
                http=BoundedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = Thread(target=self._server.run, args=([self._socket],), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and let go of the port."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _application(registry: CollectorRegistry, health: Health | None) -> Callable[..., Any]:
    metrics = make_asgi_app(registry)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/metrics":
            await metrics(scope, receive, send)
        elif scope["path"] == "/ready":
            status, _ = (200, {}) if health is None else health()
            await _answer(send, status, "text/plain", "ready\n" if status == 200 else "not ready\n")
        elif scope["path"] == "/health" and health is not None:
            status, body = health()
            await _answer(send, status, "application/json", json.dumps(body))
        else:
            await _answer(send, 404, "text/plain", "there are /metrics, /ready" + ("" if health is None else ", /health") + "\n")

    return application


async def _answer(send: Any, status: int, content_type: str, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
