"""bronze.finnhub_quotes_cdc: the topic of quotes, each record once."""

from spark.contracts import bronze, streams
from spark.contracts.job_inputs import ArchiveInputs
from spark.contracts.report import JobReport, Provenance, Window
from spark.jobs.archiving import archive
from spark.lake.storage import Lake
from spark.transforms.bronze.finnhub_changes import quote_decoder

TOPIC = streams.QUOTES.topic


def run(lake: Lake, window: Window, provenance: Provenance, inputs: ArchiveInputs) -> JobReport:
    """Archive the topic up to `ends` by partition, or up to the last date of the window; see `archive`."""
    return archive(
        lake,
        window,
        provenance,
        table=bronze.FINNHUB_QUOTES_CDC,
        topic=TOPIC,
        topics=inputs.topics,
        decoder=quote_decoder(),
        ends=inputs.ends,
    )
