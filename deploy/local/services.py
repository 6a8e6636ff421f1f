"""The services of the stack: what each needs first, and the command that runs it."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deploy.local import kafka
from deploy.local.connectors import CONNECTOR
from deploy.local.errors import StackError
from deploy.local.java import Java
from deploy.local.layout import Layout
from deploy.local.ports import Ports
from deploy.local.postgres import Cluster, server_command
from deploy.local.settings import Settings


@dataclass(frozen=True)
class Service:
    """One supervised process.

    `requires` are ready before it starts; `beside` are started at the same time and asked first; `after` are ready
    before it starts when they are wanted too, but it does not bring them along. `priority` orders stopping: higher
    stops first. `ready_within_s` is the longest start that is still normal.
    """

    name: str
    priority: int
    ready_within_s: int
    requires: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    stop_signal: str = "TERM"
    stop_within_s: int = 20


SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        # INT is Postgres's fast shutdown: TERM would wait for every client to leave.
        Service("postgres", 10, 60, stop_signal="INT"),
        Service("kafka", 15, 120, stop_within_s=60),
        Service("kafka_connect", 30, 180, frozenset({"postgres", "kafka"}), stop_within_s=60),
        Service("capture_keeper", 45, 60, frozenset({"kafka_connect"})),
        Service("clickhouse", 20, 90, stop_within_s=30),
        Service("sample_sources", 20, 90),
        Service("clickhouse_sink", 50, 60, frozenset({"kafka", "clickhouse"}), stop_within_s=30),
        # The first to stop: what it has received still goes to Postgres. Rows that come before the connector would
        # reach Kafka by its first snapshot, without the time of their commit.
        Service(
            *("trade_feed", 60, 60, frozenset({"postgres", "sample_sources"})),
            after=frozenset({"kafka_connect"}),
            stop_within_s=30,
        ),
        Service("spark_connect", 20, 240, frozenset({"postgres"})),
        Service("dagster_webserver", 35, 240, frozenset({"postgres"})),
        # Its readiness is read from the webserver.
        Service("dagster_daemon", 40, 240, frozenset({"postgres"}), frozenset({"dagster_webserver"}), stop_within_s=30),
    )
}


def left_out(settings: Settings) -> dict[str, str]:
    """Services that cannot run with these settings, or are not needed, with the reason; `up` does without them."""
    if not settings.uses_live_sources:
        return {}
    reasons = {"sample_sources": "FINLAKE_SOURCES=live asks the vendors themselves"}
    if "FINLAKE_FINNHUB_TOKEN_FILE" not in settings.variables:
        reasons["trade_feed"] = "FINLAKE_FINNHUB_TOKEN_FILE names no file with a token"
    return reasons


def with_requirements(names: Collection[str], unneeded: Collection[str] = ()) -> list[str]:
    """The named services and what they need, in starting order; `unneeded` ones come only if they are named.

    Raises StackError for a name that is no service.
    """
    wanted = set(names)
    unknown = wanted - set(SERVICES)
    if unknown:
        raise StackError(f"no service is named {sorted(unknown)[0]}; there are {', '.join(SERVICES)}")
    while True:
        more = {need for name in wanted for need in SERVICES[name].requires | SERVICES[name].beside}
        more -= wanted | set(unneeded)
        if not more:
            return [name for name in SERVICES if name in wanted]
        wanted |= more


def command_of(
    name: str, layout: Layout, ports: Ports, cluster: Cluster, java: Java, spark_command: list[str]
) -> list[str]:
    """The command line of a service; none holds a secret. `spark_command` is the Spark server's."""
    workspace = str(layout.workspace)
    match name:
        case "postgres":
            return server_command(cluster, ports.postgres)
        case "kafka":
            return kafka.broker_command(layout, java)
        case "kafka_connect":
            return kafka.worker_command(layout, java)
        case "spark_connect":
            return spark_command
        case "sample_sources":
            return _service(
                "sample_sources", "--port", ports.sample_sources, "--finnhub-token-file", layout.finnhub_token
            )
        case "clickhouse":
            return _service(
                *("clickhouse_local", "--home", layout.clickhouse / "data", "--port", ports.clickhouse),
                # Iceberg tables are read below the working folder only.
                *("--users", layout.clickhouse / "users.json", "--working-folder", layout.warehouse),
            )
        case "trade_feed":
            return _service("trade_feed", "--metrics-port", ports.trade_feed)
        case "capture_keeper":
            return _service("capture_keeper", "--connector", CONNECTOR, "--metrics-port", ports.capture_keeper)
        case "clickhouse_sink":
            return _service("clickhouse_sink", "--metrics-port", ports.clickhouse_sink, "--instance", "local")
        case "dagster_webserver":
            return [
                *(sys.executable, "-m", "deploy.local.webserver", "--workspace", workspace),
                *("--port", str(ports.dagster_webserver), "--password-file", str(layout.dagster_web_password)),
            ]
        case "dagster_daemon":
            return [sys.executable, "-m", "dagster._daemon", "run", "-w", workspace]
        case _:
            raise StackError(f"no service is named {name}; there are {', '.join(SERVICES)}")


def _service(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"finlake_services.{module}", *map(str, arguments)]
