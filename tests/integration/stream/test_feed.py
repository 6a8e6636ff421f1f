"""The feed on a real Postgres and a real websocket: everything kept, every gap told, whatever goes down."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deploy.local.postgres import connect
from deploy.local.stack import LocalStack
from finlake_services.trade_feed.ods_writer import OdsAccess, OdsWriter
from finlake_services.trade_feed.rows import TradeRow
from finlake_settings.checkout import CHECKOUT
from spark.contracts.stream_rows import VENDOR_COMPLAINS
from tests.integration.stream.cuttable_proxy import CuttableProxy, cuttable
from tests.integration.stream.feed_process import Feed, Vendor, feeding, fetch, wait_until

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytestmark = pytest.mark.stack
pytest_plugins = ["tests.plugins.sample_server"]

DATABASE = "market_feed_test"
CAPTURES = [
    CHECKOUT / "tests" / "data" / "finnhub" / "made_up_session.jsonl",
    *(Path(name) for name in os.environ.get("FINNHUB_CAPTURES", "").split(":") if name),
]

StartFeed = Callable[..., AbstractContextManager[Feed]]


@pytest.fixture(scope="module")
def postgres(idle_stack: LocalStack) -> LocalStack:
    idle_stack.up(services=("postgres",))
    return idle_stack


@pytest.fixture
def ods(postgres: LocalStack) -> Iterator[psycopg.Connection]:
    """An empty database with schema ods, of the stack's own DDL; the stack's own feed may go on in its own."""
    port = postgres.settings().ports["postgres"]
    ddl = (CHECKOUT / "deploy" / "postgres" / "market.sql").read_text().replace("DATABASE market ", f"DATABASE {DATABASE} ")
    with connect(postgres.layout, port) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
        try:
            with connect(postgres.layout, port, database=DATABASE) as database:
                database.execute(ddl.encode())
                yield database
        finally:
            server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def proxy(postgres: LocalStack) -> Iterator[CuttableProxy]:
    with cuttable(postgres.settings().ports["postgres"]) as proxy:
        yield proxy


@pytest.fixture
def vendor(sample_server: "SampleServer") -> Iterator[Vendor]:
    """Finnhub that sends nothing until it is told to."""
    vendor = Vendor(sample_server.url)
    vendor.order(reset=True, is_paused=True)
    yield vendor
    vendor.order(reset=True)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "finnhub.token"
    file.write_text("a-token-of-the-tests")
    return file


@pytest.fixture
def ods_access(postgres: LocalStack, proxy: CuttableProxy) -> OdsAccess:
    return OdsAccess(f"postgresql://127.0.0.1:{proxy.port}/{DATABASE}", "feed", postgres.layout.password_file("feed"))


@pytest.fixture
def start_feed(
    postgres: LocalStack,
    ods: psycopg.Connection,
    proxy: CuttableProxy,
    vendor: Vendor,
    token_file: Path,
    tmp_path: Path,
) -> StartFeed:
    """Starts feeds that write through the proxy; without quotes and look-ups if not told otherwise."""
    environment: Mapping[str, str] = postgres.environment() | {
        "FINLAKE_FINNHUB_URL": f"{vendor.url}/finnhub/api/v1",
        "FINLAKE_FINNHUB_TOKEN_FILE": str(token_file),
        "FINLAKE_FINNHUB_WS_URL": f"{vendor.url}/finnhub/ws".replace("http", "ws", 1),
        "FINLAKE_MARKET_URI": f"postgresql://127.0.0.1:{proxy.port}/{DATABASE}",
    }

    def start(*arguments: str, quotes: bool = False, symbols: str = "BINANCE:BTCUSDT") -> AbstractContextManager[Feed]:
        told = {**environment, "FINLAKE_FINNHUB_SYMBOLS": symbols}
        return feeding(told, tmp_path, [*arguments, *(() if quotes else ("--no-look-up", "--quote-interval-s", "0"))])

    return start


def trades(ods: psycopg.Connection) -> int:
    return int(fetch(ods, "SELECT count(*) FROM ods.finnhub_trades")[0][0])


def gaps(ods: psycopg.Connection) -> list[dict[str, Any]]:
    names = ("connection_id", "start", "end", "reason", "symbols")
    rows = fetch(ods, "SELECT connection_id, gap_start_ts, gap_end_ts, reason, symbols FROM ods.feed_gaps ORDER BY gap_end_ts")
    return [dict(zip(names, row, strict=True)) for row in rows]


def times(ods: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Connection, first and last receipt of each connection, in time."""
    return fetch(
        ods,
        """
        SELECT connection_id, min(received_ts), max(received_ts) FROM ods.finnhub_trades GROUP BY 1 ORDER BY 2""",
    )


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_a_captured_session_is_stored_trade_by_trade_in_its_own_order(
    capture: Path,
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    lines = [line for line in capture.read_text().splitlines() if line.strip()]
    messages = [json.loads(line) for line in lines]
    expected = [
        (trade["s"], trade["p"], trade["v"], trade["t"], trade["c"], index)
        for message in messages
        for index, trade in enumerate(message.get("data") or [])
    ]
    with start_feed() as feed:
        vendor.wait_for_subscriber()
        vendor.order(messages=lines)
        wait_until(lambda: trades(ods) >= len(expected), "every trade in Postgres")
        assert feed.stop() == 0
    stored = fetch(
        ods,
        """
        SELECT symbol, price_usd, volume_shares, (extract(epoch FROM trade_ts) * 1000)::bigint, conditions, trade_index
        FROM ods.finnhub_trades ORDER BY message_seq, trade_index""",
    )
    assert stored == expected
    # Receipt, connection and message numbers: one time per message, one connection, every message counted from 1.
    received = fetch(
        ods,
        """
        SELECT message_seq, count(DISTINCT received_ts), count(DISTINCT connection_id) FROM ods.finnhub_trades
        GROUP BY 1 ORDER BY 1""",
    )
    assert received == [(seq, 1, 1) for seq, message in enumerate(messages, start=1) if message.get("data")]
    # Nothing is refused; what the vendor complains of is kept in its own words.
    complaints = [message["msg"] for message in messages if message["type"] == "error"]
    refused = fetch(ods, "SELECT reason FROM ods.rejected_messages ORDER BY message_seq")
    assert [reason for (reason,) in refused] == [f"{VENDOR_COMPLAINS}{words}" for words in complaints]


def test_odd_and_oversized_messages_are_kept_as_text_and_what_is_sound_flows(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    sound = {"c": ["1"], "p": 164.06, "s": "AAPL", "t": 1700001000480, "v": 4}
    bloated = sound | {"c": ["x" * 1_000] * 1_300}
    with start_feed() as feed:
        vendor.wait_for_subscriber()
        vendor.order(
            messages=[
                json.dumps({"type": "trade", "data": data})
                for data in ([sound, bloated, sound], [sound | {"p": 5e13}, sound | {"t": 1700001000480.0}])
            ]
        )
        wait_until(lambda: trades(ods) == 3, "the sound trades in Postgres")
        # Too large to be read at all: the connection ends, and the next one goes on.
        vendor.order(messages=["x" * 5_000_000])
        wait_until(lambda: feed.metric("disconnects_total") == 1, "the end of the connection")
        vendor.wait_for_subscriber()
        vendor.order(messages=[json.dumps({"type": "trade", "data": [sound]})])
        wait_until(lambda: trades(ods) == 4, "a trade of the next connection")
        assert feed.stop() == 0
    first, second, third = fetch(ods, "SELECT reason, raw_text FROM ods.rejected_messages ORDER BY received_ts")
    assert first[0] == "trade 1: 1300 condition codes, more than 32"
    assert first[1].startswith("[of a message of 13")
    assert "trade 1: {" in first[1]
    assert first[1].endswith(" bytes more were cut]")
    assert json.loads(second[1])["data"][0]["p"] == 5e13
    assert third[0].startswith("larger than 4194304 bytes")


def test_a_trade_that_only_postgres_refuses_costs_none_of_its_neighbours(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    ods.execute("ALTER TABLE ods.finnhub_trades ADD CONSTRAINT none_at_13 CHECK (price_usd <> 13)")
    sound = {"c": None, "s": "AAPL", "t": 1700001000480, "v": 4}
    with start_feed() as feed:
        vendor.wait_for_subscriber()
        vendor.order(messages=[json.dumps({"type": "trade", "data": [sound | {"p": price} for price in range(1, 30)]})])
        wait_until(lambda: trades(ods) == 28, "the other trades in Postgres")
        assert feed.stop() == 0
    ((reason, text),) = fetch(ods, "SELECT reason, raw_text FROM ods.rejected_messages")
    assert reason.startswith("trade 12: ")
    assert "none_at_13" in reason
    assert json.loads(text)["price_usd"] == 13


def test_all_that_was_received_is_written_when_the_feed_is_asked_to_stop(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    with start_feed() as feed:
        vendor.wait_for_subscriber()
        vendor.order(burst={"trades": 20_000, "per_second": 40_000})
        wait_until(lambda: feed.metric("trades_received_total") >= 10_000, "half of the trades")
        assert feed.stop() == 0
        assert feed.said("trade feed stopped")
    # What the server could send before the connection was closed, and not one more or less than the feed has read.
    ((connection_id, first, last),) = times(ods)
    assert first < last
    highest, rows = fetch(ods, "SELECT max(message_seq), count(*) FROM ods.finnhub_trades")[0]
    assert 10_000 <= rows <= vendor.sent()
    assert fetch(ods, "SELECT count(DISTINCT message_seq) FROM ods.finnhub_trades") == [(highest,)]


def test_a_killed_feed_loses_nothing_silently_and_the_next_one_tells_the_gap(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    with start_feed() as feed:
        vendor.wait_for_subscriber()
        vendor.order(burst={"trades": 100_000, "per_second": 10_000})
        wait_until(lambda: trades(ods) > 2_000, "some trades")
        feed.kill()
    wait_until(lambda: not vendor.connections()[-1]["is_open"], "the vendor to notice")
    newest = fetch(ods, "SELECT max(received_ts) FROM ods.finnhub_trades")[0][0]
    with start_feed() as feed:
        wait_until(lambda: any(each["is_open"] and each["symbols"] for each in vendor.connections()), "a subscription")
        vendor.order(burst={"trades": 500, "per_second": 10_000})
        wait_until(lambda: feed.metric("rows_written_total") >= 501, "the trades of the second feed and its gap")
        assert feed.stop() == 0
    first, second = times(ods)
    assert fetch(ods, "SELECT count(*) FROM ods.finnhub_trades WHERE connection_id = %s", second[0]) == [(500,)]
    start, restart = gaps(ods)
    assert (start["connection_id"], start["start"], start["reason"]) == (first[0], None, "process_start")
    assert (restart["connection_id"], restart["reason"]) == (second[0], "process_start")
    assert restart["start"] == newest == first[2]
    assert restart["end"] == second[1]
    # What the first feed did not store was sent after the gap began.
    assert fetch(
        ods,
        """
        SELECT count(*) FROM generate_series(1, (SELECT max(message_seq) FROM ods.finnhub_trades WHERE connection_id = %s)) AS seq
        WHERE NOT EXISTS (SELECT FROM ods.finnhub_trades WHERE connection_id = %s AND message_seq = seq)""",
        first[0],
        first[0],
    ) == [(0,)]


def receive_a_hundred(vendor: Vendor, ods: psycopg.Connection, connection: int) -> None:
    """A hundred trades through the vendor's newest connection, each of those before it having had as many."""
    wait_until(lambda: len(vendor.connections()) == connection, "a new connection")
    vendor.wait_for_subscriber(6)
    vendor.order(burst={"trades": 100, "per_second": 10_000})
    wait_until(lambda: trades(ods) == 100 * connection, "the trades of this connection")


def test_a_dropped_and_a_silent_connection_are_replaced_and_each_leaves_its_gap(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    vendor.order(ping_interval_s=0.2)
    with start_feed("--silence-limit-s", "1") as feed:
        receive_a_hundred(vendor, ods, connection=1)
        vendor.order(drop=1001)
        receive_a_hundred(vendor, ods, connection=2)
        vendor.order(is_silent=True)
        wait_until(lambda: feed.metric("disconnects_total") == 2, "the watchdog")
        vendor.order(is_silent=False)
        receive_a_hundred(vendor, ods, connection=3)
        assert feed.metric("connected") == 1
        assert feed.stop() == 0
    found, connections = gaps(ods), times(ods)
    assert [gap["reason"] for gap in found] == ["process_start", "closed", "silence"]
    assert [gap["connection_id"] for gap in found] == [connection for connection, _, _ in connections]
    assert found[1]["symbols"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT", "BINANCE:BTCUSDT"]
    for gap, (_, _, last_before), (_, first_after, _) in zip(found[1:], connections, connections[1:], strict=False):
        # Pings are signs of life too: a gap may be narrower than what lies between trades.
        assert last_before <= gap["start"] < gap["end"] <= first_after


def test_what_cannot_be_stored_is_told_with_its_text_and_the_rest_is_kept(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    future_ms = 4_000_000_000_000

    def trade(price: str, time_ms: int) -> str:
        return f'{{"c":["1"],"p":{price},"s":"AAPL","t":{time_ms},"v":100}}'

    texts = [
        "{broken",
        f'{{"type":"trade","data":[{trade("1.5", 5)},{{"s":"AAPL"}},{trade("NaN", 5)}]}}',
        '{"type":"gossip","data":"nul \\u0000 and \\ud800"}',
        "<html>" + "x" * 10_000,
        f'{{"type":"trade","data":[{trade("-1", 6)},{trade("2.5", future_ms)}]}}',
    ]
    with start_feed() as feed:
        vendor.wait_for_subscriber()
        vendor.order(messages=texts)
        wait_until(lambda: trades(ods) == 3, "three trades")
        assert feed.metric("trades_rejected_total") == 2
        assert feed.metric("messages_rejected_total") == 4
        assert feed.stop() == 0
    assert fetch(ods, "SELECT message_seq, trade_index, price_usd FROM ods.finnhub_trades ORDER BY 1, 2") == [
        (2, 0, 1.5),
        (5, 0, -1.0),
        (5, 1, 2.5),
    ]
    rejected = fetch(ods, "SELECT message_seq, reason, raw_text FROM ods.rejected_messages ORDER BY 1")
    assert [seq for seq, _, _ in rejected] == [1, 2, 3, 4]
    assert "missing required field `p`" in rejected[1][1]
    assert "trade 2: the number nan" in rejected[1][1]
    assert rejected[0][2] == texts[0]
    assert rejected[2][2] == texts[2]
    assert 3_990 < len(rejected[3][2]) <= 4_000


def test_a_refused_token_is_tried_again_slowly_from_its_file_and_never_told(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
    token_file: Path,
    sample_server: "SampleServer",
) -> None:
    refusing = ("search", "AAPL", "FB", "GOOG", "IBM", "MSFT", "BINANCE:BTCUSDT")
    sample_server.set_faults("finnhub", dict.fromkeys(refusing, "invalid_key"))
    sample_server.set_faults("finnhub", {"ws": {"kind": "invalid_key", "times": 2}})
    with start_feed("--refused-wait-s", "0.5", quotes=True) as feed:
        wait_until(lambda: feed.said("finnhub refuses the token"), "the refusal")
        vendor.wait_for_subscriber()
        vendor.order(burst={"trades": 5, "per_second": 100})
        wait_until(lambda: trades(ods) == 5, "trades")
        refusals = [each for each in feed.events() if each["event"] == "finnhub refuses the token"]
        assert feed.metric("connect_failures_total") == len(refusals) == 2
        assert str(token_file) in refusals[0]["reason"]
        assert feed.stop() == 0
        assert "a-token-of-the-tests" not in feed.log.read_text()
    assert fetch(ods, "SELECT count(*) FROM ods.finnhub_quotes") == [(0,)]


def test_while_postgres_is_away_rows_wait_and_then_reading_stops_and_nothing_is_lost(
    ods: psycopg.Connection,
    vendor: Vendor,
    proxy: CuttableProxy,
    start_feed: StartFeed,
) -> None:
    with start_feed("--buffer-rows", "3000", "--batch-rows", "200") as feed:
        vendor.wait_for_subscriber()
        vendor.order(burst={"trades": 1000, "per_second": 10_000})
        wait_until(lambda: trades(ods) == 1000, "the first trades")
        proxy.cut()
        vendor.order(burst={"trades": 30_000, "per_second": 50_000})
        wait_until(lambda: vendor.sent() > 20_000, "the vendor to go on")
        wait_until(lambda: feed.metric("postgres_errors_total") > 1, "attempts")
        # What the buffer cannot take stays in the socket, but for the one message that waits to get in.
        assert 2_000 < feed.metric("buffered_rows") <= 3_000
        assert feed.metric("trades_received_total") <= 1_000 + 3_000 + 500
        # A vendor who has no patience with a reader that does not read.
        vendor.wait_until_sent()
        vendor.order(drop=1008)
        proxy.mend()
        wait_until(lambda: trades(ods) == 31_000, "every trade")
        assert vendor.sent() == 31_000
        assert len(gaps(ods)) == 1
        wait_until(lambda: len(vendor.connections()) == 2, "a new connection")
        vendor.wait_for_subscriber()
        vendor.order(messages=['{"type":"ping"}'])
        wait_until(lambda: len(gaps(ods)) == 2, "the gap")
        assert feed.stop() == 0
    assert gaps(ods)[1]["reason"] == "closed"
    assert gaps(ods)[1]["start"] == times(ods)[0][2]
    # One connection, and no message of it is missing.
    assert fetch(
        ods,
        """
        SELECT count(DISTINCT connection_id), max(message_seq) - count(DISTINCT message_seq) FROM ods.finnhub_trades""",
    ) == [(1, 0)]


def test_a_feed_that_is_stopped_while_postgres_is_away_says_what_it_could_not_write(
    ods: psycopg.Connection,
    vendor: Vendor,
    proxy: CuttableProxy,
    start_feed: StartFeed,
) -> None:
    with start_feed("--drain-limit-s", "1") as feed:
        vendor.wait_for_subscriber()
        vendor.order(burst={"trades": 10, "per_second": 1000})
        wait_until(lambda: trades(ods) == 10 and feed.metric("buffered_rows") == 0, "trades")
        proxy.cut()
        vendor.order(burst={"trades": 10, "per_second": 1000})
        wait_until(lambda: feed.metric("buffered_rows") == 10, "rows that wait")
        assert feed.stop() == 1
        assert "10 rows were received and not written" in feed.events()[-1]["reason"]


def test_quotes_are_stored_and_unknown_symbols_are_skipped(
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
    sample_server: "SampleServer",
) -> None:
    sample_server.set_faults("finnhub", {"IBM": "unknown_symbol", "MSFT": "unknown_page"})
    with start_feed("--quote-interval-s", "0.1", quotes=True, symbols="NOSUCH") as feed:
        wait_until(lambda: fetch(ods, "SELECT max(poll_seq) >= 6 FROM ods.finnhub_quotes") == [(True,)], "two rounds")
        assert feed.said("failed - symbol not found")
        assert feed.stop() == 0
        unknown = [each["symbol"] for each in feed.events() if each["event"] == "finnhub knows no quote of this symbol"]
        assert unknown == ["IBM"]
    assert vendor.connections()[-1]["symbols"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert fetch(ods, "SELECT DISTINCT symbol FROM ods.finnhub_quotes ORDER BY 1") == [("AAPL",), ("FB",), ("GOOG",)]
    assert fetch(ods, "SELECT count(DISTINCT poller_id), bool_and(price_usd > 0) FROM ods.finnhub_quotes") == [(1, True)]
    assert fetch(ods, "SELECT count(*) = max(poll_seq) FROM ods.finnhub_quotes") == [(True,)]


def test_every_row_of_a_batch_has_a_log_position_of_its_own(
    postgres: LocalStack,
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    # Change data capture that restarts within a batch goes on from a log position: rows that share one would be lost.
    slot = "feed_test"
    with start_feed() as feed:
        vendor.wait_for_subscriber()
        fetch(ods, "SELECT pg_create_logical_replication_slot(%s, 'test_decoding', true)", slot)
        vendor.order(burst={"trades": 3_000, "per_second": 100_000})
        wait_until(lambda: trades(ods) == 3_000, "trades")
        assert feed.stop() == 0
    changes = fetch(
        ods,
        """
        SELECT count(*), count(DISTINCT lsn), count(DISTINCT xid::text) FROM pg_logical_slot_peek_changes(%s, NULL, NULL)
        WHERE data LIKE 'table ods.finnhub_trades%%INSERT%%'""",
        slot,
    )[0]
    assert changes[:2] == (3_000, 3_000)
    assert changes[2] < 300, "rows are written in batches"
    fetch(ods, "SELECT pg_drop_replication_slot(%s)", slot)


def written(access: OdsAccess, *batches: list[TradeRow]) -> None:
    """Put batches into a writer of its own and wait until they are committed."""

    async def write() -> None:
        writer = OdsWriter(access, batch_rows=10)
        writing = asyncio.create_task(writer.run())
        for batch in batches:
            await writer.put(batch)
        writer.close()
        await writing

    asyncio.run(asyncio.wait_for(write(), 20))


def made_up_rows(first_us: int, rows: int, step_us: int = 1) -> list[TradeRow]:
    return [TradeRow(first_us + step_us * n, "c", 1 + n, 0, "AAPL", 0.1 + n, 1 / 3, n, ["1"]) for n in range(rows)]


def test_rows_that_are_written_again_because_their_commit_was_in_doubt_stay_single(
    ods: psycopg.Connection,
    ods_access: OdsAccess,
) -> None:
    rows = made_up_rows(1_783_008_000_000_000, 25)
    written(ods_access, rows, rows[5:], made_up_rows(1_783_008_000_000_000, 30))
    stored = fetch(ods, "SELECT message_seq, price_usd, volume_shares FROM ods.finnhub_trades ORDER BY 1")
    # Every bit of a number survives the way.
    assert stored == [(1 + n, 0.1 + n, 1 / 3) for n in range(30)]


def test_a_row_after_midnight_finds_its_partition(ods: psycopg.Connection, ods_access: OdsAccess) -> None:
    before_midnight_us, hour_us = 1_783_036_800_000_000 - 1, 3_600_000_000  # 2026-07-02 23:59:59.999999 UTC
    written(ods_access, made_up_rows(before_midnight_us, 60, step_us=hour_us))
    stored = fetch(
        ods,
        """
        SELECT tableoid::regclass::text, count(*), min(received_ts)::text FROM ods.finnhub_trades GROUP BY 1 ORDER BY 1""",
    )
    assert stored == [
        ("ods.finnhub_trades_p20260702", 1, "2026-07-02 23:59:59.999999+00"),
        ("ods.finnhub_trades_p20260703", 24, "2026-07-03 00:59:59.999999+00"),
        ("ods.finnhub_trades_p20260704", 24, "2026-07-04 00:59:59.999999+00"),
        ("ods.finnhub_trades_p20260705", 11, "2026-07-05 00:59:59.999999+00"),
    ]
    # Tomorrow's is there before tomorrow.
    assert fetch(ods, "SELECT to_regclass('ods.finnhub_trades_p20260706') IS NOT NULL") == [(True,)]


def test_a_database_without_the_schema_ends_the_feed_with_what_to_do(
    postgres: LocalStack,
    ods: psycopg.Connection,
    vendor: Vendor,
    start_feed: StartFeed,
) -> None:
    ods.execute("DROP SCHEMA ods CASCADE")
    with start_feed() as feed:
        assert feed.process.wait(timeout=20) == 1
        assert "deploy/postgres/market.sql" in feed.events()[-1]["reason"]
