"""Stooq's path: daily prices as CSV, and what Stooq says instead of them."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from finlake_services.sample_sources import prices
from finlake_services.sample_sources.faults import KINDS, Faults

_CHALLENGE_PAGE = (
    "<!DOCTYPE html><html><head><title>Stooq</title></head><body><noscript>This site requires JavaScript to verify "
    "your browser.</noscript><script>var __verify=1;crypto.subtle.digest('SHA-256',new Uint8Array(8));</script>"
    "</body></html>"
)
_APIKEY_TEXT = (
    "Get your apikey:\r\n\r\n1. Open https://stooq.com/q/d/?s=aapl.us&get_apikey\r\n2. Enter the captcha code.\r\n"
    "3. Copy the CSV download link and append the apikey=XXXXXXXX parameter to your requests.\r\n"
)
_TEXTS = {
    "no_data": "No data",
    "limit": "Exceeded the daily hits limit",
    "limit_pl": "Przekroczony dzienny limit wywolan",
    "apikey": _APIKEY_TEXT,
    "challenge": _CHALLENGE_PAGE,
    "denied": "Access denied",
    "empty": "",
    "unknown_page": "<html><body><h1>Welcome</h1>Please sign in</body></html>",
}


def router(faults: Faults) -> APIRouter:
    """Stooq's path."""
    paths = APIRouter()

    @paths.get("/q/d/l/")
    def stooq_daily(
        s: str,
        i: str = "d",
        d1: str | None = None,
        d2: str | None = None,
        apikey: str | None = None,
        fault: Annotated[str | None, Query(alias="_fault")] = None,
    ) -> Response:
        """Daily prices of one code, `d1` and `d2` as YYYYMMDD, both inclusive; `_fault` spoils this one answer."""
        code = s.lower()
        if fault is not None and fault not in KINDS["stooq"]:
            raise HTTPException(422, f"stooq has no fault {fault!r}: use one of {', '.join(KINDS['stooq'])}")
        fault = fault or faults.take("stooq", code)
        if fault == "echo":
            return Response(f"Bad request: s={code} apikey={apikey}", media_type="text/plain")
        return _answer(code, i, d1, d2, fault)

    return paths


def _answer(code: str, interval: str, d1: str | None, d2: str | None, fault: str | None) -> Response:
    if fault == "http_503":
        return Response("Service Unavailable", status_code=503, media_type="text/plain")
    if fault in _TEXTS:
        text = _TEXTS[fault]
        return Response(text, media_type="text/html" if text.startswith("<") else "text/plain")
    bars = _bars(code, interval, d1, d2, fault)
    if not bars:
        return Response(_TEXTS["no_data"], media_type="text/plain")
    body = prices.csv_body(bars, prices.CSV_HEADER_PL if fault == "pl" else prices.CSV_HEADER)
    if fault == "cut":
        body = body[:-9]
    if fault == "bom":
        body = b"\xef\xbb\xbf" + body
    return Response(body, media_type="text/csv")


def _bars(code: str, interval: str, d1: str | None, d2: str | None, fault: str | None) -> tuple[prices.Bar, ...]:
    ticker = {prices.stooq_code(known): known for known in prices.TICKERS}.get(code)
    if ticker is None or interval != "d":
        return ()
    bars = prices.history(ticker)
    if fault in prices.RESTATEMENTS:
        bars = prices.restated(bars, fault)
    return prices.between(bars, _day(d1), _day(d2))


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise HTTPException(400, f"{text!r} is not a day in the form YYYYMMDD") from error
