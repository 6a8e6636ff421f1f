"""An insert killed at any system call and repeated: table and views hold every row once, and equal what they are made of."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from deploy.clickhouse.migration_files import FOLDER
from deploy.clickhouse.scratch import CREATED, created_by
from spark.contracts.clickhouse import statements
from tests.finlake_services.clickhouse_local.mortal_engine import MortalEngine
from tests.finlake_services.clickhouse_local.system_calls import Call, Fate, NotStoppableError

pytestmark = pytest.mark.slow

TRADES = "speed.stock_realtime"
VIEWS = {"speed.candles_1m_mv": "speed.candles_1m_state", "speed.windows_15s_mv": "speed.windows_15s_state"}
TABLES = (TRADES, *VIEWS.values())
ROWS = 6
MERGES_TRIED = 20


def block(number: int) -> dict[str, object]:
    """A block of trades of one symbol over two days of Kafka's time, two minutes and four windows, as the sink inserts it."""
    return {
        "table": TRADES,
        "token": f"trades:0:{number}",
        "rows": [
            {
                "symbol": f"B{number}",
                "trade_ts": f"2026-01-05 14:3{row % 2}:{row * 9:02}.000",
                "price_usd": 100 + number + row / 8,
                "volume_shares": row + 0.5,
                "flaw": "",
                "kafka_partition": 0,
                "kafka_offset": number * ROWS + row,
                "appended_ts": f"2026-01-0{5 + row % 2} 14:30:00",
            }
            for row in range(ROWS)
        ],
    }


class Lake:
    """A folder with finlake's tables, and how many blocks were begun in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.begun = 0
        self.last_exit: int | None = None
        self.folders: dict[Path, str] = {}
        with MortalEngine(home) as engine:
            engine.open()
            engine.migrate()
            for table in TABLES:
                database, name = table.split(".")
                text = engine.ask(f"SELECT data_paths[1] FROM system.tables WHERE database = '{database}' AND name = '{name}'")
                self.folders[Path(text.strip())] = table

    def table_of(self, call: Call) -> str | None:
        """The table in whose folder the call changes something."""
        return next((table for folder, table in self.folders.items() if Path(call.path).is_relative_to(folder)), None)

    def begin_next_insert(self, fate: Callable[[Call], Fate]) -> Call | None:
        """Repeat the last block, compare everything, then insert the next one with `fate` deciding on every call."""
        with MortalEngine(self.home) as engine:
            engine.open()
            self._repeat_and_compare(engine)
            self.begun += 1
            return self._watch(engine, block(self.begun), fate)

    def begin_statement(self, sql: str, fate: Callable[[Call], Fate]) -> Call | None:
        """Repeat the last block, compare everything, add a block, then run a statement with `fate` deciding on every call."""
        with MortalEngine(self.home) as engine:
            engine.open()
            self._repeat_and_compare(engine)
            self.begun += 1
            engine.insert(**block(self.begun))  # type: ignore[arg-type]
            return self._watch(engine, {"sql": sql}, fate)

    def begin_start(self, fate: Callable[[Call], Fate]) -> Call | None:
        """Open the folder with `fate` deciding on every call."""
        with MortalEngine(self.home) as engine:
            return self._watch(engine, {"open": True}, fate)

    def _watch(self, engine: MortalEngine, action: dict[str, object], fate: Callable[[Call], Fate]) -> Call | None:
        call = watched(engine, action, fate)
        self.last_exit = engine.exit_code
        return call

    def damage(self, parts: Iterable[tuple[str, str]] = ()) -> None:
        """Leave the folder as a kill does: parts (table, name) are temporary again, the last line of each log is cut short."""
        for folder, table in self.folders.items():
            for part in (part for of, part in parts if of == table):
                (folder / part).rename(folder / f"tmp_insert_{part}")
            with (folder / "deduplication_logs/deduplication_log_1.txt").open("ab") as log:
                log.write(b"1\tall_9_9")

    def insert_and_kill(self) -> None:
        """Insert the next block, then kill the process."""
        with MortalEngine(self.home) as engine:
            engine.open()
            self.begun += 1
            engine.insert(**block(self.begun))  # type: ignore[arg-type]

    def repeat_and_compare(self) -> None:
        """Repeat the last block; every row is there once, and the views' tables equal their queries over all rows."""
        with MortalEngine(self.home) as engine:
            engine.open()
            self._repeat_and_compare(engine)

    def _repeat_and_compare(self, engine: MortalEngine) -> None:
        if self.begun:
            engine.insert(**block(self.begun))  # type: ignore[arg-type]
        held = Counter(engine.ask(f"SELECT kafka_offset FROM {TRADES}").split())
        assert held == Counter(str(number * ROWS + row) for number in range(1, self.begun + 1) for row in range(ROWS))
        for view, table in VIEWS.items():
            database, name = table.split(".")
            # last_inserted_ts is the time of the attempt that filled the table of rows.
            columns = engine.ask(
                "SELECT arrayStringConcat(groupArray(if(startsWith(type, 'Aggregate'), "
                "format('finalizeAggregation({})', name), name)), ', ') FROM (SELECT name, type FROM system.columns "
                f"WHERE database = '{database}' AND table = '{name}' AND name != 'last_inserted_ts' ORDER BY position)"
            ).strip()
            query = engine.ask(
                "SELECT as_select FROM system.tables "
                f"WHERE database = '{database}' AND name = '{view.split('.')[1]}' FORMAT TSVRaw"
            ).strip()
            found = engine.ask(f"SELECT {columns} FROM {table} FINAL ORDER BY ALL")
            assert found == engine.ask(f"SELECT {columns} FROM ({query}) ORDER BY ALL"), table


