"""The server of Postgres."""

from pathlib import Path

from deploy.local.layout import Layout
from deploy.local.postgres import connect, provision, server_command
from deploy.local.probes import NotReadyError
from deploy.local.service import Launch, Process, Stage


def command(launch: Launch) -> list[str]:
    return server_command(launch.cluster, launch.port)


def working_folder(_: Layout) -> Path:
    """One that its account can enter."""
    return Path("/")


def probe(process: Process) -> None:
    """A query of the administrator."""
    import psycopg

    try:
        with connect(process.layout, process.port) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as problem:
        raise NotReadyError(str(problem).strip().splitlines()[0]) from problem


def when_ready(stage: Stage) -> None:
    """Roles, databases and the market's tables."""
    provision(stage.layout, stage.ports["postgres"])
