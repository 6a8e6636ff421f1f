"""What is compared: the tables of the stream, under the names that each engine gives them."""

from dataclasses import dataclass

from spark.contracts import speed
from spark.contracts.table import Column, Table


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One table of schema `ods` and its followers.

    A row's id is its `id_columns` joined by ':'. `numbers` are summed, `event_column` is the vendor's time.
    """

    name: str
    realtime: Table
    id_columns: tuple[str, ...]
    numbers: tuple[str, ...]
    event_column: str
    bronze_address: str
    silver_address: str

    @property
    def topic(self) -> str:
        """Its Kafka topic."""
        return f"finlake.ods.{self.name}"

    @property
    def market_table(self) -> str:
        """Its name in Postgres."""
        return f"ods.{self.name}"


def _names(columns: tuple[Column, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


TRADES = Relation(
    name="finnhub_trades", realtime=speed.STOCK_REALTIME, id_columns=_names(speed.TRADE_ID),
    numbers=(speed.PRICE_USD.name, speed.VOLUME_SHARES.name), event_column=speed.TRADE_TS.name,
    bronze_address="bronze.finnhub_trades_cdc", silver_address="silver.trades",
)
QUOTES = Relation(
    name="finnhub_quotes", realtime=speed.QUOTES_REALTIME, id_columns=_names(speed.QUOTE_ID),
    numbers=tuple(column.name for column in speed.QUOTE_NUMBERS if not column.nullable),
    event_column=speed.QUOTE_TS.name,
    bronze_address="bronze.finnhub_quotes_cdc", silver_address="silver.quotes",
)
RELATIONS = (TRADES, QUOTES)
