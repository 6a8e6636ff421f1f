"""Migrations: they say what the contracts say, go forward only, and an interrupted run is finished by the next."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.clickhouse.draft import next_statements
from deploy.clickhouse.migrate import apply_migrations
from deploy.clickhouse.migration_files import FOLDER, MigrationError, migration_text, read_migrations
from deploy.clickhouse.scratch import ScratchEngine, created_by, scratch_engine
from spark.contracts.clickhouse import DATABASES, ONE_SERVER, Deployment, Statement, clickhouse_type, render, statements
from spark.contracts.speed import TABLES

pytestmark = pytest.mark.slow

ALL = [path.name for path in sorted(FOLDER.glob("*.sql"))]


@pytest.fixture
def engine() -> Iterator[ScratchEngine]:
    with scratch_engine() as scratch:
        yield scratch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may spoil."""
    return Path(shutil.copytree(FOLDER, tmp_path / "migrations"))


def second(folder: Path, name: str = "0002_more.sql", table: str = "speed.more") -> None:
    text = f"CREATE TABLE IF NOT EXISTS {table}${{on_cluster}} (a Int32) ENGINE = ${{MergeTree}} ORDER BY a"
    statement = Statement(name=table, kind="table", template=text)
    (folder / name).write_text(migration_text([statement]))


def test_all_migrations_make_what_the_contracts_say_now(engine: ScratchEngine) -> None:
    assert apply_migrations(engine) == ALL
    made, columns = engine.created(), columns_of(engine)
    for database in DATABASES:
        engine.command(f"DROP DATABASE {database} SYNC")
    for text in render(statements(), ONE_SERVER):
        engine.command(text)
    assert made == engine.created()
    assert columns == columns_of(engine)


def columns_of(engine: ScratchEngine) -> list[tuple[str, ...]]:
    return engine.rows(
        "SELECT database, table, name, type, default_expression, comment FROM system.columns "
        "WHERE database IN ('speed', 'serving') ORDER BY database, table, position",
    )


def test_readers_see_the_contracts_columns_in_order_and_type(engine: ScratchEngine) -> None:
    apply_migrations(engine)
    for table in TABLES:
        seen = engine.rows(
            f"SELECT name, type FROM system.columns WHERE database = 'speed' AND table = '{table.name}' ORDER BY position",
        )
        assert seen == [(column.name, clickhouse_type(column)) for column in table.columns], table.address


def test_a_clusters_statements_are_clickhouse(engine: ScratchEngine) -> None:
    class Parser:
        """Takes every statement for its syntax alone; the ledger is empty."""

        parsed = 0

        def command(self, sql: str) -> None:
            Parser.parsed += 1
            engine.command(f"EXPLAIN AST {sql}")

        def rows(self, sql: str) -> list[tuple[str, ...]]:
            engine.command(f"EXPLAIN AST {sql}")
            return []

    assert apply_migrations(Parser(), Deployment(cluster="two-shards")) == ALL
    assert Parser.parsed > len(statements())


def test_applying_twice_changes_nothing(engine: ScratchEngine) -> None:
    apply_migrations(engine)
    made = engine.created()
    assert apply_migrations(engine) == []
    assert engine.created() == made
    assert engine.rows("SELECT count() FROM finlake.migrations") == [(str(len(ALL)),)]


def test_a_run_killed_between_any_two_statements_is_finished_by_the_next() -> None:
    class KilledError(Exception):
        pass

    class Mortal:
        """Runs `lives` statements."""

        def __init__(self, engine: ScratchEngine, lives: int) -> None:
            self.engine, self.lives = engine, lives

        def command(self, sql: str) -> None:
            if self.lives == 0:
                raise KilledError
            self.lives -= 1
            self.engine.command(sql)

        def rows(self, sql: str) -> list[tuple[str, ...]]:
            return self.engine.rows(sql)

    wanted = created_by(statements())
    with scratch_engine() as engine:
        lives, killed = 0, 0
        while True:
            engine.command("DROP DATABASE IF EXISTS finlake SYNC")
            engine.command("DROP DATABASE IF EXISTS speed SYNC")
            try:
                apply_migrations(Mortal(engine, lives))
            except KilledError:
                killed += 1
            else:
                break
            apply_migrations(engine)
            assert engine.created() == wanted
            lives += 1
    assert killed > len(ALL)


def test_a_changed_file_is_refused(engine: ScratchEngine, folder: Path) -> None:
    apply_migrations(engine, folder=folder)
    path = folder / ALL[0]
    path.write_text(path.read_text().replace("toIntervalDay(30)", "toIntervalDay(31)"))
    with pytest.raises(MigrationError, match=f"{ALL[0]} was changed"):
        apply_migrations(engine, folder=folder)


def test_a_file_that_is_gone_is_refused(engine: ScratchEngine, folder: Path) -> None:
    last = f"{len(ALL) + 1:04d}_more.sql"
    second(folder, last)
    assert apply_migrations(engine, folder=folder) == [*ALL, last]
    (folder / last).unlink()
    with pytest.raises(MigrationError, match=f"{last} was applied"):
        apply_migrations(engine, folder=folder)


def test_a_file_slipped_in_before_applied_ones_is_refused(engine: ScratchEngine, folder: Path) -> None:
    last, late = f"{len(ALL) + 2:04d}_b.sql", f"{len(ALL) + 1:04d}_a.sql"
    second(folder, late, "speed.a")
    second(folder, last, "speed.b")
    apply_migrations(engine, folder=folder)
    engine.command(f"ALTER TABLE finlake.migrations DELETE WHERE name = '{late}' SETTINGS mutations_sync = 2")
    with pytest.raises(MigrationError, match=f"{late} was not applied although"):
        apply_migrations(engine, folder=folder)


def test_a_later_migration_is_applied_alone(engine: ScratchEngine, folder: Path) -> None:
    apply_migrations(engine, folder=folder)
    last = f"{len(ALL) + 1:04d}_more.sql"
    second(folder, last)
    assert apply_migrations(engine, folder=folder) == [last]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("later.sql", "", "is no migration"),
        ("0009_far.sql", None, "is expected where 0009_far.sql"),
        ("0002_x.sql", "CREATE TABLE x (a Int32) ENGINE = Log;\n", "begins with a line"),
        ("0002_x.sql", "-- speed.x (thing)\nCREATE TABLE x;\n", "is of kind 'thing'"),
    ],
)
def test_a_file_that_is_no_migration_is_told_how_to_become_one(folder: Path, name: str, text: str | None, message: str) -> None:
    if text is None:
        second(folder, name)
    else:
        (folder / name).write_text(text)
    with pytest.raises(MigrationError, match=message):
        read_migrations(folder)


def test_a_draft_has_what_is_new_and_replaces_views_that_changed() -> None:
    wanted = statements()
    contracts = created_by(wanted)
    made = {name: text for name, text in contracts.items() if name != "speed.sink_gaps"} | {"speed.anomalies": "an older text"}
    drafted = next_statements(wanted, made, contracts)
    assert [(each.name, each.kind) for each in drafted] == [
        ("speed.sink_gaps", "table"),
        ("speed.sink_gaps", "distributed table"),
        ("speed.anomalies", "view"),
    ]
    assert drafted[-1].template.startswith("CREATE OR REPLACE VIEW speed.anomalies")


def test_a_draft_does_not_guess_how_a_table_changes() -> None:
    wanted = statements()
    contracts = created_by(wanted)
    for name in ("speed.stock_realtime", "speed.candles_1m_mv", "speed.gone"):
        with pytest.raises(MigrationError, match=name):
            next_statements(wanted, contracts | {name: "another"}, contracts)
