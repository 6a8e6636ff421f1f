"""What a row of the stream is after all its changes, in whatever order and number they come.

One row per key: the first change since the last delete gives its position and times, the latest update its values.
"""

from collections.abc import Sequence

import polars as pl

from spark.contracts import bronze, silver
from spark.contracts.stream_rows import flaws_of
from spark.contracts.table import Column
from spark.transforms.polars_schema import conform

DELETE, UPDATE = "d", "u"
# Within a partition Kafka's time never goes back; across partitions it is all there is to go by.
ORDER = ("appended_ts", "kafka_partition", "kafka_offset")
TRADE_KEY, QUOTE_KEY = silver.TRADES.grain, silver.QUOTES.grain


def settle(changes: pl.DataFrame, key: Sequence[str], values: Sequence[str]) -> pl.DataFrame:
    """The rows that are there after `changes` (bronze columns), each once; `values` are what an update replaces."""
    ordered = changes.sort(ORDER).with_row_index("number")
    deleted = pl.when(pl.col("op") == DELETE).then(pl.col("number")).max().over(key)
    alive = ordered.filter(deleted.is_null() | (pl.col("number") > deleted)).drop("number")
    first = alive.unique(key, keep="first", maintain_order=True)
    updated = alive.filter(pl.col("op") == UPDATE).unique(key, keep="last", maintain_order=True).select(*key, *values)
    if updated.is_empty():
        return first
    untouched = first.join(updated, on=key, how="anti")
    return pl.concat([untouched, first.drop(values).join(updated, on=key).select(untouched.columns)])


def trades(changes: pl.DataFrame) -> pl.DataFrame:
    """Rows of silver.trades from all changes of some trades."""
    settled = settle(changes, TRADE_KEY, _names(bronze.TRADE_VALUES))
    rules = flaws_of(*map(pl.col, ("price_usd", "volume_shares", "trade_ts", "received_ts")))
    flaw = pl.coalesce(*(pl.when(has_it).then(pl.lit(name)) for name, has_it in rules), pl.lit(""))
    return conform(_dated(settled).with_columns(flaw.alias("flaw"), pl.col("conditions").fill_null([])), silver.TRADES)


def quotes(changes: pl.DataFrame) -> pl.DataFrame:
    """Rows of silver.quotes from all changes of some quotes."""
    return conform(_dated(settle(changes, QUOTE_KEY, _names(bronze.QUOTE_VALUES))), silver.QUOTES)


def _dated(settled: pl.DataFrame) -> pl.DataFrame:
    return settled.with_columns(pl.col("received_ts").dt.date().alias("received_date"))


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]
