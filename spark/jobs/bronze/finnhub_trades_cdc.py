"""bronze.finnhub_trades_cdc: the topic of trades, each record once."""

from collections.abc import Mapping

from spark.contracts import bronze
from spark.jobs.archiving import Topics, archive
from spark.jobs.report import JobReport, Provenance, Window
from spark.storage import Lake
from spark.transforms.bronze.finnhub_changes import trade_decoder


def run(lake: Lake, window: Window, provenance: Provenance, *, topics: Topics, ends: Mapping[int, int] | None) -> JobReport:
    """Archive the topic up to `ends` by partition, or up to the last date of the window; see `archive`."""
    return archive(lake, window, provenance, table=bronze.FINNHUB_TRADES_CDC, topic=bronze.TRADE_TOPIC, topics=topics,
                   decoder=trade_decoder(), ends=ends)
