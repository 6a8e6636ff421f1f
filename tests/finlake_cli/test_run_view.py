"""What a person sees when runs are done: a check over no row does not look like one that has judged something."""

import io
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import typer
from rich.console import Console

from finlake_cli.planned_runs import PlannedRun
from finlake_cli.run_view import (
    CHECKS_ONLY,
    FinishedRun,
    RunFailedError,
    carry_out,
    failed_checks,
    found_by_checks,
    judge,
    summary,
)
from finlake_clients.dagster_graphql import CheckResult, DagsterClient, DagsterRequestError, RunProgress

ASSET = "silver/prices_daily"


def check(name: str, *, passed: bool = True, judged_rows: int | None = 5) -> CheckResult:
    return CheckResult(
        asset=ASSET, name=name, passed=passed, severity="ERROR", description=f"because of {name}", judged_rows=judged_rows
    )


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


def test_a_failed_check_says_what_is_wrong_and_then_which_rows() -> None:
    of_rows = replace(check("a", passed=False), failing_rows=1, sample={"ticker": "KO", "close_usd": None})
    assert failed_checks([of_rows]) == ["error: silver.prices_daily a: because of a; 1 row failed it, first ticker=KO"]


def test_what_checks_found_in_runs_that_ended_well_is_told_errors_first_and_what_was_judged_again_is_not() -> None:
    found = [
        replace(check("late", passed=False), severity="WARN"),
        check("refused", passed=False),
        check("mended", passed=False),
        check("mended"),
    ]
    run = FinishedRun(planned=PlannedRun(job="lake_by_session"), progress=RunProgress(run_id="a", checks=found))
    assert found_by_checks([run, run]) == [
        "error: silver.prices_daily refused: because of refused",
        "warn: silver.prices_daily late: because of late",
    ]
    assert "2 of 3" not in shown(*found)
    assert "1 of 3" in shown(*found)


def test_each_run_has_its_own_table_with_its_dates() -> None:
    made = RunProgress(run_id="a", row_counts={ASSET: 1})
    runs = [
        FinishedRun(planned=PlannedRun(job="by_day", first_key=date(year, 1, 2), last_key=date(year, 1, 3)), progress=made)
        for year in (2018, 2023)
    ]
    console = Console(file=io.StringIO(), width=80)
    console.print(summary(runs))
    assert isinstance(console.file, io.StringIO)
    for year in (2018, 2023):
        assert f"by_day {year}-01-02 to {year}-01-03" in " ".join(console.file.getvalue().split())


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
        "lake_by_session: 1 of 2 steps, one 3 s",
        "lake_by_session: 2 of 2 steps, two 4 s",
    ]


def test_a_terminal_of_80_columns_shows_the_time_whatever_runs() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    names = {f"silver__a_table_of_a_long_name_{number}": 1.0 for number in range(4)}
    carry_out(Told(replace(HALF, started=names, step_seconds={}), WHOLE), RUNS, console)
    assert isinstance(console.file, io.StringIO)
    assert "0:00:0" in console.file.getvalue()


def test_a_failed_run_says_why_what_stays_and_how_its_log_is_opened() -> None:
    with pytest.raises(RunFailedError) as failure:
        carry_out(Told(replace(HALF, status="FAILURE", errors=["no answer", "no answer."])), RUNS, Console(file=io.StringIO()))
    said = str(failure.value)
    assert said.count("no answer") == 1
    assert "no answer. What it has built stays. Give the same command again" in said
    assert "http://127.0.0.1:1/runs/a" in said
    assert "password" in said


def test_a_run_that_a_check_has_ended_says_what_it_found_and_sends_nobody_the_same_way_again() -> None:
    jump = replace(check("no_unexplained_jump", passed=False), description="KO: x10; finlake prices drop ab --ticker KO")
    late = replace(check("late", passed=False), severity="WARN")
    seen = replace(HALF, status="FAILURE", checks=[check("mended", passed=False), check("mended"), jump, late])
    with pytest.raises(RunFailedError) as failure:
        carry_out(Told(seen), RUNS, Console(file=io.StringIO()))
    said = str(failure.value)
    assert "error: silver.prices_daily no_unexplained_jump: KO: x10; finlake prices drop ab --ticker KO" in said
    assert "mend that first, then give the same command again" in said
    for not_told in ("late", "mended:", "Give the same", "gives no reason"):
        assert not_told not in said


def test_checks_alone_have_a_line_for_each_step_where_the_output_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=80)
    judge(Told(HALF, WHOLE), console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        f"{CHECKS_ONLY}: 1 of 2 steps, one 3 s",
        f"{CHECKS_ONLY}: 2 of 2 steps, two 4 s",
    ]


class GivenUp(Told):
    """A Dagster whose run is followed until the command gets a signal; `refusal` is why it does not stop it."""

    def __init__(self, number: signal.Signals, refusal: str = "") -> None:
        super().__init__()
        self.number, self.refusal, self.stopped = number, refusal, list[str]()

    def follow(self, run_id: str) -> Iterator[RunProgress]:
        yield replace(HALF, run_id=run_id)
        os.kill(os.getpid(), self.number)
        yield replace(WHOLE, run_id=run_id)

    def stop(self, run_id: str) -> None:
        if self.refusal:
            raise DagsterRequestError(self.refusal)
        self.stopped.append(run_id)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that ends a command; the tests outlive one that nobody hears."""

    def unheard(_: int, __: object) -> None:
        raise AssertionError("the signal was not heard")

    before = signal.signal(request.param, unheard)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("refusal", ["", "it is asleep"])
def test_a_command_that_is_ended_stops_its_run_and_says_what_became_of_it(
    number: signal.Signals, command: str, refusal: str
) -> None:
    dagster, console = GivenUp(number, refusal), Console(file=io.StringIO(), width=80)
    with pytest.raises(typer.Exit) as left:
        carry_out(dagster, RUNS, console) if command == "run" else judge(dagster, console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert (left.value.exit_code, dagster.stopped) == (130, [] if refusal else ["a"])
    assert ("run a goes on: it is asleep" if refusal else "run a is being stopped") in said
    assert "http://127.0.0.1:1/runs/a" in said


def test_a_command_that_is_ended_while_it_asks_for_a_run_says_where_that_may_be(number: signal.Signals) -> None:
    class Asked(Told):
        def launch(self, *_: object, **__: object) -> str:
            os.kill(os.getpid(), number)
            return "a"

    console = Console(file=io.StringIO(), width=80)
    with pytest.raises(typer.Exit):
        carry_out(Asked(WHOLE), RUNS, console)
    assert isinstance(console.file, io.StringIO)
    assert "which may have begun: look at http://127.0.0.1:1/runs" in console.file.getvalue()