def watched(engine: MortalEngine, action: dict[str, object], fate: Callable[[Call], Fate]) -> Call | None:
    """What `MortalEngine.watched` gives, where the machine lets a process stop at its system calls; else the test is skipped."""
    try:
        listener = engine.stop_at_changes()
    except NotStoppableError as error:
        pytest.skip(f"{error}; what a kill leaves is then proved by the damaged folder alone")
    return engine.watched(listener, fate, action)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "clickhouse")


def _is_of_tables(lake: Lake) -> Callable[[Call], bool]:
    return lambda call: lake.table_of(call) is not None


def _is_token(call: Call) -> bool:
    return call.name == "write" and "/deduplication_logs/" in call.path


def _is_part(call: Call) -> bool:
    return call.name.startswith("rename") and "/tmp_insert_" in call.path


def _is_merged_part(call: Call) -> bool:
    return call.name.startswith("rename") and "/tmp_merge_" in call.path


def _is_of_merge(call: Call) -> bool:
    """Not the removal of parts that were merged before, which comes when the engine likes and would change every number."""
    return "/tmp_merge_" in call.path or call.name in ("fsync", "fdatasync")


class Nth:
    """Kill before the `number`-th call, from 1, that changes the folder and is `wanted`, or have that call fail."""

    def __init__(
        self,
        home: Path,
        number: int,
        wanted: Callable[[Call], bool] = lambda _: True,
        fate: Fate = "killed",
    ) -> None:
        self._home, self._left, self._wanted, self._fate = home, number, wanted, fate
        self.seen: list[Call] = []

    def __call__(self, call: Call) -> Fate:
        if not Path(call.path).is_relative_to(self._home) or not self._wanted(call):
            return "done"
        self.seen.append(call)
        self._left -= 1
        return self._fate if self._left == 0 else "done"


def test_an_insert_killed_around_each_token_and_repeated_is_there_once(lake: Lake) -> None:
    # Two days make two parts of the trades; each view has one.
    assert lake.begin_next_insert(Nth(lake.home, 2, _is_token)) is not None
    calls = [lake.begin_next_insert(Nth(lake.home, number, _is_part)) for number in range(1, 5)]
    assert Counter(lake.table_of(call) for call in calls if call) == {TRADES: 2, **dict.fromkeys(VIEWS.values(), 1)}
    lake.repeat_and_compare()


def test_an_insert_whose_part_the_disk_does_not_take_ends_the_engine_and_is_there_once_when_repeated(lake: Lake) -> None:
    for number in (1, 3):
        assert lake.begin_next_insert(Nth(lake.home, number, _is_part, "failed")) is None
        assert lake.last_exit == os.EX_IOERR
    lake.repeat_and_compare()


def test_a_folder_as_kills_leave_it_gets_its_rows_by_the_repeated_insert(lake: Lake) -> None:
    """Needs nothing of the machine: parts are made temporary again, lines are cut, as a kill or a loss of power does."""
    lake.insert_and_kill()
    lake.damage([(TRADES, "20260105_1_1_0"), (TRADES, "20260106_2_2_0"), *((table, "all_1_1_1") for table in VIEWS.values())])
    lake.repeat_and_compare()
    # The lines that came after those cut short are read again.
    lake.repeat_and_compare()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_insert_killed_at_any_system_call_and_repeated_is_there_once(lake: Lake) -> None:
    calls = _all_kills(lambda number: lake.begin_next_insert(Nth(lake.home, number, _is_of_tables(lake))))
    lake.repeat_and_compare()
    assert len(calls) > 100
    assert {lake.table_of(call) for call in calls} == set(TABLES)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("table", [TRADES, "speed.candles_1m_state"])
