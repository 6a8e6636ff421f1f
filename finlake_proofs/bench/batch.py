"""`finlake bench batch`: three ratios that say whether the batch part scales, each measured pair by pair in one run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

from finlake_assets.sources import OVERLAP_SESSIONS
from finlake_clients.calendar import TradingCalendar
from finlake_proofs.bench import gkg_parsing
from finlake_proofs.bench.comparison import Comparison, seconds
from finlake_proofs.bench.lake_steps import (
    ALL_JOBS,
    PRICE_JOBS,
    History,
    add_session,
    build,
    indicators_by_job,
    indicators_by_script,
    peak_memory_mb,
    require_equal_indicators,
)
from finlake_proofs.bench.temporary_lake import Worker, temporary_lake, worker
from spark.contracts.engine import Engine
from spark.contracts.report import Window

Report = Callable[[str], None]

GKG_TARGET = 3.0
INCREMENT_TARGETS: Mapping[Engine, float] = {"embedded": 1.1, "spark": 1.3}
INDICATORS_TARGETS: Mapping[Engine, float] = {"embedded": 1.5, "spark": 3.0}
LAST_DATE = date(2024, 12, 31)
# A Spark server runs for days: the first runs of a new one are those of its compiler.
WARM_UP_PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """How much is measured. Pairs come on top of those that warm up both sides."""

    long_years: int
    short_years: int
    increment_tickers: int
    increment_pairs: int
    indicator_years: int
    indicator_tickers: int
    indicator_pairs: int
    gkg_pairs: int


FULL = BatchSizes(
    long_years=20,
    short_years=2,
    increment_tickers=50,
    increment_pairs=9,
    indicator_years=5,
    indicator_tickers=500,
    indicator_pairs=5,
    gkg_pairs=31,
)
QUICK = BatchSizes(
    long_years=4,
    short_years=1,
    increment_tickers=5,
    increment_pairs=2,
    indicator_years=1,
    indicator_tickers=20,
    indicator_pairs=1,
    gkg_pairs=5,
)


def compare_all(sizes: BatchSizes, jars: Path, report: Report, engines: Sequence[Engine]) -> list[Comparison]:
    """All three comparisons, of those with a lake one for each engine; the lakes they need come and go."""
    return [
        gkg_parsing.compare(sizes.gkg_pairs, GKG_TARGET),
        *(compare_increments(sizes, jars, report, engine) for engine in engines),
        *(compare_indicators(sizes, jars, report, engine) for engine in engines),
    ]


def compare_increments(sizes: BatchSizes, jars: Path, report: Report, engine: Engine) -> Comparison:
    """One session after the other, added to a lake with a long history and to one with a short history."""
    walk_start = _years_back(sizes.long_years)
    histories = {
        years: History(
            walk_start=walk_start, first_date=_years_back(years), last_date=LAST_DATE, ticker_count=sizes.increment_tickers
        )
        for years in (sizes.long_years, sizes.short_years)
    }
    taken: dict[int, list[dict[str, float]]] = {years: [] for years in histories}
    with ExitStack() as opened:
        lakes = {years: _open(opened, jars, report, engine) for years in histories}
        for years, (process, variables) in lakes.items():
            report(f"building {years} years × {sizes.increment_tickers} tickers")
            report(_by_job(process.call(build, variables, histories[years], ALL_JOBS)))
        for number, session in enumerate(_sessions_after(LAST_DATE, sizes.increment_pairs + WARM_UP_PAIRS)):
            # Each side goes first every other time.
            for years in sorted(lakes, reverse=bool(number % 2)):
                process, variables = lakes[years]
                spent = process.call(add_session, variables, histories[years], session, OVERLAP_SESSIONS)
                report(f"{session} on {years} years: {seconds(sum(spent.values()))}")
                if number >= WARM_UP_PAIRS:
                    taken[years].append(spent)
    long, short = taken[sizes.long_years], taken[sizes.short_years]
    return Comparison(
        name=f"increment: one session of {sizes.increment_tickers} tickers, bronze to gold",
        measured=f"lake of {sizes.long_years} years",
        baseline=f"lake of {sizes.short_years} years",
        measured_s=tuple(sum(spent.values()) for spent in long),
        baseline_s=tuple(sum(spent.values()) for spent in short),
        target_ratio=INCREMENT_TARGETS[engine],
        engine=engine,
        parts=tuple(f"{engine}, {part}" for part in step_ratios(long, short)),
    )


def compare_indicators(sizes: BatchSizes, jars: Path, report: Report, engine: Engine) -> Comparison:
    """gold.indicators of a whole history, by the job and by a plain script, each into an empty table."""
    window = Window(start=_years_back(sizes.indicator_years), end=LAST_DATE)
    history = History(
        walk_start=window.start, first_date=window.start, last_date=window.end, ticker_count=sizes.indicator_tickers
    )
    pairs = []
    with ExitStack() as opened:
        process, variables = _open(opened, jars, report, engine)
        script = opened.enter_context(worker())
        report(f"building {sizes.indicator_years} years × {sizes.indicator_tickers} tickers")
        report(_by_job(process.call(build, variables, history, PRICE_JOBS)))
        for number in range(sizes.indicator_pairs + WARM_UP_PAIRS):
            pair = (process.call(indicators_by_job, variables, window), script.call(indicators_by_script, variables))
            report(f"indicators: {seconds(pair[0])} by the job, {seconds(pair[1])} by the script")
            if number >= WARM_UP_PAIRS:
                pairs.append(pair)
        row_count = script.call(require_equal_indicators, variables)
        memory_mb = process.call(peak_memory_mb), script.call(peak_memory_mb)
    return Comparison(
        name=f"gold.indicators: {sizes.indicator_tickers} tickers × {sizes.indicator_years} years, {row_count} rows",
        measured="job: write, audit, publish",
        baseline="polars and pyiceberg alone",
        engine=engine,
        parts=(
            f"{engine}, gold.indicators: at most {memory_mb[0]:,.0f} MB in the process of the job, {memory_mb[1]:,.0f} MB in "
            "that of the script",
        ),
        measured_s=tuple(left for left, _ in pairs),
        baseline_s=tuple(right for _, right in pairs),
        target_ratio=INDICATORS_TARGETS[engine],
    )


def step_ratios(measured: Sequence[Mapping[str, float]], baseline: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """For each step its median seconds on both sides and the median of the pairs' ratios."""
    return tuple(
        f"{step}: {seconds(median(m[step] for m in measured))} / {seconds(median(b[step] for b in baseline))} = "
        f"{median(m[step] / b[step] for m, b in zip(measured, baseline, strict=True)):.2f}"
        for step in measured[0]
    )


def _open(opened: ExitStack, jars: Path, report: Report, engine: Engine) -> tuple[Worker, dict[str, str]]:
    """A new lake and its worker; the worker ends first."""
    variables = opened.enter_context(temporary_lake(jars, report, engine))
    return opened.enter_context(worker()), variables


def _years_back(years: int) -> date:
    return LAST_DATE.replace(year=LAST_DATE.year - years + 1, month=1, day=1)


def _sessions_after(day: date, count: int) -> list[date]:
    sessions = []
    for _ in range(count):
        day = TradingCalendar().next(day)
        sessions.append(day)
    return sessions


def _by_job(taken: Mapping[str, float]) -> str:
    return ", ".join(f"{job} {seconds(spent)}" for job, spent in taken.items())
