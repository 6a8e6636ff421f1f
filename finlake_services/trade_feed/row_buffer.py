"""Rows between those who receive and the one who writes: bounded, in order."""

import asyncio
from collections import deque
from collections.abc import Sequence

from finlake_services.trade_feed.rows import Row


class RowBuffer:
    """Holds up to `capacity` rows, those included that were taken and are not yet settled."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._rows: deque[Row] = deque()
        self._taken = 0
        self._is_closed = False
        self._filled, self._freed = asyncio.Event(), asyncio.Event()

    @property
    def depth(self) -> int:
        """Rows in the buffer, taken ones included."""
        return len(self._rows) + self._taken

    async def put(self, rows: Sequence[Row]) -> None:
        """Add rows, all or none at a time; waits while they do not fit, but never for more room than there is.

        A caller who is cancelled while waiting has received these rows: they are kept.
        """
        try:
            while self.depth and self.depth + len(rows) > self.capacity:
                self._freed.clear()
                await self._freed.wait()
        finally:
            self._rows.extend(rows)
            self._filled.set()

    async def take(self, most: int) -> list[Row]:
        """The oldest rows, 1 to `most`, as soon as there are any; empty when the buffer is closed and drained."""
        while not self._rows:
            if self._is_closed:
                return []
            self._filled.clear()
            await self._filled.wait()
        count = min(most, len(self._rows))
        self._taken += count
        return [self._rows.popleft() for _ in range(count)]

    def settle(self, count: int) -> None:
        """That many taken rows are in their place and need no room any more."""
        self._taken -= count
        self._freed.set()

    def close(self) -> None:
        """No more rows will come; `take` gives what is left."""
        self._is_closed = True
        self._filled.set()
