"""Trades from the websocket: connect, subscribe, read until the connection ends, say why, connect again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from finlake_clients.source_errors import ApiKeyNeededError
from finlake_services.trade_feed.clock import ReceiveClock
from finlake_services.trade_feed.finnhub_rest import is_loopback
from finlake_services.trade_feed.finnhub_token import TokenFile
from finlake_services.trade_feed.gaps import GapLedger, GapReason
from finlake_services.trade_feed.messages import (
    Malformed,
    Ping,
    Refused,
    Trades,
    VendorError,
    parse,
    raw_text,
    rejection_reason,
    trade_rows,
)
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.pacing import limit_wait_s, reconnect_wait_s
from finlake_services.trade_feed.rows import RejectedRow, Row
from spark.contracts.stream_rows import VENDOR_COMPLAINS

DEFAULT_SILENCE_LIMIT_S = 90.0
"""The vendor pings about once a minute: half a minute more tells a late ping from a dead connection."""

DEFAULT_REFUSED_WAIT_S = 300.0

LARGEST_MESSAGE_BYTES = 4 * 1024 * 1024
"""A larger message ends its connection before it is read."""

_LONGEST_COMPLAINT = 200
_INVALID_KEY = "invalid api key"

_log = structlog.get_logger()


class TokenRefusedError(Exception):
    """The vendor turned the token down, at the handshake or by message."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Seconds without any message after which a connection counts as dead, and before a refused token is tried again."""

    silence_s: float = DEFAULT_SILENCE_LIMIT_S
    refused_wait_s: float = DEFAULT_REFUSED_WAIT_S


@dataclass
class _OpenConnection:
    id: str
    message_seq: int = 0
    is_in_other_units: bool = False
    last_message_us: int | None = None


