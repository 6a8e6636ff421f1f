"""Quotes from Finnhub's REST interface, one after the other, each answer a row."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import structlog

from finlake_clients.source_errors import AccessDeniedError, ApiKeyNeededError, LimitReachedError, SourceError
from finlake_services.trade_feed.clock import ReceiveClock
from finlake_services.trade_feed.finnhub_rest import FinnhubRest, VendorQuote
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.rows import QuoteRow, Row

DEFAULT_INTERVAL_S = 60.0

_log = structlog.get_logger()


class QuotePoller:
    """Asks for every symbol's quote each `interval_s` seconds, or slower where the budget of calls is smaller."""

    def __init__(
        self,
        rest: FinnhubRest,
        symbols: Sequence[str],
        put: Callable[[Sequence[Row]], Awaitable[None]],
        clock: ReceiveClock,
        metrics: FeedMetrics,
        *,
        interval_s: float,
        refused_wait_s: float,
    ) -> None:
        self._rest, self._symbols, self._put = rest, list(symbols), put
        self._clock, self._metrics = clock, metrics
        self._interval_s, self._refused_wait_s = interval_s, refused_wait_s
        self._poller_id, self._poll_seq = uuid4().hex, 0

    async def run(self) -> None:
        """Never returns; what goes wrong with a quote is logged and counted."""
        while True:
            started = time.monotonic()
            for symbol in tuple(self._symbols):
                await self._poll(symbol)
            await asyncio.sleep(max(started + self._interval_s - time.monotonic(), 0))

    async def _poll(self, symbol: str) -> None:
        try:
            quote = await self._rest.quote(symbol)
        except LimitReachedError as error:
            self._note("rate_limited", error)
        except ApiKeyNeededError as error:
            self._note("refused", error)
            await asyncio.sleep(self._refused_wait_s)
        except AccessDeniedError as error:
            self._symbols.remove(symbol)
            self._note("refused", error)
        except SourceError as error:
            self._note("failed", error)
        else:
            if quote is None:
                # Finnhub answers zeros for a symbol that it does not know; logged once, and never asked for again.
                self._symbols.remove(symbol)
                self._metrics.quote_calls.labels("unknown_symbol").inc()
                _log.warning("finnhub knows no quote of this symbol", symbol=symbol)
                return
            self._poll_seq += 1
            row = quote_row(quote, symbol, self._clock.now_us(), self._poller_id, self._poll_seq)
            self._metrics.quote_calls.labels("stored").inc()
            await self._put([row])

    def _note(self, outcome: str, error: SourceError) -> None:
        self._metrics.quote_calls.labels(outcome).inc()
        _log.warning("no quote", outcome=outcome, reason=str(error))


def quote_row(quote: VendorQuote, symbol: str, received_us: int, poller_id: str, poll_seq: int) -> QuoteRow:
    """The row of an answer."""
    return QuoteRow(
        received_us,
        poller_id,
        poll_seq,
        symbol,
        price_usd=quote.c,
        change_usd=quote.d,
        change_pct=quote.dp,
        high_usd=quote.h,
        low_usd=quote.l,
        open_usd=quote.o,
        previous_close_usd=quote.pc,
        quote_s=int(quote.t),
    )
