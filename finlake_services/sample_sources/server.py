"""The HTTP face of the sample sources: Stooq's, GDELT's and Finnhub's paths, plus `/health` and `/_faults`."""

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from threading import Thread
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.middleware.base import RequestResponseEndpoint

from finlake_services.sample_sources import archive, news, prices
from finlake_services.sample_sources.faults import KINDS, Faults, UnknownFaultError, VendorFault
from finlake_services.sample_sources.finnhub import TOKEN_HEADER, CallWindow, is_accepted, rest_router
from finlake_services.sample_sources.finnhub_stream import SampleStream, stream_router
from finlake_services.sample_sources.finnhub_trades import COIN_SYMBOLS, SampleTradeMaker

_CHALLENGE_PAGE = (
    "<!DOCTYPE html><html><head><title>Stooq</title></head><body><noscript>This site requires JavaScript to verify "
    "your browser.</noscript><script>var __verify=1;crypto.subtle.digest('SHA-256',new Uint8Array(8));</script>"
    "</body></html>"
)
_APIKEY_TEXT = (
    "Get your apikey:\r\n\r\n1. Open https://stooq.com/q/d/?s=aapl.us&get_apikey\r\n2. Enter the captcha code.\r\n"
    "3. Copy the CSV download link and append the apikey=XXXXXXXX parameter to your requests.\r\n"
)
_STOOQ_TEXTS = {
    "no_data": "No data",
    "limit": "Exceeded the daily hits limit",
    "limit_pl": "Przekroczony dzienny limit wywolan",
    "apikey": _APIKEY_TEXT,
    "challenge": _CHALLENGE_PAGE,
    "denied": "Access denied",
    "empty": "",
    "unknown_page": "<html><body><h1>Welcome</h1>Please sign in</body></html>",
}
_RANGE = re.compile(r"^bytes=(\d+)-(\d*)$")


class FaultOrder(BaseModel):
    """A fault that ends after `times` requests."""

    kind: str
    times: int = Field(ge=1)


