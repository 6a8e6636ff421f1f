"""The feed as a whole: what runs beside what, and how it stops."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from finlake_clients.source_errors import SourceError
from finlake_services.trade_feed.clock import ReceiveClock
from finlake_services.trade_feed.finnhub_rest import FinnhubRest
from finlake_services.trade_feed.finnhub_token import TokenFile
from finlake_services.trade_feed.gaps import GapLedger
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.ods_writer import DEFAULT_BATCH_ROWS, DEFAULT_BUFFER_ROWS, OdsAccess, OdsWriter
from finlake_services.trade_feed.pacing import CallBudget
from finlake_services.trade_feed.quote_poller import DEFAULT_INTERVAL_S, QuotePoller
from finlake_services.trade_feed.trade_stream import ConnectionLimits, TradeStream

DEFAULT_DRAIN_LIMIT_S = 15.0
"""Of the 20 s that a stopping process gets, what the last rows may take."""

_log = structlog.get_logger()


class RowsNotWrittenError(Exception):
    """The feed had to stop before Postgres took its last rows; the next start records the gap."""


@dataclass(frozen=True, kw_only=True)
class FeedConfig:
    """The settings of a feed. `quote_interval_s` 0: no quotes. `looks_up_symbols`: skip what Finnhub does not list."""

    websocket_url: str
    rest_url: str
    token: TokenFile
    ods: OdsAccess
    symbols: Sequence[str]
    looks_up_symbols: bool = True
    quote_interval_s: float = DEFAULT_INTERVAL_S
    batch_rows: int = DEFAULT_BATCH_ROWS
    buffer_rows: int = DEFAULT_BUFFER_ROWS
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    drain_limit_s: float = DEFAULT_DRAIN_LIMIT_S


async def run_feed(config: FeedConfig, metrics: FeedMetrics, stop: asyncio.Event) -> None:
    """Feed until `stop` is set, then write what was received.

    Raises OdsError when Postgres refuses the rows for good, RowsNotWrittenError when it took too long to take the last ones.
    """
    writer = OdsWriter(config.ods, metrics, batch_rows=config.batch_rows, buffer_rows=config.buffer_rows)
    rest = FinnhubRest(config.rest_url, config.token, CallBudget())
    reading = asyncio.create_task(_read(config, metrics, writer, rest))
    writing = asyncio.create_task(writer.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((reading, writing, stopping), return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        stopping.cancel()
        await asyncio.gather(reading, stopping, return_exceptions=True)
        await _drain(writer, writing, config.drain_limit_s)
        if not reading.cancelled():
            reading.result()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await rest.close()
    _log.info("trade feed stopped")


async def _read(config: FeedConfig, metrics: FeedMetrics, writer: OdsWriter, rest: FinnhubRest) -> None:
    newest_us = await writer.newest_us()
    symbols = await listed_symbols(rest, config.symbols) if config.looks_up_symbols else tuple(config.symbols)
    clock = ReceiveClock()
    stream = TradeStream(
        config.websocket_url,
        config.token,
        symbols,
        writer.put,
        GapLedger(newest_us),
        clock,
        metrics,
        config.limits,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stream.run())
        if config.quote_interval_s:
            poller = QuotePoller(
                rest,
                symbols,
                writer.put,
                clock,
                metrics,
                interval_s=config.quote_interval_s,
                refused_wait_s=config.limits.refused_wait_s,
            )
            tasks.create_task(poller.run())


async def _drain(writer: OdsWriter, writing: asyncio.Task[None], limit_s: float) -> None:
    writer.close()
    try:
        async with asyncio.timeout(limit_s):
            await writing
    except TimeoutError:
        raise RowsNotWrittenError(
            f"{writer.depth} rows were received and not written within {limit_s:g} s, because Postgres does not "
            "answer; they are lost, and the next start records the gap",
        ) from None


async def listed_symbols(rest: FinnhubRest, symbols: Sequence[str]) -> tuple[str, ...]:
    """The symbols that Finnhub lists exactly so. One whose look-up goes wrong is taken unseen: trades come first."""
    listed: list[str] = []
    for index, symbol in enumerate(symbols):
        try:
            is_listed = await rest.lists(symbol)
        except SourceError as error:
            unseen = symbols[index:]
            _log.warning("symbols cannot be looked up, subscribing to them unseen", symbols=list(unseen), reason=str(error))
            return (*listed, *unseen)
        if is_listed:
            listed.append(symbol)
            _log.info("symbol found", symbol=symbol)
        else:
            _log.error(
                "failed - symbol not found", symbol=symbol, next_step="correct it in universe.toml or in FINLAKE_FINNHUB_SYMBOLS"
            )
    return tuple(listed)
