"""What a person sees when runs are done: a check over no row does not look like one that has judged something."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from deploy.cli.dagster_client import CheckResult, DagsterClient, RunProgress
from deploy.cli.planned_runs import PlannedRun
from deploy.cli.run_view import FinishedRun, RunFailedError, carry_out, errors_found, failed_checks, summary

ASSET = "silver/prices_daily"


def check(name: str, *, passed: bool = True, judged_rows: int | None = 5) -> CheckResult:
    return CheckResult(asset=ASSET, name=name, passed=passed, severity="ERROR", description=f"because of {name}",
                       judged_rows=judged_rows)


def shown(*checks: CheckResult, rows: int = 5) -> str:
    progress = RunProgress(run_id="a", row_counts={ASSET: rows}, checks=list(checks))
    console = Console(file=io.StringIO(), width=80)
    console.print(summary([FinishedRun(planned=PlannedRun(job="lake_by_session"), progress=progress)]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_checks_that_judged_rows_are_counted_plainly() -> None:
    text = shown(check("a"), check("b", judged_rows=None))
    assert "2 of 2 " in text
    assert "over no row" not in text


def test_checks_over_no_row_are_counted_apart() -> None:
    assert "2 of 2, 2 over no row" in shown(check("a", judged_rows=0), check("b", judged_rows=0), rows=0)


def test_a_failed_check_over_no_row_is_a_failed_check() -> None:
    assert "0 of 1 " in shown(check("a", passed=False, judged_rows=0))
    assert failed_checks([check("a", passed=False)]) == ["error: silver.prices_daily a: because of a"]


def test_errors_of_runs_that_ended_well_are_told_and_warnings_and_what_was_judged_again_are_not() -> None:
    found = [
        check("refused", passed=False), replace(check("late", passed=False), severity="WARN"),
        check("mended", passed=False), check("mended"),
    ]
    progress = RunProgress(run_id="a", status="SUCCESS", checks=found)
    assert errors_found([FinishedRun(planned=PlannedRun(job="lake_by_session"), progress=progress)]) == [
        "error: silver.prices_daily refused: because of refused"]


class Told(DagsterClient):
    """A Dagster whose one run goes as it is told."""

    def __init__(self, *seen: RunProgress) -> None:
        super().__init__("http://127.0.0.1:1", Path("password"))
        self.seen = seen

    def launch(self, *_: object, **__: object) -> str:
        return "a"

    def follow(self, run_id: str) -> Iterator[RunProgress]:
        yield from (replace(each, run_id=run_id) for each in self.seen)


RUNS = [PlannedRun(job="lake_by_session")]
HALF = RunProgress(run_id="a", step_count=2, started={"one": 1.0}, step_seconds={"one": 3.0})
WHOLE = replace(HALF, status="SUCCESS", step_seconds={"one": 3.0, "two": 4.0})


def test_a_run_whose_output_is_no_terminal_has_a_line_for_each_step_as_it_ends() -> None:
    console = Console(file=io.StringIO(), width=80)
    carry_out(Told(HALF, HALF, WHOLE), RUNS, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "lake_by_session: 1 of 2 steps, one 3 s", "lake_by_session: 2 of 2 steps, two 4 s"]


def test_a_terminal_of_80_columns_shows_the_time_whatever_runs() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    names = {f"silver__a_table_of_a_long_name_{number}": 1.0 for number in range(4)}
    carry_out(Told(replace(HALF, started=names, step_seconds={}), WHOLE), RUNS, console)
    assert isinstance(console.file, io.StringIO)
    assert "0:00:0" in console.file.getvalue()


def test_a_failed_run_says_why_what_stays_and_how_its_log_is_opened() -> None:
    with pytest.raises(RunFailedError) as failure:
        carry_out(Told(replace(HALF, status="FAILURE", errors=["no answer", "no answer"])), RUNS, Console(file=io.StringIO()))
    said = str(failure.value)
    assert said.count("no answer") == 1
    assert "give the same command again" in said
    assert "http://127.0.0.1:1/runs/a" in said
    assert "password" in said
