"""What a person and a script see of the commands about the stream."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finlake_cli import lake_commands
from finlake_cli.main import app
from finlake_cli.stack_commands import open_stack
from finlake_clients.lake_client import LakeClient
from finlake_proofs.repair.replay import ReplayError
from finlake_reconciliation import reconcile as reconciling
from finlake_reconciliation.comparison import Ids, RowDifferences
from finlake_reconciliation.reconcile import Reconciliation
from finlake_reconciliation.report import DayReport, DerivedReport, EngineReport, ReconcileReport
from finlake_settings.processes import ReconciliationSettings

CANDLES = DerivedReport(table="speed.candles_1m", window_count=4, different_count=0, moving_count=1)


def engine(name: str, differences: RowDifferences | None = None, behind: int = 0, *, is_late: bool = False) -> EngineReport:
    return EngineReport(
        engine=name,
        relation="finnhub_trades",
        row_count=6,
        bucket_count=2,
        behind_count=behind,
        is_late=is_late,
        may_still_come=is_late,
        different_bucket_count=1 if differences else 0,
        differences=differences or RowDifferences(),
    )


def report(*engines: EngineReport) -> ReconcileReport:
    return ReconcileReport(
        lsn=0x16_B374_D848,
        cut_ts=datetime(2026, 11, 21, 12, tzinfo=UTC),
        row_counts={"finnhub_trades": 7},
        engines=engines,
        derived=(CANDLES,),
        days=(DayReport(relation="finnhub_trades", day=date(2026, 11, 20), row_count=5, is_dropped=True),),
    )


@pytest.fixture(autouse=True)
def stack_that_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of a stack runs here; whose listens on a port is looked at elsewhere."""
    monkeypatch.setattr(lake_commands, "running_stack", open_stack)


class Asked:
    """What the command asked the comparison for."""

    options: dict[str, object]


def run(monkeypatch: pytest.MonkeyPatch, home: Path, found: ReconcileReport, *arguments: str) -> tuple[int, str, Asked]:
    """Exit code and output of `finlake reconcile` when the comparison finds this."""
    asked = Asked()

    class Found(Reconciliation):
        """Finds what the test says."""

        def run(
            self, jobs: LakeClient | None, *, wait_s: float = 60, proves_days: bool = False, drops_proven: bool = False
        ) -> ReconcileReport:
            asked.options = {"lake": jobs is not None, "wait_s": wait_s, "proves": proves_days, "drops": drops_proven}
            return found

    def build(settings: ReconciliationSettings) -> Found:
        return Found(
            market_uri=settings.market.uri,
            market_password_file="",
            kafka_bootstrap="",
            kafka_password_file=None,
            clickhouse_url="",
            clickhouse_password_file="",
        )

    monkeypatch.setattr(reconciling.Reconciliation, "of", staticmethod(build))
    result = CliRunner().invoke(app, ["reconcile", "--home", str(home), *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, asked


def test_equal_engines_are_told_in_one_line_and_exit_code_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, output, asked = run(monkeypatch, tmp_path, report(engine("Kafka"), engine("Iceberg", behind=3)))
    assert code == 0
    assert output.splitlines()[-1] == (
        "7 rows up to LSN 16/B374D848: 0 lost, 0 doubled, candles and windows equal to a recomputation"
    )
    assert "equal, 3 to come" in output
    assert "finnhub_trades of 2026-11-20: 5 rows archived and dropped from Postgres" in output
    assert asked.options == {"lake": True, "wait_s": 60, "proves": True, "drops": False}


@pytest.mark.parametrize(("unattended", "behind", "is_told"), [("0", 3, True), ("1", 3, False), ("0", 0, False)])
def test_what_nothing_brings_to_the_lake_is_told_with_the_commands_that_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unattended: str, behind: int, is_told: bool
) -> None:
    monkeypatch.setenv("FINLAKE_UNATTENDED", unattended)
    code, output, _ = run(monkeypatch, tmp_path, report(engine("Kafka"), engine("Iceberg", behind=behind)))
    assert code == 0
    assert (
        "3 rows to come to Iceberg may wait for ever: work is not unattended here. The sensor stream_ranges" in output
    ) is is_told
    assert ("`FINLAKE_UNATTENDED=1 finlake up`" in output) is is_told


def test_lost_and_doubled_rows_are_named_and_the_exit_code_is_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lost = RowDifferences(missing=Ids(count=30, first=("c:1:0", "c:2:0")), doubled=Ids(count=1, first=("c:9:9",)))
    code, output, _ = run(monkeypatch, tmp_path, report(engine("ClickHouse", lost)), "--no-lake", "--wait", "5", "--drop-proven")
    assert code == 1
    assert "30 lost, 1 doubled; NOT EQUAL: ClickHouse finnhub_trades: 30 missing, 1 doubled" in output
    assert "30 missing: c:1:0, c:2:0 and 28 more" in output
    assert "1 doubled: c:9:9\n" in output


def test_an_engine_that_is_late_is_behind_and_has_lost_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    late = engine("ClickHouse", RowDifferences(missing=Ids(count=4, first=("c:1:0",))), behind=1, is_late=True)
    code, output, asked = run(monkeypatch, tmp_path, report(late), "--no-lake", "--wait", "5", "--drop-proven")
    assert code == 1
    assert "0 lost, 0 doubled; NOT EQUAL: ClickHouse finnhub_trades: behind by 5" in output
    assert asked.options == {"lake": False, "wait_s": 5, "proves": True, "drops": True}


def test_the_whole_report_is_told_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lost = RowDifferences(missing=Ids(count=1, first=("c:1:0",)))
    code, output, _ = run(monkeypatch, tmp_path, report(engine("Kafka"), engine("Iceberg", lost)), "--json")
    told = json.loads(output)
    assert code == 1
    assert (told["lsn"], told["lost_count"], told["doubled_count"], told["is_proven"]) == ("16/B374D848", 1, 0, False)
    assert [each["verdict"] for each in told["engines"]] == ["equal", "1 missing"]
    assert told["engines"][1]["differences"]["missing"]["first"] == ["c:1:0"]
    assert told["days"][0]["day"] == "2026-11-20"


@pytest.mark.parametrize(
    "arguments",
    [
        ("chaos",),
        ("chaos", "--kills", "0"),
        ("chaos", "--kills", "3", "--seconds-between", "-1"),
        ("replay", "finlake.ods.finnhub_trades"),
        ("replay", "finlake.ods.finnhub_trades", "--from", "0"),
        ("reconcile", "--wait", "-1"),
        ("bench", "speed", "--rate", "0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, [*arguments]).exit_code == 2


def test_a_topic_without_rows_cannot_be_replayed(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["replay", "finlake.x", "--from", "0", "--to", "1", "--home", str(tmp_path)])
    assert isinstance(result.exception, ReplayError)
    assert "finlake.x holds no rows; name one of finlake.ods.finnhub_trades" in str(result.exception)


def test_a_window_that_is_no_duration_is_explained(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["latency", "--window", "5x", "--home", str(tmp_path)])
    assert "'5x' is no duration; write it like 30s, 5m, 2h or 1d" in str(result.exception)
