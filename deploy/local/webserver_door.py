"""The door in front of Dagster's pages and GraphQL: by another name, from another page or without the password
nobody comes in.

Pure: a password in, an ASGI application out. Basic authentication, because a browser binds it to this very port; a cookie of
127.0.0.1 would go to whatever other program of the machine the browser is led to.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from finlake_clients.dagster_login import USER
from finlake_settings.local_stack import DAGSTER_WEB_PASSWORD, SECRETS

JSON = "application/json"
LOGS = "/logs/"
_READ_ONCE = ("host", "origin", "authorization", "sec-fetch-site", "referer", "content-type", "accept")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def guarded(
    application: Application,
    *,
    hosts: Collection[str],
    password: str,
    let_in: Callable[[Scope], None] = lambda _: None,
) -> Application:
    """The application for those who know the password and call it by one of `hosts` (`name:port`).

    `let_in` is called for each request that is let in, before the application.
    """

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        headers, is_websocket = _headers(scope), scope["type"] == "websocket"
        refusal = refusal_of(headers, hosts, password, is_websocket=is_websocket)
        if refusal is None and not is_websocket:
            refusal = misuse_of(scope["method"], scope["path"], headers)
        if refusal is None:
            let_in(scope)
            await application(scope, receive, send)
        elif is_websocket:
            # Before it is accepted: the server answers the handshake with 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(send, *refusal)

    return door


def refusal_of(
    headers: Mapping[str, str],
    hosts: Collection[str],
    password: str,
    *,
    is_websocket: bool = False,
) -> tuple[int, str] | None:
    """Status and reason of a refusal, None for who may come in. `headers` have lower-case names."""
    if headers.get("host", "").lower() not in hosts:
        # A page whose name was made to point here (DNS rebinding) comes with its own name.
        return 421, f"Dagster answers to {' and '.join(sorted(hosts))} only"
    if _comes_from_elsewhere(headers, {f"http://{host}" for host in hosts}, is_websocket):
        # A browser sends the password along whatever page asks.
        return 403, "Dagster answers its own pages only; type its address, or copy it, instead of following a link to it"
    if not _knows(headers.get("authorization", ""), password):
        file = f"{SECRETS}/{DAGSTER_WEB_PASSWORD}"
        return 401, f"Dagster asks for a login: user {USER}, password in {file} of the state folder"
    return None


def _comes_from_elsewhere(headers: Mapping[str, str], own: Collection[str], is_websocket: bool) -> bool:
    """Whether a browser says that another page asks: it does so with an Origin, with Sec-Fetch-Site or with a Referer."""
    origin, referer = headers.get("origin"), headers.get("referer")
    if origin is not None and origin.lower() not in own:
        return True
    # A handshake always has an Origin, and some browsers call ws:// another site than http://.
    if not is_websocket and headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
        return True
    return referer is not None and _origin_of(referer) not in own


def _origin_of(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()


def misuse_of(method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
    """Status and reason with which a request of one who may come in is refused, None for what Dagster's own pages ask for."""
    if method not in ("GET", "HEAD", "OPTIONS") and headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        # What a form of any page can send, it sends without asking first.
        return 415, f"Dagster takes {JSON} only; send it as Content-Type"
    if path == "/graphql" and method in ("GET", "HEAD") and "text/html" not in headers.get("accept", ""):
        # Dagster would carry out a mutation that any page can put into the address of a picture.
        return 405, f"GraphQL is asked for by POST, as {JSON}"
    if path.startswith(LOGS) and not _is_log_key(path.removeprefix(LOGS)):
        return 404, "There is no such log"
    return None


def _is_log_key(path: str) -> bool:
    """Whether a log may have this name; Dagster answers with an error of its own for one that leads elsewhere."""
    parts = path.split("/")
    return len(parts) > 1 and not {"", ".", ".."} & set(parts) and "\0" not in path


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
    return {name: "" if name in twice and name in _READ_ONCE else value for name, value in seen.items()}


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="finlake", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{reason}\n".encode()})
