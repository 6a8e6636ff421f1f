"""A load of trades on Postgres at a steady rate, written as the feed writes them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from finlake_proofs.bench.synthetic_trades import SyntheticTrades
from finlake_services.trade_feed.clock import wall_us
from finlake_services.trade_feed.ods_writer import OdsAccess, OdsWriter
from finlake_settings.groups import FeedMarket
from finlake_settings.processes import FeedSettings
from finlake_settings.reading import settings_from


@dataclass(frozen=True, kw_only=True)
class Load:
    """`rows_per_s` for `seconds`, in messages of `message_rows`; each message is committed as soon as the last one is."""

    connection_id: str
    rows_per_s: int
    seconds: float
    message_rows: int = 50

    @property
    def message_count(self) -> int:
        """Messages in all."""
        return round(self.rows_per_s * self.seconds / self.message_rows)

    @property
    def message_s(self) -> float:
        """Seconds between two messages."""
        return self.message_rows / self.rows_per_s


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a load came to. `backlog_rows` is what waited for Postgres when the last message was handed over."""

    row_count: int
    seconds: float
    backlog_rows: int
    cpu_s: float

    @property
    def rows_per_s(self) -> float:
        """The rate at which Postgres committed."""
        return self.row_count / self.seconds


def write_trades(environment: Mapping[str, str], load: Load) -> Written:
    """Carry out a load on the stack with these variables, to its last commit. Raises OdsError."""
    return asyncio.run(_write(feed_market(environment), load, _as_time_passes(load)))


def write_past_trades(environment: Mapping[str, str], load: Load) -> Written:
    """The same rows as fast as Postgres takes them, with the times of the span that ends now. Raises OdsError."""
    return asyncio.run(_write(feed_market(environment), load, _of_the_past(load)))


def feed_market(environment: Mapping[str, str]) -> FeedMarket:
    """Where the feed of the stack with these variables writes, and as whom."""
    return settings_from(FeedSettings, environment).market


async def _write(market: FeedMarket, load: Load, moments: AsyncIterator[int]) -> Written:
    """One message at each of `moments`, the time of reception in Unix microseconds."""
    writer = OdsWriter(OdsAccess(market.uri, "feed", market.feed_password_file))
    writing = asyncio.create_task(writer.run())
    maker = SyntheticTrades(load.connection_id, seed=load.rows_per_s)
    began, cpu_began = time.perf_counter(), time.process_time()
    async for received_us in moments:
        await writer.put(maker.message(load.message_rows, received_us))
    backlog_rows = writer.depth
    writer.close()
    await writing
    return Written(
        row_count=load.message_count * load.message_rows,
        seconds=time.perf_counter() - began,
        backlog_rows=backlog_rows,
        cpu_s=time.process_time() - cpu_began,
    )


async def _as_time_passes(load: Load) -> AsyncIterator[int]:
    began = time.perf_counter()
    for number in range(load.message_count):
        # By the schedule and not by the last message: who was late for one is not late for all.
        await asyncio.sleep(max(0.0, began + number * load.message_s - time.perf_counter()))
        yield wall_us()


async def _of_the_past(load: Load) -> AsyncIterator[int]:
    step_us = round(load.message_s * 1_000_000)
    first_us = wall_us() - load.message_count * step_us
    for number in range(load.message_count):
        yield first_us + number * step_us
