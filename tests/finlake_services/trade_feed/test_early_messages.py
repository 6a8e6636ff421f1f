"""What a connection has brought is taken, however early the connection ends."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close, CloseCode

from finlake_services.trade_feed.clock import ReceiveClock
from finlake_services.trade_feed.finnhub_token import TokenFile
from finlake_services.trade_feed.gaps import GapLedger
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.rows import RejectedRow, Row, TradeRow
from finlake_services.trade_feed.trade_stream import ConnectionLimits, TradeStream

TRADE = json.dumps({"type": "trade", "data": [{"p": 1.5, "s": "AAPL", "t": 1_700_000_000_000, "v": 1}]}).encode()


class EndedSocket:
    """A connection that is over before anything could be sent, with messages that had come."""

    def __init__(self, messages: int, error: ConnectionClosedError) -> None:
        self._messages, self._error = [TRADE] * messages, error

    async def __aenter__(self) -> "EndedSocket":
        return self

    async def __aexit__(self, *_: object) -> None:
        """It is closed already."""

    async def send(self, _: str) -> None:
        raise self._error

    async def recv(self, decode: bool) -> bytes:
        if self._messages:
            return self._messages.pop()
        raise self._error


@pytest.mark.parametrize("sent", [None, Close(CloseCode.MESSAGE_TOO_BIG, ""), Close(CloseCode.PROTOCOL_ERROR, "")])
def test_messages_of_a_connection_that_ended_before_its_subscription_are_taken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: Close | None,
) -> None:
    (tmp_path / "token").write_text("made-up-token", encoding="utf-8")
    taken, sockets = list[Row](), [EndedSocket(30, ConnectionClosedError(None, sent))]

    async def listen() -> None:
        over = asyncio.Event()

        async def put(rows: Sequence[Row]) -> None:
            taken.extend(rows)

        async def connect() -> EndedSocket:
            if not sockets:
                over.set()
                await asyncio.sleep(3600)
            return sockets.pop()

        stream = TradeStream(
            "ws://127.0.0.1:1",
            TokenFile(tmp_path / "token"),
            ["AAPL"],
            put,
            GapLedger(None),
            ReceiveClock(),
            FeedMetrics(),
            ConnectionLimits(),
        )
        monkeypatch.setattr(stream, "_connect", connect)
        monkeypatch.setattr("finlake_services.trade_feed.trade_stream.reconnect_wait_s", lambda _: 0.0)
        running = asyncio.create_task(stream.run())
        await asyncio.wait_for(over.wait(), 30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(listen())
    assert len([row for row in taken if isinstance(row, TradeRow)]) == 30
    is_too_big = sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG
    assert len([row for row in taken if isinstance(row, RejectedRow)]) == is_too_big
