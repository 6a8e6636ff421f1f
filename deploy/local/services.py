"""The services of the stack, one record each, and what follows from them: order, ports, who is left out."""

from collections.abc import Collection, Mapping

from deploy.local.engines import clickhouse, dagster, kafka, postgres, schema_registry, spark, trades
from deploy.local.errors import StackError
from deploy.local.ports import Ports, chosen
from deploy.local.probes import answers
from deploy.local.service import Service, StackContext, own_service
from finlake_clients.connect.change_capture import CONNECTOR
from finlake_settings.local_stack import USUAL_PORTS

SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        Service(
            name="postgres",
            command=postgres.command,
            port=USUAL_PORTS["postgres"],
            probe=postgres.probe,
            when_ready=postgres.when_ready,
            working_folder=postgres.working_folder,
            priority=10,
            ready_within_s=60,
            # Postgres's fast shutdown: TERM would wait for every client to leave.
            stop_signal="INT",
            # It stops its backends itself; a second signal to them would count as a crash.
            stops_group=False,
            gives_up_root=True,
            chaos="stream",
        ),
        Service(
            name="kafka",
            command=kafka.broker_command,
            port=USUAL_PORTS["kafka"],
            more_ports={"kafka_controller": 19093},
            probe=kafka.broker_probe,
            before_start=kafka.before_broker,
            when_ready=kafka.when_broker_ready,
            priority=15,
            ready_within_s=120,
            stop_within_s=60,
            chaos="stream",
        ),
        Service(
            name="schema_registry",
            command=schema_registry.command,
            port=18081,
            probe=schema_registry.probe,
            left_out=schema_registry.left_out,
            before_start=schema_registry.before_start,
            when_ready=schema_registry.when_ready,
            working_folder=schema_registry.working_folder,
            priority=15,
            ready_within_s=180,
            chaos="avro",
        ),
        Service(
            name="kafka_connect",
            command=kafka.worker_command,
            port=USUAL_PORTS["kafka_connect"],
            probe=kafka.worker_probe,
            when_ready=kafka.when_worker_ready,
            requires=frozenset({"postgres", "kafka", "schema_registry"}),
            priority=30,
            ready_within_s=180,
            stop_within_s=60,
            chaos="stream",
        ),
        Service(
            name="capture_keeper",
            command=own_service("capture_keeper", "--connector", CONNECTOR),
            port=18103,
            probe=answers("/metrics"),
            metrics_path="/metrics",
            tells_everybody="counters: how often the connector failed",
            requires=frozenset({"kafka_connect"}),
            priority=45,
            ready_within_s=60,
            chaos="stream",
        ),
        Service(
            name="clickhouse",
            command=clickhouse.command,
            port=USUAL_PORTS["clickhouse"],
            probe=answers("/ping"),
            metrics_path="/metrics",
            when_ready=clickhouse.when_ready,
            priority=20,
            ready_within_s=90,
            stop_within_s=30,
            chaos="stream",
        ),
        Service(
            name="sample_sources",
            command=trades.sources_command,
            port=USUAL_PORTS["sample_sources"],
            probe=answers("/health"),
            left_out=trades.sources_left_out,
            priority=20,
            ready_within_s=90,
        ),
        Service(
            name="clickhouse_sink",
            command=own_service("clickhouse_sink", "--instance", "local"),
            port=18102,
            probe=answers("/metrics"),
            metrics_path="/metrics",
            tells_everybody="counters: how many rows, how far behind",
            requires=frozenset({"kafka", "clickhouse", "schema_registry"}),
            priority=50,
            ready_within_s=60,
            stop_within_s=30,
            chaos="stream",
        ),
        Service(
            name="trade_feed",
            command=own_service("trade_feed"),
            port=18101,
            probe=answers("/metrics"),
            metrics_path="/metrics",
            tells_everybody="counters: how many trades, reconnects, errors",
            left_out=trades.feed_left_out,
            requires=frozenset({"postgres", "sample_sources"}),
            # Rows that come before the connector would reach Kafka by its first snapshot, without the time of their commit.
            after=frozenset({"kafka_connect"}),
            # The first to stop: what it has received still goes to Postgres.
            priority=60,
            ready_within_s=60,
            stop_within_s=30,
            chaos="stream",
        ),
        Service(
            name="spark_connect",
            command=spark.command,
            port=USUAL_PORTS["spark_connect"],
            probe=spark.probe,
            left_out=spark.left_out,
            requires=frozenset({"postgres"}),
            working_folder=spark.working_folder,
            priority=20,
            ready_within_s=240,
            chaos="archiving",
        ),
        Service(
            name="dagster_code_server",
            command=dagster.code_server_command,
            probe=dagster.code_server_probe,
            requires=frozenset({"postgres"}),
            # Runs are its children: they end after the daemon, which would begin others.
            priority=32,
            ready_within_s=120,
            stop_within_s=30,
            chaos="batch",
        ),
        Service(
            name="dagster_webserver",
            command=dagster.webserver_command,
            port=USUAL_PORTS["dagster_webserver"],
            probe=dagster.webserver_probe,
            before_start=dagster.before_webserver,
            requires=frozenset({"postgres", "dagster_code_server"}),
            priority=35,
            ready_within_s=240,
        ),
        Service(
            name="dagster_daemon",
            command=dagster.daemon_command,
            probe=dagster.daemon_probe,
            requires=frozenset({"postgres", "dagster_code_server"}),
            beside=frozenset({"dagster_webserver"}),
            priority=40,
            ready_within_s=240,
            stop_within_s=30,
            chaos="batch",
        ),
    )
}


def service_named(name: str) -> Service:
    """Raises StackError for a name that is no service."""
    if name not in SERVICES:
        raise StackError(f"no service is named {name}; there are {', '.join(SERVICES)}")
    return SERVICES[name]


def left_out(context: StackContext) -> dict[str, str]:
    """Services that cannot run in this stack, or are not needed, with the reason; `up` does without them."""
    reasons = {name: service.left_out(context) for name, service in SERVICES.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def with_requirements(names: Collection[str], unneeded: Collection[str] = ()) -> list[str]:
    """The named services and what they need, in starting order; `unneeded` ones come only if they are named.

    Raises StackError for a name that is no service.
    """
    wanted = {service_named(name).name for name in sorted(names)}
    while True:
        more = {need for name in wanted for need in SERVICES[name].requires | SERVICES[name].beside}
        more -= wanted | set(unneeded)
        if not more:
            return [name for name in SERVICES if name in wanted]
        wanted |= more


def default_ports() -> Ports:
    """Every port of every service with its usual number."""
    return Ports({name: port for service in SERVICES.values() for name, port in service.ports.items()})


def free_ports() -> Ports:
    """A free port in place of each of the default ones."""
    return chosen(default_ports())


def port_names(services: Collection[str]) -> list[str]:
    """The ports on which these services listen, by name."""
    return [port for name in services for port in SERVICES[name].ports]


def owner_of(port_name: str) -> str:
    """The service that listens on a port."""
    return next(service.name for service in SERVICES.values() if port_name in service.ports)
