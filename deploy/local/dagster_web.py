"""Dagster's webserver for this machine alone: `python -m deploy.local.dagster_web OPTIONS`, the options of dagster-webserver.

Dagster answers anybody who reaches its port, in the name of whatever host. A page of the web whose name is made to point to
127.0.0.1 would so read every run and launch its own. Here a request counts only if it names this machine, and if it comes
from no page but Dagster's own.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deploy.local.ports import LOOPBACK

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OWN_HOSTS = (LOOPBACK, "localhost")


class OwnPagesOnly:
    """Refuses requests, websockets included, that were sent by a page of another origin than the host they name."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """An ASGI application."""
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != headers.get("host"):
                await PlainTextResponse("a page of another origin may not ask", status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def guarded(app: "ASGIApp") -> "ASGIApp":
    """An application that answers this machine's own names and its own pages."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return TrustedHostMiddleware(OwnPagesOnly(app), allowed_hosts=list(OWN_HOSTS), www_redirect=False)


def main() -> None:
    """Run dagster-webserver with its own options, its application guarded."""
    from dagster_webserver import app, cli

    made = app.create_app_from_workspace_process_context

    def make(*args: Any, **kwargs: Any) -> "ASGIApp":
        return guarded(made(*args, **kwargs))

    # It has no option for middleware, and everything else about starting and stopping it is worth having as it is.
    vars(cli)["create_app_from_workspace_process_context"] = make
    cli.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
