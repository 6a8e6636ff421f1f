"""What a person sees at the end of a run: one table of what falls short, with the reason, and how to see the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from finlake_cli.planned_runs import ASSETS_OF, NotRun, PlannedRun, dates
from spark.contracts.report import Shortfall, Window
from spark.contracts.runs import BY_DAY, BY_SESSION

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from finlake_clients.lake_client import LakeClient
    from finlake_settings.processes import DagsterSettings
    from spark.jobs.shortfalls import Asked, NotBuilt

MOST_LINES = 20
# Named in a line for all that fell short alike.
MOST_SUBJECTS = 5
# Lists all of it: where each kind can be asked for.
QUERIES = {
    "silver.completeness": "select * from silver.completeness where status in ('absent', 'unexpected')",
    "silver.price_restatements": "select * from silver.price_restatements where verdict in ('partial', 'rejected')",
    "bronze.gdelt_slots": "select * from bronze.gdelt_slots where status in ('absent', 'corrupt')",
}
QUARANTINE_QUERY = "select * from silver.quarantine"
COLOURS = {"missing": "red", "rejected": "red", "not due": "dim", "not run": "dim"}


@dataclass(frozen=True)
class Reckoning:
    """Made before runs begin, closed when they are done: what they were asked for against what is there."""

    jobs: "LakeClient"
    settings: "DagsterSettings"
    before: int

    @classmethod
    def begin(cls, jobs: "LakeClient", settings: "DagsterSettings") -> "Reckoning":
        """Remember which quarantined rows are there already."""
        return cls(jobs, settings, jobs.lake().snapshot_id("silver.quarantine"))

    def close(self, runs: Sequence[PlannedRun], not_run: Sequence[NotRun], console: "Console") -> bool:
        """Show what falls short, what published history does not show yet, and hints; whether nothing falls short."""
        from finlake_clients.stale_history import stale_history
        from finlake_clients.universe_file import UniverseFile
        from spark.jobs.shortfalls import before_history, not_built, shortfalls

        lake = self.jobs.lake()
        asked = asked_of(runs, UniverseFile(path=str(self.settings.universe)).read().symbols, self.before)
        found = shortfalls(lake, asked, datetime.now(UTC))
        show(found, not_run, console)
        stale = stale_history(self.jobs)
        start = self.settings.history_start
        earlier = too_early(before_history(lake, asked, start), start)
        for line in [*([stale] if stale else []), *hints(not_built(lake, asked, start)), *earlier]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        return not found and not not_run and stale is None


def asked_of(runs: Sequence[PlannedRun], tickers: Sequence[str], before: int) -> "Asked":
    """What runs were asked for."""
    from spark.jobs.shortfalls import Asked

    def span(job: str) -> Window | None:
        keys: list[date] = [key for run in runs if run.job == job for key in (run.first_key, run.last_key) if key is not None]
        return Window(start=min(keys), end=max(keys)) if keys else None

    assets = {asset for run in runs for asset in (run.assets or ASSETS_OF.get(run.job, ()))}
    return Asked(
        addresses=frozenset(asset.replace("/", ".") for asset in assets),
        sessions=span(BY_SESSION),
        days=span(BY_DAY),
        tickers=tuple(tickers),
        before=before,
    )


def show(found: Sequence[Shortfall], not_run: Sequence[NotRun], console: "Console") -> None:
    """The table, or one line that says that nothing falls short."""
    if not found and not not_run:
        console.print("nothing was rejected, quarantined, missing or late", style="green", highlight=False)
        return
    console.print(shortfalls_table(found, not_run))
    for line in rest(found, not_run):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def folded(found: Sequence[Shortfall]) -> list[tuple[str, str, int]]:
    """Lines of (what, of what and why, how many): those alike but for their subject are one line."""
    alike: dict[tuple[object, ...], list[Shortfall]] = {}
    for each in found:
        alike.setdefault((each.kind, each.address, each.reason, each.message, each.first_date, each.last_date), []).append(each)
    lines = []
    for group in alike.values():
        first, subjects = group[0], list(dict.fromkeys(each.subject for each in group))
        named = ", ".join(subjects[:MOST_SUBJECTS]) + (
            f" and {len(subjects) - MOST_SUBJECTS} more" if len(subjects) > MOST_SUBJECTS else ""
        )
        what = f"{named}, {dates(first.first_date, first.last_date)} ({first.address})\n{first.reason}: {first.message}"
        lines.append((first.kind.replace("_", " "), what, sum(each.count for each in group)))
    return lines


def shortfalls_table(found: Sequence[Shortfall], not_run: Sequence[NotRun] = ()) -> "Table":
    """At most `MOST_LINES` lines; readable at 80 columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    view = Table(
        title="What was asked for and is not there as it should be", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    view.add_column("what", no_wrap=True)
    view.add_column("count", justify="right", no_wrap=True)
    view.add_column("of what, and why", overflow="fold")
    lines = [
        *((kind, f"{count:,}", what) for kind, what, count in folded(found)),
        *(("not run", "", str(part)) for part in not_run),
    ]
    for kind, count, what in lines[:MOST_LINES]:
        view.add_row(Text(kind, style=COLOURS.get(kind, "yellow")), count, Text(what))
    return view


def rest(found: Sequence[Shortfall], not_run: Sequence[NotRun] = ()) -> list[str]:
    """How many lines were left out, what ends a file's rejection, and the queries that list everything."""
    left = len(folded(found)) + len(not_run) - MOST_LINES
    queries = dict.fromkeys(
        QUARANTINE_QUERY if each.kind == "quarantined" else QUERIES.get(each.address, QUARANTINE_QUERY) for each in found
    )
    notes = [f"and {left} more lines"] if left > 0 else []
    if any(each.kind == "rejected" for each in found):
        notes.append(
            "a rejected file is listed, also when it was moved away, until a newer one is used or a person decides: "
            'finlake prices accept|drop FILE --ticker T --reason "why"'
        )
    return [*notes, *(f'all of it: finlake sql "{query}"' for query in queries)]


def hints(tickers: "Sequence[NotBuilt]") -> list[str]:
    """What to run for tickers whose files go further back than what is built."""
    return [
        f"{each.ticker}: its files go back to {each.first_in_files}, its tables begin {each.first_built}; indicators count from "
        f"there. For the whole history: finlake run --from {each.first_in_files} --to {each.first_built}"
        for each in tickers
    ]


def too_early(first_dates: Mapping[str, date], history_start: date) -> list[str]:
    """What becomes of bars before the first session of the tables: one line for all tickers."""
    if not first_dates:
        return []
    named = ", ".join(f"{ticker} from {first}" for ticker, first in list(first_dates.items())[:MOST_SUBJECTS])
    more = f" and {len(first_dates) - MOST_SUBJECTS} more tickers" if len(first_dates) > MOST_SUBJECTS else ""
    return [
        f"tables begin {history_start}, so bars before it stay in bronze.stooq_prices and are not published: {named}{more}; "
        "nothing need be done"
    ]
