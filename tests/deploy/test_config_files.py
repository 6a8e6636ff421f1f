import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from dagster._core.instance.config import dagster_instance_config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from supervisor.options import ServerOptions

from deploy.local import config_files
from deploy.local.engines import spark
from deploy.local.errors import StackError
from deploy.local.java import Java
from deploy.local.layout import FORBIDDEN_IN_PATHS, Layout
from deploy.local.ports import chosen
from deploy.local.postgres import MARKET_ROLES, OWNERS, Cluster
from deploy.local.privacy import make_private, private_folders
from deploy.local.service import Launch, StackContext
from deploy.local.services import SERVICES, default_ports, left_out, with_requirements
from deploy.local.settings import StackSettings, client_environment, make_secrets, needed_secrets, recorded, s3_keys, save
from deploy.local.stack import service_variables
from finlake_settings.checkout import CHECKOUT
from finlake_settings.machine import process_environment
from finlake_settings.processes import Settings
from finlake_settings.reading import SettingsError, settings_from, user_variables

JAVA = Java(Path("/usr/lib/jvm/java 21"), 21, ("-Djavax.net.ssl.trustStore=/etc/ssl/cacerts",))
CLUSTER = Cluster(Path("/opt/my postgres/bin"), Path("/srv/my lake/postgres/data"), None)

SPARK = ["/usr/lib/jvm/java 21/bin/java", "-cp", "/opt/a jar:/opt/jars/*", "-Da=b c", "--name", "finlake"]

path_names = st.text(
    st.characters(exclude_characters=FORBIDDEN_IN_PATHS + "/", exclude_categories=["C", "Z"]) | st.just(" "),
    min_size=1,
    max_size=20,
).filter(lambda name: name == name.strip() and name not in {".", ".."})


def layout_at(home: Path) -> Layout:
    return Layout(home, home / "jars")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    home = tmp_path / "my lake"
    home.mkdir()
    return layout_at(home)


def command(name: str, layout: Layout) -> list[str]:
    """The command line of a service; Spark's launcher is not run."""
    with patch.object(spark, "server_command", return_value=SPARK):
        return SERVICES[name].command(Launch(layout, StackSettings(default_ports()), name, CLUSTER, JAVA))


def written_supervisor_config(layout: Layout, user: str | None = None) -> str:
    commands = {service: command(name, layout) for name, service in SERVICES.items()}
    return config_files.supervisor_config(layout, commands, user)


def test_supervisor_reads_back_the_commands_with_their_spaces(layout: Layout) -> None:
    for folder in (layout.supervisor_config.parent, layout.logs):
        folder.mkdir()
    layout.supervisor_config.write_text(written_supervisor_config(layout))
    options = ServerOptions()
    options.realize(["-c", str(layout.supervisor_config)])
    programs = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert set(programs) == set(SERVICES)
    for name, program in programs.items():
        assert shlex.split(program.command) == command(name, layout)
        assert program.stdout_logfile == str(layout.log(name))
        assert not program.autostart
        assert program.stopasgroup == (name != "postgres")
    folders = {name: program.directory for name, program in programs.items()}
    assert (folders.pop("postgres"), folders.pop("spark_connect")) == ("/", str(layout.spark))
    assert folders.pop("schema_registry") == str(layout.schema_registry)
    assert set(folders.values()) == {str(CHECKOUT)}


def test_postgres_stops_last(layout: Layout) -> None:
    assert all(SERVICES["postgres"].priority < service.priority for name, service in SERVICES.items() if name != "postgres")


@pytest.mark.parametrize("name", ["kafka", "kafka_connect"])
def test_a_jvm_leaves_nothing_outside_the_state_folder(layout: Layout, name: str) -> None:
    assert {f"-Djava.io.tmpdir={layout.home}/run/java", "-XX:-UsePerfData"} <= set(command(name, layout))


def test_no_service_makes_temporary_files_outside_the_state_folder() -> None:
    # The folder of a test is too deep for the sockets among them.
    with tempfile.TemporaryDirectory() as short:
        layout = layout_at(Path(short) / "my lake")
        make_private(layout.home, private_folders(layout))
        ask = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir(), end='')"]
        environment = process_environment(service_variables(layout, StackSettings(default_ports()), JAVA))
        answer = subprocess.run(ask, check=True, capture_output=True, text=True, env=environment)
        assert answer.stdout == f"{layout.home}/run/tmp"
        assert layout.temporary.stat().st_mode & 0o777 == 0o700