def create_app(finnhub_token: str | None = None, finnhub_symbols: Collection[str] = prices.TICKERS) -> FastAPI:
    """The application with its own empty set of faults.

    `finnhub_token` None accepts any token that is not empty, and orders (`/_faults`, `/finnhub/_control`) without one.
    `finnhub_symbols` are known beside the sample coins.
    """
    faults = Faults()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # The first master list needs the MD5 of every slot; work them out while the server already answers.
        Thread(target=lambda: [archive.listed(label) for label in archive.labels()], daemon=True).start()
        yield

    app = FastAPI(title="finlake sample sources", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    if finnhub_token is not None:
        _guard_orders(app, finnhub_token)
    _add_fault_paths(app, faults)
    _add_stooq_paths(app, faults)
    _add_gdelt_paths(app, faults)
    _add_finnhub_paths(app, faults, finnhub_token, tuple(dict.fromkeys((*finnhub_symbols, *COIN_SYMBOLS))))
    return app


def _guard_orders(app: FastAPI, token: str) -> None:
    """Only who knows the token may give orders: of paths whose last part begins with an underscore, the vendors have none."""

    @app.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        is_order = request.url.path.rpartition("/")[2].startswith("_")
        if is_order and not is_accepted(request.headers.get(TOKEN_HEADER), token):
            return Response(f"orders need the token in the header {TOKEN_HEADER}\n", 401, media_type="text/plain")
        return await call_next(request)


def _add_fault_paths(app: FastAPI, faults: Faults) -> None:
    @app.get("/_faults")
    def show_faults() -> dict[str, dict[str, str]]:
        return faults.listing()

    @app.post("/_faults")
    def set_faults(orders: dict[str, dict[str, str | FaultOrder]]) -> dict[str, dict[str, str]]:
        try:
            for source, targets in orders.items():
                for target, order in targets.items():
                    fault = VendorFault(order) if isinstance(order, str) else VendorFault(order.kind, order.times)
                    faults.set(source, target, fault)
        except UnknownFaultError as error:
            raise HTTPException(422, str(error)) from error
        return faults.listing()

    @app.delete("/_faults")
    def clear_faults() -> dict[str, dict[str, str]]:
        faults.clear()
        return faults.listing()


def _add_stooq_paths(app: FastAPI, faults: Faults) -> None:
    @app.get("/q/d/l/")
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
        return _stooq_answer(code, i, d1, d2, fault)


def _stooq_answer(code: str, interval: str, d1: str | None, d2: str | None, fault: str | None) -> Response:
    if fault == "http_503":
        return Response("Service Unavailable", status_code=503, media_type="text/plain")
    if fault in _STOOQ_TEXTS:
        text = _STOOQ_TEXTS[fault]
        return Response(text, media_type="text/html" if text.startswith("<") else "text/plain")
    bars = _bars(code, interval, d1, d2, fault)
    if not bars:
        return Response(_STOOQ_TEXTS["no_data"], media_type="text/plain")
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


def _add_gdelt_paths(app: FastAPI, faults: Faults) -> None:
    @app.api_route("/gdeltv2/masterfilelist.txt", methods=["GET", "HEAD"])
    def master_list(request: Request) -> Response:
        damage = _http_damage(faults.take("gdelt", "masterfilelist.txt"))
        return damage or _ranged(request, archive.master_list(str(request.base_url).rstrip("/"), faults))

    @app.get("/gdeltv2/lastupdate.txt")
    def last_update(request: Request) -> Response:
        damage = _http_damage(faults.take("gdelt", "lastupdate.txt"))
        body = archive.last_update(str(request.base_url).rstrip("/"))
        return damage or Response(body, media_type="text/plain")

    @app.get("/gdeltv2/{stamp}.gkg.csv.zip")
    def gkg_zip(stamp: str) -> Response:
        return _gkg_answer(stamp, faults.take("gdelt", stamp))

    @app.get("/moved/{stamp}.gkg.csv.zip")
    def moved_gkg_zip(stamp: str) -> Response:
        return _gkg_answer(stamp, None)


def _add_finnhub_paths(app: FastAPI, faults: Faults, token: str | None, symbols: tuple[str, ...]) -> None:
    maker, window = SampleTradeMaker(), CallWindow()
    app.include_router(rest_router(faults, maker, symbols, token, window))
    app.include_router(stream_router(SampleStream(maker, symbols, token, faults), window))


def _gkg_answer(stamp: str, fault: str | None) -> Response:
    if fault in ("redirect", "redirect_ftp"):
        target = f"/moved/{stamp}.gkg.csv.zip"
        location = target if fault == "redirect" else f"ftp://127.0.0.1{target}"
        return Response(status_code=301, headers={"location": location})
    if (damage := _http_damage(fault)) is not None:
        return damage
    try:
        label = datetime.strptime(stamp, news.STAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return _not_found()
    if fault in ("absent", "missing") or not archive.holds(label):
        return _not_found()
    return Response(archive.damaged_zip(label, fault), media_type="application/zip")


def _http_damage(fault: str | None) -> Response | None:
    if fault == "http_503":
        return Response("Service Unavailable", status_code=503, media_type="text/plain")
    if fault == "http_403":
        return Response("<Error><Code>AccessDeniedError</Code></Error>", status_code=403, media_type="application/xml")
    if fault == "unknown_page":
        return Response("<html><body>Please sign in to this network</body></html>", media_type="text/html")
    return None


def _not_found() -> Response:
    return Response("<Error><Code>NoSuchKey</Code></Error>", status_code=404, media_type="application/xml")


def _ranged(request: Request, body: bytes) -> Response:
    """The body, or the part of it that a single `Range: bytes=a-b` asks for."""
    headers = {"accept-ranges": "bytes"}
    wanted = _RANGE.match(request.headers.get("range", ""))
    if wanted is None:
        return Response(body, media_type="text/plain", headers=headers)
    first = int(wanted[1])
    last = min(int(wanted[2]) if wanted[2] else len(body) - 1, len(body) - 1)
    if first >= len(body) or last < first:
        return Response(status_code=416, headers={"content-range": f"bytes */{len(body)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(body)}"
    return Response(body[first : last + 1], status_code=206, media_type="text/plain", headers=headers)
