"""Minutes of trades: open, high, low, close, exact volume and count, whatever the order the trades came in."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import gold
from spark.contracts.column_sums import WHOLE_FROM
from spark.contracts.speed import UNITS_PER_ONE

# Halves of a whole number above and below this are whole numbers that a double and a 64-bit integer hold exactly.
HALF = 2**53


def candles(trades: DataFrame) -> DataFrame:
    """Rows of gold.candles_1m from rows of silver.trades; those with a flaw take no part."""
    minute = F.date_trunc("minute", "trade_ts")
    order = F.struct("trade_ts", "kafka_partition", "kafka_offset")
    return (
        trades.where("flaw = ''")
        .groupBy("symbol", minute.alias("minute_ts"))
        .agg(
            F.min_by("price_usd", order).alias("open_usd"),
            F.max("price_usd").alias("high_usd"),
            F.min("price_usd").alias("low_usd"),
            F.max_by("price_usd", order).alias("close_usd"),
            (exact_sum(F.col("volume_shares")).cast("double") / UNITS_PER_ONE).alias("volume_shares"),
            F.count("*").alias("trade_count"),
        )
        .withColumn("trade_date", F.to_date("minute_ts"))
        .select(*gold.CANDLES_1M.column_names)
    )


def exact_sum(numbers: Column) -> Column:
    """Sum of `number * 1e8`, each rounded half to even, as decimal(38, 0), exact for numbers below 1e27.

    Spark makes a decimal of a double's shortest text, which above 2^53 is not the double: its two halves are added apart.
    """
    scaled = numbers * UNITS_PER_ONE
    away = F.when(scaled >= 0, F.lit(float(WHOLE_FROM))).otherwise(F.lit(-float(WHOLE_FROM)))
    units = F.when(F.abs(scaled) >= F.lit(float(WHOLE_FROM)), scaled).otherwise((scaled + away) - away)
    high = (units / HALF).cast("bigint")
    low = (units - high.cast("double") * HALF).cast("bigint")
    return F.sum(high.cast("decimal(38,0)")) * F.lit(HALF).cast("decimal(38,0)") + F.sum(low.cast("decimal(38,0)"))
