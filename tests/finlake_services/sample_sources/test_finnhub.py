"""Finnhub's face of the sample server: REST bodies, refusals, and the websocket under orders."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from finlake_services.sample_sources import faults
from finlake_services.sample_sources.finnhub import CallWindow
from finlake_services.sample_sources.finnhub_trades import COIN_SYMBOLS, SampleTradeMaker, is_extended_hours

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.plugins.sample_server"]

SUMMER_NOON_MS = 1_783_008_000_000  # 2026-07-02 12:00 in New York


@pytest.fixture
def finnhub(sample_server: "SampleServer") -> Iterator["SampleServer"]:
    order(sample_server, reset=True)
    yield sample_server
    order(sample_server, reset=True)


def order(server: "SampleServer", **orders: Any) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/finnhub/_control", json=orders)
    answer.raise_for_status()
    return dict(answer.json())


def rest(server: "SampleServer", path: str, token: str | None = "t") -> httpx.Response:
    return httpx.get(f"{server.url}/finnhub/api/v1/{path}", headers={"X-Finnhub-Token": token} if token else {})


def websocket(server: "SampleServer", token: str = "t") -> ClientConnection:
    return connect(f"{server.url.replace('http', 'ws')}/finnhub/ws?token={token}", proxy=None)


def received(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(timeout=10)))


def read_on(socket: ClientConnection, timeout_s: float = 10) -> NoReturn:
    """Read until it ends, by TimeoutError or ConnectionClosed."""
    while True:
        socket.recv(timeout=timeout_s)


def subscribe(socket: ClientConnection, *symbols: str) -> None:
    for symbol in symbols:
        socket.send(json.dumps({"type": "subscribe", "symbol": symbol}))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited 10 s in vain"
        time.sleep(0.01)


def newest_connection(server: "SampleServer") -> dict[str, Any]:
    connections = httpx.get(f"{server.url}/finnhub/_control").json()["connections"]
    return dict(connections[-1]) if connections else {}


def test_a_quote_has_the_vendors_fields_and_agrees_with_itself(finnhub: "SampleServer") -> None:
    quote = rest(finnhub, "quote?symbol=AAPL").raise_for_status().json()
    assert list(quote) == ["c", "d", "dp", "h", "l", "o", "pc", "t"]
    assert quote["d"] == pytest.approx(quote["c"] - quote["pc"], abs=1e-4)
    assert quote["l"] <= quote["c"] <= quote["h"]


def test_an_unknown_symbol_is_answered_with_zeros(finnhub: "SampleServer") -> None:
    answer = rest(finnhub, "quote?symbol=NOSUCH")
    assert answer.status_code == 200
    assert answer.text.replace(" ", "") == '{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}'


def test_the_symbol_look_up_finds_parts_of_names(finnhub: "SampleServer") -> None:
    found = rest(finnhub, "search?q=binance:btc").json()
    assert found == {
        "count": 1,
        "result": [
            {"symbol": "BINANCE:BTCUSDT", "description": "BTCUSDT", "displaySymbol": "BTCUSDT", "type": "Crypto"},
        ],
    }
    assert rest(finnhub, "search?q=NOSUCH").json() == {"count": 0, "result": []}


def test_candles_are_not_for_free(finnhub: "SampleServer") -> None:
    answer = rest(finnhub, "stock/candle?symbol=AAPL&resolution=1")
    assert (answer.status_code, answer.json()) == (403, {"error": "You don't have access to this resource."})


def test_without_a_token_there_is_no_answer(finnhub: "SampleServer") -> None:
    answer = rest(finnhub, "quote?symbol=AAPL", token=None)
    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid API key"})
    assert rest(finnhub, "quote?symbol=AAPL&token=t", token=None).status_code == 200


def test_the_sixty_first_call_of_a_minute_is_refused_in_plain_text(finnhub: "SampleServer") -> None:
    answers = [rest(finnhub, "quote?symbol=AAPL", token="busy") for _ in range(61)]
    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    assert answers[-1].text.startswith("API limit reached.")
    assert answers[-1].headers["x-ratelimit-remaining"] == "0"
    assert rest(finnhub, "quote?symbol=AAPL", token="idle").status_code == 200


def test_a_minute_later_calls_are_answered_again() -> None:
    window = CallWindow()
    assert all(window.allows("t", 0.0) for _ in range(60))
    assert not window.allows("t", 59.9)
    assert window.allows("t", 60.0)


@pytest.mark.parametrize("kind", faults.KINDS["finnhub"])
def test_every_fault_kind_spoils_the_quote(finnhub: "SampleServer", kind: str) -> None:
    finnhub.set_faults("finnhub", {"AAPL": kind})
    answer = rest(finnhub, "quote?symbol=AAPL")
    assert answer.status_code != 200 or not answer.text.endswith("}") or answer.json()["t"] == 0


def test_the_websocket_sends_trades_of_subscribed_symbols_as_of_now(finnhub: "SampleServer") -> None:
    order(finnhub, trades_per_s=500)
    with websocket(finnhub) as socket:
        subscribe(socket, "MSFT", "BINANCE:BTCUSDT", "NOSUCH")
        messages = [received(socket) for _ in range(20)]
        symbols = {trade["s"] for message in messages for trade in message["data"]}
        now_ms = time.time_ns() // 1_000_000
        assert symbols == {"MSFT", "BINANCE:BTCUSDT"}
        assert all(now_ms - 60_000 < trade["t"] <= now_ms for message in messages for trade in message["data"])
        socket.send('{"type":"unsubscribe","symbol":"MSFT"}')
        wait_until(lambda: "MSFT" not in newest_connection(finnhub)["symbols"])
        order(finnhub, messages=['{"type":"ping"}'])
        while received(socket)["type"] != "ping":
            continue
        assert {trade["s"] for _ in range(5) for trade in received(socket)["data"]} == {"BINANCE:BTCUSDT"}


def test_a_burst_is_sent_to_the_last_trade_and_counted(finnhub: "SampleServer") -> None:
    order(finnhub, is_paused=True)
    with websocket(finnhub) as socket:
        subscribe(socket, "AAPL")
        wait_until(lambda: newest_connection(finnhub).get("symbols") == ["AAPL"])
        order(finnhub, burst={"trades": 1234, "per_second": 20_000})
        count = 0
        while count < 1234:
            count += len(received(socket)["data"])
        wait_until(lambda: bool(newest_connection(finnhub)["is_idle"]))
        assert count == newest_connection(finnhub)["trades_sent"] == 1234


def test_raw_messages_are_sent_as_they_are_and_in_order(finnhub: "SampleServer") -> None:
    order(finnhub, is_paused=True)
    texts = ["{broken", '{"data":[{"p":-1},{"p":2}],"type":"trade"}', '{"type":"ping"}', "\x00"]
    with websocket(finnhub) as socket:
        subscribe(socket, "AAPL")
        wait_until(lambda: bool(newest_connection(finnhub).get("symbols")))
        order(finnhub, messages=texts)
        assert [socket.recv(timeout=10) for _ in texts] == texts
        wait_until(lambda: newest_connection(finnhub)["messages_sent"] == 4)
        assert newest_connection(finnhub)["trades_sent"] == 2


def test_pings_come_at_their_interval_and_silence_means_silence(finnhub: "SampleServer") -> None:
    order(finnhub, is_paused=True, ping_interval_s=0.05)
    with websocket(finnhub) as socket:
        assert received(socket) == {"type": "ping"}
        assert received(socket) == {"type": "ping"}
        order(finnhub, is_silent=True, messages=["late"])
        with pytest.raises(TimeoutError):
            read_on(socket, timeout_s=0.3)
        order(finnhub, is_silent=False)
        assert socket.recv(timeout=10) == "late"


def test_a_dropped_connection_is_closed_with_the_ordered_code(finnhub: "SampleServer") -> None:
    with websocket(finnhub) as socket:
        wait_until(lambda: bool(newest_connection(finnhub).get("is_open")))
        order(finnhub, drop=1001)
        with pytest.raises(ConnectionClosed) as caught:
            read_on(socket)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
    wait_until(lambda: not newest_connection(finnhub)["is_open"])


def test_one_token_has_one_connection(finnhub: "SampleServer") -> None:
    with websocket(finnhub) as first, websocket(finnhub) as second:
        with pytest.raises(ConnectionClosed):
            second.recv(timeout=10)
        subscribe(first, "AAPL")
        assert received(first)["type"] == "trade"
    wait_until(lambda: not newest_connection(finnhub)["is_open"])
    with websocket(finnhub) as third:
        subscribe(third, "AAPL")
        assert received(third)["type"] == "trade"


def test_an_empty_token_and_too_many_symbols_are_answered_by_an_error(finnhub: "SampleServer") -> None:
    with websocket(finnhub, token="") as socket:
        assert received(socket) == {"msg": "Invalid API key", "type": "error"}
    with websocket(finnhub) as socket:
        subscribe(socket, *(f"S{number}" for number in range(51)))
        assert received(socket) == {"msg": "Subscribing to too many symbols", "type": "error"}


@pytest.mark.parametrize(("fault", "status"), [("http_503", 503), ("limit", 429), ("invalid_key", 401)])
def test_a_fault_refuses_the_handshake(finnhub: "SampleServer", fault: str, status: int) -> None:
    finnhub.set_faults("finnhub", {"ws": {"kind": fault, "times": 1}})
    with pytest.raises(InvalidStatus) as caught, websocket(finnhub):
        pass
    assert caught.value.response.status_code == status
    with websocket(finnhub) as socket:
        subscribe(socket, "AAPL")
        assert received(socket)["type"] == "trade"


def test_the_same_seed_makes_the_same_trades_at_any_time() -> None:
    def numbers(now_ms: int) -> list[tuple[str, float, float]]:
        maker = SampleTradeMaker(seed=7)
        return [
            (trade.s, trade.p, trade.v)
            for _ in range(50)
            for trade in maker.message(["AAPL", "BINANCE:BTCUSDT"], maker.size(10), now_ms).data
        ]

    assert numbers(SUMMER_NOON_MS) == numbers(SUMMER_NOON_MS + 86_400_000)


def test_made_trades_have_the_habits_of_captured_ones() -> None:
    maker = SampleTradeMaker()
    messages = [maker.message(["AAPL", "IBM", *COIN_SYMBOLS], 10, SUMMER_NOON_MS).data for _ in range(300)]
    stocks = [trade for message in messages for trade in message if trade.s not in COIN_SYMBOLS]
    coins = [trade for message in messages for trade in message if trade.s in COIN_SYMBOLS]
    assert all(trade.c is not None and ("12" in trade.c) == (trade.v < 100) and trade.c[0] == "1" for trade in stocks)
    assert not any("24" in (trade.c or []) for trade in stocks)
    assert all(trade.c is None and trade.v % 1 for trade in coins)
    pairs = [pair for message in messages for pair in zip(message, message[1:], strict=False)]
    assert any(first == second for first, second in pairs)
    assert any(second.t < first.t for first, second in pairs)
    assert any(first.s != second.s for first, second in pairs)
    assert all(trade.t <= SUMMER_NOON_MS for message in messages for trade in message)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 7, 2, 13, 29, tzinfo=UTC), True),
        (datetime(2026, 7, 2, 13, 30, tzinfo=UTC), False),
        (datetime(2026, 7, 2, 20, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 15, 14, 29, tzinfo=UTC), True),
        (datetime(2026, 1, 15, 20, 59, tzinfo=UTC), False),
        (datetime(2026, 7, 4, 15, 0, tzinfo=UTC), True),
    ],
)
def test_extended_hours_follow_the_clock_of_new_york(moment: datetime, expected: bool) -> None:
    assert is_extended_hours(moment) is expected
