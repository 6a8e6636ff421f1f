"""Commands that measure finlake on this machine: bench batch, speed, formats, catch-up, rest, endpoint."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from finlake_cli.progress import dimmed
from finlake_cli.stack_commands import DEFAULT_HOME, Home
from spark.contracts.engine import Engine

app = typer.Typer(no_args_is_help=True, help="Measure finlake on this machine.")


@app.callback()
def bench() -> None:
    """Measure finlake on this machine."""


class EngineChoice(Enum):
    """An engine of the lake, as an option."""

    EMBEDDED = "embedded"
    SPARK = "spark"


ENGINES: dict[EngineChoice, Engine] = {EngineChoice.EMBEDDED: "embedded", EngineChoice.SPARK: "spark"}


@app.command()
def batch(
    home: Home = DEFAULT_HOME,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, to try it out; targets do not count.")] = False,
    engine: Annotated[list[EngineChoice] | None, typer.Option(help="Only this engine. Default: one after the other.")] = None,
) -> None:
    """Compare increments, indicators and news parsing with their baselines; exit code 1 when a target is missed.

    Of --home only the downloaded jars are used: every lake is made in a temporary folder and removed again.
    """
    import psutil
    from rich.console import Console

    from deploy.local.ending_signals import ended_like_ctrl_c
    from finlake_proofs.bench.batch import FULL, QUICK, compare_all
    from finlake_proofs.bench.comparison import results_table

    console = Console()
    report = dimmed(console)
    with ended_like_ctrl_c():
        comparisons = compare_all(
            QUICK if quick else FULL, home / "jars", report, [ENGINES[each] for each in engine or EngineChoice]
        )
    for part in (part for each in comparisons for part in each.parts):
        report(part)
    console.print(results_table(comparisons, psutil.cpu_count() or 1))
    if not quick and not all(each.is_met for each in comparisons):
        raise typer.Exit(1)


@app.command()
def speed(
    home: Home = DEFAULT_HOME,
    rate: Annotated[int, typer.Option(min=100, help="Trades per second.")] = 5000,
    seconds: Annotated[int, typer.Option(min=5, help="Length of each load.")] = 60,
    sustained: Annotated[bool, typer.Option("--sustained", help="Raise the rate until it is not kept up.")] = False,
    ticks: Annotated[int, typer.Option(min=1000, help="Trades in the table when candles are read.")] = 5_000_000,
    results: Annotated[Path | None, typer.Option(help="Write JSON and Markdown into this folder.")] = None,
) -> None:
    """Measure how soon a committed trade can be queried, and how fast candles are read; exit code 1 when a target is missed.

    Of --home only the downloaded jars are used: the stack is made in a temporary folder and removed again.
    """
    import psutil
    from rich.console import Console

    from deploy.local.ending_signals import ended_like_ctrl_c
    from finlake_proofs.bench import speed_report
    from finlake_proofs.bench.hops import clock_remarks, hops_table
    from finlake_proofs.bench.speed import SpeedSizes, measure

    console = Console()
    report = dimmed(console)
    sizes = SpeedSizes(rows_per_s=rate, seconds=seconds, step_seconds=min(30, seconds), tick_count=ticks)
    with ended_like_ctrl_c():
        result = measure(sizes, home / "jars", report, finds_limit=sustained)
    console.print(speed_report.loads_table(result, psutil.cpu_count() or 1))
    for load in (result.tuned, result.defaults):
        console.print(hops_table(load.hops, f"hops, {load.name}"))
    console.print(speed_report.cores_table(result))
    for line in (*speed_report.remarks(result), *clock_remarks(result.tuned.hops)):
        console.print(line, highlight=False, soft_wrap=True)
    if results is not None:
        results.mkdir(parents=True, exist_ok=True)
        (results / "speed.json").write_text(speed_report.as_json(result))
        (results / "speed.md").write_text(speed_report.markdown(result))
    if not result.is_met:
        raise typer.Exit(1)


@app.command()
def formats(
    home: Home = DEFAULT_HOME,
    rate: Annotated[int, typer.Option(min=100, help="Trades per second.")] = 5000,
    seconds: Annotated[int, typer.Option(min=5, help="Length of each load.")] = 60,
    rounds: Annotated[int, typer.Option(min=1, help="How often the formats take turns.")] = 2,
) -> None:
    """Measure what a trade costs as JSON and as Avro: bytes in Kafka, processor time of the connector and of the sink.

    Of --home only the downloaded jars are used: the stack is made in a temporary folder and removed again.
    """
    import psutil
    from rich.console import Console

    from deploy.local.ending_signals import ended_like_ctrl_c
    from finlake_proofs.bench.formats import measure, results_table
    from finlake_proofs.bench.speed import SpeedSizes

    console = Console()
    before, *_ = psutil.getloadavg()
    with ended_like_ctrl_c():
        loads = measure(SpeedSizes(rows_per_s=rate, seconds=seconds), home / "jars", dimmed(console), rounds=rounds)
    console.print(results_table(loads, rate))
    console.print(f"load average of the machine: {before:.1f} before, {psutil.getloadavg()[0]:.1f} after", highlight=False)


@app.command("catch-up")
def catch_up(
    home: Home = DEFAULT_HOME,
    rate: Annotated[int, typer.Option(min=10, help="Trades per second of the traffic that was missed.")] = 500,
    minutes: Annotated[int, typer.Option(min=1, help="How long each part was away.")] = 60,
) -> None:
    """Let the sink, then Kafka Connect, miss an hour of trades and catch up; exit code 1 when a row is lost or memory exceeded.

    Of --home only the downloaded jars are used: the stack is made in a temporary folder and removed again.
    """
    from rich.console import Console

    from deploy.local.ending_signals import ended_like_ctrl_c
    from finlake_proofs.bench.catch_up import Absence, measure, memory_lines, results_table

    console = Console()
    report = dimmed(console)
    with ended_like_ctrl_c():
        result = measure(Absence(rows_per_s=rate, minutes=minutes), home / "jars", report)
    console.print(results_table(result))
    for line in memory_lines(result):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(result.verdict, style="bold green" if result.is_met else "bold red", highlight=False, soft_wrap=True)
    if not result.is_met:
        raise typer.Exit(1)


@app.command()
def rest(
    home: Home = DEFAULT_HOME,
    seconds: Annotated[int, typer.Option(min=1, help="How long to watch.")] = 60,
) -> None:
    """Show what each service of the running stack takes while nothing is asked of it; exit code 1 when it is too much.

    Start the stack some minutes before, leave it alone, and have nothing else run on the machine.
    """
    from rich.console import Console
    from rich.table import Table

    from finlake_cli.stack_commands import running_stack
    from finlake_proofs.bench.rest import measure

    report = measure(running_stack(home), seconds)
    table = Table("service", "cores", "MiB", box=None)
    for name, cores in sorted(report.cores.items(), key=lambda entry: -entry[1]):
        table.add_row(name, f"{cores:.3f}", f"{report.memory_mib.get(name, 0.0):.0f}")
    console = Console()
    console.print(table)
    console.print(report.verdict, style="bold green" if report.is_met else "bold red", highlight=False, soft_wrap=True)
    if not report.is_met:
        raise typer.Exit(1)


@app.command()
def endpoint(
    seconds: Annotated[int, typer.Option(min=1, help="How long to measure under each flood.")] = 20,
    flood: Annotated[list[str] | None, typer.Option(help="A flood, may be given again; all by default.")] = None,
) -> None:
    """Measure another user's SELECT 1 while one user floods the ClickHouse endpoint; exit code 1 when it waits too long."""
    from rich.console import Console
    from rich.table import Table

    from finlake_proofs.bench.endpoint import FLOODS, MOST_TIMES_USUAL, measure

    console = Console()
    if unknown := set(flood or ()) - set(FLOODS):
        raise typer.BadParameter(f"there is no flood {sorted(unknown)[0]!r}; there are: {', '.join(FLOODS)}")
    pairs = measure(seconds, flood or FLOODS, dimmed(console))
    table = Table("flood", "SELECT 1", "usual p99 ms", "p50 ms", "p99 ms", "times usual", box=None)
    for pair in pairs:
        table.add_row(
            pair.flooded.flood,
            str(pair.flooded.count),
            f"{pair.usual.p99_ms:.2f}",
            f"{pair.flooded.p50_ms:.2f}",
            f"{pair.flooded.p99_ms:.2f}",
            f"{pair.times_usual:.1f}",
        )
    console.print(table)
    is_met = all(pair.is_met for pair in pairs)
    verdict = f"p99 of another user under any flood must stay within {MOST_TIMES_USUAL:.0f} times the usual"
    console.print(verdict, style="bold green" if is_met else "bold red")
    if not is_met:
        raise typer.Exit(1)
