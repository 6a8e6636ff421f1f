"""What the stack does around the start of a service: before its process starts, and when it first answers.

Every step is safe to repeat: each `up` takes them all for the services it was asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.clickhouse.migrate import migrate
from deploy.clickhouse.migration_files import MigrationError
from deploy.local import kafka
from deploy.local.connectors import register_connectors
from deploy.local.dagster_runs import fail_abandoned_runs
from deploy.local.errors import StackError
from deploy.local.java import find_java
from deploy.local.layout import Layout
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import provision
from deploy.local.settings import Settings
from finlake_resources.connect import ConnectError


@dataclass(frozen=True)
class Stage:
    """A starting stack. `fresh`: none of its processes ran before. `report` takes one line per step."""

    layout: Layout
    settings: Settings
    fresh: bool
    report: Callable[[str], None]


Step = Callable[[Stage], None]


def _format_log_folder(stage: Stage) -> None:
    kafka.format_storage(stage.layout, stage.settings.ports, find_java())


def _close_abandoned_runs(stage: Stage) -> None:
    if stage.fresh:
        for run_id in fail_abandoned_runs(stage.layout):
            stage.report(f"closed run {run_id}, whose process had ended")


def _provision_databases(stage: Stage) -> None:
    provision(stage.layout, stage.settings.ports.postgres)


def _provision_kafka(stage: Stage) -> None:
    kafka.give_users(stage.layout, stage.settings.ports)
    kafka.create_topics(stage.layout, stage.settings.ports)


def _register_connectors(stage: Stage) -> None:
    try:
        changed = register_connectors(stage.layout, stage.settings.ports)
    except ConnectError as problem:
        raise StackError(f"{problem} (see `{stage.layout.logs_command('kafka_connect')}`)") from problem
    for name, settings in changed.items():
        stage.report(f"connector {name} was given {len(settings)} settings")


def _migrate_clickhouse(stage: Stage) -> None:
    url = f"http://{LOOPBACK}:{stage.settings.ports.clickhouse}"
    try:
        applied = migrate(url, stage.layout.password_file("clickhouse_admin"))
    except MigrationError as problem:
        raise StackError(str(problem)) from problem
    for migration in applied:
        stage.report(f"ClickHouse was given {migration}")


BEFORE_START: Mapping[str, Step] = {"kafka": _format_log_folder, "dagster_webserver": _close_abandoned_runs}
WHEN_READY: Mapping[str, Step] = {
    "postgres": _provision_databases,
    "kafka": _provision_kafka,
    "kafka_connect": _register_connectors,
    "clickhouse": _migrate_clickhouse,
}
