"""Answers over HTTP, read within bounds of bytes and time, whatever the server goes on sending."""

from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

from finlake_clients.source_errors import NotDataError, SourceUnavailableError, TooLargeError

if TYPE_CHECKING:
    import httpx

UNPACKED = {"accept-encoding": "identity"}
"""Headers of every request: a packed answer could unpack to anything, and is refused."""
MAX_SECONDS = 900
MAX_LINE_BYTES = 64 * 1024


def parts(response: "httpx.Response", name: str, *, max_bytes: int, max_seconds: float = MAX_SECONDS) -> Iterator[bytes]:
    """The body as it arrives.

    Raises TooLargeError past `max_bytes`, SourceUnavailableError past `max_seconds`, NotDataError for a packed body.
    """
    bounds = _Bounds(response, name, max_bytes, max_seconds)
    for part in response.iter_raw():
        bounds.take(part)
        yield part


def body(response: "httpx.Response", name: str, *, max_bytes: int, max_seconds: float = MAX_SECONDS) -> bytes:
    """The whole body; raises as `parts` does."""
    return b"".join(parts(response, name, max_bytes=max_bytes, max_seconds=max_seconds))


async def body_async(
    response: "httpx.Response",
    name: str,
    *,
    max_bytes: int,
    max_seconds: float = MAX_SECONDS,
) -> bytes:
    """The whole body, of a response to an asynchronous client; raises as `parts` does."""
    bounds, found = _Bounds(response, name, max_bytes, max_seconds), []
    async for part in response.aiter_raw():
        bounds.take(part)
        found.append(part)
    return b"".join(found)


def lines(response: "httpx.Response", name: str, *, max_bytes: int) -> Iterator[str]:
    """The lines of a text, without their ends, as they arrive; raises as `parts` does, TooLargeError for a long line."""
    rest = b""
    for part in parts(response, name, max_bytes=max_bytes):
        *whole, rest = (rest + part).split(b"\n")
        yield from (line.decode("ascii", errors="replace") for line in whole)
        if len(rest) > MAX_LINE_BYTES:
            raise TooLargeError(name, f"a line has more than {MAX_LINE_BYTES:,} bytes", "Check the base URL")
    if rest:
        yield rest.decode("ascii", errors="replace")


class _Bounds:
    """What is left of the bounds of one answer; raises as `parts` does."""

    def __init__(self, response: "httpx.Response", name: str, max_bytes: int, max_seconds: float) -> None:
        packed = response.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            reason = f"the server packs its answer as {packed[:20]!r}, which was not asked for"
            raise NotDataError(name, reason, "Check the base URL")
        self._name, self._max_bytes, self._max_seconds = name, max_bytes, max_seconds
        self._size, self._end = 0, monotonic() + max_seconds

    def take(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_bytes:
            raise TooLargeError(self._name, f"the answer has more than {self._max_bytes:,} bytes", "Check the base URL")
        if monotonic() > self._end:
            raise SourceUnavailableError(self._name, f"the answer has not ended after {self._max_seconds:g} s", "Run again later")
