"""What a person sees when runs are done: a check over no row does not look like one that has judged something."""

import io
from dataclasses import replace

from rich.console import Console

from deploy.cli.dagster_client import CheckResult, RunProgress
from deploy.cli.planned_runs import PlannedRun
from deploy.cli.run_view import FinishedRun, errors_found, failed_checks, summary

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