def test_a_merge_killed_at_any_system_call_changes_nothing(lake: Lake, table: str) -> None:
    def merge(number: int) -> Call | None:
        """Again where the engine, which merges when it likes, has begun it by itself: then there is nothing to do."""
        for _ in range(MERGES_TRIED):
            fate = Nth(lake.home, number, lambda call: lake.table_of(call) == table and _is_of_merge(call))
            call = lake.begin_statement(f"OPTIMIZE TABLE {table} FINAL", fate)
            if call is not None or any(map(_is_merged_part, fate.seen)):
                return call
        raise AssertionError(f"in {MERGES_TRIED} tries nothing of {table} was left to merge")

    calls = _all_kills(merge)
    lake.repeat_and_compare()
    assert any(map(_is_merged_part, calls))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kept", [True, False])
def test_a_start_killed_at_any_system_call_is_finished_by_the_next(lake: Lake, kept: bool) -> None:
    """The repair of the logs and the exchange of database `default`, empty and not, among them."""
    lake.insert_and_kill()
    if kept:
        with MortalEngine(lake.home) as engine:
            engine.open()
            engine.ask("CREATE TABLE default.kept ENGINE = MergeTree ORDER BY a AS SELECT 1 AS a")

    def start(number: int) -> Call | None:
        lake.damage()
        return lake.begin_start(Nth(lake.home, number))

    calls = _all_kills(start)
    assert any(call.name.startswith("rename") and "deduplication_log" in call.path for call in calls)
    lake.repeat_and_compare()
    with MortalEngine(lake.home) as engine:
        engine.open()
        assert engine.ask("SELECT engine FROM system.databases WHERE name = 'default'") == "Atomic\n"
        if kept:
            assert engine.ask("SELECT a FROM default.kept") == "1\n"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_insert_that_begins_a_new_log_killed_at_any_system_call_is_there_once(tmp_path: Path) -> None:
    """A window of one token makes a new log, and drops the old one, at every second insert; so each kill is tried twice."""
    home, begun = tmp_path / "clickhouse", 0
    with MortalEngine(home) as engine:
        engine.open()
        engine.ask(
            "CREATE TABLE default.few (a Int64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1"
        )
        folder = Path(engine.ask("SELECT data_paths[1] FROM system.tables WHERE name = 'few'").strip())

    def begin(number: int) -> Call | None:
        nonlocal begun
        with MortalEngine(home) as engine:
            engine.open()
            if begun:
                engine.insert("default.few", [{"a": begun}], str(begun))
            assert engine.ask("SELECT a FROM default.few ORDER BY a").split() == [str(row) for row in range(1, begun + 1)]
            begun += 1
            return watched(engine, {"table": "default.few", "rows": [{"a": begun}], "token": str(begun)}, Nth(folder, number))

    calls: list[Call] = []
    number = 1
    while killed := [call for call in (begin(number), begin(number)) if call is not None]:
        calls += killed
        number += 1
    assert begin(0) is None
    of_logs = {call.name for call in calls if "/deduplication_logs/" in call.path}
    assert of_logs >= {"openat", "write", "unlink"}, of_logs


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_migrations_killed_at_ever_later_system_calls_are_finished_by_the_next_run(tmp_path: Path) -> None:
    """What was made stays, so that the calls counted begin with the statement that the run before was killed in."""
    home = tmp_path / "clickhouse"

    def migrate(number: int) -> Call | None:
        with MortalEngine(home) as engine:
            engine.open()
            return watched(engine, {"migrate": True}, Nth(home, number))

    calls = _all_kills(migrate)
    assert any(call.path.endswith(".sql.tmp") for call in calls)
    with MortalEngine(home) as engine:
        engine.open()
        engine.migrate()
        assert engine.ask("SELECT name FROM finlake.migrations").split() == [path.name for path in sorted(FOLDER.glob("*.sql"))]
        made = dict(line.split("\t") for line in engine.ask(CREATED).splitlines())
    assert made == created_by(statements())


def _all_kills(begin: Callable[[int], Call | None]) -> list[Call]:
    """Kill at the first call, at the second, and so on until there are no more; the calls."""
    calls: list[Call] = []
    while (call := begin(len(calls) + 1)) is not None:
        calls.append(call)
    return calls
