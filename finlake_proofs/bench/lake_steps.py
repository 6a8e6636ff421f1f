"""What a worker does to its lake: build it, add a session, compute indicators by the job or by a plain script.

Every function is given the variables of the lake's stack, runs in the worker's process and returns seconds.
"""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from time import perf_counter

import polars as pl

from finlake_assets.sources import closed_days, last_closed
from finlake_clients.calendar import TradingCalendar
from finlake_clients.lake_client import LakeClient
from finlake_clients.stooq.prices_file import StooqFile
from finlake_proofs.bench.synthetic_prices import random_walk, stooq_file, universe_of
from finlake_settings.processes import LakeSettings
from finlake_settings.reading import settings_from
from spark.contracts import bronze, gold, lake, silver
from spark.contracts.job_inputs import (
    PriceRestatementsInputs,
    PricesDailyInputs,
    StooqPricesInputs,
    TablesAlone,
)
from spark.contracts.report import Provenance, Window
from spark.contracts.table import JobInputs

PROVENANCE = Provenance(run_id="bench", partition="bench", code_version="bench")
PRICE_JOBS = (bronze.STOOQ_PRICES.address, silver.PRICE_RESTATEMENTS.address, silver.PRICES_DAILY.address)
ALL_JOBS = (*PRICE_JOBS, gold.INDICATORS.address, gold.STOCK_ANALYTICS.address, gold.ML_FEATURES.address, gold.ML_LABELS.address)
SCRIPT_NAMESPACE = "bench"
SCRIPT_TABLE = f"{SCRIPT_NAMESPACE}.indicators"


class NothingMeasuredError(Exception):
    """A step did not do the work whose time was to be taken."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Made-up prices of `ticker_count` tickers from the first session on or after `first_date`.

    Each ticker's walk begins at `walk_start`, so that two histories have the same bars where they overlap.
    """

    walk_start: date
    first_date: date
    last_date: date
    ticker_count: int

    def files(self, first_date: date, last_date: date) -> list[StooqFile]:
        """One file per ticker with the bars of a range."""
        sessions = TradingCalendar().sessions(self.walk_start, last_date)
        wanted = pl.col("Date").is_between(first_date, last_date)
        return [
            stooq_file(ticker, random_walk(ticker.symbol, sessions).filter(wanted))
            for ticker in universe_of(self.ticker_count).tickers
        ]


def build(environment: Mapping[str, str], history: History, jobs: Sequence[str]) -> dict[str, float]:
    """Fill the lake with the history in one window; seconds by job."""
    window = Window(start=history.first_date, end=history.last_date)
    files = history.files(window.start, window.end)
    return _run_all(environment, jobs, window, files, history)


def add_session(
    environment: Mapping[str, str],
    history: History,
    session: date,
    overlap_sessions: int,
) -> dict[str, float]:
    """Bring the session's downloads, which overlap what is known, through all jobs; seconds by job."""
    first_date = TradingCalendar().before(session, overlap_sessions)[0]
    files = history.files(first_date, session)
    return _run_all(environment, ALL_JOBS, Window(start=session, end=session), files, history)


def indicators_by_job(environment: Mapping[str, str], window: Window) -> float:
    """Seconds of the job into an empty table."""
    jobs = lake_jobs(environment)
    _drop(jobs, gold.INDICATORS.address)
    jobs.lake().table(gold.INDICATORS.address)
    began = perf_counter()
    jobs.run(TablesAlone(table=gold.INDICATORS), window=window, provenance=PROVENANCE)
    return perf_counter() - began


def indicators_by_script(environment: Mapping[str, str]) -> float:
    """Seconds of what one would write without a lake in mind: read, one ticker after the other, overwrite a table.

    The same kernel on the same bars, into an empty table without partitions (with the job's months pyiceberg takes
    several times as long to write); no audit, no branch, no state.
    """
    from pyiceberg.exceptions import NamespaceAlreadyExistsError

    from spark.schemas import arrow_schema, iceberg_schema
    from spark.transforms.gold.indicators import compute

    jobs = lake_jobs(environment)
    catalog = jobs.lake().catalog
    try:
        catalog.create_namespace(SCRIPT_NAMESPACE)
    except NamespaceAlreadyExistsError:
        _drop(jobs, SCRIPT_TABLE)
    target = catalog.create_table(SCRIPT_TABLE, iceberg_schema(gold.INDICATORS))
    began = perf_counter()
    bars = pl.DataFrame(pl.from_arrow(catalog.load_table(silver.PRICES_DAILY.address).scan().to_arrow()))
    rows = pl.concat(compute(one, None) for one in bars.sort("ticker", "session_date").partition_by("ticker"))
    target.overwrite(rows.to_arrow().cast(arrow_schema(gold.INDICATORS)))
    return perf_counter() - began


def peak_memory_mb() -> float:
    """The most memory that the worker's process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def require_equal_indicators(environment: Mapping[str, str]) -> int:
    """Rows of the job's and the script's table; raises `NothingMeasuredError` unless both hold the same ones."""
    lake = lake_jobs(environment).lake()
    by_job, by_script = (
        pl.DataFrame(pl.from_arrow(lake.catalog.load_table(address).scan().to_arrow())).sort("ticker", "session_date")
        for address in (gold.INDICATORS.address, SCRIPT_TABLE)
    )
    if by_job.is_empty() or not by_job.equals(by_script):
        raise NothingMeasuredError(
            f"job and script gave different indicators ({by_job.height} and {by_script.height} rows); mend one of them"
        )
    return by_job.height


def lake_jobs(environment: Mapping[str, str]) -> LakeClient:
    """The jobs of the stack with these variables."""
    return LakeClient.of(settings_from(LakeSettings, environment))


def _run_all(
    environment: Mapping[str, str], addresses: Sequence[str], window: Window, files: list[StooqFile], history: History
) -> dict[str, float]:
    """Seconds by job; raises `NothingMeasuredError` when one of them left a ticker out."""
    jobs, calendar = lake_jobs(environment), TradingCalendar()
    inputs: dict[str, JobInputs] = {
        each.table.address: each
        for each in (
            StooqPricesInputs(
                files=files,
                problems=[],
                universe=universe_of(history.ticker_count),
                last_closed=last_closed(files, calendar),
                closed_days=closed_days(calendar),
            ),
            PriceRestatementsInputs(sessions=calendar.sessions(calendar.first_date, calendar.last_session)),
            PricesDailyInputs(sessions=calendar.sessions(window.start, window.end)),
        )
    }
    taken = {}
    for address in addresses:
        began = perf_counter()
        report = jobs.run(inputs.get(address, TablesAlone(table=lake.table(address))), window=window, provenance=PROVENANCE)
        taken[address] = perf_counter() - began
        table = report.table(address)
        if not table.is_changed or table.row_count < history.ticker_count:
            raise NothingMeasuredError(
                f"{address} wrote {table.row_count} rows for {history.ticker_count} tickers; its time means nothing"
            )
    return taken


def _drop(jobs: LakeClient, address: str) -> None:
    """Remove a table with its files, if it is there."""
    from pyiceberg.exceptions import NoSuchTableError

    try:
        jobs.lake().catalog.purge_table(address)
    except NoSuchTableError:
        return
