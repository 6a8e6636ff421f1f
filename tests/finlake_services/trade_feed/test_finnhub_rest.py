"""The REST client and the poller against the sample server, which answers as Finnhub does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest

from finlake_clients.source_errors import (
    AccessDeniedError,
    ApiKeyNeededError,
    LimitReachedError,
    NotDataError,
    SourceError,
    SourceUnavailableError,
)
from finlake_services.trade_feed.clock import ReceiveClock
from finlake_services.trade_feed.finnhub_rest import FinnhubRest
from finlake_services.trade_feed.finnhub_token import TokenFile
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.pacing import CallBudget
from finlake_services.trade_feed.quote_poller import QuotePoller
from finlake_services.trade_feed.rows import QuoteRow, Row
from finlake_services.trade_feed.service import listed_symbols

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytest_plugins = ["tests.plugins.sample_server"]

Answer = TypeVar("Answer")


@pytest.fixture
def token(tmp_path: Path) -> TokenFile:
    (tmp_path / "token").write_text("some-token")
    return TokenFile(tmp_path / "token")


@pytest.fixture
def finnhub(sample_server: "SampleServer") -> "SampleServer":
    httpx.post(f"{sample_server.url}/finnhub/_control", json={"reset": True}).raise_for_status()
    return sample_server


def ask(
    server: "SampleServer",
    token: TokenFile,
    verb: Callable[[FinnhubRest], Awaitable[Answer]],
    budget: CallBudget | None = None,
) -> Answer:
    async def asked() -> Answer:
        rest = FinnhubRest(f"{server.url}/finnhub/api/v1", token, budget or CallBudget())
        try:
            return await verb(rest)
        finally:
            await rest.close()

    return asyncio.run(asyncio.wait_for(asked(), 20))


def test_a_quote_has_the_vendors_numbers(finnhub: "SampleServer", token: TokenFile) -> None:
    quote = ask(finnhub, token, lambda rest: rest.quote("AAPL"))
    assert quote is not None
    assert 0 < quote.l <= quote.c <= quote.h
    assert quote.t > 1_700_000_000


def test_zeros_mean_that_the_symbol_is_unknown(finnhub: "SampleServer", token: TokenFile) -> None:
    assert ask(finnhub, token, lambda rest: rest.quote("NOSUCH")) is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("invalid_key", ApiKeyNeededError),
        ("no_access", AccessDeniedError),
        ("limit", LimitReachedError),
        ("http_503", SourceUnavailableError),
        ("unknown_page", NotDataError),
        ("cut", NotDataError),
    ],
)
def test_what_is_no_quote_has_a_type_that_says_what_to_do(
    finnhub: "SampleServer",
    token: TokenFile,
    fault: str,
    error: type[SourceError],
) -> None:
    finnhub.set_faults("finnhub", {"AAPL": fault})
    with pytest.raises(error) as caught:
        ask(finnhub, token, lambda rest: rest.quote("AAPL"))
    assert "some-token" not in str(caught.value)
    assert caught.value.next_step


def test_a_server_that_is_not_there_has_a_type_too(token: TokenFile, unused_url: str) -> None:
    async def asked() -> None:
        await FinnhubRest(unused_url, token, CallBudget()).quote("AAPL")

    with pytest.raises(SourceUnavailableError):
        asyncio.run(asked())


@pytest.fixture
def unused_url() -> str:
    # Port 9 is for discarding; nothing listens there.
    return "http://127.0.0.1:9"


def test_a_reached_limit_holds_back_every_later_call(finnhub: "SampleServer", token: TokenFile) -> None:
    finnhub.set_faults("finnhub", {"AAPL": "limit"})
    budget = CallBudget()

    async def twice(rest: FinnhubRest) -> None:
        with pytest.raises(LimitReachedError):
            await rest.quote("AAPL")
        async with asyncio.timeout(0.1):
            await rest.quote("MSFT")

    with pytest.raises(TimeoutError):
        ask(finnhub, token, twice, budget)


def test_the_vendor_never_sees_more_than_its_calls_a_minute(finnhub: "SampleServer", token: TokenFile) -> None:
    async def many(rest: FinnhubRest) -> None:
        for _ in range(60):
            await rest.quote("AAPL")
        async with asyncio.timeout(0.1):
            await rest.quote("AAPL")

    # The 61st call waits for its minute; without a budget the sample server would answer 429 to it.
    with pytest.raises(TimeoutError):
        ask(finnhub, token, many)


def test_only_symbols_that_are_listed_exactly_so_are_followed(finnhub: "SampleServer", token: TokenFile) -> None:
    wanted = ["AAPL", "AAP", "BINANCE:BTCUSDT", "NOSUCH"]
    assert ask(finnhub, token, lambda rest: listed_symbols(rest, wanted)) == ("AAPL", "BINANCE:BTCUSDT")


@pytest.mark.parametrize("fault", ["http_503", "limit", "unknown_page"])
def test_a_look_up_that_goes_wrong_costs_no_symbol(finnhub: "SampleServer", token: TokenFile, fault: str) -> None:
    finnhub.set_faults("finnhub", {"search": fault})
    assert ask(finnhub, token, lambda rest: listed_symbols(rest, ["AAPL", "NOSUCH"])) == ("AAPL", "NOSUCH")


def poll(server: "SampleServer", token: TokenFile, symbols: list[str], rows: int, metrics: FeedMetrics) -> list[QuoteRow]:
    """The first `rows` rows of a poller that does not pause between rounds."""
    stored: list[Row] = []
    enough = asyncio.Event()

    async def put(more: Sequence[Row]) -> None:
        stored.extend(more)
        if len(stored) >= rows:
            enough.set()

    async def polled(rest: FinnhubRest) -> None:
        poller = QuotePoller(rest, symbols, put, ReceiveClock(), metrics, interval_s=0, refused_wait_s=0)
        running = asyncio.create_task(poller.run())
        await enough.wait()
        running.cancel()

    ask(server, token, polled)
    return [row for row in stored if isinstance(row, QuoteRow)][:rows]


def test_every_answer_is_a_row_and_an_unknown_symbol_is_asked_for_once(finnhub: "SampleServer", token: TokenFile) -> None:
    metrics = FeedMetrics()
    rows = poll(finnhub, token, ["AAPL", "NOSUCH", "MSFT"], 6, metrics)
    assert [row.symbol for row in rows] == ["AAPL", "MSFT"] * 3
    assert [row.poll_seq for row in rows] == [1, 2, 3, 4, 5, 6]
    assert len({row.poller_id for row in rows}) == 1
    assert all(row.price_usd > 0 for row in rows)
    assert metrics.registry.get_sample_value("finlake_feed_quote_calls_total", {"outcome": "unknown_symbol"}) == 1


def test_a_quote_that_fails_costs_no_other(finnhub: "SampleServer", token: TokenFile) -> None:
    finnhub.set_faults("finnhub", {"AAPL": {"kind": "unknown_page", "times": 1}, "MSFT": {"kind": "invalid_key", "times": 1}})
    metrics = FeedMetrics()
    rows = poll(finnhub, token, ["AAPL", "MSFT", "IBM"], 4, metrics)
    assert [row.symbol for row in rows] == ["IBM", "AAPL", "MSFT", "IBM"]
    for outcome in ("failed", "refused"):
        assert metrics.registry.get_sample_value("finlake_feed_quote_calls_total", {"outcome": outcome}) == 1
