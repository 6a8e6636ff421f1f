"""What a person sees of runs: a progress bar while they work, a table when they are done."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial

import typer
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from deploy.local.ending_signals import ended_like_ctrl_c
from finlake_cli.planned_runs import PlannedRun
from finlake_clients.dagster_graphql import CheckResult, DagsterClient, DagsterRequestError, RunProgress
from finlake_clients.dagster_login import USER

# The job over every check; finlake_assets names it.
CHECKS_ONLY = "checks_only"
# As a shell knows a program that Ctrl-C has ended.
INTERRUPTED_CODE = 130
# How a line begins that tells of a check that found an error.
ERROR = "error: "


class RunFailedError(Exception):
    """A run did not succeed; the message holds the errors of its steps."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A planned run and how it went."""

    planned: PlannedRun
    progress: RunProgress


@dataclass
class StepLines:
    """A line for each step that has ended, where the output is no terminal and a bar would show nothing."""

    title: str
    console: Console
    shown: set[str] = field(default_factory=set)

    def show(self, progress: RunProgress) -> None:
        """Tell the steps that have ended since."""
        if self.console.is_terminal:
            return
        for step, seconds in progress.step_seconds.items():
            if step not in self.shown:
                self.shown.add(step)
                self.console.print(
                    f"{self.title}: {len(self.shown)} of {progress.step_count} steps, {step} {seconds:.0f} s",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )


