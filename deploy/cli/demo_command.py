"""`finlake demo`: the whole lake from vendor files to gold on this machine, and what to look at next."""

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.lake_commands import lake_jobs, stack_settings
from deploy.cli.planned_runs import PlannedRun
from deploy.cli.stack_commands import DEFAULT_HOME, Home, open_stack

if TYPE_CHECKING:
    from spark.storage import Lake

app = typer.Typer()

# Prices of the sample sources end here; generated news covers these days; one real news slot lies on REAL_NEWS_DAY.
FIRST_SESSION, LAST_SESSION = date(2010, 1, 4), date(2018, 3, 27)
NEWS_START, NEWS_END = date(2018, 3, 12), date(2018, 3, 27)
REAL_NEWS_DAY = date(2023, 7, 2)
CHART_TICKER, CHART_SESSIONS = "AAPL", 250

DEMO_RUNS = (
    PlannedRun(job="lake_by_day", first_key=NEWS_START, last_key=NEWS_END),
    PlannedRun(job="lake_by_day", first_key=REAL_NEWS_DAY, last_key=REAL_NEWS_DAY),
    PlannedRun(job="lake_by_session", first_key=FIRST_SESSION, last_key=LAST_SESSION),
    PlannedRun(job="lake_by_month", first_key=FIRST_SESSION.replace(day=1), last_key=LAST_SESSION.replace(day=1)),
)


@app.command()
def demo(
    home: Home = DEFAULT_HOME,
    free_ports: Annotated[bool, typer.Option(help="Move services whose port is taken to a free port.")] = True,
) -> None:
    """Start the stack, build the lake from the sample sources, and show it. A second time it changes no row."""
    from rich.console import Console
    from rich.text import Text

    from deploy.cli.dagster_client import DagsterClient
    from deploy.cli.run_view import carry_out, summary

    console = Console()
    open_stack(home).up(free_ports=free_ports, report=console.print)
    url = stack_settings(home).dagster_url
    console.print(summary(carry_out(DagsterClient(url), DEMO_RUNS, console)))
    console.print(Text.from_ansi(_chart(lake_jobs(home).lake())))
    console.print(f"Prices are real: Quandl WIKI, public domain, to {LAST_SESSION}. News of {NEWS_START} to {NEWS_END} is "
                  f"generated and labelled so; {REAL_NEWS_DAY} is one real slot of the GDELT Project (https://www.gdeltproject.org/).")
    console.print(f"Assets, lineage and checks: {url}/assets\nRuns: {url}/runs")
    console.print('Ask it something: .venv/bin/finlake sql "select * from gold.monthly_summary where ticker = \'AAPL\'"')


def _chart(lake: "Lake") -> str:
    """Closes and their 50-session mean of the last sessions of one ticker, drawn in characters."""
    import plotext

    rows = lake.spark.sql(
        f"select session_date, close_usd, ma_50_usd from gold.stock_analytics where ticker = '{CHART_TICKER}' "
        f"order by session_date desc limit {CHART_SESSIONS}").collect()[::-1]
    plotext.clear_figure()
    plotext.date_form("Y-m-d")
    dates = [row.session_date.isoformat() for row in rows]
    plotext.plot(dates, [row.close_usd for row in rows], label="close_usd")
    plotext.plot(dates, [row.ma_50_usd for row in rows], label="ma_50_usd")
    plotext.title(f"{CHART_TICKER}, adjusted closes")
    plotext.plotsize(78, 18)
    plotext.theme("clear")
    return str(plotext.build())
