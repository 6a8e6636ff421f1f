"""`finlake demo`: the lake from vendor files to gold, the stream from trade to candle, and what to look at next."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finlake_cli.lake_commands import lake_jobs, stack_settings
from finlake_cli.planned_runs import PlannedRun
from finlake_cli.stack_commands import DEFAULT_HOME, Home, open_stack, where_finlake_is
from finlake_clients.dagster_login import USER
from spark.contracts.runs import BY_DAY, BY_MONTH, BY_SESSION, STREAM_ARCHIVE

if TYPE_CHECKING:
    from rich.console import Console

    from finlake_clients.dagster_graphql import DagsterClient
    from finlake_clients.lake_client import LakeClient
    from finlake_settings.processes import Settings
    from spark.lake.storage import Lake

app = typer.Typer()

# Prices of the sample sources end here; generated news covers these days; one real news slot lies on REAL_NEWS_DAY.
FIRST_SESSION, LAST_SESSION = date(2010, 1, 4), date(2018, 3, 27)
NEWS_START, NEWS_END = date(2018, 3, 12), date(2018, 3, 27)
REAL_NEWS_DAY = date(2023, 7, 2)
CHART_TICKER, CHART_SESSIONS = "AAPL", 250
# Of the sample websocket, over all symbols, while the demo looks at it.
SHOWN_TRADES_PER_S, SHOWN_SECONDS = 500, 15

DEMO_RUNS = (
    PlannedRun(job=BY_DAY, first_key=NEWS_START, last_key=NEWS_END),
    PlannedRun(job=BY_DAY, first_key=REAL_NEWS_DAY, last_key=REAL_NEWS_DAY),
    PlannedRun(job=BY_SESSION, first_key=FIRST_SESSION, last_key=LAST_SESSION),
    PlannedRun(job=BY_MONTH, first_key=FIRST_SESSION.replace(day=1), last_key=LAST_SESSION.replace(day=1)),
)


@app.command()
def demo(
    home: Home = DEFAULT_HOME,
    free_ports: Annotated[bool, typer.Option(help="Move services whose port is taken to a free port.")] = True,
) -> None:
    """Build the lake from samples, stream trades, and show both. The stack is started first.

    A second time it changes no row of the batch. Exit code 1 when the stream lost or doubled anything.
    """
    from rich.console import Console
    from rich.text import Text

    from deploy.local.errors import StackError
    from finlake_cli.run_view import carry_out, found_by_checks, summary
    from finlake_cli.shortfall_view import Reckoning
    from finlake_clients.dagster_graphql import DagsterClient

    console = Console()
    stack = open_stack(home)
    samples_url = stack.settings().parsed.sample_sources_url
    if samples_url is None:
        raise StackError("the demo shows the sample sources; unset FINLAKE_SOURCES")
    stack.up(free_ports=free_ports, report=console.print)
    settings = stack_settings(home)
    dagster = DagsterClient(settings.dagster.url, settings.dagster.password_file)
    jobs = lake_jobs(home)
    reckoning = Reckoning.begin(jobs, settings)
    finished = carry_out(dagster, DEMO_RUNS, console)
    console.print(summary(finished))
    console.print(Text.from_ansi(_chart(jobs.lake())))
    is_proven = _stream(settings, jobs, samples_url, stack.layout.finnhub_token, dagster, console)
    console.print(
        f"Prices are real: Quandl WIKI, public domain, to {LAST_SESSION}. News of {NEWS_START} to {NEWS_END} is "
        f"generated and labelled so; {REAL_NEWS_DAY} is one real slot of the GDELT Project (https://www.gdeltproject.org/)."
        " Live trades and quotes are generated."
    )
    for line in found_by_checks(finished):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    reckoning.close(DEMO_RUNS, (), console)
    holes = ", ".join(map(str, sorted(settings.sources_holes)))
    console.print(
        f"Sample prices of FB, GOOG and IBM end on 2013-03-01, and there are none of {holes}; GDELT's day of "
        f"{REAL_NEWS_DAY} is one slot of 96. So `finlake check` warns of them, and ends well."
    )
    console.print(
        f"Assets, lineage and checks: {settings.dagster.url}/assets\nRuns: {settings.dagster.url}/runs\n"
        f"User {USER}, password in {settings.dagster.password_file}"
    )
    console.print("Ask it something: finlake sql \"select * from gold.monthly_summary where ticker = 'AAPL'\"")
    if hint := where_finlake_is():
        console.print(hint, highlight=False, markup=False, soft_wrap=True)
    if not is_proven:
        raise typer.Exit(1)


def _stream(
    settings: "Settings",
    jobs: "LakeClient",
    samples_url: str,
    finnhub_token: Path,
    dagster: "DagsterClient",
    console: "Console",
) -> bool:
    """Show trades flowing, archive them, serve gold beside them, and compare all engines; whether nothing is amiss."""
    from finlake_cli.live_view import faster, watch
    from finlake_cli.reconcile_view import show
    from finlake_cli.run_view import carry_out, summary
    from finlake_clients.clickhouse.connection import reader
    from finlake_reconciliation.reconcile import Reconciliation

    with reader(settings.clickhouse) as client, faster(samples_url, finnhub_token, SHOWN_TRADES_PER_S):
        watch(client, console, SHOWN_SECONDS)
    today = datetime.now(UTC).date()
    archive = PlannedRun(job=STREAM_ARCHIVE, first_key=today, last_key=today)
    console.print(summary(carry_out(dagster, (archive, PlannedRun(job="serving")), console)))
    report = Reconciliation.of(settings).run(jobs)
    show(report, console)
    return report.is_proven


def _chart(lake: "Lake") -> str:
    """Closes and their 50-session mean of the last sessions of one ticker, drawn in characters."""
    import plotext
    from pyiceberg.expressions import EqualTo

    shown = lake.rows("gold.stock_analytics", EqualTo("ticker", CHART_TICKER), ("session_date", "close_usd", "ma_50_usd"))
    rows = shown.sort_by("session_date").to_pylist()[-CHART_SESSIONS:]
    plotext.clear_figure()
    plotext.date_form("Y-m-d")
    dates = [row["session_date"].isoformat() for row in rows]
    plotext.plot(dates, [row["close_usd"] for row in rows], label="close_usd")
    plotext.plot(dates, [row["ma_50_usd"] for row in rows], label="ma_50_usd")
    plotext.title(f"{CHART_TICKER}, adjusted closes")
    plotext.plotsize(78, 18)
    plotext.theme("clear")
    return str(plotext.build())
