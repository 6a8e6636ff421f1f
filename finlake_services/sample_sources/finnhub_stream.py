"""Finnhub's websocket, and the control by which a test or a demo decides what it sends.

`/finnhub/ws?token=` takes `{"type":"subscribe","symbol":"AAPL"}` and `unsubscribe`, and sends generated trades
(finnhub_trades.py) and `{"type":"ping"}`. `/finnhub/_control` changes it while it runs: GET shows what was sent to whom,
POST takes an `Orders` object, and a new connection starts under the orders in force.
"""

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field

import msgspec
from fastapi import APIRouter, Response, WebSocket
from pydantic import BaseModel, ConfigDict, Field
from starlette.websockets import WebSocketDisconnect

from finlake_services.sample_sources.faults import Faults
from finlake_services.sample_sources.finnhub import CallWindow, is_accepted
from finlake_services.sample_sources.finnhub_trades import SampleTradeMaker

MOST_SYMBOLS = 50
# Enough to see candles move; each commit costs every service downstream some milliseconds.
DEFAULT_TRADES_PER_S = 10.0
DEFAULT_PING_INTERVAL_S = 60.0

_TICK_S = 0.02
_MESSAGE_SIZE = 10
# A connection that cannot be written to for longer does not get what it missed: the vendor has no replay.
_MOST_OWED_S = 1.0


class Burst(BaseModel):
    """`trades` generated trades at `per_second` for each open connection; the steady rate rests meanwhile."""

    model_config = ConfigDict(extra="forbid")

    trades: int = Field(ge=1)
    per_second: float = Field(gt=0)


class Orders(BaseModel):
    """What to do from now on; a field that is left out changes nothing.

    `messages` are raw texts that every open connection gets in this order, whatever it has subscribed to: a captured
    session, or text that is no JSON. `silent` holds back everything, pings included. `drop` closes every connection with
    this websocket code. `reset` first puts everything back as it was at the start, counts and call limits included.
    """

    model_config = ConfigDict(extra="forbid")

    reset: bool = False
    trades_per_s: float | None = Field(default=None, ge=0)
    is_paused: bool | None = None
    is_silent: bool | None = None
    ping_interval_s: float | None = Field(default=None, gt=0)
    messages: list[str] = []
    burst: Burst | None = None
    drop: int | None = Field(default=None, ge=1000, le=4999)


class ConnectionReport(BaseModel):
    """What one connection was sent. `is_idle`: no ordered message and no trade of a burst is left to send."""

    number: int
    is_open: bool
    is_idle: bool
    symbols: list[str]
    trades_sent: int
    messages_sent: int
    pings_sent: int


class StreamReport(BaseModel):
    """The orders in force and every connection since the start or the last reset, oldest first."""

    trades_per_s: float
    is_paused: bool
    is_silent: bool
    ping_interval_s: float
    connections: list[ConnectionReport]


class _Ask(msgspec.Struct):
    type: str
    symbol: str


class _TradesOnly(msgspec.Struct):
    data: list[msgspec.Raw] = []


_ASKS = msgspec.json.Decoder(_Ask)


@dataclass
class _Connection:
    number: int
    socket: WebSocket
    symbols: dict[str, None] = field(default_factory=dict)
    ordered: deque[str] = field(default_factory=deque)
    burst_left: int = 0
    burst_per_s: float = 0.0
    owed: float = 0.0
    next_size: int = 0
    trades_sent: int = 0
    messages_sent: int = 0
    pings_sent: int = 0
    is_open: bool = True
    closing_code: int | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def report(self) -> ConnectionReport:
        return ConnectionReport(
            number=self.number,
            is_open=self.is_open,
            is_idle=not self.ordered and self.burst_left == 0,
            symbols=list(self.symbols),
            trades_sent=self.trades_sent,
            messages_sent=self.messages_sent,
            pings_sent=self.pings_sent,
        )


