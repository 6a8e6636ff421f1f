"""Finnhub's REST answers: quotes, symbol look-up, and the refusals a free token gets.

Generated numbers (finnhub_trades.py) in the vendor's form. The token comes by header `X-Finnhub-Token` or `?token=`.
"""

import hmac
import time
from collections import deque
from dataclasses import dataclass, field

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from finlake_services.sample_sources.faults import Faults
from finlake_services.sample_sources.finnhub_trades import COIN_SYMBOLS, SampleTradeMaker

CALLS_PER_MINUTE = 60
_MINUTE_S = 60

_UNKNOWN_QUOTE: dict[str, object] = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
_NOTHING_FOUND: dict[str, object] = {"count": 0, "result": []}
_INVALID_KEY = {"error": "Invalid API key"}
_NO_ACCESS = {"error": "You don't have access to this resource."}
_LIMIT_TEXT = "API limit reached. Please try again later. Remaining Limit: 0"


@dataclass
class CallWindow:
    """The calls of the last minute, by token."""

    calls: dict[str, deque[float]] = field(default_factory=dict)

    def allows(self, token: str, now_s: float) -> bool:
        """Count a call and say whether it is within the limit; refused calls do not count. `now_s` is monotonic."""
        recent = self.calls.setdefault(token, deque())
        while recent and recent[0] <= now_s - _MINUTE_S:
            recent.popleft()
        if len(recent) >= CALLS_PER_MINUTE:
            return False
        recent.append(now_s)
        return True

    def clear(self) -> None:
        """Forget every call."""
        self.calls.clear()


TOKEN_HEADER = "X-Finnhub-Token"


def is_accepted(given: str | None, wanted: str | None) -> bool:
    """Whether a token opens the door; `wanted` None accepts any that is not empty."""
    if not given:
        return False
    return wanted is None or hmac.compare_digest(given.encode(), wanted.encode())


def rest_router(
    faults: Faults, maker: SampleTradeMaker, symbols: tuple[str, ...], token: str | None, window: CallWindow
) -> APIRouter:
    """The paths under `/finnhub/api/v1`."""
    router = APIRouter(prefix="/finnhub/api/v1")

    def refusal(request: Request, target: str, unknown: dict[str, object]) -> Response | None:
        given = request.headers.get(TOKEN_HEADER) or request.query_params.get("token")
        fault = faults.take("finnhub", target)
        if fault == "limit":
            return _limit_answer()
        if fault == "invalid_key" or not given or not is_accepted(given, token):
            return JSONResponse(_INVALID_KEY, status_code=401)
        if not window.allows(given, time.monotonic()):
            return _limit_answer()
        return JSONResponse(unknown) if fault == "unknown_symbol" else _damage(fault)

    # Coroutines: the walks belong to the event loop, where the websockets move them.
    @router.get("/quote")
    async def quote(request: Request, symbol: str = "") -> Response:
        refused = refusal(request, symbol, _UNKNOWN_QUOTE)
        return refused or JSONResponse(_quote(maker, symbol) if symbol in symbols else _UNKNOWN_QUOTE)

    @router.get("/search")
    async def search(request: Request, q: str = "") -> Response:
        found = [_listing(symbol) for symbol in symbols if q and q.upper() in symbol]
        return refusal(request, "search", _NOTHING_FOUND) or JSONResponse({"count": len(found), "result": found})

    @router.get("/stock/candle")
    async def candle(request: Request) -> Response:
        return refusal(request, "candle", {"s": "no_data"}) or JSONResponse(_NO_ACCESS, status_code=403)

    return router


def _limit_answer() -> Response:
    headers = {
        "x-ratelimit-limit": str(CALLS_PER_MINUTE),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int(time.time()) + _MINUTE_S),
    }
    return Response(_LIMIT_TEXT, status_code=429, media_type="text/plain", headers=headers)


def _damage(fault: str | None) -> Response | None:
    match fault:
        case "no_access":
            return JSONResponse(_NO_ACCESS, status_code=403)
        case "http_503":
            return Response("Service Unavailable", status_code=503, media_type="text/plain")
        case "unknown_page":
            return Response("<html><body>Please sign in to this network</body></html>", media_type="text/html")
        case "cut":
            return Response('{"c":308.82,"d":3.83,"dp"', media_type="application/json")
    return None


def _quote(maker: SampleTradeMaker, symbol: str) -> dict[str, float | int]:
    walk = maker.walk(symbol)
    change = walk.price - walk.previous_close
    return {
        "c": walk.price,
        "d": round(change, 4),
        "dp": round(100 * change / walk.previous_close, 4),
        "h": walk.high,
        "l": walk.low,
        "o": walk.open,
        "pc": walk.previous_close,
        "t": int(time.time()),
    }


def _listing(symbol: str) -> dict[str, str]:
    is_coin = symbol in COIN_SYMBOLS
    return {
        "symbol": symbol,
        "description": symbol.split(":")[-1],
        "displaySymbol": symbol.split(":")[-1],
        "type": "Crypto" if is_coin else "Common Stock",
    }
