"""What the vendor says that is no trade and no ping is kept in its words, for alerts to find; it is no sign of life."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from finlake_services.trade_feed.clock import ReceiveClock
from finlake_services.trade_feed.finnhub_token import TokenFile
from finlake_services.trade_feed.gaps import GapLedger
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.rows import RejectedRow, Row
from finlake_services.trade_feed.trade_stream import ConnectionLimits, TradeStream
from spark.contracts.stream_rows import VENDOR_COMPLAINS


def test_a_complaint_is_a_row_in_the_vendors_words_and_no_sign_of_life(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("made-up-token", encoding="utf-8")
    metrics, taken = FeedMetrics(), list[Row]()

    async def listen() -> None:
        heard = asyncio.Event()

        async def put(rows: Sequence[Row]) -> None:
            taken.extend(rows)
            if len(taken) == 2:
                heard.set()

        async def vendor(socket: ServerConnection) -> None:
            await socket.recv()
            for words in ("Subscribing to too many symbols", "x" * 5000):
                await socket.send(json.dumps({"type": "error", "msg": words}))
            await socket.wait_closed()

        async with serve(vendor, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            stream = TradeStream(
                f"ws://127.0.0.1:{port}",
                TokenFile(token),
                ["AAPL"],
                put,
                GapLedger(None),
                ReceiveClock(),
                metrics,
                ConnectionLimits(),
            )
            running = asyncio.create_task(stream.run())
            await asyncio.wait_for(heard.wait(), 30)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(listen())
    assert all(isinstance(row, RejectedRow) for row in taken)
    reasons = [row.reason for row in taken if isinstance(row, RejectedRow)]
    assert reasons == [f"{VENDOR_COMPLAINS}Subscribing to too many symbols", f"{VENDOR_COMPLAINS}{'x' * 200}"]
    assert metrics.registry.get_sample_value("finlake_feed_vendor_errors_total") == 2
    assert metrics.registry.get_sample_value("finlake_feed_messages_rejected_total") == 0
    assert metrics.registry.get_sample_value("finlake_feed_connected") == 0
