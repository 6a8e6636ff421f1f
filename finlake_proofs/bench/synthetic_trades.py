"""Made-up trades as the feed would write them: seeded random walks of prices. Pure; time and ids come from the caller."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from finlake_services.trade_feed.rows import TradeRow

SYMBOL_COUNT = 50
TICK = 0.0005


@dataclass
class SyntheticTrades:
    """Messages of one made-up connection, each of some trades; equal seeds give equal trades.

    The last trade of every message is of the first symbol: who watches that symbol has seen all messages.
    """

    connection_id: str
    seed: int
    symbol_count: int = SYMBOL_COUNT
    message_seq: int = 0
    _prices: list[float] = field(init=False)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._prices = [round(20 + 480 * self._random.random(), 2) for _ in range(self.symbol_count)]

    def message(self, row_count: int, received_us: int) -> list[TradeRow]:
        """The next message."""
        self.message_seq += 1
        return list(self._trades(row_count, received_us))

    def _trades(self, row_count: int, received_us: int) -> Iterator[TradeRow]:
        for position in range(row_count):
            number = 0 if position == row_count - 1 else self._random.randrange(self.symbol_count)
            price = round(self._prices[number] * (1 + TICK * self._random.gauss(0, 1)), 4)
            self._prices[number] = price
            yield TradeRow(
                received_us=received_us,
                connection_id=self.connection_id,
                message_seq=self.message_seq,
                trade_index=position,
                symbol=symbol_of(number),
                price_usd=price,
                volume_shares=round(self._random.expovariate(1 / 80) + 1, 3),
                # Within the last tenth of a second, in any order.
                trade_ms=received_us // 1000 - self._random.randrange(100),
                conditions=["1"] if position % 3 else ["1", "12"],
            )


def symbol_of(number: int) -> str:
    """T0000, T0001, …"""
    return f"T{number:04d}"
