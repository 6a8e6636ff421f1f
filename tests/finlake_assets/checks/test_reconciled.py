"""What Dagster hears of a comparison of the engines."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from finlake_assets.checks import reconciled
from finlake_clients.lake_client import LakeClient
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_reconciliation.comparison import Ids, RowDifferences
from finlake_reconciliation.report import DerivedReport, EngineReport, ReconcileReport
from finlake_resources.resources import ReconciliationResource
from tests.finlake_assets.recording import LakeLog, recording_jobs

EQUAL = EngineReport(engine="ClickHouse", relation="finnhub_trades", row_count=7, bucket_count=1)
QUOTES = EngineReport(engine="ClickHouse", relation="finnhub_quotes", row_count=0, bucket_count=0)


def told(*engines: EngineReport, different_candles: int = 0, silent: str = "") -> Mapping[str, dg.AssetCheckEvaluation]:
    """The evaluations by table when a comparison finds this."""
    derived = tuple(
        DerivedReport(
            table=f"speed.{name}",
            window_count=5,
            moving_count=0,
            different_count=different_candles if name == "candles_1m" else 0,
            first=("AAPL 2026-11-20 14:30:00 is not there",) if different_candles else (),
        )
        for name in ("candles_1m", "windows_30s", "price_volume_15s")
    )

    class Found(ReconciliationResource):
        """Finds what the test says."""

        def run(
            self, jobs: LakeClient | None, *, wait_s: float = 60, proves_days: bool = False, drops_proven: bool = False
        ) -> ReconcileReport:
            if silent:
                raise ServiceUnavailableError(silent, "127.0.0.1:1", "connection refused")
            return ReconcileReport(
                lsn=0x1_0000_00AB,
                cut_ts=datetime(2026, 11, 21, tzinfo=UTC),
                engines=engines,
                derived=derived,
                row_counts={"finnhub_trades": 7, "finnhub_quotes": 0},
            )

    checks = reconciled.build()
    reconciliation = Found(
        market_uri="",
        market_password_file="",
        kafka_bootstrap="",
        kafka_password_file=None,
        clickhouse_url="",
        clickhouse_password_file="",
    )
    keys = {key.asset_key for check in checks for key in check.check_keys}
    job = dg.Definitions(
        assets=[dg.AssetSpec(key) for key in sorted(keys)],
        asset_checks=checks,
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
        resources={"jobs": recording_jobs(LakeLog()), "reconciliation": reconciliation},
    ).resolve_job_def("all")
    found = job.execute_in_process().get_asset_check_evaluations()
    return {".".join(evaluation.asset_key.path): evaluation for evaluation in found}


def test_equal_engines_pass_on_every_live_table() -> None:
    found = told(EQUAL, QUOTES)
    assert all(evaluation.passed for evaluation in found.values())
    assert set(found) == {
        "speed.stock_realtime",
        "speed.quotes_realtime",
        "speed.candles_1m",
        "speed.windows_30s",
        "speed.price_volume_15s",
    }
    assert "up to LSN 1/AB" in (found["speed.stock_realtime"].description or "")


def test_an_engine_that_does_not_answer_leaves_every_table_unjudged_and_says_which() -> None:
    found = told(silent="kafka")
    assert {evaluation.severity for evaluation in found.values()} == {dg.AssetCheckSeverity.WARN}
    assert all("not judged: kafka at 127.0.0.1:1" in (evaluation.description or "") for evaluation in found.values())
    assert not any(evaluation.passed for evaluation in found.values())
    assert len(found) == 5


def test_a_lost_row_is_an_error_that_names_it() -> None:
    lost = EngineReport(
        engine="Iceberg",
        relation="finnhub_trades",
        row_count=6,
        bucket_count=1,
        different_bucket_count=1,
        differences=RowDifferences(missing=Ids(count=1, first=("c:1:0",))),
    )
    found = told(EQUAL, lost, QUOTES)
    trades = found["speed.stock_realtime"]
    assert (trades.passed, trades.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "Iceberg: 1 missing" in (trades.description or "")
    assert "c:1:0" in str(trades.metadata["ids"])
    assert found["speed.quotes_realtime"].passed


def test_an_engine_that_is_only_behind_warns() -> None:
    late = EngineReport(engine="ClickHouse", relation="finnhub_trades", row_count=4, bucket_count=1, behind_count=3, is_late=True)
    trades = told(late, QUOTES)["speed.stock_realtime"]
    assert (trades.passed, trades.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "behind by 3" in (trades.description or "")


def test_a_candle_that_does_not_follow_from_its_trades_is_named() -> None:
    candles = told(EQUAL, QUOTES, different_candles=1)["speed.candles_1m"]
    assert (candles.passed, candles.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "is not there" in str(candles.metadata["first_differences"])
