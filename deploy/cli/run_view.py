"""What a person sees of runs: a progress bar while they work, a table when they are done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from deploy.cli.dagster_client import CheckResult, DagsterClient, RunProgress
from deploy.cli.planned_runs import PlannedRun
from deploy.local.webserver_door import USER

# The job over every check; finlake_assets names it.
CHECKS_ONLY = "checks_only"


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
                self.console.print(f"{self.title}: {len(self.shown)} of {progress.step_count} steps, {step} {seconds:.0f} s",
                                   highlight=False, markup=False, soft_wrap=True)


def carry_out(client: DagsterClient, runs: Sequence[PlannedRun], console: Console) -> list[FinishedRun]:
    """Launch the runs one after the other and show each one's steps; raises `RunFailedError` at the first failure."""
    finished = []
    # In 80 columns the steps that run are cut, not the time: it is the sign of life.
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), BarColumn(10),
               TextColumn("[dim]{task.fields[step]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)))
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bars:
        for planned in runs:
            bar = bars.add_task(planned.title, total=None, step="queued")
            run_id = client.launch(planned.job, first_key=_text(planned.first_key), last_key=_text(planned.last_key),
                                   assets=planned.assets)
            progress, lines = RunProgress(run_id=run_id), StepLines(planned.title, console)
            for progress in client.follow(run_id):
                running = [step for step in progress.started if step not in progress.step_seconds]
                bars.update(bar, total=progress.step_count or None, completed=len(progress.step_seconds),
                            step=", ".join(running))
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
    run_id = client.launch(CHECKS_ONLY, checks_of=assets)
    with console.status("checking what is published"):
        *_, progress = client.follow(run_id)
    if progress.status != "SUCCESS" and all(check.passed for check in progress.checks):
        raise _failure(client, CHECKS_ONLY, progress)
    return progress


def _failure(client: DagsterClient, job: str, progress: RunProgress) -> RunFailedError:
    reasons = "; ".join(dict.fromkeys(progress.errors)) or "Dagster gives no reason"
    return RunFailedError(
        f"run {progress.run_id} of {job} ended as {progress.status}: {reasons}. What it has built stays: give the same command "
        f"again. Its log: {client.url}/runs/{progress.run_id} (user {USER}, the password is in {client.password_file})")


def failed_checks(checks: Sequence[CheckResult]) -> list[str]:
    """A line for each check that failed: where, how badly, how many rows, and the first of them or the reason."""
    lines = []
    for check in sorted(checks, key=lambda check: (check.asset, check.name)):
        if not check.passed:
            count = "" if check.failing_rows is None else f" {check.failing_rows} rows, first"
            row = ", ".join(f"{name}={value}" for name, value in check.sample.items() if value is not None)
            lines.append(f"{check.severity.lower()}: {check.asset.replace('/', '.')} {check.name}:{count} "
                         f"{row or check.description}")
    return lines


def errors_found(finished: Sequence[FinishedRun]) -> list[str]:
    """A line for each check that found an error in runs that ended well, such as a vendor's refusal beside dropped files."""
    lines = []
    for run in finished:
        # A step that was tried again has judged twice.
        newest = {(check.asset, check.name): check for check in run.progress.checks}
        lines += failed_checks([check for check in newest.values() if check.severity == "ERROR"])
    return lines


def summary(finished: Sequence[FinishedRun]) -> Table:
    """Per table: layer, rows now in the windows, seconds of its step, checks passed of checks run."""
    table = Table("layer", "table", "rows", "seconds", "checks passed", title="What the runs made")
    for run in finished:
        progress = run.progress
        for address, rows in progress.row_counts.items():
            layer, _, name = address.partition("/")
            seconds = progress.step_seconds.get(address.replace("/", "__"))
            checks = [check for check in progress.checks if check.asset == address]
            passed = sum(check.passed for check in checks)
            over_nothing = sum(check.passed and check.judged_rows == 0 for check in checks)
            colour = "green" if passed == len(checks) and not over_nothing else "yellow"
            told = f"{passed} of {len(checks)}" + (f", {over_nothing} over no row" if over_nothing else "")
            table.add_row(layer, name, f"{rows:,}", "" if seconds is None else f"{seconds:.1f}",
                          f"[{colour}]{told}[/{colour}]" if checks else "")
    return table
