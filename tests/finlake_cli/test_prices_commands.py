"""`finlake prices`: a decision is recorded with who, when and why, and the next command is printed."""

import shlex
from datetime import UTC, date, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from finlake_cli import prices_commands
from finlake_cli.main import app
from finlake_cli.prices_commands import UnknownDownloadError, found
from finlake_clients.price_ledgers import DownloadVerdict


def download(ticker: str, name: str, sha256: str) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "source_name": name,
        "file_sha256": sha256 * 32,
        "first_session_date": date(2024, 1, 2),
        "last_session_date": date(2024, 3, 1),
    }


DOWNLOADS = [
    download("SYN", "syn_us_d.csv", "ab"),
    download("SYN", "syn_us_d.csv", "cd"),
    download("SYN", "other.csv", "ef"),
    download("IBM", "ibm_us_d.csv", "ab"),
]


class Jobs:
    """The lake's verbs that the commands use."""

    def __init__(self) -> None:
        self.decided: list[dict[str, Any]] = []

    def downloads(self) -> list[dict[str, Any]]:
        return DOWNLOADS

    def decide(self, **decision: Any) -> None:
        self.decided.append(decision)

    def shown_span(self, first: date, last: date) -> tuple[date, date]:
        return first, last

    def price_verdicts(self) -> list[DownloadVerdict]:
        return [
            DownloadVerdict(
                ticker=row["ticker"],
                file_sha256=row["file_sha256"],
                source_name=row["source_name"],
                fetched_ts=datetime(2024, 3, 2, tzinfo=UTC),
                message=f"{row['source_name']}: because",
                verdict="rejected" if row["source_name"] == "other.csv" else "consistent",
            )
            for row in DOWNLOADS
        ]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    fake = Jobs()
    monkeypatch.setattr(prices_commands, "lake_jobs", lambda _: fake)
    return fake


@pytest.mark.parametrize("decision", ["accept", "drop", "judge"])
def test_a_decision_is_recorded_with_its_reason_and_the_next_command_is_told(jobs: Jobs, decision: str) -> None:
    command = f'prices {decision} cdcdcdcdcdcd --ticker SYN --reason "the vendor said so"'
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    (made,) = jobs.decided
    assert (made["decision"], made["ticker"], made["file_sha256"]) == (decision, "SYN", "cd" * 32)
    assert made["reason"] == "the vendor said so"
    assert made["decided_by"]
    assert made["decided_ts"].tzinfo is UTC
    assert "finlake run --from 2024-01-02 --to 2024-03-01 --select silver/price_restatements" in result.output


def test_a_decision_without_a_reason_is_refused(jobs: Jobs) -> None:
    result = CliRunner().invoke(app, ["prices", "drop", "other.csv", "--ticker", "SYN", "--reason", " "])
    assert result.exit_code == 2
    assert jobs.decided == []


def test_verdicts_are_listed_with_file_and_reason(jobs: Jobs) -> None:
    lines = CliRunner().invoke(app, ["prices", "verdicts", "--ticker", "SYN"]).output.splitlines()
    assert lines[-1] == "3 downloads, 2 of them used"
    assert lines[4:6] == ["SYN rejected: other.csv (efefefefefef), obtained 2024-03-02 00:00Z", "  other.csv: because"]
    assert CliRunner().invoke(app, ["prices", "verdicts", "--unused"]).output.splitlines()[-1] == "1 download, 0 of them used"


def test_a_download_is_found_by_its_name_or_the_beginning_of_its_hash() -> None:
    assert found(DOWNLOADS, "other.csv", "SYN")["file_sha256"] == "ef" * 32
    assert found(DOWNLOADS, "ABABAB", "IBM")["source_name"] == "ibm_us_d.csv"
    for named, ticker, said in (
        ("syn_us_d.csv", "SYN", "several downloads of SYN match"),
        ("abab", "SYN", "no download of SYN"),
        ("x.csv", "MSFT", "there are downloads of IBM, SYN"),
    ):
        with pytest.raises(UnknownDownloadError, match=said):
            found(DOWNLOADS, named, ticker)


@pytest.mark.usefixtures("jobs")
def test_verdicts_of_a_ticker_without_any_say_which_have_some() -> None:
    with pytest.raises(UnknownDownloadError, match="no download of syn is known; there are downloads of IBM, SYN"):
        CliRunner().invoke(app, ["--traceback", "prices", "verdicts", "--ticker", "syn"], catch_exceptions=False)
