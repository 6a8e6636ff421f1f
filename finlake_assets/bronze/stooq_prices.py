"""bronze.stooq_prices and bronze.stooq_downloads: dropped files first, HTTP for the tickers they do not cover."""

from datetime import UTC, datetime

import dagster as dg

from finlake_assets.describe import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.publish import StepEvents, fail_for_good, publish
from finlake_assets.sources import Download, Span, known_with, last_closed, missing_downloads
from finlake_resources.source_errors import CorruptFile, NoData, NotData, SourceRefused
from finlake_resources.spark_jobs import SparkJobs
from finlake_resources.stooq import StooqBatch, StooqPrices
from finlake_resources.universe_file import UniverseFile
from spark.contracts import bronze
from spark.jobs.report import Window


class StooqRequest(dg.Config):
    """`asks_vendor`: whether tickers that no dropped file covers are downloaded over HTTP.

    `whole_history`: tickers to download from the beginning even where they are known, because their past was rewritten.
    """

    asks_vendor: bool = True
    whole_history: list[str] = []


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of both tables: the downloads are the ledger of the prices."""

    @dg.multi_asset(**described_by(bronze.STOOQ_PRICES, bronze.STOOQ_DOWNLOADS, timeline=timeline))
    def stooq_prices(
        context: dg.AssetExecutionContext, config: StooqRequest, jobs: SparkJobs, stooq: StooqPrices,
        universe: UniverseFile,
    ) -> StepEvents:
        """Whole files are kept as they came, whatever the window; the window says up to when they are wanted."""

        def gathered(window: Window) -> dict[str, object]:
            tickers = universe.read()
            dropped = stooq.dropped_files(tickers.stooq_codes)
            wanted = []
            if config.asks_vendor:
                ledger = {ticker: Span(*span) for ticker, span in jobs.known_spans(tickers.symbols).items()}
                known = known_with(dropped.files, ledger, last_closed(dropped.files, timeline.calendar))
                end = min(window.end, timeline.newest_session(datetime.now(UTC)))
                if window.start <= end:
                    closed = Window(start=window.start, end=end)
                    wanted = missing_downloads(tickers, known, closed, timeline.calendar, config.whole_history)
            fetched = downloaded(stooq, wanted)
            files = [*dropped.files, *fetched.files]
            return {"files": files, "problems": [*dropped.problems, *fetched.problems], "universe": tickers,
                    "last_closed": last_closed(files, timeline.calendar)}

        try:
            yield from publish(context, jobs, bronze.STOOQ_PRICES, inputs=gathered)
        except SourceRefused as refusal:
            fail_for_good(str(refusal))

    return stooq_prices


def downloaded(stooq: StooqPrices, wanted: list[Download]) -> StooqBatch:
    """Ask for each; an answer that concerns one ticker alone is a problem of the batch.

    Raises `SourceRefused` when Stooq refuses the run and `SourceUnavailable` when it is not reached.
    """
    batch = StooqBatch([], [])
    for each in wanted:
        try:
            batch.files.append(stooq.download(each.ticker, each.vendor_code, each.start, each.end))
        except (NoData, NotData, CorruptFile) as problem:
            batch.problems.append(problem)
    return batch
