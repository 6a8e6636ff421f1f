"""Commands about the lake: run, check, sql."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.stack_commands import DEFAULT_HOME, Home, running_stack

if TYPE_CHECKING:
    from pyspark.sql import Row

    from finlake_resources.settings import Settings
    from finlake_resources.spark_jobs import SparkJobs

app = typer.Typer()


class QueryRefusedError(Exception):
    """Spark does not understand or cannot carry out a query; the message is the first line of its reason."""


def stack_settings(home: Path) -> "Settings":
    """The product's settings as the running stack of `home` hands them to its processes; raises like `running_stack`."""
    from finlake_resources.environment import RawEnvironment
    from finlake_resources.settings import settings_for

    told = {name.removeprefix("FINLAKE_").lower(): value for name, value in running_stack(home).environment().items()
            if name.startswith("FINLAKE_")}
    return settings_for(RawEnvironment.model_validate(told))


def sample_sources_url(home: Path) -> str:
    """Where the sample sources of the stack of `home` answer."""
    return running_stack(home).environment()["FINLAKE_SAMPLE_SOURCES_URL"]


def lake_jobs(home: Path) -> "SparkJobs":
    """The lake of the stack of `home`."""
    from finlake_resources.build import build_jobs

    return build_jobs(stack_settings(home))


@app.command()
def run(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First session.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last session.")],
    select: Annotated[list[str] | None, typer.Option(help="Only this table, like gold/indicators; may be repeated.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 when anything is rejected, quarantined, missing, late or not run.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Build the tables of a span of sessions, each kind of partition in one Dagster run, and tell what is not there."""
    from rich.console import Console

    from deploy.cli.dagster_client import DagsterClient
    from deploy.cli.planned_runs import Known, planned_runs
    from deploy.cli.run_view import carry_out, summary
    from deploy.cli.shortfall_view import Reckoning
    from finlake_resources.build import build_jobs
    from finlake_resources.calendar import TradingCalendar

    settings = stack_settings(home)
    known = Known(calendar=TradingCalendar(), now=datetime.now(UTC), history_start=settings.history_start,
                  sources_end=settings.sources_end_date)
    plan = planned_runs(first.date(), last.date(), known, select or ())
    console = Console()
    for line in plan.told:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    dagster = DagsterClient(settings.dagster_url, settings.dagster_password_file)
    reckoning = Reckoning.begin(build_jobs(settings).lake(), settings)
    console.print(summary(carry_out(dagster, plan.runs, console)))
    if not reckoning.close(plan.runs, plan.not_run, console) and strict:
        raise typer.Exit(1)


@app.command()
def check(
    select: Annotated[list[str] | None, typer.Option(help="Only this table, like gold/indicators; may be repeated.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Run every check over everything published, in one Dagster run; exit code 1 when a blocking one fails."""
    from rich.console import Console

    from deploy.cli.dagster_client import DagsterClient
    from deploy.cli.run_view import failed_checks, judge

    settings = stack_settings(home)
    progress = judge(DagsterClient(settings.dagster_url, settings.dagster_password_file), Console(), select or ())
    for line in failed_checks(progress.checks):
        typer.echo(line)
    over_nothing = sum(check.passed and check.judged_rows == 0 for check in progress.checks)
    typer.echo(f"{sum(check.passed for check in progress.checks)} of {len(progress.checks)} checks passed"
               + (f", {over_nothing} of them over no row: there was nothing to judge" if over_nothing else ""))
    if any(check.is_blocking and not check.passed for check in progress.checks):
        raise typer.Exit(1)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="Spark SQL; tables are layer.table.")],
    snapshot: Annotated[int | None, typer.Option(help="Read the named tables at this Iceberg snapshot.")] = None,
    as_of: Annotated[datetime | None, typer.Option(help="Read the named tables as they were at this UTC time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many rows.")] = 50,
    home: Home = DEFAULT_HOME,
) -> None:
    """Query the lake, now or as it was."""
    from rich.console import Console
    from rich.table import Table

    from deploy.cli.time_travel import at_version

    if snapshot is not None and as_of is not None:
        raise typer.BadParameter("give --snapshot or --as-of, not both")
    columns, rows = answer(lake_jobs(home), at_version(query, snapshot_id=snapshot, as_of_ts=as_of), limit + 1)
    view = Table(*columns)
    for row in rows[:limit]:
        view.add_row(*("" if value is None else str(value) for value in row))
    Console().print(view)
    if len(rows) > limit:
        typer.echo(f"there are more than {limit} rows; raise --limit")


def answer(jobs: "SparkJobs", query: str, limit: int) -> "tuple[list[str], list[Row]]":
    """Columns and at most `limit` rows of a query; raises `QueryRefusedError` with what Spark says of it in one line."""
    from pyspark.errors import PySparkException

    # Spark's client logs the whole plan and the server's stack beside the error that it raises.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    try:
        frame = jobs.lake().spark.sql(query)
        return frame.columns, frame.limit(limit).collect()
    except PySparkException as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise QueryRefusedError(said) from error