def test_only_postgres_gives_up_root(layout: Layout) -> None:
    text = written_supervisor_config(layout, user="finlake_postgres")
    programs = dict(section.split("]", 1) for section in text.split("[program:")[1:])
    assert [name for name, body in programs.items() if "user=finlake_postgres" in body] == ["postgres"]


@given(path_names)
def test_spark_properties_keep_every_path_on_its_own_line(name: str) -> None:
    layout = layout_at(Path("/srv") / name)
    properties = parsed_properties(config_files.spark_properties(layout, StackSettings(default_ports()), JAVA, None, "token"))
    assert properties["spark.sql.catalog.lake.warehouse"] == f"file:///srv/{name}/warehouse"
    assert all(Path(jar).parent == layout.jars for jar in properties["spark.driver.extraClassPath"].split(":"))


def test_spark_properties_hold_no_database_password_and_no_address_but_loopback(layout: Layout) -> None:
    properties = parsed_properties(config_files.spark_properties(layout, StackSettings(default_ports()), JAVA, None, "token"))
    assert not [name for name in properties if "password" in name]
    assert properties["spark.connect.grpc.binding.address"] == "127.0.0.1"
    assert properties["spark.driver.bindAddress"] == "127.0.0.1"


def test_the_catalog_is_the_shared_one(layout: Layout) -> None:
    settings = StackSettings(default_ports().moved({"postgres": 5}))
    properties = parsed_properties(config_files.spark_properties(layout, settings, JAVA, None, "token"))
    catalog = {name.removeprefix("spark.sql.catalog.lake."): value for name, value in properties.items()}
    assert (catalog["type"], catalog["jdbc.schema-version"], catalog["cache-enabled"]) == ("jdbc", "V1", "false")
    assert catalog["uri"] == "jdbc:postgresql://127.0.0.1:5/lake"


def test_a_warehouse_in_s3_brings_its_file_io_and_keys(layout: Layout) -> None:
    variables = {
        "FINLAKE_WAREHOUSE": "s3://lake/warehouse",
        "FINLAKE_S3_ENDPOINT": "http://127.0.0.1:8333",
        "FINLAKE_S3_ACCESS_KEY_FILE": "/srv/key",
        "FINLAKE_S3_SECRET_KEY_FILE": "/srv/secret",
    }
    settings = StackSettings(default_ports(), variables)
    properties = parsed_properties(config_files.spark_properties(layout, settings, JAVA, ("key", "secret"), "token"))
    catalog = "spark.sql.catalog.lake."
    assert properties[catalog + "warehouse"] == "s3://lake/warehouse"
    assert properties[catalog + "io-impl"] == "org.apache.iceberg.aws.s3.S3FileIO"
    assert properties[catalog + "s3.endpoint"] == "http://127.0.0.1:8333"
    assert properties[catalog + "s3.access-key-id"] == "key"
    assert "iceberg-aws-bundle" in properties["spark.driver.extraClassPath"]


def test_no_command_line_and_no_configuration_holds_a_secret(layout: Layout) -> None:
    make_secrets(layout)
    secrets = [file.read_text() for file in layout.secrets.rglob("*") if file.is_file()]
    assert len(secrets) >= 4
    shown = [word for name in SERVICES for word in command(name, layout)]
    shown += [config_files.clickhouse_users(layout), *client_environment(layout, StackSettings(default_ports())).values()]
    assert not [word for word in shown for secret in secrets if secret in word]


def test_clickhouses_users_have_the_rights_that_they_need_and_their_password_in_a_file(layout: Layout) -> None:
    users = json.loads(config_files.clickhouse_users(layout))
    assert {name: (user["rights"], user["databases"]) for name, user in users.items()} == {
        "admin": ("admin", []),
        "sink": ("writer", ["speed"]),
        "reader": ("reader", ["speed", "serving"]),
    }
    environment = client_environment(layout, StackSettings(default_ports()))
    for name, user in users.items():
        assert environment[f"FINLAKE_CLICKHOUSE_{name.upper()}_PASSWORD_FILE"] == user["password_file"]


