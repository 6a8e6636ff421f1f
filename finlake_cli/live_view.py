"""What a person sees of the stream while it flows: trades, rates and latency per symbol, read from ClickHouse."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finlake_clients.secret_files import secret_of
from finlake_services.sample_sources.finnhub import TOKEN_HEADER

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from rich.console import Console
    from rich.table import Table

REFRESH_S = 0.5
RATE_WINDOW_S = 5

_BY_SYMBOL = """
    SELECT symbol, count(), countIf(inserted_ts > now64(6) - toIntervalSecond({window_s:UInt32})) / {window_s:UInt32},
           argMax(price_usd, (trade_ts, kafka_partition, kafka_offset)),
           quantileIf(0.5)(age, inserted_ts > now64(6) - toIntervalSecond({window_s:UInt32})),
           quantileIf(0.99)(age, inserted_ts > now64(6) - toIntervalSecond({window_s:UInt32}))
    FROM (SELECT *, (toUnixTimestamp64Micro(inserted_ts) - toUnixTimestamp64Micro(committed_ts)) / 1000 AS age
          FROM speed.stock_realtime WHERE flaw = '')
    GROUP BY GROUPING SETS ((symbol), ()) ORDER BY symbol = '', symbol
"""


@dataclass(frozen=True, kw_only=True)
class SymbolNow:
    """One symbol at this moment; `symbol` is empty for all of them together. Latency: from commit to insert."""

    symbol: str
    trade_count: int
    trades_per_s: float
    last_price_usd: float
    p50_ms: float
    p99_ms: float


@contextmanager
def faster(sample_sources_url: str, token_file: Path, trades_per_s: float) -> Iterator[None]:
    """The sample websocket sends so many trades a second, over all symbols, and goes back to its usual rate afterwards."""
    import httpx

    headers = {TOKEN_HEADER: secret_of("sample_sources", token_file)}

    def ask(orders: dict[str, float] | None = None) -> float:
        url = f"{sample_sources_url}/finnhub/_control"
        answer = httpx.request("POST" if orders else "GET", url, json=orders, headers=headers, trust_env=False)
        return float(answer.raise_for_status().json()["trades_per_s"])

    usual = ask()
    ask({"trades_per_s": trades_per_s})
    try:
        yield
    finally:
        ask({"trades_per_s": usual})


def watch(client: "Client", console: "Console", seconds: float, clock: Callable[[], float] = time.monotonic) -> SymbolNow:
    """Show the stream for so many seconds; returns the last view of all symbols together."""
    from rich.live import Live

    until = clock() + seconds
    now = symbols_now(client)
    with Live(live_table(now), console=console, refresh_per_second=1 / REFRESH_S, transient=False) as live:
        while clock() < until:
            time.sleep(REFRESH_S)
            now = symbols_now(client)
            live.update(live_table(now))
    if not console.is_terminal:
        # There the last view ends without a line of its own.
        console.print()
    return now[-1]


def symbols_now(client: "Client") -> list[SymbolNow]:
    """Every symbol in alphabetical order, then all of them together."""
    answer = client.query(_BY_SYMBOL, parameters={"window_s": RATE_WINDOW_S})
    return [
        SymbolNow(symbol=symbol, trade_count=count, trades_per_s=rate, last_price_usd=price, p50_ms=p50, p99_ms=p99)
        for symbol, count, rate, price, p50, p99 in answer.result_rows
    ]


def live_table(now: list[SymbolNow]) -> "Table":
    """The view as a table for a terminal."""
    from rich.table import Table

    table = Table(title=f"Trades in ClickHouse; rate and latency of the last {RATE_WINDOW_S} s", title_justify="left")
    table.add_column("symbol")
    for heading in ("trades", "trades/s", "last price USD", "commit → inserted p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for each in now:
        table.add_row(
            each.symbol or "all",
            f"{each.trade_count:,}",
            f"{each.trades_per_s:,.1f}",
            f"{each.last_price_usd:,.2f}" if each.symbol else "",
            f"{each.p50_ms:.0f}",
            f"{each.p99_ms:.0f}",
            style=None if each.symbol else "bold",
        )
    return table
