"""Trades while processes die: a writer that goes on until it is told to stop, and transactions that never commit."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from random import Random

import structlog

from finlake_clients.secret_files import secret_of
from finlake_proofs.bench.ods_load import feed_market
from finlake_proofs.bench.synthetic_trades import SyntheticTrades
from finlake_services.trade_feed.clock import wall_us
from finlake_services.trade_feed.ods_writer import OdsAccess, OdsWriter
from finlake_settings.groups import FeedMarket
from finlake_settings.processes import ReconciliationSettings
from finlake_settings.reading import settings_from

INTERRUPTED = "interrupted-"
"""Connection ids of rows whose transaction was killed begin so: none of them may ever be seen."""
LARGEST_MESSAGE, PAUSE_S = 200, 0.1


def write_until(environment: Mapping[str, str], connection_id: str, rows_per_s: int, stop: Path) -> int:
    """Write transactions of one row to some hundred until the file `stop` is there; returns the rows that were handed over.

    Ends when Postgres has acknowledged all of them, however often it had to be asked.
    """
    # That Postgres goes away is the point, and no news.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    return asyncio.run(_write_until(feed_market(environment), connection_id, rows_per_s, stop))


async def _write_until(market: FeedMarket, connection_id: str, rows_per_s: int, stop: Path) -> int:
    writer = OdsWriter(OdsAccess(market.uri, "feed", market.feed_password_file))
    writing = asyncio.create_task(writer.run())
    maker, chosen, row_count = SyntheticTrades(connection_id, seed=0), Random(0), 0
    while not stop.exists():
        size = chosen.randint(1, LARGEST_MESSAGE)
        await writer.put(maker.message(size, wall_us()))
        row_count += size
        await asyncio.sleep(size / rows_per_s)
    writer.close()
    await writing
    return row_count


def kill_transaction(environment: Mapping[str, str], number: int) -> int:
    """Insert rows and kill the Postgres process that does it before they are committed; returns its process id."""
    import psycopg

    market = feed_market(environment)
    rows = SyntheticTrades(f"{INTERRUPTED}{number}", seed=number).message(LARGEST_MESSAGE, wall_us())
    connection = psycopg.connect(
        market.uri,
        user="feed",
        password=secret_of("postgres", market.feed_password_file),
        connect_timeout=10,
        application_name="finlake chaos",
    )
    # Committing, as leaving a connection's context would, is what must not happen.
    try:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO ods.finnhub_trades (received_ts, connection_id, message_seq, trade_index, symbol, price_usd, "
                "volume_shares, trade_ts) VALUES (to_timestamp(%s), %s, %s, %s, %s, %s, %s, to_timestamp(%s))",
                [
                    (
                        row.received_us / 1e6,
                        row.connection_id,
                        row.message_seq,
                        row.trade_index,
                        row.symbol,
                        row.price_usd,
                        row.volume_shares,
                        row.trade_ms / 1e3,
                    )
                    for row in rows
                ],
            )
        process_id = connection.info.backend_pid
        os.kill(process_id, signal.SIGKILL)
    finally:
        connection.close()
    return process_id


def written_rows(environment: Mapping[str, str], prefix: str) -> int:
    """Trades in Postgres whose connection id begins so."""
    import psycopg

    market = settings_from(ReconciliationSettings, environment).market
    with psycopg.connect(
        market.uri,
        user="reconcile",
        password=secret_of("postgres", market.reconcile_password_file),
        connect_timeout=10,
    ) as connection:
        row = connection.execute(
            "SELECT count(*) FROM ods.finnhub_trades WHERE starts_with(connection_id, %s)", [prefix]
        ).fetchone()
    assert row is not None
    return int(row[0])