def carry_out(client: DagsterClient, runs: Sequence[PlannedRun], console: Console) -> list[FinishedRun]:
    """Launch the runs one after the other and show each one's steps; raises `RunFailedError` at the first failure."""
    finished = []
    # In 80 columns the steps that run are cut, not the time: it is the sign of life.
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        BarColumn(10),
        TextColumn("[dim]{task.fields[step]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bars:
        for planned in runs:
            bar = bars.add_task(planned.title, total=None, step="queued")
            launch = partial(
                client.launch,
                planned.job,
                first_key=_text(planned.first_key),
                last_key=_text(planned.last_key),
                assets=planned.assets,
            )
            with _stopped_with_its_command(client, launch, console) as run_id:
                progress, lines = RunProgress(run_id=run_id), StepLines(planned.title, console)
                for progress in client.follow(run_id):
                    running = [step for step in progress.started if step not in progress.step_seconds]
                    bars.update(
                        bar, total=progress.step_count or None, completed=len(progress.step_seconds), step=", ".join(running)
                    )
                    lines.show(progress)
            if progress.status != "SUCCESS":
                raise _failure(client, planned.job, progress)
            bars.update(bar, step="done")
            finished.append(FinishedRun(planned=planned, progress=progress))
    return finished


def _text(key: date | None) -> str | None:
    return None if key is None else key.isoformat()


def judge(client: DagsterClient, console: Console, assets: Sequence[str] = ()) -> RunProgress:
    """Run the checks alone, over everything published or some assets; raises `RunFailedError` when they could not be run.

    Dagster ends the run badly too when a blocking check fails: that is a verdict, not a failure to judge.
    """
    launch = partial(client.launch, CHECKS_ONLY, checks_of=assets)
    with (
        console.status("checking what is published") as status,
        _stopped_with_its_command(client, launch, console) as run_id,
    ):
        progress, lines = RunProgress(run_id=run_id), StepLines(CHECKS_ONLY, console)
        for progress in client.follow(run_id):
            status.update(f"checking what is published: {len(progress.step_seconds)} of {progress.step_count} steps")
            lines.show(progress)
    if progress.status != "SUCCESS" and all(check.passed for check in progress.checks):
        raise _failure(client, CHECKS_ONLY, progress)
    return progress


@contextmanager
def _stopped_with_its_command(client: DagsterClient, launch: Callable[[], str], console: Console) -> Iterator[str]:
    """A run that is launched; whoever gives a command up, by Ctrl-C or by ending its process, wants its run to end.

    It is stopped, and told where it is if it cannot be.
    """
    run_id = None
    with ended_like_ctrl_c():
        try:
            run_id = launch()
            yield run_id
        except KeyboardInterrupt:
            _give_up(client, run_id, partial(console.print, highlight=False, markup=False, soft_wrap=True))
            raise typer.Exit(INTERRUPTED_CODE) from None


def _give_up(client: DagsterClient, run_id: str | None, tell: Callable[[str], None]) -> None:
    access = f"(user {USER}, the password is in {client.password_file})"
    if run_id is None:
        tell(f"given up while Dagster was asked for a run, which may have begun: look at {client.url}/runs {access}")
        return
    where = f"{client.url}/runs/{run_id} {access}"
    # A terminal that has gone away must not keep the run from being stopped.
    with suppress(OSError):
        tell(f"stopping run {run_id} in Dagster")
    try:
        client.stop(run_id)
    except DagsterRequestError as problem:
        tell(f"run {run_id} goes on: {problem}. Look at it and terminate it there: {where}")
    else:
        tell(f"run {run_id} is being stopped; what it has built stays: the same command goes on from there. Its log: {where}")


def _failure(client: DagsterClient, job: str, progress: RunProgress) -> RunFailedError:
    found = failed_checks([check for check in newest_checks(progress) if check.is_blocking])
    reasons = "; ".join(dict.fromkeys(each.rstrip(". ") for each in [*found, *progress.errors])) or "Dagster gives no reason"
    # The same rows fail the same check again.
    first = "Nothing was computed from what failed; mend that first, then give" if found else "Give"
    return RunFailedError(
        f"run {progress.run_id} of {job} ended as {progress.status}: {reasons}. What it has built stays. {first} the same "
        f"command again. Its log: {client.url}/runs/{progress.run_id} (user {USER}, the password is in {client.password_file})"
    )


def failed_checks(checks: Sequence[CheckResult]) -> list[str]:
    """A line for each check that failed: where, how badly, what is wrong, how many rows, and the first of them."""
    lines = []
    for check in sorted(checks, key=lambda check: (check.asset, check.name)):
        if not check.passed:
            row = ", ".join(f"{name}={value}" for name, value in check.sample.items() if value is not None)
            rows = "" if check.failing_rows is None else f"; {counted(check.failing_rows, 'row')} failed it"
            first = f", first {row}" if row else ""
            lines.append(
                f"{check.severity.lower()}: {check.asset.replace('/', '.')} {check.name}: {check.description}{rows}{first}"
            )
    return lines


def counted(count: int, thing: str) -> str:
    """A number of things in words."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def newest_checks(progress: RunProgress) -> list[CheckResult]:
    """The last verdict of each check of a run: a step that was tried again has judged twice."""
    return list({(check.asset, check.name): check for check in progress.checks}.values())


def found_by_checks(finished: Sequence[FinishedRun]) -> list[str]:
    """A line for each check that failed in runs that ended well, errors first."""
    lines = [line for run in finished for line in failed_checks(newest_checks(run.progress))]
    return sorted(dict.fromkeys(lines), key=lambda line: not line.startswith(ERROR))


def summary(finished: Sequence[FinishedRun]) -> Group:
    """What each run made, by table: layer, rows now in its window, seconds of its step, checks passed of checks run."""
    tables = []
    for run in finished:
        progress = run.progress
        table = Table("layer", "table", "rows", "seconds", "checks passed", title=f"What {run.planned.title} made")
        tables.append(table)
        for address, rows in progress.row_counts.items():
            layer, _, name = address.partition("/")
            seconds = progress.step_seconds.get(address.replace("/", "__"))
            checks = [check for check in newest_checks(progress) if check.asset == address]
            passed = sum(check.passed for check in checks)
            over_nothing = sum(check.passed and check.judged_rows == 0 for check in checks)
            colour = "green" if passed == len(checks) and not over_nothing else "yellow"
            passed_text = f"{passed} of {len(checks)}" + (f", {over_nothing} over no row" if over_nothing else "")
            table.add_row(
                layer,
                name,
                f"{rows:,}",
                "" if seconds is None else f"{seconds:.1f}",
                f"[{colour}]{passed_text}[/{colour}]" if checks else "",
            )
    return Group(*tables)
