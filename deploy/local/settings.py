"""The settings of one stack: its ports, what the user asked for, and the variables that its clients need."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.passwords import password_from, write_private
from deploy.local.ports import Ports
from finlake_clients.secret_files import secret_of
from finlake_settings.local_stack import LOOPBACK
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from, variables_of
from finlake_settings.variable_names import variable

HOME_VARIABLE = variable("home")
CLICKHOUSE_USERS = ("clickhouse_admin", "clickhouse_sink", "clickhouse_reader")


@dataclass(frozen=True)
class StackSettings:
    """`variables` are the product's variables that the user has set."""

    ports: Ports
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def parsed(self) -> Settings:
        """The settings that the variables give; paths in the state folder are those of the usual one. Raises SettingsError."""
        return settings_from(Settings, self.variables, self.ports)

    def of(self, layout: Layout) -> Settings:
        """The settings of the processes of the stack at `layout`. Raises SettingsError."""
        own = {HOME_VARIABLE: str(layout.home)}
        if needs_registry(layout, self):
            own |= {
                variable("kafka", "registry_url"): f"http://{LOOPBACK}:{self.ports['schema_registry']}",
                variable("kafka", "registry_token_file"): str(layout.registry_token),
            }
        return settings_from(Settings, {**self.variables, **own}, self.ports)

    @property
    def writes_avro(self) -> bool:
        """Whether the connector writes Avro."""
        return self.parsed.stream.format == "avro"

    @property
    def uses_spark(self) -> bool:
        """Whether Apache Spark computes the lake, and not the process that runs a job."""
        return self.parsed.engine == "spark"

    @property
    def uses_s3(self) -> bool:
        """Whether the warehouse is in an S3-compatible store."""
        return self.parsed.warehouse.startswith("s3://")


def needs_registry(layout: Layout, settings: StackSettings) -> bool:
    """Whether records of the stream are Avro, or may still be: topics keep them for days after the setting was changed."""
    return settings.writes_avro or layout.schema_registry.is_dir()


def client_environment(layout: Layout, settings: StackSettings) -> dict[str, str]:
    """What a process needs to use the stack. Passwords appear as paths of files only. Raises SettingsError."""
    return variables_of(settings.of(layout)) | {"DAGSTER_HOME": str(layout.dagster)}


def needed_secrets(layout: Layout) -> list[Path]:
    """Files of the secrets that have to be there before any process starts; those of Postgres's roles come later."""
    return [*_drawn_secrets(layout), layout.connect_keystore, layout.connect_certificate]


def _drawn_secrets(layout: Layout) -> list[Path]:
    return [
        *(layout.password_file(user) for user in CLICKHOUSE_USERS),
        *(layout.kafka_password, layout.kafka_admin_password, layout.connect_password, layout.spark_token),
        layout.dagster_web_password,
        layout.finnhub_token,
    ]


def make_secrets(layout: Layout) -> None:
    """Generate the passwords and tokens that are not there yet."""
    for file in _drawn_secrets(layout):
        password_from(file)


def save(layout: Layout, settings: StackSettings) -> None:
    """Record the settings of a starting stack for later commands."""
    text = json.dumps({"ports": dict(settings.ports), "variables": dict(settings.variables)}, indent=2)
    write_private(layout.record, text + "\n")


def recorded(layout: Layout, defaults: Ports) -> StackSettings | None:
    """The settings of the last start, None when there was none; a port that was not known then has its default.

    Raises StackError when the record cannot be read.
    """
    if not layout.record.is_file():
        return None
    try:
        content = json.loads(layout.record.read_text())
        return StackSettings(defaults.moved(content["ports"]), dict(content["variables"]))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StackError(
            f"{layout.record} is not a record of ports and variables ({problem}); delete it, then run `finlake up`"
        ) from problem


def s3_keys(settings: StackSettings) -> tuple[str, str] | None:
    """Access and secret key for the warehouse in S3, None when it is elsewhere. Raises `SecretUnreadableError`."""
    s3 = settings.parsed.s3
    if not settings.uses_s3 or s3.access_key_file is None or s3.secret_key_file is None:
        return None
    return secret_of("the object store", s3.access_key_file), secret_of("the object store", s3.secret_key_file)
