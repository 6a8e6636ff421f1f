"""Finnhub over HTTP: quotes and symbol look-up, within the calls a token may make.

What the vendor answers instead of data becomes a type of finlake_clients/source_errors.py. The token travels in a
header, never in a URL.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from finlake_clients import bounded_http
from finlake_clients.source_errors import AccessDeniedError, LimitReachedError, NotDataError, SourceUnavailableError
from finlake_services.trade_feed.clock import wall_us
from finlake_services.trade_feed.finnhub_token import TokenFile
from finlake_services.trade_feed.messages import storable
from finlake_services.trade_feed.pacing import CallBudget, limit_wait_s
from spark.contracts.stream_rows import in_unit, moment, objection_to_quote

_QUOTE_UNIT = "s"
# A poller names itself within the limits.
_ANY_POLLER = "poller"
_TIMEOUT_S = 10.0
# Of the whole answer, however its parts drip. A quote has some hundred bytes, a look-up some thousand.
_ANSWER_WITHIN_S = 30.0
_LARGEST_ANSWER_BYTES = 1024 * 1024
_NOT_STORED = "It is not stored; asked again later"


class VendorQuote(msgspec.Struct, frozen=True):
    """A quote: price, change and percent, high, low, open, previous close in USD, Unix seconds of the last trade."""

    c: float
    h: float
    l: float  # noqa: E741 -- the vendor's name
    o: float
    pc: float
    t: int | float
    d: float | None = None
    dp: float | None = None


class _Listing(msgspec.Struct):
    symbol: str


class _Listings(msgspec.Struct):
    result: list[_Listing]


Content = TypeVar("Content")


def is_loopback(url: str) -> bool:
    """Whether a URL stays on this machine, where no proxy must be asked."""
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


class FinnhubRest:
    """A client with one budget of calls for everything it asks. `url` ends before `/quote`."""

    def __init__(self, url: str, token: TokenFile, budget: CallBudget) -> None:
        self._url, self._token, self._budget = url.rstrip("/"), token, budget
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=not is_loopback(url), headers=bounded_http.UNPACKED)
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def quote(self, symbol: str) -> VendorQuote | None:
        """The latest quote, None for a symbol that Finnhub does not know (it answers zeros).

        Waits for its turn in the budget. Raises ApiKeyNeededError, AccessDeniedError, LimitReachedError, NotDataError,
        TooLargeError or SourceUnavailableError.
        """
        quote = await self._get("quote", {"symbol": symbol}, VendorQuote)
        if quote.t == 0:
            return None
        stamp = in_unit(int(quote.t), _QUOTE_UNIT, wall_us())
        objection = objection_to_quote(
            poller_id=_ANY_POLLER,
            symbol=symbol,
            quote_ts=moment(stamp, _QUOTE_UNIT),
            numbers=(quote.c, quote.h, quote.l, quote.o, quote.pc, quote.d, quote.dp),
        )
        if objection is not None:
            raise NotDataError(f"Finnhub's quote of {symbol}", objection.detail, _NOT_STORED)
        return msgspec.structs.replace(quote, t=stamp)

    async def lists(self, symbol: str) -> bool:
        """Whether the symbol look-up knows exactly this symbol. Waits and raises as `quote`."""
        listings = await self._get("search", {"q": symbol}, _Listings)
        return any(listing.symbol == symbol for listing in listings.result)

    async def _get(self, path: str, query: dict[str, str], content: type[Content]) -> Content:
        thing = f"Finnhub's {path} of {next(iter(query.values()))}"
        # One at a time: the budget is spent in the order of asking.
        async with self._turn:
            await asyncio.sleep(self._budget.wait_s(time.monotonic()))
            self._budget.spend(time.monotonic())
            try:
                async with self._client.stream(
                    "GET",
                    f"{self._url}/{path}",
                    params=query,
                    headers={"X-Finnhub-Token": self._token.read()},
                ) as answer:
                    self._raise_for_status(thing, answer)
                    body = await bounded_http.body_async(
                        answer, thing, max_bytes=_LARGEST_ANSWER_BYTES, max_seconds=_ANSWER_WITHIN_S
                    )
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
                raise SourceUnavailableError(thing, f"no answer ({reason})", "Asked again later") from error
        try:
            return msgspec.json.decode(body, type=content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            start = storable(body[:80].decode("utf-8", "replace"), 80)
            raise NotDataError(thing, f"not the expected JSON ({error}): {start!r}", _NOT_STORED) from error

    def _raise_for_status(self, thing: str, answer: httpx.Response) -> None:
        match answer.status_code:
            case 200:
                return
            case 401:
                raise self._token.refused()
            case 403:
                raise AccessDeniedError(thing, "the plan of this token does not include it", "Leave it out, or change the plan")
            case 429:
                wait_s = limit_wait_s(answer.headers, datetime.now(UTC))
                self._budget.block(time.monotonic(), wait_s)
                raise LimitReachedError(thing, "the limit of calls is reached", f"No call is made for {wait_s:.0f} s")
        raise SourceUnavailableError(thing, f"HTTP {answer.status_code}", "Asked again later")
