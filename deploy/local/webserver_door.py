"""The door in front of Dagster's pages and GraphQL: by another name, from another page or without the password
nobody comes in.

Pure: a password in, an ASGI application out. Basic authentication, because a browser binds it to this very port; a cookie of
127.0.0.1 would go to whatever other program of the machine the browser is led to.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any

USER = "finlake"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def guarded(
    application: Application, *, hosts: Collection[str], password: str, let_in: Callable[[Scope], None] = lambda _: None,
) -> Application:
    """The application for those who know the password and call it by one of `hosts` (`name:port`).

    `let_in` is told of each who comes in, before the application.
    """

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        refusal = refusal_of(_headers(scope), hosts, password)
        if refusal is None:
            let_in(scope)
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted: the server answers the handshake with 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(send, *refusal)

    return door


def refusal_of(headers: Mapping[str, str], hosts: Collection[str], password: str) -> tuple[int, str] | None:
    """Status and reason of a refusal, None for who may come in. `headers` have lower-case names."""
    if headers.get("host", "").lower() not in hosts:
        # A page whose name was made to point here (DNS rebinding) comes with its own name.
        return 421, f"Dagster answers to {' and '.join(sorted(hosts))} only"
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in {f"http://{host}" for host in hosts}:
        # A browser sends the password along whatever page asks.
        return 403, "Dagster answers its own pages only"
    if not _knows(headers.get("authorization", ""), password):
        return 401, f"Dagster asks for a login: user {USER}, password in secrets/dagster_web.password of the state folder"
    return None


def _knows(authorization: str, password: str) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        said = base64.b64decode(encoded, validate=True)
    except ValueError:
        # No base64, or not even ASCII.
        return False
    return hmac.compare_digest(said, f"{USER}:{password}".encode())


def _headers(scope: Scope) -> dict[str, str]:
    """Headers by name; one that is there twice is none, so that no two readers can take different ones."""
    seen: dict[str, str] = {}
    twice = set()
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        twice |= {name} & seen.keys()
        seen[name] = raw_value.decode("latin-1")
    return {name: "" if name in twice and name in ("host", "origin", "authorization") else value for name, value in seen.items()}


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="finlake", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{reason}\n".encode()})
