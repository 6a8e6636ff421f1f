"""The stream looked at for real: Postgres, Kafka and the connector answer every question that does not need ClickHouse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from deploy.local.stack import LocalStack
from finlake_clients.connect.change_capture import CONNECTOR_FILE, ChangeCapture
from finlake_clients.kafka.topics import KafkaTopics, UnknownTopicError
from finlake_clients.postgres.market import Market, VendorComplaints
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_settings.processes import Settings
from spark.contracts.stream_rows import VENDOR_COMPLAINS
from tests.integration.lake.chain import settings_of
from tests.integration.stream.market import as_role, as_superuser, insert_trades, new_id

pytestmark = pytest.mark.stack

# Long after the rows that other tests leave in the same database.
FIRST_TS = datetime(2041, 5, 6, 12, tzinfo=UTC)
DAY = f"{FIRST_TS:%Y-%m-%d}"


@pytest.fixture(scope="module")
def settings(idle_stack: LocalStack) -> Settings:
    """Of a stack in which changes are captured."""
    idle_stack.up(services=("kafka_connect",))
    return settings_of(idle_stack.environment())


@pytest.fixture
def market(settings: Settings) -> Market:
    return Market(uri=settings.market.uri, password_file=str(settings.market.reconcile_password_file))


@pytest.fixture
def trades(idle_stack: LocalStack, settings: Settings) -> Iterator[None]:
    """Three trades of a day to come, which is gone afterwards."""
    with as_role(idle_stack, "feed") as feed:
        feed.execute("SELECT ods.ensure_partitions(%s, %s)", [DAY, DAY])
        connection_id = new_id()
        for number in (1, 2, 3):
            insert_trades(feed, connection_id, [number], FIRST_TS + timedelta(seconds=number))
        feed.execute(
            "INSERT INTO ods.feed_gaps VALUES (%s, %s, %s, 'timeout', %s)",
            [connection_id, FIRST_TS, FIRST_TS + timedelta(seconds=90), ["AAPL"]],
        )
        feed.execute("INSERT INTO ods.feed_gaps VALUES (%s, NULL, %s, 'first connection', %s)", [new_id(), FIRST_TS, ["AAPL"]])
        feed.execute("INSERT INTO ods.rejected_messages VALUES (%s, %s, 1, 'not JSON', 'x')", [FIRST_TS, connection_id])
        feed.commit()
    yield
    with as_superuser(idle_stack) as superuser:
        superuser.execute("DELETE FROM ods.finnhub_trades WHERE connection_id = %s", [connection_id])
        superuser.execute("DELETE FROM ods.feed_gaps WHERE gap_end_ts >= %s", [FIRST_TS])
        superuser.execute("DELETE FROM ods.rejected_messages WHERE received_ts >= %s", [FIRST_TS])
        superuser.commit()


def test_the_slot_is_read_and_all_tables_are_published(market: Market) -> None:
    # A connector says that it runs before it has begun to read the slot.
    wait = Retrying(retry=retry_if_result(lambda slots: not slots[0].is_active), stop=stop_after_delay(60), wait=wait_fixed(0.2))
    (slot,) = wait(market.slots)
    assert slot.wal_status == "reserved"
    assert 0 <= slot.retained_wal_bytes < 1 << 30
    assert slot.safe_wal_bytes is None or slot.safe_wal_bytes > 0
    assert market.published_tables() == {"finnhub_trades", "finnhub_quotes", "cdc_heartbeat"}


def test_the_newest_trade_and_the_oldest_that_waits_are_found(market: Market, trades: None) -> None:
    assert market.newest_received("finnhub_trades") == FIRST_TS + timedelta(seconds=3)
    assert market.first_received_after("finnhub_trades", FIRST_TS + timedelta(seconds=1)) == FIRST_TS + timedelta(seconds=2)
    assert market.first_received_after("finnhub_trades", FIRST_TS + timedelta(seconds=3)) is None
    assert market.first_received_after("finnhub_trades", None) is not None
    assert market.estimated_rows("finnhub_trades") >= 0


def test_a_first_connection_is_no_gap(market: Market, trades: None) -> None:
    gaps = market.feed_gaps(FIRST_TS)
    assert (gaps.count, gaps.total_s) == (1, 90.0)
    assert gaps.newest.endswith("timeout")
    assert market.rejected_messages(FIRST_TS) == 1


def test_the_vendors_complaints_are_no_rejected_messages_and_are_told_in_its_words(
    idle_stack: LocalStack,
    market: Market,
    trades: None,
) -> None:
    assert market.vendor_complaints(FIRST_TS) == VendorComplaints(count=0, newest="")
    with as_role(idle_stack, "feed") as feed:
        for number, words in enumerate(("Please wait 100 %", "Subscribing to too many symbols")):
            feed.execute(
                "INSERT INTO ods.rejected_messages VALUES (%s, %s, 7, %s, 'x')",
                [FIRST_TS + timedelta(seconds=number), new_id(), f"{VENDOR_COMPLAINS}{words}"],
            )
        feed.commit()
    assert market.vendor_complaints(FIRST_TS) == VendorComplaints(count=2, newest="Subscribing to too many symbols")
    assert market.rejected_messages(FIRST_TS) == 1


def test_the_connector_runs_exactly_once_as_its_file_wants_it(settings: Settings) -> None:
    capture = ChangeCapture(
        connect_url=settings.connect.url,
        config_file=str(CONNECTOR_FILE),
        certificate_file=str(settings.connect.certificate_file),
    )
    health = capture.look()
    assert health is not None
    assert (health.state, health.task_states, health.differing_settings, health.objections) == ("RUNNING", ("RUNNING",), (), ())


def test_topics_tell_what_they_hold_and_a_group_that_never_read_lacks_all_of_it(settings: Settings, trades: None) -> None:
    topics = KafkaTopics.of(settings.kafka)
    before = topics.watermarks("finlake.ods.finnhub_trades")[0]
    lag = topics.group_lag("nobody", "finlake.ods.finnhub_trades")
    after = topics.watermarks("finlake.ods.finnhub_trades")[0]
    # Changes go on arriving meanwhile.
    assert before.end - before.first <= lag[0] <= after.end - after.first
    with pytest.raises(UnknownTopicError):
        topics.watermarks("finlake.ods.nothing")


def test_a_database_that_is_away_or_refuses_us_is_named_without_its_password(market: Market, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("hunter2")
    for uri, password_file in (("postgresql://127.0.0.1:1/market", market.password_file), (market.uri, str(wrong))):
        with pytest.raises(ServiceUnavailableError, match="postgres at 127.0.0.1") as failure:
            Market(uri=uri, password_file=password_file).slots()
        assert "hunter2" not in str(failure.value)