class TradeStream:
    """One websocket connection at a time, for ever. Every message of it becomes rows for `put`."""

    def __init__(
        self,
        url: str,
        token: TokenFile,
        symbols: Sequence[str],
        put: Callable[[Sequence[Row]], Awaitable[None]],
        ledger: GapLedger,
        clock: ReceiveClock,
        metrics: FeedMetrics,
        limits: ConnectionLimits,
    ) -> None:
        self._url, self._token, self._symbols = url, token, symbols
        self._put, self._ledger, self._clock = put, ledger, clock
        self._metrics, self._limits = metrics, limits
        metrics.subscribed_symbols.set(len(symbols))

    async def run(self) -> None:
        """Never returns; each connection's end, its gap and the wait before the next one are logged."""
        failures = 0
        while True:
            connection = _OpenConnection(uuid4().hex)
            failures += 1
            try:
                wait_s = await self._live(connection, failures)
            finally:
                self._metrics.is_connected.set(0)
            if connection.last_message_us is not None:
                failures = 0
            await asyncio.sleep(wait_s)

    async def _live(self, connection: _OpenConnection, failures: int) -> float:
        """One connection from its handshake to its end; returns the seconds to wait before the next."""
        wait_s = reconnect_wait_s(failures)
        try:
            socket = await self._connect()
        except (TokenRefusedError, ApiKeyNeededError) as error:
            return self._note_refused(error)
        except InvalidStatus as error:
            if error.response.status_code == 429:
                headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
                wait_s = limit_wait_s(headers, datetime.now(UTC))
            return self._note_failure(f"HTTP {error.response.status_code}", wait_s)
        except (OSError, TimeoutError, WebSocketException) as error:
            return self._note_failure(str(error) or type(error).__name__, wait_s)
        self._metrics.connections.inc()
        async with socket:
            try:
                reason, detail = await self._receive(socket, connection)
            except TokenRefusedError as error:
                reason, detail, wait_s = "refused", str(error), self._note_refused(error)
        self._ledger.ended(connection.last_message_us, reason)
        self._metrics.disconnects.labels(reason).inc()
        _log.warning(
            "the connection has ended",
            reason=reason,
            detail=detail,
            connection_id=connection.id,
            messages=connection.message_seq,
            next_try_in_s=round(wait_s, 1),
        )
        return wait_s

    async def _connect(self) -> ClientConnection:
        # The vendor's websocket knows no header for the token.
        url = f"{self._url}?{urlencode({'token': self._token.read()})}"
        try:
            return await connect(
                url,
                compression=None,
                open_timeout=10,
                close_timeout=2,
                max_size=LARGEST_MESSAGE_BYTES,
                # Pongs wait behind unread trades when the buffer is full; a dead peer is the watchdog's to find.
                ping_interval=None,
                proxy=None if is_loopback(self._url) else True,
            )
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                raise TokenRefusedError(f"HTTP {error.response.status_code}") from None
            raise

    async def _receive(self, socket: ClientConnection, connection: _OpenConnection) -> tuple[GapReason, str]:
        """Subscribe and read until the end; returns why it ended. Raises TokenRefusedError."""
        try:
            # What came before an end during this is still there to be read, and so is how the connection ended.
            with suppress(ConnectionClosed):
                await self._subscribe(socket, connection)
            while True:
                # Waiting for room in the buffer is no silence: only the wait for a message is limited.
                async with asyncio.timeout(self._limits.silence_s):
                    raw = await socket.recv(decode=False)
                await self._take(raw, connection)
        except TimeoutError:
            return "silence", f"no message for {self._limits.silence_s:g} s"
        except ConnectionClosed as error:
            if error.sent is not None and error.sent.code == CloseCode.MESSAGE_TOO_BIG:
                return await self._note_too_large(connection)
            frame = error.rcvd
            return ("closed", f"{frame.code} {frame.reason}".strip()) if frame else ("lost", "without a close frame")

    async def _subscribe(self, socket: ClientConnection, connection: _OpenConnection) -> None:
        for symbol in self._symbols:
            await socket.send(msgspec.json.encode({"type": "subscribe", "symbol": symbol}).decode())
        _log.info("subscribed", connection_id=connection.id, symbols=len(self._symbols))

    async def _note_too_large(self, connection: _OpenConnection) -> tuple[GapReason, str]:
        """A message that is not read to its end, so that its text is not known, ends the connection and is logged."""
        received_us = self._clock.now_us()
        connection.message_seq += 1
        self._metrics.messages_received.labels("malformed").inc()
        self._metrics.messages_rejected.inc()
        why = f"larger than {LARGEST_MESSAGE_BYTES} bytes: it was not read, and its connection was ended"
        rows: list[Row] = [RejectedRow(received_us, connection.id, connection.message_seq, why, "")]
        self._note_life(received_us, connection, rows)
        await self._put(rows)
        return "lost", f"a message was {why}"

    async def _take(self, raw: bytes, connection: _OpenConnection) -> None:
        received_us = self._clock.now_us()
        connection.message_seq += 1
        message = parse(raw, received_us, connection.id)
        rows: list[Row] = []
        rejection: str | None = None
        refused: Sequence[Refused] = ()
        match message:
            case Trades():
                self._metrics.messages_received.labels("trade").inc()
                self._metrics.trades_received.inc(len(message.trades))
                rows += trade_rows(message.trades, received_us, connection.id, connection.message_seq)
                self._note_other_units(message, connection)
                if message.refused:
                    refused = message.refused
                    self._metrics.trades_rejected.inc(len(refused))
                    rejection = rejection_reason(refused)
            case Ping():
                self._metrics.messages_received.labels("ping").inc()
            case VendorError():
                self._metrics.messages_received.labels("error").inc()
                self._note_vendor_error(message.message)
                why = f"{VENDOR_COMPLAINS}{message.message[:_LONGEST_COMPLAINT]}"
                await self._put([RejectedRow(received_us, connection.id, connection.message_seq, why, raw_text(raw))])
                # A refusal is no sign that trades would come.
                return
            case Malformed():
                self._metrics.messages_received.labels("malformed").inc()
                rejection = message.reason
        if rejection is not None:
            self._metrics.messages_rejected.inc()
            _log.warning(
                "a message was rejected",
                reason=rejection,
                connection_id=connection.id,
                message_seq=connection.message_seq,
            )
            rows.append(RejectedRow(received_us, connection.id, connection.message_seq, rejection, raw_text(raw, refused)))
        self._note_life(received_us, connection, rows)
        if rows:
            await self._put(rows)

    def _note_life(self, received_us: int, connection: _OpenConnection, rows: list[Row]) -> None:
        connection.last_message_us = received_us
        self._metrics.is_connected.set(1)
        self._metrics.last_message_age.set_function(lambda: (self._clock.read_us() - received_us) / 1e6)
        gap = self._ledger.spoke(connection.id, received_us, self._symbols)
        if gap is not None:
            # Ahead of the connection's rows: a gap must not be forgotten once rows behind it are stored.
            rows.insert(0, gap)
            self._metrics.gaps.labels(gap.reason).inc()
            _log.info(
                "a gap has ended",
                reason=gap.reason,
                connection_id=gap.connection_id,
                gap_s=None if gap.gap_start_us is None else (gap.gap_end_us - gap.gap_start_us) / 1e6,
            )

    def _note_other_units(self, message: Trades, connection: _OpenConnection) -> None:
        self._metrics.trades_in_other_units.inc(message.converted)
        if message.converted and not connection.is_in_other_units:
            connection.is_in_other_units = True
            _log.warning(
                "times of trades come in another unit than milliseconds; they are converted",
                connection_id=connection.id,
                message_seq=connection.message_seq,
                trades=message.converted,
            )

    def _note_vendor_error(self, words: str) -> None:
        self._metrics.vendor_errors.inc()
        if _INVALID_KEY in words.lower():
            raise TokenRefusedError(words)
        _log.error("finnhub complains", message=words, symbols=len(self._symbols))

    def _note_refused(self, error: Exception) -> float:
        self._metrics.connect_failures.inc()
        refusal = error if isinstance(error, ApiKeyNeededError) else self._token.refused()
        _log.error("finnhub refuses the token", reason=str(refusal), next_try_in_s=self._limits.refused_wait_s)
        return self._limits.refused_wait_s

    def _note_failure(self, reason: str, wait_s: float) -> float:
        self._metrics.connect_failures.inc()
        _log.warning("finnhub cannot be reached", reason=reason, next_try_in_s=round(wait_s, 1))
        return wait_s
