"""Commands about the local stack: prepare, up, down, status, logs, doctor."""

import os
import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from finlake_clients.dagster_login import USER
from finlake_settings.checkout import CHECKOUT, STATE_FOLDER
from finlake_settings.variable_names import variable

if TYPE_CHECKING:
    from deploy.local.stack import LocalStack

app = typer.Typer()

# Every command that touches the stack takes its state folder so.
Home = Annotated[Path, typer.Option(envvar=variable("home"), help="State folder: data, logs, passwords, downloads.")]
DEFAULT_HOME = CHECKOUT / STATE_FOLDER

MARKS = {"running": "green", "starting": "yellow", "stopped": "dim", "failed": "red", "left out": "dim"}


def open_stack(home: Path) -> "LocalStack":
    """The stack of a state folder, with the FINLAKE_* variables of this process."""
    from deploy.local.stack import LocalStack
    from finlake_settings.reading import user_variables

    return LocalStack(home, variables=user_variables())


def running_stack(home: Path) -> "LocalStack":
    """The stack of a state folder for a command that speaks to its services.

    Raises StackError unless it runs and nobody else answers on its ports: every such command gets its stack here.
    """
    stack = open_stack(home)
    stack.require_running()
    return stack


def where_finlake_is() -> str | None:
    """How a shell finds the command that messages name; None where it does."""
    own = Path(sys.executable).with_name("finlake")
    if shutil.which("finlake") is not None or not own.is_file():
        return None
    return f"where `finlake` is named: {own}, or just finlake after `source {quote(str(own.with_name('activate')))}`"


@app.command()
def prepare(home: Home = DEFAULT_HOME) -> None:
    """Find Java and download the jars. A later `finlake up` needs no network."""
    open_stack(home).prepare(report=typer.echo)


@app.command()
def up(
    home: Home = DEFAULT_HOME,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Move services whose port is taken to a free port.")] = False,
    service: Annotated[list[str] | None, typer.Option(help="Start only this service and what it needs; may be repeated.")] = None,
) -> None:
    """Start all services and wait until they answer. Safe to repeat."""
    stack = open_stack(home)
    stack.up(free_ports=free_ports, services=service, report=typer.echo)
    if service is None:
        typer.echo(
            f"finlake is up: {stack.environment()['FINLAKE_DAGSTER_URL']} "
            f"(user {USER}, password in {stack.layout.dagster_web_password})"
        )
        if hint := where_finlake_is():
            typer.echo(hint)


@app.command()
def down(home: Home = DEFAULT_HOME) -> None:
    """Stop all services and leave no process behind. Data stays."""
    ended = open_stack(home).down(report=typer.echo)
    typer.echo(f"finlake is down ({ended} left-over processes ended)" if ended else "finlake is down")


@app.command()
def status(home: Home = DEFAULT_HOME) -> None:
    """Show every service and connector. Exit code 1 unless all run that the settings allow."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from deploy.local.connectors import connector_faults

    stack = open_stack(home)
    services = stack.status()
    table = Table("service", "state", "port", "detail", box=None)
    for entry in services:
        mark = MARKS[entry.state]
        table.add_row(entry.name, f"[{mark}]{entry.state}[/{mark}]", str(entry.port or ""), entry.detail)
    worker = next(entry for entry in services if entry.name == "kafka_connect")
    faults = connector_faults(stack.context) if worker.state == "running" else {}
    for name, wrong in faults.items():
        state, mark = ("failed", "red") if wrong else ("running", "green")
        table.add_row(f"  connector {name}", f"[{mark}]{state}[/{mark}]", "", escape("; ".join(wrong)))
    Console().print(table)
    if any(faults.values()) or any(entry.state not in {"running", "left out"} for entry in services):
        raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A service, or supervisord.")],
    home: Home = DEFAULT_HOME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option(min=1, help="How many lines to begin with.")] = 100,
) -> None:
    """Show the log of a service."""
    file = open_stack(home).log_file(name)
    sys.stdout.flush()
    # `tail -F` also follows the log into the next file when it is rotated.
    os.execvp("tail", ["tail", *(["-F"] if follow else []), "-n", str(lines), str(file)])


@app.command()
def doctor(home: Home = DEFAULT_HOME) -> None:
    """Check this machine and this installation. Exit code 1 when something is wrong."""
    from deploy.local.doctor import examine

    findings = examine(open_stack(home))
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        typer.secho("ok   " if finding.fine else "wrong", fg="green" if finding.fine else "red", nl=False)
        remedy = "" if finding.fine else f": {finding.remedy}"
        typer.echo(f" {finding.subject:{width}} {finding.detail}{remedy}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(1)
