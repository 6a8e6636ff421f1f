"""Made-up daily prices as Stooq files: seeded random walks on real XNYS sessions. Pure; the same on every machine."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from finlake_clients.stooq.prices_file import StooqFile
from spark.contracts.stooq_files import LAYOUTS
from spark.contracts.universe import Ticker, Universe

DAILY_VOLATILITY = 0.02
DECIMALS = 4


def universe_of(count: int) -> Universe:
    """`count` tickers without names in the news: T0000, T0001, …"""
    return Universe(
        tickers=tuple(
            Ticker(
                symbol=f"T{number:04d}",
                company=f"Ticker {number}",
                stooq_code=f"t{number:04d}.us",
                title_patterns=(),
                company_words=(),
                aliases=(),
            )
            for number in range(count)
        )
    )


def random_walk(ticker_symbol: str, sessions: Sequence[date]) -> pl.DataFrame:
    """One bar per session, as columns Date, Open, High, Low, Close, Volume.

    Seeded by the symbol alone, and drawn bar by bar: with more sessions at the end the earlier bars stay the same.
    """
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(ticker_symbol.encode()).digest()[:8], "big"))
    moves, gaps, above, below, turnover = generator.normal(0, 1, (len(sessions), 5)).T
    close = 100 * np.exp(DAILY_VOLATILITY * np.cumsum(moves))
    opened = close * np.exp(DAILY_VOLATILITY / 4 * gaps)
    return pl.DataFrame(
        {
            "Date": list(sessions),
            "Open": opened,
            "High": np.maximum(opened, close) * np.exp(DAILY_VOLATILITY / 4 * np.abs(above)),
            "Low": np.minimum(opened, close) * np.exp(-DAILY_VOLATILITY / 4 * np.abs(below)),
            "Close": close,
            "Volume": np.round(1e6 * np.exp(turnover / 2)).astype(np.int64),
        }
    ).with_columns(pl.col("Open", "High", "Low", "Close").round(DECIMALS))


def stooq_file(ticker: Ticker, bars: pl.DataFrame) -> StooqFile:
    """The bars (at least one, of `random_walk`) as the file of the evening after the last one."""
    content = bars.write_csv(float_precision=DECIMALS, line_terminator="\r\n").encode()
    if not content.startswith(LAYOUTS[0].header.encode()):
        raise ValueError(f"the columns {', '.join(bars.columns)} are not those of a Stooq file; give a random walk")
    evening = datetime.combine(bars["Date"][-1] + timedelta(days=1), time(1), UTC)
    return StooqFile(
        ticker=ticker.symbol,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        source_kind="drop",
        source_name=f"{ticker.stooq_code}_d.csv",
        fetched_ts=evening,
    )
