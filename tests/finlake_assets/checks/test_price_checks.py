"""What the checks on verdicts and on leaps of prices say, and of whom."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from finlake_assets.asset_specs import asset_key
from finlake_assets.checks import price_jumps, restated_history, stale_prices
from finlake_assets.checks.price_verdicts import said, unused
from finlake_clients.price_ledgers import DownloadVerdict, PendingRestatement
from finlake_clients.stale_history import MOST_NAMED, stale_history
from spark.contracts.rebuilding import rebuilding
from tests.finlake_assets.recording import LakeLog, recording_jobs

FETCHED = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(number: int, name: str, ticker: str = "SYN") -> DownloadVerdict:
    return DownloadVerdict(
        ticker=ticker,
        file_sha256=f"{number:064x}",
        fetched_ts=FETCHED + timedelta(days=number),
        source_name=f"file{number}.csv",
        verdict=name,
        message=f"file{number}.csv: {name}",
    )


@pytest.mark.parametrize(
    ("names", "waiting"),
    [
        (["first", "consistent", "restated"], []),
        (["first", "rejected"], [1]),
        (["first", "rejected", "rejected"], [2]),
        (["first", "rejected", "consistent"], []),
        (["first", "partial", "older"], [1]),
        (["first", "older", "dropped"], []),
        (["rejected", "first", "accepted", "partial"], [3]),
    ],
)
def test_a_ticker_waits_until_something_better_comes(names: list[str], waiting: list[int]) -> None:
    found = unused([verdict(number, name) for number, name in enumerate(names)][::-1])
    assert [each.source_name for each in found] == [f"file{number}.csv" for number in waiting]


def test_every_waiting_ticker_is_told_with_its_file() -> None:
    found = unused([verdict(1, "rejected"), verdict(2, "partial", "OTHER"), verdict(3, "consistent")])
    assert said(found) == ("1 ticker stands still since a download that is not used: OTHER: file2.csv: partial")
    assert said([]).startswith("every download is used")


def test_a_leap_names_the_command_that_leaves_its_file_out() -> None:
    text = price_jumps.said(
        [
            {
                "ticker": "SYN",
                "first_session": "2025-06-27",
                "last_session": "2025-07-01",
                "factor": "100",
                "file_sha256": "ab" * 32,
                "source_name": "syn_us_d.csv",
            }
        ]
    )
    assert "syn_us_d.csv" in text
    assert 'finlake prices drop abababababab --ticker SYN --reason "why"' in text


def pending(ticker: str, since: date, *, needs_whole_history: bool = False) -> PendingRestatement:
    return PendingRestatement(
        ticker=ticker,
        file_sha256="a" * 64,
        fetched_ts=FETCHED,
        recompute_from_date=since,
        needs_whole_history=needs_whole_history,
    )


NEWEST = date(2018, 3, 27)
LATER = pending("AAPL", date(2012, 1, 3))


def stale(*found: PendingRestatement) -> str | None:
    return stale_history(recording_jobs(LakeLog(pending=list(found), newest_dates={"silver.prices_daily": NEWEST})))


def test_history_that_shows_no_restatement_yet_is_named_with_the_command_for_all_of_it() -> None:
    text = str(stale(LATER, pending("MSFT", date(2013, 1, 2)), pending("AAPL", date(2009, 9, 30))))
    assert "AAPL from 2009-09-30, MSFT from 2013-01-02" in text
    assert text.endswith(rebuilding(date(2009, 9, 30), NEWEST))


def test_no_run_is_told_for_a_ticker_that_waits_for_its_whole_history() -> None:
    assert stale(pending("AAPL", date(2009, 9, 30), needs_whole_history=True)) is None
    assert stale() is None


def test_of_many_restated_tickers_some_are_named() -> None:
    many = [pending(f"T{number:03}", date(2012, 1, 3)) for number in range(MOST_NAMED + 7)]
    assert "and 7 more: finlake run" in str(stale(*many))


@pytest.mark.parametrize("found", [[LATER], []])
def test_stale_history_is_a_warning_of_the_checks_alone(found: list[PendingRestatement]) -> None:
    job = dg.Definitions(
        asset_checks=restated_history.build(),
        assets=[dg.AssetSpec(asset_key("silver.prices_daily"))],
        resources={"jobs": recording_jobs(LakeLog(pending=found, newest_dates={"silver.prices_daily": NEWEST}))},
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
    ).resolve_job_def("all")
    (verdict,) = job.execute_in_process().get_asset_check_evaluations()
    assert (verdict.passed, verdict.severity) == (not found, dg.AssetCheckSeverity.WARN)
    assert ("AAPL from 2012-01-03" in str(verdict.description)) is bool(found)


TAIL = {
    "ticker": "SYN",
    "first_session": "2025-06-26",
    "last_session": "2025-07-01",
    "count": "4",
    "file_sha256": "ab" * 32,
    "source_name": "syn_us_d.csv",
}


@pytest.mark.parametrize("tails", [[TAIL], []])
def test_a_stale_tail_is_a_warning_that_names_ticker_dates_and_file(tails: list[dict[str, str]]) -> None:
    job = dg.Definitions(
        asset_checks=stale_prices.build(),
        assets=[dg.AssetSpec(asset_key("silver.prices_daily"))],
        resources={"jobs": recording_jobs(LakeLog(stale_tails=tails))},
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
    ).resolve_job_def("all")
    (verdict,) = job.execute_in_process().get_asset_check_evaluations()
    assert (verdict.passed, verdict.severity) == (not tails, dg.AssetCheckSeverity.WARN)
    if tails:
        assert "SYN: 4 bars of one price without volume, 2025-06-26 to 2025-07-01, in syn_us_d.csv" in str(verdict.description)