def test_dagster_accepts_its_configuration(layout: Layout) -> None:
    layout.dagster.mkdir()
    (layout.dagster / "dagster.yaml").write_text(config_files.dagster_instance(layout, 5))
    config, _ = dagster_instance_config(str(layout.dagster))
    assert config["concurrency"]["pools"]["default_limit"] == 1
    assert config["telemetry"] == {"enabled": False}


@given(path_names)
def test_the_dagster_url_names_its_driver_and_leads_libpq_to_the_password_file(name: str) -> None:
    layout = layout_at(Path("/srv") / name)
    url = make_url(config_files.dagster_url(layout, 5))
    assert url.drivername == "postgresql+psycopg2"
    assert url.password is None
    assert url.query["passfile"] == str(layout.passfile)


def test_the_clients_get_paths_of_password_files_only(layout: Layout) -> None:
    layout.secrets.mkdir()
    layout.password_file("lake").write_text("a-password")
    environment = client_environment(layout, StackSettings(default_ports()))
    assert environment["FINLAKE_CATALOG_PASSWORD_FILE"] == str(layout.password_file("lake"))
    assert "a-password" not in " ".join(environment.values())


def test_what_the_user_has_set_wins(layout: Layout) -> None:
    settings = StackSettings(default_ports(), {"FINLAKE_SOURCES": "live"})
    assert client_environment(layout, settings)["FINLAKE_SOURCES"] == "live"


def test_settings_are_read_back_as_they_were_saved(layout: Layout) -> None:
    ports = default_ports().moved({"postgres": 1, "spark_connect": 2, "kafka_controller": 3})
    settings = StackSettings(ports, {"FINLAKE_SOURCES": "live"})
    assert recorded(layout, default_ports()) is None
    save(layout, settings)
    assert recorded(layout, default_ports()) == settings


def test_the_record_of_an_earlier_finlake_gets_the_default_ports_of_newer_services(layout: Layout) -> None:
    layout.record.write_text(json.dumps({"ports": {"postgres": 1, "spark_connect": 2}, "variables": {}}))
    assert recorded(layout, default_ports()) == StackSettings(default_ports().moved({"postgres": 1, "spark_connect": 2}))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        json.dumps({"ports": {"other": 1}, "variables": {}}),
        json.dumps({"ports": [], "variables": {}}),
    ],
)
def test_a_damaged_record_is_named(layout: Layout, content: str) -> None:
    layout.record.write_text(content)
    with pytest.raises(StackError, match="stack.json is not a record of ports and variables"):
        recorded(layout, default_ports())


def test_one_s3_key_without_the_other_is_refused(layout: Layout) -> None:
    told = {"FINLAKE_WAREHOUSE": "s3://lake", "FINLAKE_S3_ENDPOINT": "http://s3", "FINLAKE_S3_ACCESS_KEY_FILE": "/srv/key"}
    with pytest.raises(SettingsError, match="needs FINLAKE_S3_SECRET_KEY_FILE; set"):
        s3_keys(StackSettings(default_ports(), told))


def test_services_bring_what_they_need_in_starting_order() -> None:
    assert with_requirements({"dagster_daemon"}) == ["postgres", "dagster_code_server", "dagster_webserver", "dagster_daemon"]
    assert with_requirements({"clickhouse_sink"}) == ["kafka", "schema_registry", "clickhouse", "clickhouse_sink"]
    assert with_requirements({"clickhouse_sink"}, {"schema_registry"}) == ["kafka", "clickhouse", "clickhouse_sink"]
    assert with_requirements({"kafka_connect"}) == ["postgres", "kafka", "schema_registry", "kafka_connect"]
    assert with_requirements(SERVICES) == list(SERVICES)


def test_whatever_a_service_waits_for_stands_before_it() -> None:
    names = list(SERVICES)
    for position, service in enumerate(SERVICES.values()):
        assert service.requires | service.beside | service.after <= set(names[:position])


def test_whoever_needs_a_service_stops_before_it() -> None:
    for service in SERVICES.values():
        for needed in service.requires | service.beside | service.after:
            assert SERVICES[needed].priority < service.priority


