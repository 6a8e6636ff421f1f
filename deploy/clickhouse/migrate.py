"""Apply the migrations that a ClickHouse has not seen: `python -m deploy.clickhouse.migrate`.

The ledger `finlake.migrations` says what was applied. Files only ever go forward: one that was applied must not change,
go away, or get a predecessor. Every statement can be run twice, so that an interrupted run is finished by the next.
"""

from pathlib import Path
from typing import Annotated, Protocol

import typer

from deploy.clickhouse.migration_files import FOLDER, Migration, MigrationError, read_migrations
from finlake_clients.clickhouse.connection import open_client
from spark.contracts.clickhouse import ONE_SERVER, Deployment, render, render_text


class SqlEngine(Protocol):
    """What a migration needs of ClickHouse."""

    def command(self, sql: str) -> None:
        """Run a statement without a result."""

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        """The rows of a query of text columns."""


def migrate(url: str, password_file: Path, deployment: Deployment = ONE_SERVER) -> list[str]:
    """Apply what is missing as the user `admin`; returns the file names applied, in order.

    Raises MigrationError when files and ledger disagree, clickhouse-connect's errors when ClickHouse cannot be reached or
    refuses a statement; what was applied before stays, and the next call goes on from there.
    """
    return apply_migrations(HttpEngine(url, password_file), deployment)


def apply_migrations(engine: SqlEngine, deployment: Deployment = ONE_SERVER, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing to `engine`; returns the file names applied, in order. Errors as in `migrate`."""
    migrations = read_migrations(folder)
    for statement in _ledger(deployment):
        engine.command(statement)
    recorded = {name: sha256 for name, sha256 in engine.rows("SELECT name, sha256 FROM finlake.migrations")}
    waiting = missing(migrations, recorded)
    for migration in waiting:
        for statement in render(migration.statements, deployment):
            engine.command(statement)
        engine.command(f"INSERT INTO finlake.migrations (name, sha256) VALUES ('{migration.name}', '{migration.sha256}')")
    return [migration.name for migration in waiting]


def missing(migrations: list[Migration], recorded: dict[str, str]) -> list[Migration]:
    """The migrations that `recorded` (name to SHA-256) lacks.

    Raises MigrationError for a recorded one that changed or is gone, and for a missing one before a recorded one.
    """
    known = {migration.name: migration for migration in migrations}
    for name, sha256 in sorted(recorded.items()):
        if name not in known:
            raise MigrationError(
                f"{name} was applied to this ClickHouse but is not among the migrations of this checkout; "
                "use a checkout that has it: going back is not possible"
            )
        if known[name].sha256 != sha256:
            raise MigrationError(
                f"{name} was changed after it had been applied; restore the file and put the change into a new migration"
            )
    waiting = [migration for migration in migrations if migration.name not in recorded]
    last_number = max((known[name].number for name in recorded), default=0)
    for migration in waiting:
        if migration.number < last_number:
            raise MigrationError(
                f"{migration.name} was not applied although number {last_number:04d} was; give it a number after the last one"
            )
    return waiting


class HttpEngine:
    """ClickHouse over HTTP as the user `admin`."""

    def __init__(self, url: str, password_file: Path) -> None:
        self._client = open_client(url, "admin", password_file)

    def command(self, sql: str) -> None:
        self._client.command(sql)

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        return [tuple(map(str, row)) for row in self._client.query(sql).result_rows]


def _ledger(deployment: Deployment) -> list[str]:
    # On a cluster every server of every shard holds the whole ledger.
    engine = (
        "MergeTree"
        if deployment.cluster is None
        else ("ReplicatedMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}')")
    )
    return [
        render_text(text, deployment)
        for text in (
            "CREATE DATABASE IF NOT EXISTS finlake${on_cluster}",
            f"""CREATE TABLE IF NOT EXISTS finlake.migrations${{on_cluster}}
(
    `name` String COMMENT 'File name',
    `sha256` String COMMENT 'SHA-256 of the file',
    `applied_ts` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When its last statement had been run'
)
ENGINE = {engine}
ORDER BY name
COMMENT 'Migrations that were applied.'""",
        )
    ]


def main(
    url: Annotated[str, typer.Option(help="ClickHouse's HTTP address, without user and password.")],
    password_file: Annotated[Path, typer.Option(help="File with the password of the user admin.", exists=True)],
    cluster: Annotated[str | None, typer.Option(help="Name of the cluster; none: one server.")] = None,
) -> None:
    """Bring ClickHouse's schema to the newest migration; harmless when it is there."""
    try:
        applied = migrate(url, password_file, Deployment(cluster=cluster))
    except MigrationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


if __name__ == "__main__":
    typer.run(main)
