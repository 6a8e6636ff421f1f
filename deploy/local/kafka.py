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
from deploy.local.jars import CONVERTER_FOLDER, KAFKA_FOLDER, PLUGIN_FOLDER
from deploy.local.java import Java, kept_within
from deploy.local.layout import Layout
from deploy.local.passwords import write_private
from deploy.local.ports import Ports
from finlake_clients.kafka.access import MECHANISM, USER
from finlake_clients.secret_files import secret_of
from finlake_settings.local_stack import LOOPBACK
from spark.contracts.stream_rows import MAX_RECORD_BYTES
from spark.contracts.streams import TOPIC_DAYS

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

ADMIN = "admin"
SCRAM_LOGIN_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
# The fewest that Kafka takes.
SCRAM_ROUNDS = 4096

DAY_MS = 24 * 3600 * 1000

# What the broker takes in one piece: a producer's batch (its size is among the connector's settings), or one largest record.
MAX_BATCH_BYTES = MAX_RECORD_BYTES + 64 * 1024

# A message of a login by SCRAM or PLAIN has some hundred bytes.
LARGEST_LOGIN_BYTES = 8 * 1024

BROKER_HEAP_MB, CONNECT_HEAP_MB = 512, 768

LOGGING = """rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_OUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}{UTC} %p %c{1}: %m%n%ex
"""


def connect_url(ports: Ports) -> str:
    """Where Kafka Connect's REST interface answers."""
    return f"https://{LOOPBACK}:{ports['kafka_connect']}"


def write_configuration(layout: Layout, ports: Ports) -> None:
    """Write the files with which broker and worker start."""
    for folder in (layout.kafka, layout.kafka_connect, layout.connect_secrets):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    admin_password, password = secret_of("kafka", layout.kafka_admin_password), secret_of("kafka", layout.kafka_password)
    write_private(layout.kafka / "log4j2.properties", LOGGING)
    broker = broker_properties(layout.kafka / "data", ports, admin_password)
    write_private(layout.kafka / "broker.properties", properties_text(broker))
    worker = worker_properties(layout, ports, password, secret_of("kafka_connect", layout.connect_password))
    write_private(layout.kafka_connect / "worker.properties", properties_text(worker))


def jaas(module: str, **options: str) -> str:
    """A login module with its options, as Kafka's settings hold it."""
    return " ".join([module, "required", *(f'{name}="{value}"' for name, value in options.items())]) + ";"


def properties_text(properties: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def broker_properties(data: Path, ports: Ports, admin_password: str) -> dict[str, object]:
    """A single KRaft node with its log in `data`; every replication factor is 1.

    Clients log in by SCRAM as users that the broker keeps in its log. The administrator stands in this file and logs in
    by PLAIN, because somebody has to before there is a user; so does the broker at its own controller.
    """
    plain = jaas(
        "org.apache.kafka.common.security.plain.PlainLoginModule",
        username=ADMIN,
        password=admin_password,
        **{f"user_{ADMIN}": admin_password},
    )
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"CLIENTS://{LOOPBACK}:{ports['kafka']},CONTROLLER://{LOOPBACK}:{ports['kafka_controller']}",
        "advertised.listeners": f"CLIENTS://{LOOPBACK}:{ports['kafka']}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENTS",
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": plain,
        "listener.name.clients.sasl.enabled.mechanisms": f"{MECHANISM},PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": plain,
        f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config": jaas(SCRAM_LOGIN_MODULE),
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports['kafka_controller']}",
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
        # Before a login the broker takes the memory that a message's length asks for, on each connection.
        "sasl.server.max.receive.size": LARGEST_LOGIN_BYTES,
        "message.max.bytes": MAX_BATCH_BYTES,
        "replica.fetch.max.bytes": MAX_BATCH_BYTES,
    }


