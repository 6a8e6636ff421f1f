"""Bodies on their way in: counted for their user from the first byte, the long ones of a user read a few at a time."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from finlake_services.clickhouse_local.answers import Receive
from finlake_services.clickhouse_local.errors import ClickHouseError
from finlake_services.clickhouse_local.turns import BODIES_PER_LIMIT, Turns
from finlake_services.clickhouse_local.users import User

BODY_TIMEOUT_S: Final = 300
"""A body that has not come within this time is given up."""
SHORT_BODY_BYTES: Final = 1 << 16
"""Up to this size a connection holds a body anyhow, before it stops reading."""


class Body:
    """A request's body, counted for its user from its first byte until the request ends."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.user = ""
        self._size = 0

    async def read(self, receive: Receive, user: User, length: int | None) -> bytes | None:
        """The whole body, of `length` bytes if that is known; None when the client goes away before its end.

        Raises `ClickHouseError` beyond the user's limit for one (307) or for all at once (241), or when it does not end (209).
        """
        self.user = user.name
        limit = user.limits.body_bytes
        if length is not None and length > limit:
            raise _too_long(limit)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S), AsyncExitStack() as held:
                if length is None or length > SHORT_BODY_BYTES:
                    await held.enter_async_context(self._turns.reading(user.name))
                return await self._read(receive, limit)
        except TimeoutError as error:
            raise ClickHouseError(209, "SOCKET_TIMEOUT", f"The request's body has not ended within {BODY_TIMEOUT_S} s") from error

    async def _read(self, receive: Receive, limit: int) -> bytes | None:
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            if self._size + len(part) > limit:
                raise _too_long(limit)
            self._turns.hold_body(self.user, len(part), BODIES_PER_LIMIT * limit)
            self._size += len(part)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def release(self) -> None:
        """The body is not needed any more."""
        self._turns.hold_body(self.user, -self._size, 0)
        self._size = 0


def _too_long(limit: int) -> ClickHouseError:
    return ClickHouseError(307, "TOO_MANY_BYTES", f"Request body is larger than {limit} bytes; send it in parts")


def content_length(headers: dict[str, str]) -> int | None:
    """The length that a request's headers say, None for a body in chunks; without either there is none."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else None
