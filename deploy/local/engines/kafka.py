"""Kafka's broker, and the worker of Kafka Connect."""

from deploy.local import kafka
from deploy.local.connectors import register_connectors
from deploy.local.errors import StackError
from deploy.local.java import find_java
from deploy.local.probes import NotReadyError, listens
from deploy.local.service import Launch, Process, Stage
from finlake_clients.connect.rest import ConnectError, KafkaConnect


def broker_command(launch: Launch) -> list[str]:
    return kafka.broker_command(launch.layout, launch.java)


def broker_probe(process: Process) -> None:
    """The list of topics."""
    from confluent_kafka import KafkaException

    if not listens(process.port):
        raise NotReadyError("the port is closed")
    try:
        kafka.admin_client(process.layout, process.ports).list_topics(timeout=5)
    except KafkaException as problem:
        raise NotReadyError(problem.args[0].str()) from problem


def before_broker(stage: Stage) -> None:
    """The folder of the log."""
    kafka.format_storage(stage.layout, stage.ports, find_java())


def when_broker_ready(stage: Stage) -> None:
    """The user of all clients, and the topics."""
    kafka.give_users(stage.layout, stage.ports)
    kafka.create_topics(stage.layout, stage.ports)


def worker_command(launch: Launch) -> list[str]:
    return kafka.worker_command(launch.layout, launch.java)


def worker_probe(process: Process) -> None:
    """The list of connectors; a worker answers only when it has joined its group."""
    try:
        KafkaConnect(kafka.connect_url(process.ports), process.layout.connect_certificate, timeout_s=0).names()
    except ConnectError as problem:
        raise NotReadyError(str(problem)) from problem


def when_worker_ready(stage: Stage) -> None:
    """The connectors, each with its settings and running."""
    try:
        changed = register_connectors(stage)
    except ConnectError as problem:
        raise StackError(f"{problem} (see `{stage.layout.logs_command('kafka_connect')}`)") from problem
    for name, settings in changed.items():
        stage.report(f"connector {name} was given {len(settings)} settings")
