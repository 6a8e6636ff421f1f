"""Tables that count the same things are compared date by date."""

from datetime import date

import dagster as dg
import pytest

from finlake_assets.checks import across_tables
from finlake_assets.checks.across_tables import AGREEMENTS, Count, Difference, counted, differences
from spark.contracts import lake
from spark.contracts.report import Window
from tests.finlake_assets.recording import LakeLog, recording_jobs

D1, D2, D3 = date(2018, 3, 26), date(2018, 3, 27), date(2018, 3, 28)


@pytest.mark.parametrize(
    ("found", "expected", "wrong"),
    [
        ({D1: 2, D2: 2}, {D1: 2, D2: 2}, []),
        ({D1: 2, D2: 1}, {D1: 2, D2: 2}, [Difference(D2, 1, 2)]),
        ({D1: 2, D3: 2}, {D1: 2, D2: 2, D3: 2}, [Difference(D2, 0, 2)]),  # a hole
        ({D1: 2, D2: 2}, {D1: 2}, [Difference(D2, 2, 0)]),  # rows nobody sent
        ({D2: 2}, {D1: 2, D2: 2, D3: 2}, []),  # not built yet before and after
        ({}, {D1: 2}, []),
    ],
)
def test_dates_that_differ_are_named(
    found: dict[date, int],
    expected: dict[date, int],
    wrong: list[Difference],
) -> None:
    assert differences(found, expected) == wrong


def test_agreements_speak_of_columns_that_exist() -> None:
    for agreement in AGREEMENTS:
        for count in (agreement.found, agreement.expected):
            assert lake.table(count.address).column(count.by).type == "date"
            assert count.measure is None or lake.table(count.address).column(count.measure).type == "long"


def by(column: str, *days: date, **measures: int) -> list[dict[str, date | int]]:
    return [{column: day, **measures} for day in days]


def test_counts_are_rows_or_sums_by_date() -> None:
    counts = ((D1, 3), (D1, 4), (D2, 0))
    rows = [row for day, count in counts for row in by("session_date", day, article_count=count)]
    jobs = recording_jobs(LakeLog(rows={"gold.news_daily": rows}))
    assert counted(jobs, Count(address="gold.news_daily", by="session_date"), None) == {D1: 2, D2: 1}
    summed = Count(address="gold.news_daily", by="session_date", measure="article_count")
    assert counted(jobs, summed, None) == {D1: 7, D2: 0}


def test_a_window_reads_the_days_a_session_reaches_back_to_and_counts_only_itself() -> None:
    log = LakeLog(rows={"silver.news_mentions": by("session_date", D1, D2, D3)})
    mentions = Count(address="silver.news_mentions", by="session_date")
    assert counted(recording_jobs(log), mentions, Window(start=D2, end=D2)) == {D2: 1}
    assert log.read == [("silver.news_mentions", Window(start=date(2018, 3, 17), end=D2))]


def run_all(log: LakeLog) -> dict[str, dg.AssetCheckEvaluation]:
    job = dg.Definitions(
        asset_checks=across_tables.build(),
        resources={"jobs": recording_jobs(log)},
        assets=[dg.AssetSpec(address.split(".")) for address in lake.TABLES],
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
    ).resolve_job_def("all")
    return {e.check_name: e for e in job.execute_in_process().get_asset_check_evaluations()}


def lake_rows() -> dict[str, list[dict[str, date | int]]]:
    prices = by("session_date", D1, D2)
    return {
        **{a: prices for a in ("silver.prices_daily", "gold.indicators", "gold.stock_analytics")},
        **{a: prices for a in ("gold.ml_features", "gold.ml_labels")},
        "gold.news_daily": by("session_date", D1, D2, article_count=1),
        "silver.news_mentions": by("session_date", D1, D2),
        "bronze.gdelt_slots": by("day_date", D1, kept_count=1),
        "bronze.gdelt_gkg": by("day_date", D1),
    }


def test_tables_that_agree_pass() -> None:
    found = run_all(LakeLog(rows=lake_rows()))
    assert {name for name, evaluation in found.items() if evaluation.passed} == {each.name for each in AGREEMENTS}


def test_a_lost_mention_fails_the_check_and_names_the_session() -> None:
    found = run_all(LakeLog(rows={**lake_rows(), "silver.news_mentions": by("session_date", D1, D2, D2)}))
    assert {name for name, evaluation in found.items() if not evaluation.passed} == {"every_mention_counted"}
    assert "first on 2018-03-27: 1 instead of 2" in str(found["every_mention_counted"].description)


def test_kept_records_that_are_gone_fail_the_check() -> None:
    found = run_all(LakeLog(rows={**lake_rows(), "bronze.gdelt_gkg": []}))
    assert {name for name, evaluation in found.items() if not evaluation.passed} == {"kept_records_present"}
