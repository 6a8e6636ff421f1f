"""The speed benchmark's result for a terminal, for programs and for docs/benchmarks.md."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from finlake_proofs.bench.speed import CANDLE_HOURS, P50_TARGET_MS, P99_TARGET_MS, LoadResult, SpeedResult

if TYPE_CHECKING:
    from rich.table import Table


def loads_table(result: SpeedResult, core_count: int) -> "Table":
    """Every load in a row."""
    from rich.table import Table

    view = Table(title=f"finlake bench speed, {core_count} cores: from commit to query", title_justify="left")
    for heading in ("load", "rows/s", "p50 ms", "p99 ms", "longest ms", "sustained"):
        view.add_column(heading, justify="left" if heading in ("load", "sustained") else "right")
    for each in _loads(result):
        color = "green" if each.is_sustained else "red"
        view.add_row(
            each.name,
            f"{each.asked_rows_per_s}",
            _ms(each.p50_ms),
            _ms(each.p99_ms),
            _ms(each.max_ms),
            f"[{color}]{'yes' if each.is_sustained else 'no'}[/{color}]",
        )
    view.add_section()
    view.add_row("target", f"{result.tuned.asked_rows_per_s}", f"≤ {P50_TARGET_MS:g}", f"≤ {P99_TARGET_MS:g}", "", "")
    return view


def cores_table(result: SpeedResult) -> "Table":
    """Cores by process, one column per load at the target rate."""
    from rich.table import Table

    loads = (result.tuned, result.defaults)
    view = Table("process", *(f"{each.name}, cores" for each in loads))
    for name in sorted(result.tuned.cores, key=result.tuned.cores.__getitem__, reverse=True):
        view.add_row(name, *(f"{each.cores.get(name, 0):.2f}" for each in loads))
    return view


def remarks(result: SpeedResult) -> Iterator[str]:
    """What the tables do not say."""
    candles = result.candles
    yield (
        f"{CANDLE_HOURS} h of one symbol's candles among {candles.tick_count} ticks: p50 {candles.p50_ms:.1f} ms, "
        f"p99 {candles.p99_ms:.1f} ms over {candles.read_count} reads of {candles.row_count} rows"
    )
    yield (
        f"the reader asked {result.tuned.polls_per_s:.0f} times a second; each latency is up to the answer in which a row "
        "was first seen, so it is an upper bound"
    )
    before, after = result.machine_load
    yield f"load average of the machine: {before:.1f} before, {after:.1f} after"
    if result.sustained is not None and result.steps:
        yield f"highest rate sustained: {result.sustained.asked_rows_per_s} rows/s"
    if result.limit:
        yield f"limit: {result.limit}"


def markdown(result: SpeedResult) -> str:
    """Tables for docs/benchmarks.md."""
    lines = ["| load | rows/s | p50 ms | p99 ms | longest ms | sustained |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {each.name} | {each.asked_rows_per_s} | {_ms(each.p50_ms)} | {_ms(each.p99_ms)} | {_ms(each.max_ms)} "
        f"| {'yes' if each.is_sustained else 'no'} |"
        for each in _loads(result)
    ]
    lines += ["", "| hop | p50 ms | p99 ms | with Debezium's defaults p50 | p99 |", "|---|---|---|---|---|"]
    lines += [
        f"| {tuned.name} | {tuned.p50_ms:.1f} | {tuned.p99_ms:.1f} | {plain.p50_ms:.1f} | {plain.p99_ms:.1f} |"
        for tuned, plain in zip(result.tuned.hops.hops, result.defaults.hops.hops, strict=True)
    ]
    lines += ["", "| process | cores |", "|---|---|"]
    lines += [f"| {name} | {cores:.2f} |" for name, cores in sorted(result.tuned.cores.items(), key=lambda item: -item[1])]
    return "\n".join([*lines, "", *(f"- {remark}" for remark in remarks(result))]) + "\n"


def as_json(result: SpeedResult) -> str:
    """Everything that was measured."""
    return json.dumps({**asdict(result), "is_met": result.is_met, "limit": result.limit}, indent=2)


def _loads(result: SpeedResult) -> tuple[LoadResult, ...]:
    return (result.tuned, *result.steps, result.defaults)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
