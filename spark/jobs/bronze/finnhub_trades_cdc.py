"""bronze.finnhub_trades_cdc: the topic of trades, each record once."""

from spark.contracts import bronze, streams
from spark.contracts.job_inputs import ArchiveInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.archiving import archive
from spark.lake.storage import Lake
from spark.transforms.bronze.finnhub_changes import trade_decoder

TOPIC = streams.TRADES.topic


def run(lake: Lake, window: Window, provenance: Provenance, inputs: ArchiveInputs) -> JobReport:
    """Archive the topic up to `ends` by partition, or up to the last date of the window; see `archive`."""
    return archive(
        lake,
        window,
        provenance,
        table=bronze.FINNHUB_TRADES_CDC,
        topic=TOPIC,
        topics=inputs.topics,
        decoder=trade_decoder(),
        ends=inputs.ends,
    )
