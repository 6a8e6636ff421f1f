from pathlib import Path

import pytest

from deploy.local.connectors import local_placeholders, wanted_connectors
from deploy.local.errors import StackError
from deploy.local.java import Java
from deploy.local.kafka import broker_properties, format_storage, properties_text, worker_properties
from deploy.local.layout import Layout
from deploy.local.services import default_ports
from finlake_clients.connect.change_capture import CONNECTOR
from spark.contracts.streams import TOPIC_DAYS


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    home = tmp_path / "my lake"
    (home / "kafka").mkdir(parents=True)
    return Layout(home, home / "jars")


def tool(folder: Path, script: str) -> Java:
    """A runtime whose `java` is this shell script."""
    executable = folder / "java" / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    return Java(folder / "java", 17, ())


def test_broker_and_worker_are_reached_on_loopback_only(layout: Layout) -> None:
    broker = broker_properties(layout.kafka / "data", default_ports().moved({"kafka": 5, "kafka_controller": 6}), "secret")
    assert broker["listeners"] == "CLIENTS://127.0.0.1:5,CONTROLLER://127.0.0.1:6"
    worker = worker_properties(layout, default_ports().moved({"kafka": 5, "kafka_connect": 7}), "secret", "other")
    assert (worker["bootstrap.servers"], worker["listeners"]) == ("127.0.0.1:5", "https://127.0.0.1:7")


def test_the_worker_reads_secrets_from_a_folder_that_holds_no_other_users_password(layout: Layout) -> None:
    allowed = worker_properties(layout, default_ports(), "secret", "other")["config.providers.directory.param.allowed.paths"]
    roles = ("postgres", "lake", "dagster", "feed", "cdc", "reconcile", "clickhouse_admin")
    assert [role for role in roles if layout.password_file(role).parent == allowed] == ["cdc"]


def test_properties_are_one_line_each(layout: Layout) -> None:
    lines = properties_text(broker_properties(layout.kafka / "data", default_ports(), "secret")).splitlines()
    assert f"log.dirs={layout.home}/kafka/data" in lines
    assert len(lines) == len(broker_properties(layout.kafka / "data", default_ports(), "secret"))


def test_a_log_folder_is_made_once(layout: Layout, tmp_path: Path) -> None:
    java = tool(tmp_path, 'for last; do :; done; sed -n \'s/^log.dirs=//p\' "$last" | while read f; do mkdir "$f"; done')
    format_storage(layout, default_ports(), java)
    assert [path.name for path in layout.kafka.iterdir()] == ["data"]
    format_storage(layout, default_ports(), Java(Path("/nowhere"), 17, ()))


def test_a_log_folder_that_was_made_by_half_is_made_anew(layout: Layout, tmp_path: Path) -> None:
    without_room = tool(tmp_path / "1", f"mkdir '{layout.kafka}/data.partial'; echo no room; exit 1")
    with pytest.raises(StackError, match="Kafka could not make its log folder .*: no room"):
        format_storage(layout, default_ports(), without_room)
    assert not (layout.kafka / "data").exists()
    format_storage(layout, default_ports(), tool(tmp_path / "2", f"mkdir '{layout.kafka}/data.partial'"))
    assert (layout.kafka / "data").is_dir()


def test_connectors_are_filled_in_and_hold_a_reference_instead_of_the_password(layout: Layout) -> None:
    config = wanted_connectors(local_placeholders(layout, default_ports().moved({"postgres": 5})))[CONNECTOR]
    assert (config["database.hostname"], config["database.port"]) == ("127.0.0.1", "5")
    assert config["database.password"] == f"${{directory:{layout.connect_secrets}:cdc.password}}"
    assert layout.password_file("cdc") == layout.connect_secrets / "cdc.password"
    assert not [value for value in config.values() if "<" in value or ">" in value]


def test_a_place_without_a_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"database.port": "<postgres_port>"}')
    with pytest.raises(KeyError, match="postgres_port"):
        wanted_connectors({}, tmp_path)


def test_a_connector_reads_tables_into_topics_that_the_stack_makes(layout: Layout) -> None:
    config = wanted_connectors(local_placeholders(layout, default_ports()))[CONNECTOR]
    topics = {f"{config['topic.prefix']}.{table}" for table in config["table.include.list"].split(",")}
    assert topics == TOPIC_DAYS.keys() - {"finlake.dead_letters"}


def test_a_connector_asks_for_exactly_once_and_keeps_its_slot(layout: Layout) -> None:
    config = wanted_connectors(local_placeholders(layout, default_ports()))[CONNECTOR]
    assert config["exactly.once.support"] == "required"
    # The worker reads its own offsets before it joins its group, and the transaction of a killed task that was open on them
    # would keep it waiting for a minute. On a topic of the connector's own, the new task ends it at once.
    worker = worker_properties(layout, default_ports(), "secret", "other")
    assert config["offsets.storage.topic"] != worker["offset.storage.topic"]
    assert config["snapshot.mode"] == "when_needed"
    assert (config["slot.drop.on.stop"], config["publication.autocreate.mode"]) == ("false", "disabled")
