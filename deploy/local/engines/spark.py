"""The Spark Connect server."""

import subprocess
import sys
from pathlib import Path

from deploy.local.layout import Layout
from deploy.local.probes import BrokenError, NotReadyError, listens
from deploy.local.service import Launch, Process, StackContext
from deploy.local.settings import client_environment
from deploy.local.spark_server import server_command
from finlake_settings.checkout import CHECKOUT
from finlake_settings.machine import process_environment


def command(launch: Launch) -> list[str]:
    return server_command(launch.layout, launch.java)


def left_out(context: StackContext) -> str | None:
    return (
        None if context.settings.uses_spark else "FINLAKE_ENGINE is not spark: the lake is computed in the processes of its jobs"
    )


def working_folder(layout: Layout) -> Path:
    """Spark leaves files where it stands."""
    return layout.spark


def probe(process: Process) -> None:
    """First queries, in a process of their own."""
    if not listens(process.port):
        raise NotReadyError("the port is closed")
    environment = client_environment(process.layout, process.settings)
    remote, token = environment["FINLAKE_SPARK_REMOTE"], str(process.layout.spark_token)
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "deploy.local.warm_up", remote, token],
            check=False,
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            timeout=180,
            env=process_environment(environment),
        )
    except subprocess.TimeoutExpired as problem:
        raise NotReadyError("a first query did not end within 180 s") from problem
    if answer.returncode != 0:
        lines = [line for line in answer.stderr.strip().splitlines() if line and not line[0].isspace()]
        raise BrokenError(lines[-1] if lines else "a first query failed")
