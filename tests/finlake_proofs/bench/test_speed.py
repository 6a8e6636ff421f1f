"""What the speed benchmark concludes from its measurements."""

import json
from dataclasses import replace

from finlake_proofs.bench.hops import SPANS, Hop, Hops
from finlake_proofs.bench.ods_load import Written
from finlake_proofs.bench.speed import CandleReads, LoadResult, SpeedResult, one_line
from finlake_proofs.bench.speed_report import as_json, markdown, remarks


def load(
    rows_per_s: int,
    p99_ms: float | None,
    *,
    backlog_rows: int = 0,
    p50_ms: float = 50,
    name: str = "tuned connector",
) -> LoadResult:
    hops = Hops(
        row_count=10,
        hops=tuple(
            Hop(start=start, end=end, p50_ms=1, p99_ms=50 if start == "committed_ts" else 5, max_ms=60, negative_count=0)
            for start, end in SPANS
        ),
    )
    return LoadResult(
        name=name,
        asked_rows_per_s=rows_per_s,
        p50_ms=None if p99_ms is None else p50_ms,
        p99_ms=p99_ms,
        max_ms=p99_ms,
        written=Written(row_count=100, seconds=1, backlog_rows=backlog_rows, cpu_s=0.1),
        hops=hops,
        cores={"kafka_connect": 0.95, "postgres": 0.3},
        polls_per_s=60,
    )


RESULT = SpeedResult(
    tuned=load(5000, 300),
    defaults=load(5000, 1500, name="Debezium's defaults"),
    steps=(load(7000, 800), load(9800, 1200)),
    candles=CandleReads(tick_count=5_000_000, read_count=300, row_count=240, p50_ms=12, p99_ms=20),
    machine_load=(0.5, 2.0),
)


def test_a_load_is_sustained_while_rows_are_seen_in_time_and_postgres_keeps_up() -> None:
    assert load(5000, 999).is_sustained
    assert not load(5000, 1001).is_sustained
    assert not load(5000, None).is_sustained
    assert load(5000, 100, backlog_rows=5000).is_sustained
    assert not load(5000, 100, backlog_rows=5001).is_sustained


def test_the_targets_are_met_by_the_median_and_the_slowest_hundredth() -> None:
    assert RESULT.is_met
    assert not replace(RESULT, tuned=load(5000, 600, p50_ms=301)).is_met
    assert not replace(RESULT, tuned=load(5000, None)).is_met


def test_the_highest_rate_and_what_limits_it_are_named() -> None:
    assert RESULT.sustained is not None
    assert RESULT.sustained.asked_rows_per_s == 7000
    assert RESULT.limit == (
        "at 9800 rows/s the hop committed → captured waits longest; kafka_connect takes most, 0.95 cores, near one core"
    )
    assert replace(RESULT, steps=()).limit == ""


def test_rows_that_were_never_seen_have_no_latency() -> None:
    assert "rows were not seen in time" in one_line(load(5000, None))


def test_the_result_is_told_as_markdown_and_json() -> None:
    text = markdown(RESULT)
    assert "| tuned connector | 5000 | 50 | 300 | 300 | yes |" in text
    assert "| committed → captured | 1.0 | 50.0 | 1.0 | 50.0 |" in text
    assert "highest rate sustained: 7000 rows/s" in text
    assert "load average of the machine: 0.5 before, 2.0 after" in list(remarks(RESULT))
    told = json.loads(as_json(RESULT))
    assert (told["is_met"], told["tuned"]["p99_ms"], told["candles"]["p99_ms"]) == (True, 300, 20)
