"""Whether a service really answers, by asking it what a client would ask."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local import host
from deploy.local.kafka import admin_client
from deploy.local.layout import REPOSITORY, Layout
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.postgres import connect
from deploy.local.settings import Settings, client_environment
from deploy.local.webserver_door import USER as DAGSTER_USER
from finlake_resources.connect import ConnectError, KafkaConnect

if TYPE_CHECKING:
    import httpx

# A user, and the file with the password.
Login = tuple[str, Path]

CODE_LOCATIONS = """{ workspaceOrError { __typename
  ... on PythonError { message }
  ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
    __typename ... on PythonError { message } } } } } }"""

DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }"


class NotReadyError(Exception):
    """The service does not answer yet; asking again may help."""


class BrokenError(Exception):
    """The service answers that it will not work; asking again cannot help."""


def probe(service: str, layout: Layout, settings: Settings, started: int) -> None:
    """Ask `service`, whose process started at Unix second `started`, for a sign that it can be used.

    Raises NotReadyError or BrokenError.
    """
    ports = settings.ports
    match service:
        case "postgres":
            _ask_postgres(layout, ports.postgres)
        case "spark_connect":
            _ask_spark(layout, settings)
        case "kafka":
            _ask_kafka(layout, ports)
        case "kafka_connect":
            # Answers only when the worker has joined its group.
            _ask_connect(KafkaConnect(ports.connect_url, layout.connect_certificate, patience_s=0))
        case "clickhouse":
            _get(f"http://{LOOPBACK}:{ports.clickhouse}/ping")
        case "trade_feed":
            _get(f"http://{LOOPBACK}:{ports.trade_feed}/metrics")
        case "capture_keeper":
            _get(f"http://{LOOPBACK}:{ports.capture_keeper}/metrics")
        case "clickhouse_sink":
            _get(f"http://{LOOPBACK}:{ports.clickhouse_sink}/metrics")
        case "sample_sources":
            _get(f"http://{LOOPBACK}:{ports.sample_sources}/health")
        case "dagster_webserver":
            _ask_webserver(f"http://{LOOPBACK}:{ports.dagster_webserver}", (DAGSTER_USER, layout.dagster_web_password))
        case "dagster_daemon":
            _ask_daemon(
                f"http://{LOOPBACK}:{ports.dagster_webserver}", (DAGSTER_USER, layout.dagster_web_password), started
            )


def listens(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _ask_postgres(layout: Layout, port: int) -> None:
    import psycopg

    try:
        with connect(layout, port) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as problem:
        raise NotReadyError(str(problem).strip().splitlines()[0]) from problem


def _ask_kafka(layout: Layout, ports: Ports) -> None:
    from confluent_kafka import KafkaException

    if not listens(ports.kafka):
        raise NotReadyError("the port is closed")
    try:
        admin_client(layout, ports).list_topics(timeout=5)
    except KafkaException as problem:
        raise NotReadyError(problem.args[0].str()) from problem


def _ask_connect(connect: KafkaConnect) -> None:
    try:
        connect.names()
    except ConnectError as problem:
        raise NotReadyError(str(problem)) from problem


def _ask_spark(layout: Layout, settings: Settings) -> None:
    if not listens(settings.ports.spark_connect):
        raise NotReadyError("the port is closed")
    environment = client_environment(layout, settings)
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "deploy.local.warm_up", environment["FINLAKE_SPARK_REMOTE"], str(layout.spark_token)],
            check=False,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            timeout=180,
            env=host.process_environment(environment),
        )
    except subprocess.TimeoutExpired as problem:
        raise NotReadyError("a first query did not end within 180 s") from problem
    if answer.returncode != 0:
        lines = [line for line in answer.stderr.strip().splitlines() if line and not line[0].isspace()]
        raise BrokenError(lines[-1] if lines else "a first query failed")


def _ask_webserver(url: str, login: Login) -> None:
    _get(f"{url}/server_info", login)
    workspace = _query(url, login, CODE_LOCATIONS)["workspaceOrError"]
    if workspace["__typename"] == "PythonError":
        raise BrokenError(_first_line(workspace["message"]))
    for entry in workspace["locationEntries"]:
        if entry["loadStatus"] != "LOADED":
            raise NotReadyError(f"the code location {entry['name']} is loading")
        location = entry["locationOrLoadError"]
        if location["__typename"] == "PythonError":
            raise BrokenError(f"the code location {entry['name']} cannot be loaded: {_first_line(location['message'])}")


def _ask_daemon(url: str, login: Login, started: int) -> None:
    statuses = _query(url, login, DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    # Heartbeats of the previous daemon stay in the storage.
    silent = [
        status["daemonType"]
        for status in statuses
        if status["required"] and (status["lastHeartbeatTime"] or 0) < started
    ]
    if silent:
        raise NotReadyError(f"no sign of life from {', '.join(silent)}")


def _query(url: str, login: Login, query: str) -> dict[str, Any]:
    import httpx

    auth = _credentials(login)
    answer = _answer_of(lambda: httpx.post(f"{url}/graphql", json={"query": query}, auth=auth, timeout=10, trust_env=False))
    content = answer.json()
    if "data" not in content:
        raise NotReadyError("GraphQL answered without data")
    return dict(content["data"])


def _credentials(login: Login) -> tuple[str, str]:
    user, password_file = login
    return user, password_file.read_text().strip()


def _get(url: str, login: Login | None = None) -> None:
    import httpx

    auth = None if login is None else _credentials(login)
    _answer_of(lambda: httpx.get(url, auth=auth, timeout=10, trust_env=False))


def _answer_of(request: Callable[[], "httpx.Response"]) -> "httpx.Response":
    import httpx

    try:
        answer = request()
        answer.raise_for_status()
    except httpx.HTTPError as problem:
        raise NotReadyError(str(problem) or type(problem).__name__) from problem
    return answer


def _first_line(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), "no reason given")
