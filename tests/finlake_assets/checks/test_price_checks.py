"""What the checks on verdicts and on leaps of prices say, and of whom."""

from datetime import UTC, datetime, timedelta

import pytest

from finlake_assets.checks import price_jumps
from finlake_assets.checks.price_verdicts import said, unused
from finlake_resources.spark_jobs import DownloadVerdict

FETCHED = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(number: int, name: str, ticker: str = "SYN") -> DownloadVerdict:
    return DownloadVerdict(ticker=ticker, file_sha256=f"{number:064x}", fetched_ts=FETCHED + timedelta(days=number),
                           source_name=f"file{number}.csv", verdict=name, message=f"file{number}.csv: {name}")


@pytest.mark.parametrize(("names", "waiting"), [
    (["first", "consistent", "restated"], []),
    (["first", "rejected"], [1]),
    (["first", "rejected", "rejected"], [2]),
    (["first", "rejected", "consistent"], []),
    (["first", "partial", "older"], [1]),
    (["first", "older", "dropped"], []),
    (["rejected", "first", "accepted", "partial"], [3]),
])
def test_a_ticker_waits_until_something_better_comes(names: list[str], waiting: list[int]) -> None:
    found = unused([verdict(number, name) for number, name in enumerate(names)][::-1])
    assert [each.source_name for each in found] == [f"file{number}.csv" for number in waiting]


def test_every_waiting_ticker_is_told_with_its_file() -> None:
    found = unused([verdict(1, "rejected"), verdict(2, "partial", "OTHER"), verdict(3, "consistent")])
    assert said(found) == (
        "1 tickers stand still since a download that is not used: OTHER: file2.csv: partial")
    assert said([]).startswith("every download is used")


def test_a_leap_names_the_command_that_leaves_its_file_out() -> None:
    text = price_jumps.said([{
        "ticker": "SYN", "first_session": "2025-06-27", "last_session": "2025-07-01", "factor": "100",
        "file_sha256": "ab" * 32, "source_name": "syn_us_d.csv"}])
    assert "syn_us_d.csv" in text
    assert 'finlake prices drop abababababab --ticker SYN --reason "why"' in text
