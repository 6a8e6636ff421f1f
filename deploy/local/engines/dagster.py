"""Dagster's code server, its webserver, and its daemon, whose readiness is read from the webserver.

Webserver and daemon could each start a code server of their own. Such a one ends when it hears nothing for 45 seconds, as
after a machine was suspended, and then no run can be started by hand. So one is supervised, and both ask it.
"""

import sys
from typing import Any

from deploy.local.dagster_runs import fail_abandoned_runs
from deploy.local.probes import BrokenError, NotReadyError, answer_of, credentials, get
from deploy.local.service import Launch, Process, StackContext, Stage
from deploy.local.workspace import code_location
from finlake_clients.dagster_login import USER
from finlake_settings.local_stack import LOOPBACK

CODE_LOCATIONS = """{ workspaceOrError { __typename
  ... on PythonError { message }
  ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
    __typename ... on PythonError { message } } } } } }"""

DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }"


def code_server_command(launch: Launch) -> list[str]:
    """Loads what the workspace names, and serves it where only this account comes in: whoever may ask may run code."""
    location = code_location(launch.layout.workspace)
    return [
        *(sys.executable, "-m", "dagster", "api", "grpc", "--socket", str(launch.layout.code_socket)),
        *("--location-name", location.name, *location.arguments, "--use-python-environment-entry-point"),
        # What cannot be loaded is then reported by the webserver, and not by a process that ends again and again.
        *("--lazy-load-user-code", "--log-level", "warning"),
    ]


def code_server_probe(process: Process) -> None:
    """It answers."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    try:
        DagsterGrpcClient(socket=str(process.layout.code_socket)).ping("")
    except DagsterUserCodeUnreachableError as problem:
        raise NotReadyError(_first_line(str(problem))) from problem


def webserver_command(launch: Launch) -> list[str]:
    return [
        *(sys.executable, "-m", "deploy.local.webserver", "--workspace", str(launch.layout.served_workspace)),
        *("--port", str(launch.port), "--password-file", str(launch.layout.dagster_web_password)),
    ]


def before_webserver(stage: Stage) -> None:
    """No run counts as running whose process has ended with the last stack."""
    if stage.fresh:
        for run_id in fail_abandoned_runs(stage.layout):
            stage.report(f"closed run {run_id}, whose process had ended")


def webserver_probe(process: Process) -> None:
    """Its code locations are loaded."""
    from finlake_clients.dagster_graphql import CODE_SERVER_AWAY

    get(f"{_url(process)}/server_info", (USER, process.layout.dagster_web_password))
    workspace = _query(process, CODE_LOCATIONS)["workspaceOrError"]
    if workspace["__typename"] == "PythonError":
        raise BrokenError(_first_line(workspace["message"]))
    for entry in workspace["locationEntries"]:
        if entry["loadStatus"] != "LOADED":
            raise NotReadyError(f"the code location {entry['name']} is loading")
        location = entry["locationOrLoadError"]
        if location["__typename"] == "PythonError":
            reason = f"the code location {entry['name']} cannot be loaded: {_first_line(location['message'])}"
            # A code server that was killed is started again; the webserver looks for it again by itself.
            raise NotReadyError(reason) if CODE_SERVER_AWAY in reason else BrokenError(reason)


def daemon_command(launch: Launch) -> list[str]:
    return [sys.executable, "-m", "dagster._daemon", "run", "-w", str(launch.layout.served_workspace)]


def daemon_probe(process: Process) -> None:
    """Each of its parts gave a sign of life."""
    statuses = _query(process, DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    # Heartbeats of the previous daemon stay in the storage.
    silent = [
        status["daemonType"] for status in statuses if status["required"] and (status["lastHeartbeatTime"] or 0) < process.started
    ]
    if silent:
        raise NotReadyError(f"no sign of life from {', '.join(silent)}")


def _url(context: StackContext) -> str:
    return f"http://{LOOPBACK}:{context.ports['dagster_webserver']}"


def _query(context: StackContext, query: str) -> dict[str, Any]:
    import httpx

    auth = credentials((USER, context.layout.dagster_web_password))
    answer = answer_of(
        lambda: httpx.post(f"{_url(context)}/graphql", json={"query": query}, auth=auth, timeout=10, trust_env=False)
    )
    content = answer.json()
    if "data" not in content:
        raise NotReadyError("GraphQL answered without data")
    return dict(content["data"])


def _first_line(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), "no reason given")