class SampleStream:
    """All connections of the websocket, and the orders they are under. Lives in one event loop."""

    def __init__(self, maker: SampleTradeMaker, symbols: tuple[str, ...], token: str | None, faults: Faults) -> None:
        self._maker, self._known, self._token, self._faults = maker, frozenset(symbols), token, faults
        self._by_token: dict[str, _Connection] = {}
        self._connections: list[_Connection] = []
        self._last_number = 0
        self._reset()

    def _reset(self) -> None:
        self.trades_per_s = DEFAULT_TRADES_PER_S
        self.ping_interval_s = DEFAULT_PING_INTERVAL_S
        self.is_paused = self.is_silent = False
        self._connections = [connection for connection in self._connections if connection.is_open]
        for connection in self._connections:
            connection.ordered.clear()
            connection.burst_left = connection.trades_sent = connection.messages_sent = connection.pings_sent = 0

    def report(self) -> StreamReport:
        """The orders in force and what was sent."""
        return StreamReport(
            trades_per_s=self.trades_per_s,
            is_paused=self.is_paused,
            is_silent=self.is_silent,
            ping_interval_s=self.ping_interval_s,
            connections=[connection.report() for connection in self._connections],
        )

    def obey(self, orders: Orders) -> StreamReport:
        """Put orders in force for the open connections and those to come."""
        if orders.reset:
            self._reset()
        for name in ("trades_per_s", "is_paused", "is_silent", "ping_interval_s"):
            if getattr(orders, name) is not None:
                setattr(self, name, getattr(orders, name))
        for connection in self._connections:
            connection.ordered.extend(orders.messages if connection.is_open else ())
            if orders.burst is not None and connection.is_open:
                connection.burst_left, connection.burst_per_s, connection.owed = orders.burst.trades, orders.burst.per_second, 0.0
            connection.closing_code = orders.drop or connection.closing_code
            connection.woken.set()
        return self.report()

    async def serve(self, socket: WebSocket, token: str) -> None:
        """One connection from its handshake to its end."""
        refused = {"http_503": 503, "limit": 429, "invalid_key": 401}.get(self._faults.take("finnhub", "ws") or "")
        if refused is not None:
            await socket.send_denial_response(Response(status_code=refused))
            return
        await socket.accept()
        if not is_accepted(token, self._token):
            await socket.send_text(_error_text("Invalid API key"))
            await socket.close(1008)
            return
        if token in self._by_token:
            # One connection a token: the newcomer goes.
            await socket.close(1008)
            return
        self._last_number += 1
        connection = _Connection(self._last_number, socket)
        self._connections.append(connection)
        self._by_token[token] = connection
        sender = asyncio.create_task(self._send(connection))
        try:
            await self._listen(connection)
        finally:
            connection.is_open = False
            del self._by_token[token]
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _listen(self, connection: _Connection) -> None:
        while True:
            try:
                text = await connection.socket.receive_text()
            except WebSocketDisconnect:
                return
            try:
                ask = _ASKS.decode(text)
            except msgspec.DecodeError:
                continue
            if ask.type == "unsubscribe":
                connection.symbols.pop(ask.symbol, None)
            elif ask.type == "subscribe" and len(connection.symbols) >= MOST_SYMBOLS and ask.symbol not in connection.symbols:
                await connection.socket.send_text(_error_text("Subscribing to too many symbols"))
            elif ask.type == "subscribe":
                connection.symbols[ask.symbol] = None
                connection.woken.set()

    async def _send(self, connection: _Connection) -> None:
        last = last_ping = time.monotonic()
        while connection.closing_code is None:
            now = time.monotonic()
            elapsed, last = now - last, now
            if not self.is_silent:
                await self._send_ordered(connection)
                await self._send_trades(connection, elapsed)
                if now - last_ping >= self.ping_interval_s:
                    await connection.socket.send_text('{"type":"ping"}')
                    connection.pings_sent += 1
                    last_ping = now
            connection.woken.clear()
            try:
                async with asyncio.timeout(_TICK_S):
                    await connection.woken.wait()
            except TimeoutError:
                continue
        await connection.socket.close(connection.closing_code)

    async def _send_ordered(self, connection: _Connection) -> None:
        while connection.ordered:
            text = connection.ordered.popleft()
            await connection.socket.send_text(text)
            connection.messages_sent += 1
            connection.trades_sent += _trades_in(text)

    async def _send_trades(self, connection: _Connection, elapsed_s: float) -> None:
        symbols = [symbol for symbol in connection.symbols if symbol in self._known]
        is_burst = connection.burst_left > 0
        if not symbols or (self.is_paused and not is_burst):
            connection.owed = 0.0
            return
        rate = connection.burst_per_s if is_burst else self.trades_per_s
        # At high rates messages grow, as the vendor's do.
        largest = max(_MESSAGE_SIZE, int(rate / 100))
        connection.owed += rate * elapsed_s
        if not is_burst:
            connection.owed = min(connection.owed, rate * _MOST_OWED_S + largest)
        while connection.is_open:
            connection.next_size = connection.next_size or self._maker.size(largest)
            count = min(connection.next_size, connection.burst_left) if is_burst else connection.next_size
            if count == 0 or connection.owed < count:
                return
            message = self._maker.message(symbols, count, time.time_ns() // 1_000_000)
            await connection.socket.send_text(msgspec.json.encode(message).decode())
            connection.next_size = 0
            connection.owed -= count
            connection.burst_left -= count if is_burst else 0
            connection.trades_sent += count
            connection.messages_sent += 1


def stream_router(stream: SampleStream, window: CallWindow) -> APIRouter:
    """`/finnhub/ws` and `/finnhub/_control`; a reset also forgets the REST calls that `window` has counted."""
    router = APIRouter(prefix="/finnhub")

    @router.websocket("/ws")
    async def websocket(socket: WebSocket, token: str = "") -> None:
        await stream.serve(socket, token)

    @router.get("/_control")
    async def show() -> StreamReport:
        return stream.report()

    @router.post("/_control")
    async def order(orders: Orders) -> StreamReport:
        if orders.reset:
            window.clear()
        return stream.obey(orders)

    return router


def _error_text(message: str) -> str:
    return json.dumps({"msg": message, "type": "error"}, separators=(",", ":"))


def _trades_in(text: str) -> int:
    try:
        return len(msgspec.json.decode(text, type=_TradesOnly).data)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return 0
