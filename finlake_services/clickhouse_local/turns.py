"""Whose turn it is: each user has a line of their own, so that nobody waits behind the requests of somebody else."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from finlake_services.clickhouse_local.errors import ClickHouseError
from finlake_services.clickhouse_local.users import PROCESSORS

BEGINNING_AT_ONCE: Final = max(1, PROCESSORS // 2)
"""Requests of one user that are read, checked and begun at the same time; the others wait in the order in which they came.
With those that last they take no more than all processors, so that one that is free is soon found.

A line needs no bound of its own: each who waits in it has a connection, and a user's connections are counted.
"""
LASTING_AT_ONCE: Final = max(1, PROCESSORS // 2)
"""Statements of one user that are worked on at the same time after they were no longer new; so that others find a processor."""
BODIES_AT_ONCE: Final = 2
"""Long bodies of one user that are read at the same time; the others are left in their connections."""
MOST_UNREAD_BYTES: Final = 128 << 20
"""Of one user's answers that are on their way out; a single one may be longer."""
MOST_UNREAD_BYTES_OF_ALL: Final = 512 << 20
"""Of all users'; who has none on the way is never refused one for the sake of it."""
UNKNOWN: Final = ""
"""The line of those who need no login."""
REFUSED_LOGINS: Final = " refused"
"""The line of those whose login was wrong; no user has a name with a space."""
KILLS: Final = " kills"
"""With a user's name before it: the line of the KILLs, which wait for no statement that they are to end."""
BODIES_PER_LIMIT: Final = 2
"""Bodies of one user's requests together may be so many times as long as one of them."""


class Turn:
    """A place among those who begin, or later among those who last; given back once, at the latest when its request ends."""

    def __init__(self, line: asyncio.Semaphore, lasting: asyncio.Semaphore) -> None:
        self._held: asyncio.Semaphore | None = line
        self._line = line
        self._lasting = lasting

    async def last(self) -> None:
        """Let the next one begin as soon as there is a place among those who last."""
        if self._held is not self._line:
            return
        await self._lasting.acquire()
        self.end()
        self._held = self._lasting

    def end(self) -> None:
        """Let the next one have the place."""
        if self._held is not None:
            self._held.release()
            self._held = None


class Turns:
    """Lines, places and bytes of all users; used within the event loop only."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(BEGINNING_AT_ONCE))
        self._lasting: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(LASTING_AT_ONCE))
        self._unpacking: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(LASTING_AT_ONCE))
        self._reading: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(BODIES_AT_ONCE))
        self._body_bytes: defaultdict[str, int] = defaultdict(int)
        self._unread_bytes: defaultdict[str, int] = defaultdict(int)

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[Turn]:
        """Wait for the user's turn, which ends with the block or by `Turn.end` before."""
        line = self._lines[user]
        await line.acquire()
        turn = Turn(line, self._lasting[user])
        try:
            yield turn
        finally:
            turn.end()

    def lasting(self, user: str) -> asyncio.Semaphore:
        """The user's places for what takes long: each next part of an answer, and statements that are no longer new."""
        return self._lasting[user]

    def unpacking(self, user: str) -> asyncio.Semaphore:
        """The user's places for bodies that are unpacked or taken apart."""
        return self._unpacking[user]

    def reading(self, user: str) -> asyncio.Semaphore:
        """The user's places for long bodies that are read."""
        return self._reading[user]

    @contextmanager
    def unread(self, user: str, size: int) -> Iterator[None]:
        """Count `size` bytes of an answer until they are sent. Raises `ClickHouseError` (241) for too many beside others."""
        held = self._unread_bytes[user]
        if held and (held + size > MOST_UNREAD_BYTES or sum(self._unread_bytes.values()) + size > MOST_UNREAD_BYTES_OF_ALL):
            raise ClickHouseError(
                241,
                "MEMORY_LIMIT_EXCEEDED",
                f"Answers for user {user} that are not read yet are together "
                f"longer than {MOST_UNREAD_BYTES} bytes; read those first",
            )
        self._unread_bytes[user] += size
        try:
            yield
        finally:
            self._unread_bytes[user] -= size

    def hold_body(self, user: str, size: int, most: int) -> None:
        """Count `size` bytes of a body (negative: they are gone). Raises `ClickHouseError` (241) beyond `most` for all."""
        if size > 0 and self._body_bytes[user] + size > most:
            raise ClickHouseError(
                241,
                "MEMORY_LIMIT_EXCEEDED",
                f"The bodies of user {user}'s requests are together longer than {most} bytes; send them one after the other",
            )
        self._body_bytes[user] += size
