"""The ClickHouse endpoint of this machine."""

from deploy.clickhouse.migrate import migrate
from deploy.clickhouse.migration_files import MigrationError
from deploy.local.errors import StackError
from deploy.local.service import Launch, Stage, own_command
from finlake_settings.local_stack import LOOPBACK


def command(launch: Launch) -> list[str]:
    layout = launch.layout
    return own_command(
        *("clickhouse_local", "--home", layout.clickhouse / "data", "--port", launch.port),
        # Iceberg tables are read below the working folder only.
        *("--users", layout.clickhouse / "users.json", "--working-folder", layout.warehouse),
    )


def when_ready(stage: Stage) -> None:
    """The tables and views of speed and serving."""
    url = f"http://{LOOPBACK}:{stage.ports['clickhouse']}"
    try:
        applied = migrate(url, stage.layout.password_file("clickhouse_admin"))
    except MigrationError as problem:
        raise StackError(str(problem)) from problem
    for migration in applied:
        stage.report(f"ClickHouse was given {migration}")
