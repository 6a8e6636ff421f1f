"""The HTTP face of the sample sources: the vendors' paths, plus `/health` and `/_faults`.

The paths of a vendor whose files Dagster fetches stand in the module named after the bronze table that they fill.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from threading import Thread

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.middleware.base import RequestResponseEndpoint

from finlake_services.sample_sources import archive, prices
from finlake_services.sample_sources.faults import Faults, UnknownFaultError, VendorFault
from finlake_services.sample_sources.finnhub import TOKEN_HEADER, CallWindow, is_accepted, rest_router
from finlake_services.sample_sources.finnhub_stream import SampleStream, stream_router
from finlake_services.sample_sources.finnhub_trades import COIN_SYMBOLS, SampleTradeMaker
from spark.contracts.attribution import BRONZE_TABLES
from spark.contracts.table import Table


class MissingSampleError(LookupError):
    """A contract says that a vendor's files fill its table, and nothing answers as that vendor does."""


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
    for table in BRONZE_TABLES:
        if table.step == table.address and table.window != "stream_day":
            app.include_router(sample_paths(table, faults))
    _add_finnhub_paths(app, faults, finnhub_token, tuple(dict.fromkeys((*finnhub_symbols, *COIN_SYMBOLS))))
    return app


def sample_paths(table: Table, faults: Faults) -> APIRouter:
    """The paths of the vendor whose rows the table holds; raises `MissingSampleError` for a table without a module."""
    name = f"{__package__}.{table.name}"
    if find_spec(name) is None:
        raise MissingSampleError(
            f"{table.address} has a contract and no sample answers. Write {name.replace('.', '/')}.py with "
            "`def router(faults: Faults) -> APIRouter`, whose paths answer as the vendor does"
        )
    paths = import_module(name).router(faults)
    if not isinstance(paths, APIRouter):
        raise TypeError(f"router of {name} gives {type(paths).__name__} and no APIRouter; return the paths that it has made")
    return paths


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


def _add_finnhub_paths(app: FastAPI, faults: Faults, token: str | None, symbols: tuple[str, ...]) -> None:
    maker, window = SampleTradeMaker(), CallWindow()
    app.include_router(rest_router(faults, maker, symbols, token, window))
    app.include_router(stream_router(SampleStream(maker, symbols, token, faults), window))
