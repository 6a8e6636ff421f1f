"""Freshness counts sessions, not hours: week-ends, holidays, early closes and the end of sample data."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest

from finlake_assets.checks import freshness
from finlake_assets.partitions import Timeline
from finlake_clients.calendar import TradingCalendar
from spark.contracts.table import Freshness
from tests.finlake_assets.recording import LakeLog, recording_jobs

LIVE = Timeline(TradingCalendar(), date(2000, 1, 3))
SAMPLE = Timeline(TradingCalendar(), date(2000, 1, 3), date(2018, 3, 27))


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-20T21:00:00+00:00", "2026-11-19"),  # Friday at the close
        ("2026-11-21T02:59:00+00:00", "2026-11-19"),  # five hours and 59 minutes after it
        ("2026-11-21T03:00:00+00:00", "2026-11-20"),  # six hours after it
        ("2026-11-22T12:00:00+00:00", "2026-11-20"),  # Sunday
        ("2026-11-26T23:00:00+00:00", "2026-11-25"),  # Thanksgiving
        ("2026-11-28T00:00:00+00:00", "2026-11-27"),  # six hours after an early close
    ],
)
def test_a_session_is_due_hours_after_its_own_close(now: str, due: str) -> None:
    found = freshness.last_due("session", Freshness(due_hours=6), datetime.fromisoformat(now), LIVE)
    assert found == date.fromisoformat(due)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-21T10:59:00+00:00", "2026-11-19"),  # 05:59 in New York
        ("2026-11-21T11:00:00+00:00", "2026-11-20"),
        ("2026-11-22T12:00:00+00:00", "2026-11-21"),  # a Saturday is a day of news
    ],
)
def test_a_day_is_due_hours_after_its_midnight_in_new_york(now: str, due: str) -> None:
    found = freshness.last_due("day", Freshness(due_hours=6), datetime.fromisoformat(now), LIVE)
    assert found == date.fromisoformat(due)


def test_nothing_is_due_beyond_the_sources() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert freshness.last_due("session", Freshness(due_hours=6), now, SAMPLE) == date(2018, 3, 27)
    assert freshness.last_due("day", Freshness(due_hours=6), now, SAMPLE) == date(2018, 3, 27)


def evaluations(newest: date | None) -> dict[str, dg.AssetCheckEvaluation]:
    log = LakeLog(newest_dates={} if newest is None else {"silver.prices_daily": newest})
    checks = freshness.build(LIVE, clock=lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))
    job = dg.Definitions(
        asset_checks=checks,
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
        assets=[dg.AssetSpec(check.check_key.asset_key) for check in checks],
        resources={"jobs": recording_jobs(log)},
    ).resolve_job_def("all")
    found = job.execute_in_process().get_asset_check_evaluations()
    return {".".join(evaluation.asset_key.path): evaluation for evaluation in found}


def test_a_table_that_reaches_the_due_session_is_fresh() -> None:
    assert evaluations(date(2026, 11, 20))["silver.prices_daily"].passed


@pytest.mark.parametrize("newest", [date(2026, 11, 19), None])
def test_a_late_table_warns_and_says_what_is_due(newest: date | None) -> None:
    late = evaluations(newest)["silver.prices_daily"]
    assert not late.passed
    assert late.severity == dg.AssetCheckSeverity.WARN
    assert "2026-11-20 is due" in str(late.description)
