"""The services of the batch part: what each needs first, and the command that runs it."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.postgres import Cluster, server_command


@dataclass(frozen=True)
class Service:
    """One supervised process.

    `priority` orders stopping: higher stops first. `ready_within_s` is the longest start that is still normal.
    """

    name: str
    requires: frozenset[str]
    priority: int
    ready_within_s: int
    stop_signal: str = "TERM"
    stop_within_s: int = 20


SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        # INT is Postgres's fast shutdown: TERM would wait for every client to leave.
        Service("postgres", frozenset(), 10, 60, stop_signal="INT"),
        Service("spark_connect", frozenset({"postgres"}), 20, 240),
        Service("sample_sources", frozenset(), 20, 90),
        Service("dagster_webserver", frozenset({"postgres"}), 30, 240),
        # Its readiness is read from the webserver.
        Service("dagster_daemon", frozenset({"postgres", "dagster_webserver"}), 40, 240, stop_within_s=30),
    )
}


def with_requirements(names: Collection[str] | None) -> list[str]:
    """The named services (None: all) and what they need, in starting order.

    Raises StackError for a name that is no service.
    """
    wanted = set(SERVICES if names is None else names)
    unknown = wanted - set(SERVICES)
    if unknown:
        raise StackError(f"no service is named {sorted(unknown)[0]}; there are {', '.join(SERVICES)}")
    while True:
        more = {need for name in wanted for need in SERVICES[name].requires} - wanted
        if not more:
            return [name for name in SERVICES if name in wanted]
        wanted |= more


def command_of(name: str, layout: Layout, ports: Ports, cluster: Cluster, spark_command: list[str]) -> list[str]:
    """The command line of a service; none holds a secret. `spark_command` is the Spark server's."""
    workspace = str(layout.workspace)
    match name:
        case "postgres":
            return server_command(cluster, ports.postgres)
        case "spark_connect":
            return spark_command
        case "sample_sources":
            return [sys.executable, "-m", "finlake_services.sample_sources", "--port", str(ports.sample_sources)]
        case "dagster_webserver":
            return [
                *(sys.executable, "-m", "dagster_webserver", "-w", workspace),
                *("--host", LOOPBACK, "--port", str(ports.dagster_webserver)),
            ]
        case "dagster_daemon":
            return [sys.executable, "-m", "dagster._daemon", "run", "-w", workspace]
        case _:
            raise StackError(f"no service is named {name}; there are {', '.join(SERVICES)}")
