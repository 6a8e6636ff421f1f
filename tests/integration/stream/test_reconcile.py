"""A comparison that finds nothing must be able to find something: here is a sink that doubles rows, and engines that agree."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from math import pi

import psycopg
import pytest

from deploy.local.stack import LocalStack
from finlake_clients.clickhouse.connection import admin
from finlake_clients.kafka.topics import KafkaTopics
from finlake_proofs.bench.ods_load import Load, write_trades
from finlake_proofs.bench.temporary_lake import temporary_stack
from finlake_proofs.repair.replay import ReplayError, replay, spans
from finlake_reconciliation.buckets import Content, Tally, units
from finlake_reconciliation.clickhouse_side import LiveTables
from finlake_reconciliation.derived import CANDLES, PRICE_VOLUME, WINDOWS
from finlake_reconciliation.kafka_side import ChangeTopics
from finlake_reconciliation.postgres_side import Ods
from finlake_reconciliation.reconcile import Reconciliation
from finlake_reconciliation.report import UNEQUAL_ROWS_PAGE, EngineReport, ReconcileReport
from finlake_settings.checkout import CHECKOUT
from finlake_settings.machine import process_environment
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts import stream_rows
from spark.contracts.speed import STOCK_REALTIME, TICK_KEPT_DAYS
from spark.contracts.streams import DEAD_LETTERS_TOPIC, STREAMS, TRADES
from tests.integration.stream import broken_sink
from tests.integration.stream.market import as_superuser
from tests.integration.stream.sink_process import wait_until

pytestmark = pytest.mark.stack

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
STATES = {"speed.candles_1m_state": (CANDLES,), "speed.windows_15s_state": (WINDOWS, PRICE_VOLUME)}
"""What the tables of candles and windows are merged from."""
TOO_LARGE = 2e13
"""A price that the sink refuses, and would not if its limit were higher."""


@pytest.fixture(scope="module")
def sinkless_stack() -> Iterator[LocalStack]:
    """Everything from Postgres to ClickHouse but the sink."""
    services = ("kafka_connect", "clickhouse")
    with temporary_stack(CHECKOUT / ".finlake" / "jars", services, print) as stack:
        yield stack


@pytest.fixture(scope="module")
def stream(sinkless_stack: LocalStack) -> Settings:
    return settings_from(Settings, sinkless_stack.environment())


@contextmanager
def sink(stack: LocalStack) -> Iterator[None]:
    """The broken sink; killed at the end."""
    port = stack.settings().ports["clickhouse_sink"]
    command = [sys.executable, broken_sink.__file__, "--metrics-port", str(port), "--instance", "sink"]
    environment = process_environment({**stack.environment(), "PYTHONPATH": str(CHECKOUT)})
    process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def engine(report: ReconcileReport, name: str) -> EngineReport:
    """What was found of the trades in one engine."""
    return next(each for each in report.engines if (each.engine, each.relation) == (name, TRADES.name))


def inserted(stream: Settings) -> int:
    with admin(stream.clickhouse) as client:
        return int(client.query(f"SELECT count() FROM {STOCK_REALTIME.address}").result_rows[0][0])


def wait_for_rows(stream: Settings, count: int) -> None:
    """Until ClickHouse holds more rows than that."""
    wait_until(lambda: inserted(stream) > count, f"ClickHouse holds more than {count} rows", within_s=60)


def wait_until_settled(stream: Settings) -> None:
    """Until the sink has committed that it has all there is."""
    topics = ChangeTopics(KafkaTopics.of(stream.kafka))
    wait_until(
        lambda: (topics.sink_offsets(TRADES.topic)[0] or -1) >= topics.extent(TRADES.topic).end[0],
        "the sink settles",
        within_s=60,
    )


def test_all_engines_add_up_the_same_numbers(sinkless_stack: LocalStack, stream: Settings) -> None:
    start = datetime(2026, 11, 20, 23, 59, 50, 123457, tzinfo=UTC)
    # Halves of a unit, numbers too large for units, negative ones, and names that SQL and URLs treat as special.
    numbers = [1 / 512, 3 / 512, -5.25, 0.0, 1e11, TOO_LARGE, 1e305, -1e300, 164.0601, pi * 1e4, 2**53 / 1e8]
    names = ["AAPL", "BINANCE:BTCUSDT", "Ä'\\"]
    rows = [
        (
            start + timedelta(seconds=number * 7, microseconds=number),
            f"c:{names[number % 3]}",
            number,
            number % 4,
            names[number % 3],
            numbers[number % len(numbers)],
            abs(numbers[(number * 7) % len(numbers)]),
            start.replace(microsecond=123000) - timedelta(milliseconds=number * 11),
        )
        for number in range(300)
    ]
    tally = Tally()
    for received_ts, connection_id, seq, index, symbol, price, volume, trade_ts in rows:
        tally.add(
            f"{connection_id}:{seq}:{index}",
            symbol,
            (received_ts - EPOCH) // MICROSECOND,
            Content((units(price), units(volume)), (trade_ts - EPOCH) // MICROSECOND),
        )
    # As an installation holds them whose rows are older than its constraints.
    with as_superuser(sinkless_stack) as superuser:
        for name in stream_rows.trade_constraints():
            superuser.execute(f"ALTER TABLE ods.finnhub_trades DROP CONSTRAINT {name}".encode())
    _insert_everywhere(stream, rows)
    with Ods(stream.market.uri, stream.market.reconcile_password_file).cut(STREAMS) as cut:
        by_postgres = cut.buckets(TRADES)
        some = next(iter(by_postgres))
        some_rows = cut.rows(TRADES, some)
    with closing(LiveTables(stream.clickhouse.url, stream.clickhouse.reader_password_file)) as live:
        by_clickhouse = live.buckets(TRADES, below_lsn=1, below={-1: 10**9})
        assert live.rows(TRADES, some, below_lsn=1, below={-1: 10**9}) == some_rows
    assert by_postgres == tally.buckets()
    assert by_clickhouse == tally.buckets()
    _test_since_when_trades_are_whole(stream)
    # The sink of the next test brings the same rows through Kafka.
    with admin(stream.clickhouse) as client:
        for table in (STOCK_REALTIME.address, *STATES):
            client.command(f"TRUNCATE TABLE {table}")


def _test_since_when_trades_are_whole(stream: Settings) -> None:
    hours = 24 * TICK_KEPT_DAYS - 12
    server = stream.clickhouse
    with admin(server) as client, closing(LiveTables(server.url, server.reader_password_file)) as live:
        assert live.trades_whole_since() is None
        client.command(
            f"INSERT INTO {STOCK_REALTIME.address} SELECT * REPLACE (now() - INTERVAL {hours} HOUR AS inserted_ts) "
            f"FROM {STOCK_REALTIME.address} LIMIT 1"
        )
        assert live.trades_whole_since() == datetime(2026, 11, 21, tzinfo=UTC)
        client.command(f"TRUNCATE TABLE {STOCK_REALTIME.address}")
        assert live.trades_whole_since() is None


def test_a_part_that_one_table_alone_has_lost_is_found_out(sinkless_stack: LocalStack, stream: Settings) -> None:
    with sink(sinkless_stack):
        wait_until_settled(stream)
        reconciliation = Reconciliation.of(stream)
        assert reconciliation.run(None).is_proven
        with lost_part(stream, STOCK_REALTIME.address) as row_count:
            report = reconciliation.run(None)
            assert engine(report, "ClickHouse").differences.missing.count == row_count == report.lost_count
            assert f"ClickHouse {TRADES.name}: {row_count} missing" in report.verdict
        for state, derived in STATES.items():
            with lost_part(stream, state):
                report = reconciliation.run(None)
                assert not report.is_proven
                assert all(each.is_proven for each in report.engines)
                assert {each.table for each in report.derived if each.different_count} == {each.table.address for each in derived}
                assert all(f"{each.table.address}: " in report.verdict for each in derived)
        assert reconciliation.run(None).is_proven


@contextmanager
def lost_part(stream: Settings, table: str) -> Iterator[int]:
    """Take the largest part out of a table, as a lost insert leaves it; gives its rows, and puts it back at the end."""
    database, name = table.split(".")
    with admin(stream.clickhouse) as client:
        part, row_count = client.query(
            "SELECT name, rows FROM system.parts WHERE active AND database = {database:String} AND table = {name:String} "
            "ORDER BY rows DESC LIMIT 1",
            parameters={"database": database, "name": name},
        ).result_rows[0]
        client.command(f"ALTER TABLE {table} DETACH PART '{part}'")
        try:
            yield int(row_count)
        finally:
            client.command(f"ALTER TABLE {table} ATTACH PART '{part}'")


def test_a_sink_without_plan_and_token_is_found_out(sinkless_stack: LocalStack, stream: Settings) -> None:
    environment = sinkless_stack.environment()
    write_trades(environment, Load(connection_id="first", rows_per_s=100, seconds=1))
    with ThreadPoolExecutor(1) as pool:
        with sink(sinkless_stack):
            wait_until_settled(stream)
            held = inserted(stream)
            writing = pool.submit(write_trades, environment, Load(connection_id="doubled", rows_per_s=1000, seconds=15))
            wait_for_rows(stream, held)
        # It was killed between an insert and the commit that would have told of it.
        held = inserted(stream)
        with sink(sinkless_stack):
            writing.result()
            wait_for_rows(stream, held)
            report = Reconciliation.of(stream).run(None, wait_s=60)
    clickhouse = engine(report, "ClickHouse")
    assert not report.is_proven
    assert clickhouse.differences.doubled.count > 0
    assert clickhouse.differences.doubled.first[0].startswith("doubled:")
    assert clickhouse.differences.missing.count == 0
    assert engine(report, "Kafka").is_proven, engine(report, "Kafka").verdict
    assert report.doubled_count == clickhouse.differences.doubled.count
    assert "NOT EQUAL" in report.verdict


def test_a_replay_adds_what_is_missing_and_nothing_else(
    sinkless_stack: LocalStack,
    stream: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topics = KafkaTopics.of(stream.kafka)
    with sink(sinkless_stack):
        wait_until_settled(stream)
        with admin(stream.clickhouse) as client:
            client.command(
                f"ALTER TABLE {STOCK_REALTIME.address} DELETE WHERE connection_id = 'first' AND trade_index < 20 "
                "SETTINGS mutations_sync = 2"
            )
        everything = spans(topics, TRADES.topic, "0", f"{10**12}")
        before, first = inserted(stream), replay(stream.clickhouse, topics, everything)
        assert (first.added, first.not_rows) == (40, 0)
        assert first.read == first.added + first.already_there + first.unreadable
        assert inserted(stream) == before + 40
        again = replay(stream.clickhouse, topics, everything)
        assert (again.added, again.already_there) == (0, first.already_there + 40)
        assert inserted(stream) == before + 40
        # Once the sink can read what it could not, dead letters are tried again; one that it still cannot read stays.
        monkeypatch.setattr(stream_rows, "NUMBER_LIMIT", 10 * TOO_LARGE)
        letters = replay(stream.clickhouse, topics, spans(topics, DEAD_LETTERS_TOPIC, "0", f"{10**12}"))
        assert letters.added > 0
        assert letters.unreadable > 0
        assert letters.read == letters.added + letters.unreadable == first.unreadable
        again = replay(stream.clickhouse, topics, spans(topics, DEAD_LETTERS_TOPIC, "0", f"{10**12}"))
        assert again.already_there == letters.added


def test_a_range_that_the_sink_has_not_passed_is_left_to_it(sinkless_stack: LocalStack, stream: Settings) -> None:
    topics = KafkaTopics.of(stream.kafka)
    write_trades(sinkless_stack.environment(), Load(connection_id="late", rows_per_s=100, seconds=1))
    assert Reconciliation.of(stream).drain(wait_s=60)
    with pytest.raises(ReplayError, match="is about to insert the rest itself"):
        replay(stream.clickhouse, topics, spans(topics, TRADES.topic, "0", f"{10**12}"))
    for bounds, reason in ((("x", "5"), "neither an offset nor a time"), (("5", "5"), "holds nothing from 5 to 5")):
        with pytest.raises(ReplayError, match=reason):
            spans(topics, TRADES.topic, *bounds)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert spans(topics, TRADES.topic, "2026-01-01", tomorrow.isoformat()) == spans(topics, TRADES.topic, "0", f"{10**12}")


def test_what_the_page_says_of_unequal_rows_makes_them_explained(sinkless_stack: LocalStack, stream: Settings) -> None:
    _, delete, cut, tell_anew = re.findall(r"^```sql\n(.*?)^```", (CHECKOUT / UNEQUAL_ROWS_PAGE).read_text(), re.M | re.S)
    noon = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
    insert = (
        "INSERT INTO ods.finnhub_trades (received_ts, connection_id, message_seq, trade_index, symbol, price_usd, "
        "volume_shares, trade_ts) VALUES (%s, %s, 1, 0, 'AAPL', 1.5, 2, %s)"
    )
    rows = (("!fine", noon, noon), ("!hand", noon, EPOCH), ("!twice", noon, EPOCH), ("!twice", noon + 2 * MICROSECOND, EPOCH))
    reconciliation = Reconciliation.of(stream)

    def done(statement: str, **values: object) -> None:
        for name, value in values.items():
            statement = statement.replace(f"<{name}>", str(value))
        with as_superuser(sinkless_stack) as superuser:
            superuser.execute(statement.encode())

    def named(kind: str) -> set[str]:
        # The sink has passed everything below the cut.
        report = reconciliation.run(None)
        return {row_id for each in report.engines for row_id in each.differences.faults[kind].first if row_id.startswith("!")}

    # As an installation of before the constraint has it.
    done("ALTER TABLE ods.finnhub_trades DROP CONSTRAINT IF EXISTS time_is_whole_ms")
    with as_superuser(sinkless_stack) as superuser:
        superuser.execute("SELECT ods.ensure_partitions('2026-11-20', '2026-11-21')")
        for connection_id, received_ts, trade_ts in rows:
            superuser.execute(insert, [received_ts, connection_id, trade_ts])
    with sink(sinkless_stack):
        assert reconciliation.drain(wait_s=60)
        wait_until_settled(stream)
        with admin(stream.clickhouse) as client:
            client.command(
                f"ALTER TABLE {STOCK_REALTIME.address} UPDATE price_usd = 7 WHERE connection_id = '!hand' "
                "SETTINGS mutations_sync = 2"
            )
        assert named("changed") == {"!hand:1:0"}
        assert any("!twice:1:0" in step for step in reconciliation.run(None).next_steps)

        done(delete, connection_id="!twice", message_seq=1, trade_index=0, received_ts=noon)
        done(tell_anew, connection_id="!hand", message_seq=1, trade_index=0)
        done(cut)
        done(
            "ALTER TABLE ods.finnhub_trades ADD CONSTRAINT time_is_whole_ms "
            f"CHECK ({stream_rows.trade_constraints()['time_is_whole_ms']})"
        )
        assert [each for kind in ("changed", "missing", "doubled", "unexpected") for each in named(kind)] == []
        assert not [fault for fault in reconciliation.run(None).faults if "!" in fault]


def _insert_everywhere(stream: Settings, rows: Sequence[tuple[object, ...]]) -> None:
    password = stream.market.feed_password_file.read_text(encoding="utf-8").strip()
    with psycopg.connect(stream.market.uri, user="feed", password=password) as connection:
        connection.execute("SELECT ods.ensure_partitions('2026-11-20', '2026-11-21')")
        connection.cursor().executemany(
            "INSERT INTO ods.finnhub_trades (received_ts, connection_id, message_seq, trade_index, symbol, price_usd, "
            "volume_shares, trade_ts) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )
    names = (
        "received_ts",
        "connection_id",
        "message_seq",
        "trade_index",
        "symbol",
        "price_usd",
        "volume_shares",
        "trade_ts",
        "conditions",
        "flaw",
        "lsn",
        "committed_ts",
        "captured_ts",
        "appended_ts",
        "consumed_ts",
        "kafka_partition",
        "kafka_offset",
    )
    with admin(stream.clickhouse) as client:
        client.insert(
            STOCK_REALTIME.address,
            column_names=names,
            data=[(*row, [], "never", 0, *[row[0]] * 4, -1, offset) for offset, row in enumerate(rows)],
        )
