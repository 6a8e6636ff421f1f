"""bronze.stooq_prices and bronze.stooq_downloads: dropped files first, HTTP for the tickers they do not cover."""

from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from finlake_assets.asset_specs import WAS_ASKED, asset_key, described_by
from finlake_assets.partitions import Timeline
from finlake_assets.run_table_job import StepEvents, fail_for_good, publish
from finlake_assets.sources import KnownDates, WantedDownload, closed_days, known_with, last_closed, missing_downloads
from finlake_clients.source_errors import (
    CorruptFileError,
    NoDataError,
    NotDataError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from finlake_clients.stooq.prices_file import StooqBatch
from finlake_resources.resources import LakeResource, UniverseResource
from finlake_resources.vendors import StooqResource
from spark.contracts import bronze
from spark.contracts.job_inputs import StooqPricesInputs
from spark.contracts.report import Window


class StooqRequest(dg.Config):
    """`asks_vendor`: whether tickers that no dropped file covers are downloaded over HTTP.

    `whole_history`: tickers to download from the beginning even where they are known, because their past was rewritten.
    """

    asks_vendor: bool = True
    whole_history: list[str] = []


VENDOR_CHECK = "vendor_answered"


def build(timeline: Timeline) -> dg.AssetsDefinition:
    """The asset of both tables: the downloads are the ledger of the prices."""
    described = described_by(bronze.STOOQ_PRICES, timeline=timeline)
    described["check_specs"] = [
        *described["check_specs"],
        dg.AssetCheckSpec(
            VENDOR_CHECK,
            asset=asset_key(bronze.STOOQ_PRICES.address),
            description="Stooq gave what it was asked for; where it refuses, dropped files are ingested all the same.",
        ),
    ]

    @dg.multi_asset(**described)
    def stooq_prices(
        context: dg.AssetExecutionContext,
        config: StooqRequest,
        jobs: LakeResource,
        stooq: StooqResource,
        universe: UniverseResource,
    ) -> StepEvents:
        """Whole files are kept as they came, whatever the window; the window says up to when they are wanted.

        A vendor that refuses keeps no file out: what was obtained is written, then the refusal is reported. It fails the step
        where nothing was obtained, and where asking again may help.
        """
        obtained = Obtained(StooqBatch([], []))

        def gathered(window: Window) -> StooqPricesInputs:
            nonlocal obtained
            tickers = universe.read()
            dropped = stooq.dropped_files(tickers.stooq_codes)
            wanted = []
            if config.asks_vendor:
                ledger = {ticker: KnownDates(*span) for ticker, span in jobs.known_spans(tickers.symbols).items()}
                known = known_with(dropped.files, ledger, last_closed(dropped.files, timeline.calendar))
                end = min(window.end, timeline.newest_session(datetime.now(UTC)))
                if window.start <= end:
                    closed = Window(start=window.start, end=end)
                    wanted = missing_downloads(tickers, known, closed, timeline.calendar, config.whole_history)
            fetched = downloaded(stooq, wanted)
            files, problems = [*dropped.files, *fetched.batch.files], [*dropped.problems, *fetched.batch.problems]
            obtained = Obtained(StooqBatch(files, problems), fetched.refusal, was_asked=bool(wanted))
            if obtained.refusal is not None and not files and not dropped.problems:
                raise obtained.refusal
            return StooqPricesInputs(
                files=files,
                problems=problems,
                universe=tickers,
                last_closed=last_closed(files, timeline.calendar),
                closed_days=closed_days(timeline.calendar),
            )

        try:
            yield from publish(context, jobs, bronze.STOOQ_PRICES, inputs=gathered)
            if context.selected_asset_keys:
                yield from _vendor_check(context, obtained)
                if obtained.refusal is not None and not (obtained.is_refused and obtained.batch.files):
                    raise obtained.refusal
        except SourceRefusedError as refusal:
            fail_for_good(str(refusal))

    return stooq_prices


def _vendor_check(context: dg.AssetExecutionContext, obtained: "Obtained") -> StepEvents:
    """The vendor's answer as a check, where the step was asked for it."""
    key, refusal = asset_key(bronze.STOOQ_PRICES.address), obtained.refusal
    if dg.AssetCheckKey(key, VENDOR_CHECK) in context.selected_asset_check_keys:
        answered = "Stooq answered" if obtained.was_asked else "Stooq was not asked"
        yield dg.AssetCheckResult(
            check_name=VENDOR_CHECK,
            asset_key=key,
            passed=refusal is None,
            severity=dg.AssetCheckSeverity.ERROR,
            description=answered if refusal is None else str(refusal),
            metadata={
                WAS_ASKED: obtained.was_asked,
                **({} if refusal is None else {"refusal": type(refusal).__name__, "next_step": refusal.next_step}),
            },
        )


@dataclass(frozen=True)
class Obtained:
    """What a vendor gave, and why it gave no more, if so; the refusal is among the problems."""

    batch: StooqBatch
    refusal: SourceError | None = None
    was_asked: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether asking again would not help."""
        return isinstance(self.refusal, SourceRefusedError)


def downloaded(stooq: StooqResource, wanted: list[WantedDownload]) -> Obtained:
    """Ask for each; an answer that concerns one ticker alone is a problem of the batch.

    The first refusal, or a server that is not reached, ends the asking: the next ticker would get the same answer.
    """
    batch = StooqBatch([], [])
    for each in wanted:
        try:
            batch.files.append(stooq.download(each.ticker, each.vendor_code, each.start, each.end))
        except (NoDataError, NotDataError, CorruptFileError) as problem:
            batch.problems.append(problem)
        except (SourceRefusedError, SourceUnavailableError) as refusal:
            batch.problems.append(refusal)
            return Obtained(batch, refusal)
    return Obtained(batch)
