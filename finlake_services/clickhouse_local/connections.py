"""Whose a connection to the endpoint is, and how many each user may have; the bounds before a login are the HTTP server's."""

from typing import Any, Final

from finlake_services.clickhouse_local.errors import ClickHouseError
from finlake_services.http_server import BoundedHttp, connection_of

MOST_CONNECTIONS_OF_A_USER: Final = 64


class UsersHttp(BoundedHttp):
    """HTTP/1.1 as of all services, with users, and refusals with a code of ClickHouse's."""

    user = ""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered on it."""
        return self.cycle is None or self.cycle.response_complete

    def belongs_to(self, user: str) -> None:
        """Note who has logged in. Raises `ClickHouseError` (202) when all of the user's connections are in use."""
        if self.user == user:
            return
        own = [each for each in self.present() if isinstance(each, UsersHttp) and each.user == user]
        if len(own) >= MOST_CONNECTIONS_OF_A_USER:
            idle = [each for each in own if each.is_idle]
            if not idle:
                raise ClickHouseError(
                    202,
                    "TOO_MANY_SIMULTANEOUS_QUERIES",
                    f"User {user} has {len(own)} connections in use, the most is {MOST_CONNECTIONS_OF_A_USER}",
                )
            min(idle, key=lambda each: each.opened_at).transport.close()
        self.user, self.is_known = user, True

    def on_headers_complete(self) -> None:
        """The headers are there."""
        if self._get_upgrade() == b"websocket":
            raise ValueError("no websockets here")
        super().on_headers_complete()

    def refusal_of(self, reason: str) -> tuple[bytes, bytes]:
        """A refusal as ClickHouse's clients read it."""
        return b"x-clickhouse-exception-code: 36\r\n", f"{ClickHouseError(36, 'BAD_ARGUMENTS', reason)}\n".encode()


def user_connection_of(scope: Any) -> UsersHttp | None:
    """The connection on which a request came; None behind another server."""
    found = connection_of(scope)
    return found if isinstance(found, UsersHttp) else None
