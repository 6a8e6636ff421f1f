"""Trades that never happened, in the form of Finnhub's: a random walk per symbol that repeats with its seed.

Generated: no number here was traded or measured anywhere. What is real is the form, as captured messages have it: several
trades a message, exact duplicates, times that go backwards inside a message, odd lots marked by 12, trades outside the
session by 24, coins with fractional volume and no condition codes.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import msgspec

from finlake_services.sample_sources import prices

COIN_SYMBOLS: Mapping[str, float] = {"BINANCE:BTCUSDT": 60_000.0}
"""Coins that are traded beside the stocks, with the price in USD at which the walk begins."""

_NEW_YORK = ZoneInfo("America/New_York")
_OPEN, _CLOSE = time(9, 30), time(16, 0)
_ODD_LOT_BELOW = 100


class SampleTrade(msgspec.Struct, frozen=True):
    """One trade as Finnhub writes it: condition codes, price in USD, symbol, Unix milliseconds, volume."""

    c: list[str] | None
    p: float
    s: str
    t: int
    v: float | int


class TradeMessage(msgspec.Struct, frozen=True):
    """A websocket message with trades, fields in Finnhub's order."""

    data: list[SampleTrade]
    type: str = "trade"


@dataclass
class Walk:
    """A symbol's prices in USD since the walk began."""

    previous_close: float
    open: float
    high: float
    low: float
    price: float


def starting_price(symbol: str) -> float:
    """Where a symbol's walk begins: its last sample close, a coin's own price, else a price that its name decides."""
    if symbol in COIN_SYMBOLS:
        return COIN_SYMBOLS[symbol]
    if symbol in prices.TICKERS:
        return round(prices.history(symbol)[-1].close, 2)
    return round(random.Random(symbol).uniform(20, 400), 2)


def is_extended_hours(moment: datetime) -> bool:
    """Whether a moment (aware) is outside 09:30 to 16:00 of a weekday in New York; holidays are not known here."""
    local = moment.astimezone(_NEW_YORK)
    return local.weekday() >= 5 or not _OPEN <= local.time() < _CLOSE


@dataclass
class SampleTradeMaker:
    """Makes messages; the same seed and calls give the same symbols, prices, volumes and sizes, whatever the time is."""

    seed: int = 1
    walks: dict[str, Walk] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def size(self, most: int) -> int:
        """How many trades the next message holds, 1 to `most`."""
        return self._random.randint(1, most)

    def message(self, symbols: Sequence[str], count: int, now_ms: int) -> TradeMessage:
        """`count` trades of `symbols`, no more than a third of a second before `now_ms`."""
        trades: list[SampleTrade] = []
        codes = ["24"] if is_extended_hours(datetime.fromtimestamp(now_ms / 1000, UTC)) else []
        moment = now_ms - self._random.randint(0, 300)
        while len(trades) < count:
            if trades and self._random.random() < 0.05:
                trades.append(trades[-1])
                continue
            # Most trades are later than the one before; some are earlier.
            moment = min(moment + self._random.choice((0, 0, 1, 7, 40, -60)), now_ms)
            trades.append(self._trade(self._random.choice(symbols), moment, codes))
        return TradeMessage(trades)

    def walk(self, symbol: str) -> Walk:
        """The symbol's walk, begun when first asked for."""
        if symbol not in self.walks:
            start = starting_price(symbol)
            self.walks[symbol] = Walk(start, start, start, start, start)
        return self.walks[symbol]

    def _trade(self, symbol: str, moment_ms: int, session_codes: list[str]) -> SampleTrade:
        dice = self._random
        walk = self.walk(symbol)
        # Drawn back to where it began: a walk that runs for days stays a believable price.
        drift = 0.00002 * (walk.previous_close / walk.price - 1)
        digits = 2 if symbol in COIN_SYMBOLS or dice.random() < 0.8 else 4
        walk.price = round(max(walk.price * (1 + drift + dice.gauss(0, 0.0001)), 0.01), digits)
        walk.high, walk.low = max(walk.high, walk.price), min(walk.low, walk.price)
        if symbol in COIN_SYMBOLS:
            return SampleTrade(None, walk.price, symbol, moment_ms, round(dice.uniform(0.00001, 0.25), 5))
        volume = dice.randint(1, 99) if dice.random() < 0.6 else 100 * dice.randint(1, 8) + dice.choice((0, 0, 0, 42))
        codes = ["1", *(["8"] if dice.random() < 0.3 else []), *session_codes, *(["12"] if volume < _ODD_LOT_BELOW else [])]
        return SampleTrade(codes, walk.price, symbol, moment_ms, volume)
