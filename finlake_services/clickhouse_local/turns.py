"""Whose turn it is: each user has a line of their own, so that nobody waits behind the requests of somebody else."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from finlake_services.clickhouse_local.errors import ClickHouseError

BEGINNING_AT_ONCE: Final = 2
"""Requests of one user that are read, judged and begun at the same time; the others wait in the order in which they came.

A line needs no bound of its own: each who waits in it has a connection, and a user's connections are counted.
"""
UNKNOWN: Final = ""
"""The line of those who need no login."""
REFUSED_LOGINS: Final = " refused"
"""The line of those whose login was wrong; no user has a name with a space."""
BODIES_PER_LIMIT: Final = 2
"""Bodies of one user's requests together may be so many times as long as one of them."""


class Turn:
    """A place among those who begin; given back once, at the latest when its request ends."""

    def __init__(self, line: asyncio.Semaphore) -> None:
        self._line = line
        self._taken = True

    def end(self) -> None:
        """Let the next one begin."""
        if self._taken:
            self._taken = False
            self._line.release()


class Turns:
    """Lines and bytes of all users; used within the event loop only."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(BEGINNING_AT_ONCE))
        self._body_bytes: defaultdict[str, int] = defaultdict(int)

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[Turn]:
        """Wait for the user's turn, which ends with the block or by `Turn.end` before."""
        line = self._lines[user]
        await line.acquire()
        turn = Turn(line)
        try:
            yield turn
        finally:
            turn.end()

    def hold_body(self, user: str, size: int, most: int) -> None:
        """Count `size` bytes of a body (negative: they are gone). Raises `ClickHouseError` (241) beyond `most` for all."""
        if size > 0 and self._body_bytes[user] + size > most:
            raise ClickHouseError(241, "MEMORY_LIMIT_EXCEEDED", f"The bodies of user {user}'s requests are together longer than "
                                                                f"{most} bytes; send them one after the other")
        self._body_bytes[user] += size