def worker_properties(layout: Layout, ports: Ports, kafka_password: str, keystore_password: str) -> dict[str, object]:
    """A distributed worker that supports exactly-once sources and reads secrets from one folder only.

    It logs in at the broker, as do the clients that it makes for its connectors. Whoever speaks to it shows the certificate
    that it shows itself, before any request is read: its own login by password lets requests between workers through, and
    takes their bodies, of any size, into memory.
    """
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.jaas.config": jaas(SCRAM_LOGIN_MODULE, username=USER, password=kafka_password),
    }
    tls = {
        "client.auth": "required",
        **{
            f"{store}.{name}": value
            for store in ("keystore", "truststore")
            for name, value in (("type", "PKCS12"), ("location", layout.connect_keystore), ("password", keystore_password))
        },
        "key.password": keystore_password,
    }
    topics = {
        f"{kind}.storage.{key}": value
        for kind in ("config", "offset", "status")
        for key, value in (("topic", f"finlake.connect.{kind}"), ("replication.factor", 1))
    }
    return {
        "bootstrap.servers": f"{LOOPBACK}:{ports['kafka']}",
        **{f"{client}{name}": value for client in ("", "producer.", "consumer.", "admin.") for name, value in login.items()},
        "group.id": "finlake.connect",
        "listeners": connect_url(ports),
        "rest.advertised.host.name": LOOPBACK,
        **{f"listeners.https.ssl.{name}": value for name, value in tls.items()},
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
        # fetch that is under way: with the default of 500 ms one trade in a hundred came half a second late. Each of four
        # readers asks again after every wait, which at 50 ms was the most that worker and broker did at rest.
        "fetch.max.wait.ms": 250,
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
    write_private(properties, properties_text(broker_properties(partial, ports, "unused")))
    # A leading letter, because Kafka's tool would take a leading dash for an option.
    cluster_id = "F" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    tool = [*_jvm(layout, java, 128), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
    answer = subprocess.run(tool, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        reason = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
        raise StackError(f"Kafka could not make its log folder {data}: {' '.join(reason)}")
    properties.unlink()
    partial.rename(data)


def admin_client(layout: Layout, ports: Ports) -> "AdminClient":
    """A client with the administrator's rights."""
    from confluent_kafka.admin import AdminClient

    return AdminClient(
        {
            "bootstrap.servers": f"{LOOPBACK}:{ports['kafka']}",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": ADMIN,
            "sasl.password": secret_of("kafka", layout.kafka_admin_password),
            "log_level": 0,
        }
    )


def give_users(layout: Layout, ports: Ports) -> None:
    """Let the broker know the user of all clients, with the password of this installation. Safe to repeat.

    Raises StackError when the broker refuses.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

    password = secret_of("kafka", layout.kafka_password).encode()
    # The password is made by chance and long: many rounds would slow down clients and nobody else.
    wanted = UserScramCredentialUpsertion(USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, SCRAM_ROUNDS), password)
    client = admin_client(layout, ports)
    try:
        client.alter_user_scram_credentials([wanted], request_timeout=30)[USER].result()
    except KafkaException as problem:
        raise StackError(f"Kafka refused the user {USER}: {problem.args[0].str()}") from problem


def create_topics(layout: Layout, ports: Ports) -> None:
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
    client = admin_client(layout, ports)
    for name, made in client.create_topics(topics, operation_timeout=30).items():
        try:
            made.result()
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StackError(f"Kafka did not make the topic {name}: {problem.args[0].str()}") from problem


def _jvm(layout: Layout, java: Java, heap_mb: int) -> list[str]:
    return [
        *(str(java.executable), *java.options, *kept_within(layout.java_temporary)),
        # On two cores G1's concurrent threads took from the stream what shorter pauses were to bring: at 14,000 rows/s the
        # median latency was 557 ms with G1 and 303 ms with this collector, in runs one after the other.
        # Out of memory a Java process lives on without some of its threads: ended, it is started again.
        "-XX:+ExitOnOutOfMemoryError",
        *("-Xms64m", f"-Xmx{heap_mb}m", "-XX:+UseParallelGC", "-Duser.timezone=UTC"),
        f"-Dlog4j2.configurationFile={layout.kafka / 'log4j2.properties'}",
        # The converter's come last: a folder that is not there, without Avro, is passed over.
        *("-cp", ":".join(str(layout.jars / folder / "*") for folder in (KAFKA_FOLDER, CONVERTER_FOLDER))),
    ]
