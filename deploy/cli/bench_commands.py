"""Commands that measure finlake on this machine: bench batch."""

from typing import Annotated

import typer

from deploy.cli.stack_commands import DEFAULT_HOME, Home

app = typer.Typer(no_args_is_help=True, help="Measure finlake on this machine.")


@app.callback()
def bench() -> None:
    """Measure finlake on this machine."""


@app.command()
def batch(
    home: Home = DEFAULT_HOME,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, to try it out; targets do not count.")] = False,
) -> None:
    """Compare increments, indicators and news parsing with their baselines; exit code 1 when a target is missed.

    Of --home only the downloaded jars are used: every lake is made in a temporary folder and removed again.
    """
    import psutil
    from rich.console import Console

    from deploy.bench.batch import FULL, QUICK, compare_all
    from deploy.bench.comparison import results_table
    from deploy.bench.temporary_lake import ended_like_ctrl_c

    console = Console()

    def report(line: str) -> None:
        console.print(line, style="dim", highlight=False)

    with ended_like_ctrl_c():
        comparisons = compare_all(QUICK if quick else FULL, home / "jars", report)
    for part in (part for each in comparisons for part in each.parts):
        report(part)
    console.print(results_table(comparisons, psutil.cpu_count() or 1))
    if not quick and not all(each.is_met for each in comparisons):
        raise typer.Exit(1)
