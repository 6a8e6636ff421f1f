"""Kafka and Kafka Connect on this machine: one broker that is its own controller, one worker beside it.

The worker writes exactly once and reads secrets from one folder, so that no connector's configuration holds any.
"""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.errors import StackError
from deploy.local.jars import KAFKA_FOLDER, PLUGIN_FOLDER
from deploy.local.java import Java
from deploy.local.layout import Layout
from deploy.local.passwords import write_private
from deploy.local.ports import LOOPBACK, Ports

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

DAY_MS = 24 * 3600 * 1000

BROKER_HEAP_MB, CONNECT_HEAP_MB = 512, 768

# Topics of the stream with the days they keep. LogAppendTime: a record's time is the broker's, so that ranges of
# offsets can be found by time and the hop to Kafka can be measured.
TOPIC_DAYS: Mapping[str, int] = {
    "finlake.ods.finnhub_trades": 7,
    "finlake.ods.finnhub_quotes": 7,
    "finlake.ods.cdc_heartbeat": 7,
    "finlake.dead_letters": 30,
}

LOGGING = """rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_OUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}{UTC} %p %c{1}: %m%n%ex
"""


def write_configuration(layout: Layout, ports: Ports) -> None:
    """Write the files with which broker and worker start."""
    for folder in (layout.kafka, layout.kafka_connect, layout.connect_secrets):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(layout.kafka / "log4j2.properties", LOGGING)
    write_private(layout.kafka / "broker.properties", properties_text(broker_properties(layout.kafka / "data", ports)))
    write_private(layout.kafka_connect / "worker.properties", properties_text(worker_properties(layout, ports)))


def properties_text(properties: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def broker_properties(data: Path, ports: Ports) -> dict[str, object]:
    """A single KRaft node with its log in `data`; every replication factor is 1."""
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://{LOOPBACK}:{ports.kafka},CONTROLLER://{LOOPBACK}:{ports.kafka_controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{ports.kafka}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.kafka_controller}",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # A broker that was killed may not come back before its controller has given up the old one.
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 1000,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }


def worker_properties(layout: Layout, ports: Ports) -> dict[str, object]:
    """A distributed worker that supports exactly-once sources and reads secrets from one folder only."""
    topics = {
        f"{kind}.storage.{key}": value
        for kind in ("config", "offset", "status")
        for key, value in (("topic", f"finlake.connect.{kind}"), ("replication.factor", 1))
    }
    return {
        "bootstrap.servers": f"{LOOPBACK}:{ports.kafka}",
        "group.id": "finlake.connect",
        "listeners": f"http://{LOOPBACK}:{ports.kafka_connect}",
        "rest.advertised.host.name": LOOPBACK,
        "plugin.path": layout.jars / PLUGIN_FOLDER,
        "plugin.discovery": "service_load",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        **topics,
        "offset.storage.partitions": 1,
        "status.storage.partitions": 1,
        "offset.flush.interval.ms": 5000,
        # A task reads its offsets again every few seconds, here and in the connector's own topic, and a read waits for the
        # fetch that is under way: with the default of 500 ms one trade in a hundred came half a second late.
        "fetch.max.wait.ms": 50,
        "exactly.once.source.support": "enabled",
        "connector.client.config.override.policy": "All",
        "topic.creation.enable": "true",
        "scheduled.rebalance.max.delay.ms": 0,
        # A worker that was killed is a member until then, and nothing is read meanwhile.
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 2000,
        "config.providers": "directory",
        "config.providers.directory.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
        "config.providers.directory.param.allowed.paths": layout.connect_secrets,
    }


def broker_command(layout: Layout, java: Java) -> list[str]:
    return [*_jvm(layout, java, BROKER_HEAP_MB), "kafka.Kafka", str(layout.kafka / "broker.properties")]


def worker_command(layout: Layout, java: Java) -> list[str]:
    main = "org.apache.kafka.connect.cli.ConnectDistributed"
    return [*_jvm(layout, java, CONNECT_HEAP_MB), main, str(layout.kafka_connect / "worker.properties")]


def format_storage(layout: Layout, ports: Ports, java: Java) -> None:
    """Make the broker's log folder, once. Raises StackError when Kafka's own tool fails."""
    data = layout.kafka / "data"
    if data.is_dir():
        return
    # Made aside and renamed: a folder that was formatted by half would never start.
    partial = layout.kafka / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    properties = layout.kafka / "format.properties"
    write_private(properties, properties_text(broker_properties(partial, ports)))
    # A leading letter, because Kafka's tool would take a leading dash for an option.
    cluster_id = "F" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    tool = [*_jvm(layout, java, 128), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
    answer = subprocess.run(tool, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        reason = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
        raise StackError(f"Kafka could not make its log folder {data}: {' '.join(reason)}")
    properties.unlink()
    partial.rename(data)


def admin_client(ports: Ports) -> "AdminClient":
    from confluent_kafka.admin import AdminClient

    return AdminClient({"bootstrap.servers": f"{LOOPBACK}:{ports.kafka}", "log_level": 0})


def create_topics(ports: Ports) -> None:
    """Make the topics of the stream that are not there yet, one partition each. Safe to repeat.

    Raises StackError when the broker refuses one.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.cimpl import NewTopic

    topics = [
        NewTopic(
            name,
            num_partitions=1,
            replication_factor=1,
            config={
                "message.timestamp.type": "LogAppendTime",
                "retention.ms": str(days * DAY_MS),
                # Whole segments are deleted; a day's worth is the most that outlives its time.
                "segment.ms": str(DAY_MS),
            },
        )
        for name, days in TOPIC_DAYS.items()
    ]
    # A client without a name would end with its last use, and with it the requests under way.
    client = admin_client(ports)
    for name, made in client.create_topics(topics, operation_timeout=30).items():
        try:
            made.result()
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StackError(f"Kafka did not make the topic {name}: {problem.args[0].str()}") from problem


def _jvm(layout: Layout, java: Java, heap_mb: int) -> list[str]:
    return [
        *(str(java.executable), *java.options),
        # On two cores G1's concurrent threads took from the stream what shorter pauses were to bring: at 14,000 rows/s the
        # median latency was 557 ms with G1 and 303 ms with this collector, in runs one after the other.
        *("-Xms64m", f"-Xmx{heap_mb}m", "-XX:+UseParallelGC", "-Duser.timezone=UTC"),
        f"-Dlog4j2.configurationFile={layout.kafka / 'log4j2.properties'}",
        *("-cp", str(layout.jars / KAFKA_FOLDER / "*")),
    ]
