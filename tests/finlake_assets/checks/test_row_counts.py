"""A day is compared with the same weekday of the weeks before it."""

from datetime import date, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_assets.asset_specs import asset_key
from finlake_assets.checks.row_counts import LEAST_WEEKS, NAME, TRAILING_WEEKS, UnusualDay, build, unusual
from spark.contracts.report import Window
from tests.finlake_assets.recording import LakeLog, recording_jobs

DAY = date(2024, 5, 15)


def weeks_of(rows: int, count: int = TRAILING_WEEKS) -> dict[date, int]:
    return {DAY - timedelta(weeks=weeks): rows for weeks in range(1, count + 1)}


@pytest.mark.parametrize(("rows", "is_unusual"), [(100, False), (25, False), (24, True), (0, True), (400, False), (401, True)])
def test_far_fewer_or_far_more_rows_are_unusual(rows: int, is_unusual: bool) -> None:
    found, judged = unusual({**weeks_of(100), DAY: rows}, [DAY])
    assert judged == 1
    assert found == ([UnusualDay(DAY, rows, 100)] if is_unusual else [])


def test_a_day_without_any_row_is_found() -> None:
    assert unusual(weeks_of(100), [DAY]) == ([UnusualDay(DAY, 0, 100)], 1)


def test_week_ends_are_compared_with_week_ends() -> None:
    quiet = {DAY + timedelta(days=3) - timedelta(weeks=weeks): 30 for weeks in range(9)}
    assert unusual({**weeks_of(1000), DAY: 900, **quiet}, Window(start=DAY, end=DAY + timedelta(days=3)).days) == ([], 2)


@pytest.mark.parametrize("before", [weeks_of(100, LEAST_WEEKS - 1), weeks_of(19), {}])
def test_too_little_before_is_not_judged_and_does_not_pass_for_good(before: dict[date, int]) -> None:
    assert unusual({**before, DAY: 0}, [DAY]) == ([], 0)


@given(rows=st.lists(st.integers(20, 1000), min_size=TRAILING_WEEKS, max_size=TRAILING_WEEKS))
def test_the_middle_of_what_was_is_never_unusual(rows: list[int]) -> None:
    before = {DAY - timedelta(weeks=weeks): count for weeks, count in enumerate(rows, 1)}
    middle = sorted(rows)[TRAILING_WEEKS // 2]
    assert unusual({**before, DAY: middle}, [DAY])[1] == 1
    assert unusual({**{day: middle for day in before}, DAY: middle}, [DAY]) == ([], 1)


@pytest.mark.parametrize("is_built", [True, False])
def test_over_all_that_is_published_a_day_is_judged_when_it_was_built(is_built: bool) -> None:
    known = weeks_of(100)
    ledger = [*known, *([DAY] if is_built else [])]
    log = LakeLog(
        rows={
            "silver.news_mentions": [{"day_date": day} for day, rows in known.items() for _ in range(rows)],
            "bronze.gdelt_slots": [{"day_date": day} for day in ledger],
        }
    )
    job = dg.Definitions(
        asset_checks=build(),
        resources={"jobs": recording_jobs(log)},
        assets=[dg.AssetSpec(asset_key(address)) for address in ("bronze.gdelt_gkg", "silver.news_mentions")],
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
    ).resolve_job_def("all")
    found = {each.asset_key: each for each in job.execute_in_process().get_asset_check_evaluations() if each.check_name == NAME}
    verdict = found[asset_key("silver.news_mentions")]
    assert verdict.passed is not is_built
    assert (f"first {DAY}: 0 rows" in str(verdict.description)) is is_built
