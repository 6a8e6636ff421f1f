"""Commands about the lake: run, check, sql."""

import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finlake_cli.query_view import AnswerFormat, format_for, whole_file
from finlake_cli.stack_commands import DEFAULT_HOME, Home, running_stack

if TYPE_CHECKING:
    from finlake_clients.lake_client import LakeClient
    from finlake_settings.processes import Settings

app = typer.Typer()

# On screen, unless more are asked for; a file for people has wide lines.
SHOWN_ROWS = 50
FILE_CHARACTERS = 400


def stack_settings(home: Path) -> "Settings":
    """The product's settings as the running stack of `home` hands them to its processes; raises like `running_stack`."""
    from finlake_settings.processes import Settings
    from finlake_settings.reading import settings_from

    return settings_from(Settings, running_stack(home).environment())


def lake_jobs(home: Path) -> "LakeClient":
    """The lake of the stack of `home`."""
    from finlake_clients.lake_client import LakeClient

    return LakeClient.of(stack_settings(home))


@app.command()
def run(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First session.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last session.")],
    select: Annotated[list[str] | None, typer.Option(help="Only this table, like gold/indicators; may be repeated.")] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit code 1 when anything is rejected, quarantined, missing, late or not run, or a check has found an error.",
        ),
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Build the tables of a span of sessions. Each kind of partition is one Dagster run.

    It ends with what is missing. Ctrl-C stops the run; what it has built stays.
    """
    from rich.console import Console

    from finlake_cli.planned_runs import Buildable, planned_runs
    from finlake_cli.run_view import ERROR, carry_out, found_by_checks, summary
    from finlake_cli.shortfall_view import Reckoning
    from finlake_clients.calendar import TradingCalendar
    from finlake_clients.dagster_graphql import DagsterClient
    from finlake_clients.lake_client import LakeClient

    settings = stack_settings(home)
    known = Buildable(
        calendar=TradingCalendar(),
        now=datetime.now(UTC),
        history_start=settings.history_start,
        sources_end=settings.sources_end_date,
    )
    plan = planned_runs(first.date(), last.date(), known, select or ())
    console = Console()
    for line in plan.lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    dagster = DagsterClient(settings.dagster.url, settings.dagster.password_file)
    reckoning = Reckoning.begin(LakeClient.of(settings), settings)
    finished = carry_out(dagster, plan.runs, console)
    console.print(summary(finished))
    found = found_by_checks(finished)
    for line in found:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    is_whole = reckoning.close(plan.runs, plan.not_run, console)
    if strict and (not is_whole or any(line.startswith(ERROR) for line in found)):
        raise typer.Exit(1)


@app.command()
def check(
    select: Annotated[list[str] | None, typer.Option(help="Only this table, like gold/indicators; may be repeated.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Run every check over what is published. In one Dagster run; exit code 1 when a blocking one fails."""
    from rich.console import Console

    from finlake_cli.run_view import failed_checks, judge, newest_checks
    from finlake_clients.dagster_graphql import DagsterClient

    settings = stack_settings(home)
    progress = judge(DagsterClient(settings.dagster.url, settings.dagster.password_file), Console(), select or ())
    checks = newest_checks(progress)
    for line in failed_checks(checks):
        typer.echo(line)
    over_nothing = sum(check.passed and check.judged_rows == 0 for check in checks)
    typer.echo(
        f"{sum(check.passed for check in checks)} of {len(checks)} checks passed"
        + (f", {over_nothing} of them over no row: there was nothing to judge" if over_nothing else "")
    )
    if any(check.is_blocking and not check.passed for check in checks):
        raise typer.Exit(1)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="Spark SQL; tables are layer.table.")],
    snapshot: Annotated[
        int | None,
        typer.Option(help="Read the named tables at this Iceberg snapshot; `select * from TABLE.snapshots` lists them."),
    ] = None,
    as_of: Annotated[datetime | None, typer.Option(help="Read the named tables as they were at this UTC time.")] = None,
    form: Annotated[
        AnswerFormat | None, typer.Option("--format", help="Default: what the name of --output says, else table.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write all rows to this file, which appears when it is whole.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows. Default: 50 on screen, else all.")] = None,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many rows first: the next page.")] = 0,
    home: Home = DEFAULT_HOME,
) -> None:
    """Query the lake, now or as it was."""
    from rich.console import Console

    from finlake_cli.query import Query
    from finlake_cli.time_travel import at_version

    if snapshot is not None and as_of is not None:
        raise typer.BadParameter("give --snapshot or --as-of, not both")
    if as_of is not None and as_of.replace(tzinfo=UTC) > datetime.now(UTC):
        raise typer.BadParameter(f"{as_of} UTC is yet to come; leave it out to read what is there now", param_hint="--as-of")
    chosen = format_for(form, output)
    asked = Query.of(lake_jobs(home), at_version(query, snapshot_id=snapshot, as_of_ts=as_of))
    is_for_people = chosen in (AnswerFormat.TABLE, AnswerFormat.RECORDS)
    if output is not None and is_for_people:
        with whole_file(output) as sink:
            text = TextIOWrapper(sink, encoding="utf-8", write_through=True)
            asked.show(chosen, limit, offset, Console(file=text, width=FILE_CHARACTERS))
            # Else the file is closed with its wrapper, before it is known to be whole on the disk.
            text.detach()
    elif is_for_people:
        asked.show(chosen, limit or SHOWN_ROWS, offset, Console())
    elif output is None:
        asked.write(chosen, limit, offset, sys.stdout.buffer)
        sys.stdout.flush()
    else:
        with whole_file(output) as sink:
            count = asked.write(chosen, limit, offset, sink)
        typer.echo(f"{count:,} rows in {output}, answered by {asked.engine}")
