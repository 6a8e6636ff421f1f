"""What the catch-up benchmark concludes from its measurements."""

from dataclasses import replace
from datetime import UTC, datetime

from finlake_proofs.bench.catch_up import MEMORY_CAP_MB, Absence, CatchUp, CatchUpResult
from finlake_reconciliation.report import ReconcileReport

FULL_HOUR = Absence(rows_per_s=500, minutes=60)
SINK = CatchUp(
    part="clickhouse_sink", row_count=FULL_HOUR.row_count, arrived_count=FULL_HOUR.row_count, seconds=120, peak_mb=MEMORY_CAP_MB
)
RESULT = CatchUpResult(
    absence=FULL_HOUR,
    parts=(SINK, replace(SINK, part="kafka_connect")),
    comparison=ReconcileReport(lsn=1, cut_ts=datetime(2026, 5, 6, tzinfo=UTC), row_counts={}, engines=(), derived=(), faults=()),
)


def with_sink(sink: CatchUp) -> CatchUpResult:
    return replace(RESULT, parts=(sink, RESULT.parts[1]))


def test_an_hour_at_the_default_rate_is_so_many_rows_and_their_rate_counts_from_the_start() -> None:
    assert FULL_HOUR.row_count == 1_800_000
    assert SINK.rows_per_s == 15_000


def test_all_rows_within_the_caps_and_equal_engines_are_what_is_wanted() -> None:
    assert RESULT.is_met


def test_a_missing_and_a_doubled_row_are_named() -> None:
    missing = with_sink(replace(SINK, arrived_count=FULL_HOUR.row_count - 3))
    assert not missing.is_met
    assert "3 rows missing after clickhouse_sink was away" in missing.verdict
    doubled = with_sink(replace(SINK, arrived_count=FULL_HOUR.row_count + 2))
    assert not doubled.is_met
    assert "2 rows too many after clickhouse_sink was away" in doubled.verdict


def test_too_much_memory_of_any_process_is_named() -> None:
    result = with_sink(replace(SINK, peak_mb={**MEMORY_CAP_MB, "kafka": 2000.0}))
    assert not result.is_met
    assert "kafka took 2000 MB of 912" in result.verdict


def test_a_comparison_that_finds_something_is_not_what_is_wanted() -> None:
    assert not replace(RESULT, comparison=replace(RESULT.comparison, faults=("a fault",))).is_met
