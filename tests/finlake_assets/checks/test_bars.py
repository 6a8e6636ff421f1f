"""What the checks on completeness say, and how badly: nothing is green because it is empty."""

from collections.abc import Collection
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from finlake_assets.asset_specs import asset_key
from finlake_assets.checks import bars
from spark.contracts import silver
from spark.contracts.report import BarGap
from tests.finlake_assets.recording import LakeLog, recording_jobs

MONDAY, TUESDAY = date(2018, 4, 2), date(2018, 4, 3)
NOW = datetime(2018, 6, 1, tzinfo=UTC)


def gap(state: str, reason: str = "no_bar", count: int = 1) -> BarGap:
    return BarGap(
        ticker="KO", state=state, reason=reason, message=f"because of {reason}", first_date=MONDAY, last_date=MONDAY, count=count
    )


def evaluations(log: LakeLog, holes: Collection[date] = ()) -> dict[str, dg.AssetCheckEvaluation]:
    job = dg.Definitions(
        asset_checks=bars.build(holes, lambda: NOW),
        resources={"jobs": recording_jobs(log)},
        assets=[dg.AssetSpec(asset_key(silver.COMPLETENESS.address))],
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
    ).resolve_job_def("all")
    return {each.check_name: each for each in job.execute_in_process().get_asset_check_evaluations()}


def test_whole_sessions_pass() -> None:
    found = evaluations(LakeLog())
    assert found[bars.COMPLETE].passed
    assert found[bars.NOT_EMPTY].passed


def test_an_empty_lake_says_that_nothing_was_judged() -> None:
    assert str(evaluations(LakeLog())[bars.NOT_EMPTY].description).startswith("no session was judged")


@pytest.mark.parametrize(
    ("state", "is_fine"),
    [
        ("missing", False),
        ("late", False),
        ("unexpected", False),
        ("not_due", True),
    ],
)
def test_a_gap_warns_unless_it_is_not_due_and_names_the_first(state: str, is_fine: bool) -> None:
    found = evaluations(LakeLog(bar_gaps=[gap(state, count=3)]))[bars.COMPLETE]
    assert found.passed is is_fine
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert str(found.description).startswith(f"bars 3 {state.replace('_', ' ')}")
    assert ("first KO on 2018-04-02: because of no_bar" in str(found.description)) is not is_fine
    assert found.metadata["failing_rows"].value == (0 if is_fine else 3)


def test_a_session_without_any_bar_is_an_error_that_names_it_and_the_command() -> None:
    found = evaluations(LakeLog(empty_sessions=[MONDAY]))[bars.NOT_EMPTY]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert "no ticker has a bar on 2018-04-02" in str(found.description)
    assert "finlake run --from 2018-04-02 --to 2018-04-02" in str(found.description)


def test_a_session_that_the_sources_are_known_to_lack_is_told_and_hides_no_other_one() -> None:
    found = evaluations(LakeLog(empty_sessions=[MONDAY]), holes=[MONDAY])[bars.NOT_EMPTY]
    assert found.passed
    assert "known to have none of 2018-04-02" in str(found.description)
    both = evaluations(LakeLog(empty_sessions=[MONDAY, TUESDAY]), holes=[MONDAY])[bars.NOT_EMPTY]
    assert not both.passed
    assert "finlake run --from 2018-04-03 --to 2018-04-03" in str(both.description)
    assert both.metadata["failing_rows"].value == 1
