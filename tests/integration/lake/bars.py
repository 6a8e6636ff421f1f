"""Made-up rows of silver.prices_daily, for tests of writing that care which rows are there and not what they mean."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from pyspark.sql import DataFrame

from spark.contracts import silver
from spark.contracts.report import Window
from spark.lake.storage import Lake
from spark.schemas import arrow_schema, spark_schema

ADDRESS = silver.PRICES_DAILY.address


def bars(window: Window, close_usd: float, tickers: tuple[str, ...] = ("AAPL", "MSFT")) -> pa.Table:
    """One bar per ticker and day of the window, all with this close."""
    return pa.Table.from_pylist(
        [bar(ticker, day, close_usd) for ticker in tickers for day in days(window)], arrow_schema(silver.PRICES_DAILY)
    )


def bar(ticker: str, day: date, close_usd: float) -> dict[str, object]:
    """One bar, 2 USD wide."""
    return {
        "ticker": ticker,
        "session_date": day,
        "open_usd": close_usd,
        "high_usd": close_usd + 1,
        "low_usd": close_usd - 1,
        "close_usd": close_usd,
        "volume_shares": 1000.0,
        "is_restated": False,
        "is_contested": False,
        "file_sha256": "a" * 64,
        "fetched_ts": datetime(2018, 3, 28, tzinfo=UTC),
    }


def days(window: Window) -> list[date]:
    """Every day of a window."""
    return [window.start + timedelta(days=n) for n in range((window.end - window.start).days + 1)]


def frame(lake: Lake, rows: pa.Table) -> DataFrame:
    """Rows as a Spark frame, also when there are none."""
    return lake.spark.createDataFrame(rows, spark_schema(silver.PRICES_DAILY))