def test_live_sources_without_a_finnhub_token_do_without_the_feed(layout: Layout) -> None:
    def without(**variables: str) -> set[str]:
        return set(left_out(StackContext(layout, StackSettings(default_ports(), variables)))) - {"schema_registry"}

    assert without(FINLAKE_SOURCES="live") == {"sample_sources", "trade_feed", "spark_connect"}
    with_token = {"FINLAKE_SOURCES": "live", "FINLAKE_FINNHUB_TOKEN_FILE": "/srv/token"}
    assert without(**with_token) == {"sample_sources", "spark_connect"}
    assert without() == {"spark_connect"}
    assert without(FINLAKE_ENGINE="spark") == set()


def test_the_schema_registry_runs_when_records_are_avro_or_may_still_be(layout: Layout) -> None:
    as_json, as_avro = (
        StackContext(layout, StackSettings(default_ports(), {"FINLAKE_STREAM_FORMAT": name})) for name in ("json", "avro")
    )
    assert "schema_registry" in left_out(StackContext(layout, StackSettings(default_ports())))
    assert "schema_registry" in left_out(as_json)
    assert "schema_registry" not in left_out(as_avro)
    assert "FINLAKE_KAFKA_REGISTRY_URL" in client_environment(layout, as_avro.settings)
    assert "FINLAKE_KAFKA_REGISTRY_URL" not in client_environment(layout, as_json.settings)
    layout.schema_registry.mkdir(parents=True)
    assert "schema_registry" not in left_out(as_json)
    assert "FINLAKE_KAFKA_REGISTRY_URL" in client_environment(layout, as_json.settings)


def test_a_service_that_is_left_out_is_not_brought_along_by_one_that_needs_it_otherwise(layout: Layout) -> None:
    assert "sample_sources" in with_requirements({"trade_feed"})
    live = StackSettings(default_ports(), {"FINLAKE_SOURCES": "live", "FINLAKE_FINNHUB_TOKEN_FILE": "/srv/token"})
    unneeded = left_out(StackContext(layout, live))
    assert "sample_sources" not in with_requirements(SERVICES.keys() - unneeded.keys(), unneeded)
    assert "sample_sources" in with_requirements({"sample_sources"}, unneeded)


def test_live_sources_never_get_the_token_of_the_sample_sources(layout: Layout) -> None:
    assert client_environment(layout, StackSettings(default_ports()))["FINLAKE_FINNHUB_TOKEN_FILE"] == str(layout.finnhub_token)
    live = client_environment(layout, StackSettings(default_ports(), {"FINLAKE_SOURCES": "live"}))
    assert "FINLAKE_FINNHUB_TOKEN_FILE" not in live


def test_the_stacks_processes_are_told_of_its_ports_and_its_folder(layout: Layout) -> None:
    ports = chosen(default_ports())
    told = settings_from(Settings, client_environment(layout, StackSettings(ports)))
    addresses = [
        told.catalog.uri,
        told.market.uri,
        told.kafka.bootstrap,
        told.connect.url,
        told.clickhouse.url,
        told.spark.remote,
        told.dagster.url,
        told.sample_sources_url,
    ]
    services = [
        *("postgres", "postgres", "kafka", "kafka_connect", "clickhouse", "spark_connect", "dagster_webserver", "sample_sources")
    ]
    assert [re.findall(r"127\.0\.0\.1:(\d+)", str(each)) for each in addresses] == [[str(ports[name])] for name in services]
    assert (told.home, told.warehouse, told.stooq.drop) == (layout.home, f"file://{layout.warehouse}", str(layout.stooq_drop))


def test_every_secret_that_a_process_of_the_stack_is_told_of_is_one_that_the_stack_makes(layout: Layout) -> None:
    told = client_environment(layout, StackSettings(default_ports()))
    files = {value for name, value in told.items() if name.endswith("_FILE")}
    roles = (layout.password_file(role) for role in (*OWNERS, *MARKET_ROLES))
    assert len(files) == 11
    assert files <= {str(file) for file in (*needed_secrets(layout), *roles)}


def test_a_user_cannot_move_what_the_stack_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINLAKE_KAFKA_BOOTSTRAP", "elsewhere:9092")
    monkeypatch.setenv("FINLAKE_UNATTENDED", "1")
    assert user_variables() == {"FINLAKE_UNATTENDED": "1"}


def test_an_unknown_service_is_named() -> None:
    with pytest.raises(StackError, match="no service is named cassandra; there are postgres"):
        with_requirements({"cassandra"})


def parsed_properties(text: str) -> dict[str, str]:
    pairs = (line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, value in pairs}
