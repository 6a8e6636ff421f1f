"""Who may do what in the database `market`, on a real Postgres."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.postgres import provision
from deploy.local.stack import LocalStack
from spark.contracts.stream_rows import objection_to_trade
from tests.integration.stream.market import (
    FIRST_DAY,
    FIRST_TS,
    LAST_DAY,
    as_role,
    as_superuser,
    insert_trades,
    new_id,
    whole_ms,
)

pytestmark = pytest.mark.stack

DAY = "2031-02-03"
PARTITION = "ods.finnhub_trades_p20310203"
DROP = "SELECT ods.drop_archived_partition('finnhub_trades', %s)"
ROLES = ("feed", "cdc", "reconcile")


@pytest.fixture(scope="module")
def stack(idle_stack: LocalStack) -> LocalStack:
    idle_stack.up(services=("postgres",))
    return idle_stack


@pytest.fixture
def day_of_five(stack: LocalStack) -> Iterator[None]:
    """A day with five trades, of which nothing is left afterwards."""
    with as_role(stack, "feed") as feed:
        feed.execute("SELECT ods.ensure_partitions(%s, %s)", [DAY, DAY])
        insert_trades(feed, new_id(), range(1, 6), datetime(2031, 2, 3, 12, tzinfo=UTC))
    yield
    with as_superuser(stack) as superuser:
        superuser.execute(f"DROP TABLE IF EXISTS {PARTITION}".encode())
        superuser.execute("DELETE FROM ods.archive_proofs WHERE day = %s", [DAY])


def prove(stack: LocalStack, row_count: int) -> None:
    with as_role(stack, "reconcile") as reconcile:
        reconcile.execute(
            "INSERT INTO ods.archive_proofs VALUES ('finnhub_trades', %s, %s, 0, now()) "
            "ON CONFLICT (relation, day) DO UPDATE SET row_count = excluded.row_count",
            [DAY, row_count],
        )
        reconcile.commit()


def rows_of_the_day(stack: LocalStack) -> int | None:
    """None: the partition is gone."""
    with as_superuser(stack) as superuser:
        if superuser.execute("SELECT to_regclass(%s)", [PARTITION]).fetchone() == (None,):
            return None
        row = superuser.execute(f"SELECT count(*) FROM {PARTITION}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_partitions_hold_utc_days_whatever_the_sessions_time_zone(stack: LocalStack) -> None:
    with as_role(stack, "feed") as feed:
        feed.execute("SET timezone TO 'America/New_York'")
        feed.execute("SELECT ods.ensure_partitions(%s, %s)", [FIRST_DAY, LAST_DAY])
        feed.execute("SELECT ods.ensure_partitions(%s, %s)", [FIRST_DAY, LAST_DAY])
        of, late = new_id(), datetime(2031, 5, 6, 23, 59, 59, 999999, tzinfo=UTC)
        insert_trades(feed, of, [1], late)
        insert_trades(feed, of, [2], datetime(2031, 5, 7, tzinfo=UTC))
        found = feed.execute(
            "SELECT tableoid::regclass::text FROM ods.finnhub_trades WHERE connection_id = %s ORDER BY message_seq", [of]
        ).fetchall()
    assert found == [("ods.finnhub_trades_p20310506",), ("ods.finnhub_trades_p20310507",)]


def test_partitions_are_made_for_a_sensible_range_only(stack: LocalStack) -> None:
    for first, last in (("2031-05-07", "2031-05-06"), ("2031-05-07", "2041-05-06"), (None, "2031-05-06")):
        with as_role(stack, "feed") as feed, pytest.raises(psycopg.errors.RaiseException, match="not a range"):
            feed.execute("SELECT ods.ensure_partitions(%s, %s)", [first, last])


def test_a_trade_that_comes_twice_is_stored_once(stack: LocalStack) -> None:
    with as_role(stack, "feed") as feed:
        feed.execute("SELECT ods.ensure_partitions(%s, %s)", [FIRST_DAY, LAST_DAY])
        of = new_id()
        insert_trades(feed, of, [1, 2])
        insert_trades(feed, of, [2, 3])
        found = feed.execute("SELECT count(*) FROM ods.finnhub_trades WHERE connection_id = %s", [of]).fetchone()
    assert found == (3,)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("database", ["lake", "dagster", "postgres", "template1"])
def test_a_role_of_the_market_enters_no_other_database(stack: LocalStack, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"), as_role(stack, role, database):
        pass


@pytest.mark.parametrize("role", ["lake", "dagster"])
def test_other_roles_do_not_enter_the_market(stack: LocalStack, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"), as_role(stack, role):
        pass


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("feed", f"DROP TABLE {PARTITION}"),
        ("feed", "DELETE FROM ods.finnhub_trades"),
        ("feed", "UPDATE ods.finnhub_trades SET price_usd = 0"),
        ("feed", "TRUNCATE ods.finnhub_trades"),
        ("feed", "SELECT ods.drop_archived_partition('finnhub_trades', DATE '2031-02-03')"),
        ("feed", "INSERT INTO ods.archive_proofs VALUES ('finnhub_trades', '2031-02-03', 5, 0, now())"),
        ("feed", "CREATE TABLE ods.mine (id int)"),
        ("feed", "SET ROLE ods_owner"),
        ("cdc", "INSERT INTO ods.finnhub_trades SELECT * FROM ods.finnhub_trades"),
        ("cdc", "DELETE FROM ods.cdc_heartbeat"),
        ("cdc", "SELECT * FROM ods.archive_proofs"),
        ("cdc", "SELECT ods.ensure_partitions(DATE '2031-02-03', DATE '2031-02-03')"),
        ("reconcile", f"DROP TABLE {PARTITION}"),
        ("reconcile", "DELETE FROM ods.finnhub_trades"),
        ("reconcile", "DELETE FROM ods.archive_proofs"),
        ("reconcile", "SELECT ods.ensure_partitions(DATE '2031-02-03', DATE '2031-02-03')"),
    ],
)
def test_a_role_may_do_its_own_work_only(stack: LocalStack, day_of_five: None, role: str, statement: str) -> None:
    with (
        as_role(stack, role) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidTableDefinition)),
    ):
        connection.execute(statement.encode())
    assert rows_of_the_day(stack) == 5


def test_reconcile_holds_off_writers_and_marks_the_log(stack: LocalStack) -> None:
    with as_role(stack, "reconcile") as reconcile:
        reconcile.execute("LOCK TABLE ods.finnhub_trades, ods.finnhub_quotes IN SHARE MODE")
        reconcile.execute("INSERT INTO ods.cdc_heartbeat VALUES (2, now()) ON CONFLICT (id) DO UPDATE SET ts = excluded.ts")
        reconcile.rollback()


def test_a_day_that_nothing_proves_is_not_dropped(stack: LocalStack, day_of_five: None) -> None:
    with as_role(stack, "reconcile") as reconcile, pytest.raises(psycopg.errors.RaiseException, match="nothing proves"):
        reconcile.execute(DROP, [DAY])
    assert rows_of_the_day(stack) == 5


def test_a_day_with_a_row_that_came_after_its_proof_is_not_dropped(stack: LocalStack, day_of_five: None) -> None:
    prove(stack, 4)
    with as_role(stack, "reconcile") as reconcile, pytest.raises(psycopg.errors.RaiseException, match="has 5 rows"):
        reconcile.execute(DROP, [DAY])
    assert rows_of_the_day(stack) == 5


def test_a_proven_day_is_dropped_and_no_other(stack: LocalStack, day_of_five: None) -> None:
    prove(stack, 5)
    with as_role(stack, "feed") as feed:
        feed.execute("SELECT ods.ensure_partitions('2031-02-04', '2031-02-04')")
        feed.commit()
    with as_role(stack, "reconcile") as reconcile:
        reconcile.execute(DROP, [DAY])
        reconcile.commit()
    assert rows_of_the_day(stack) is None
    with as_superuser(stack) as superuser:
        assert superuser.execute("SELECT to_regclass('ods.finnhub_trades_p20310204')").fetchone() != (None,)


@pytest.mark.parametrize("relation", ["archive_proofs", "finnhub_trades; DROP TABLE ods.feed_gaps", None])
def test_only_the_tables_of_the_stream_lose_days(stack: LocalStack, relation: str | None) -> None:
    with as_role(stack, "reconcile") as reconcile, pytest.raises(psycopg.errors.RaiseException, match="no partitions"):
        reconcile.execute("SELECT ods.drop_archived_partition(%s, %s)", [relation, DAY])


@pytest.mark.parametrize(("relation", "time"), [("finnhub_trades", "trade_ts"), ("finnhub_quotes", "quote_ts")])
def test_a_time_finer_than_a_millisecond_is_refused_and_older_rows_stay_until_they_are_changed(
    stack: LocalStack, relation: str, time: str
) -> None:
    trade = "(%s, %s, 1, 0, 'AAPL', 1, 1, %s, NULL)"
    quote = "(%s, %s, 1, 'AAPL', 1, NULL, NULL, 1, 1, 1, 1, %s)"
    insert = f"INSERT INTO ods.{relation} VALUES {trade if relation == 'finnhub_trades' else quote}".encode()
    old, fine = new_id(), FIRST_TS.replace(microsecond=123_456)
    with as_superuser(stack) as superuser:
        superuser.execute("SELECT ods.ensure_partitions(%s, %s)", [FIRST_DAY, LAST_DAY])
        # As an installation of before has it.
        superuser.execute(f"ALTER TABLE ods.{relation} DROP CONSTRAINT time_is_whole_ms".encode())
        superuser.execute(insert, [FIRST_TS, old, fine])
    provision(stack.layout, stack.settings().ports["postgres"])
    with as_role(stack, "feed") as feed:
        feed.execute(insert, [FIRST_TS, new_id(), whole_ms(fine)])
        with pytest.raises(psycopg.errors.CheckViolation, match="time_is_whole_ms"):
            feed.execute(insert, [FIRST_TS, new_id(), fine])
    name = "connection_id" if relation == "finnhub_trades" else "poller_id"
    with as_superuser(stack) as superuser:
        kept = superuser.execute(f"SELECT {time} FROM ods.{relation} WHERE {name} = %s".encode(), [old]).fetchall()
        assert kept == [(fine,)]
        superuser.execute(f"DELETE FROM ods.{relation} WHERE {name} = %s".encode(), [old])


def test_a_cluster_is_provisioned_again_without_harm(stack: LocalStack, day_of_five: None) -> None:
    provision(stack.layout, stack.settings().ports["postgres"])
    assert rows_of_the_day(stack) == 5


moments = st.datetimes(datetime(1900, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
told = st.fixed_dictionaries(
    {
        "connection_id": st.sampled_from(["c", "", "c" * 64, "c" * 65, "\u00e9"]),
        "symbol": st.sampled_from(["AAPL", "IC MARKETS:1", "", "A" * 64, "A" * 65, "\u00c4", "a\nb", "\x7f", "~ \"'\\\\"]),
        "price_usd": st.floats() | st.sampled_from([5e13, 1e13, -1e13, 9.9e12, 0.0]),
        "volume_shares": st.floats(-1e13, 1e13),
        "trade_ts": moments | moments.map(whole_ms),
        "conditions": st.sampled_from(
            [
                None,
                [],
                ["1", "12"],
                ["1"] * 32,
                ["1"] * 33,
                ["x" * 255],
                ["x" * 256],
                ["\n"],
                ["", ""],
                ["\u00e9"],
                ["x" * 5] * 42,
            ]
        ),
    }
)


def test_postgres_takes_what_the_contract_takes(stack: LocalStack) -> None:
    with as_role(stack, "feed") as feed:
        feed.execute("SELECT ods.ensure_partitions(%s, %s)", [FIRST_DAY, LAST_DAY])

        @settings(max_examples=300)
        @given(told)
        def judge(trade: dict[str, Any]) -> None:
            try:
                with feed.transaction(force_rollback=True):
                    feed.execute(
                        "INSERT INTO ods.finnhub_trades VALUES (%(received_ts)s, %(connection_id)s, 1, 0, %(symbol)s, "
                        "%(price_usd)s, %(volume_shares)s, %(trade_ts)s, %(conditions)s)",
                        trade | {"received_ts": FIRST_TS},
                    )
                is_taken = True
            except psycopg.errors.CheckViolation:
                is_taken = False
            assert is_taken == (objection_to_trade(**trade | {"conditions": trade["conditions"] or []}) is None)

        judge()


@pytest.mark.parametrize("conditions", ["{{a,b},{c,d}}", "[5:6]={a,b}", "{a,NULL}"])
def test_an_array_that_change_capture_would_stumble_over_is_refused(stack: LocalStack, conditions: str) -> None:
    with as_role(stack, "feed") as feed:
        feed.execute("SELECT ods.ensure_partitions(%s, %s)", [FIRST_DAY, LAST_DAY])
        with pytest.raises(psycopg.errors.CheckViolation, match="conditions_are_few"):
            feed.execute(
                "INSERT INTO ods.finnhub_trades VALUES (%s, 'c', 1, 0, 'AAPL', 1, 1, now(), %s::text[])", [FIRST_TS, conditions]
            )


@pytest.mark.parametrize("role", ROLES)
def test_nobody_but_the_superuser_writes_a_message_into_the_log(stack: LocalStack, role: str) -> None:
    with as_role(stack, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT pg_logical_emit_message(false, 'x', 'y')")
