"""What becomes a row, what becomes a dead letter, and what a snapshot that reads everything again changes: nothing."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.clickhouse_sink.blocks import QUOTES, TRADES, Arrived, build
from finlake_services.clickhouse_sink.exactly_once import Partition
from finlake_services.clickhouse_sink.records import LogRecord
from spark.contracts.clickhouse import FILLED_BY_CLICKHOUSE
from spark.contracts.stream_rows import MAX_VALUE_BYTES, NUMBER_LIMIT

PARTITION = Partition(TRADES.topic, 2)
RECEIVED = datetime(2026, 3, 2, 15, 0, 0, 123456, UTC)


def iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def trade(**changed: Any) -> dict[str, Any]:
    return {
        "received_ts": iso(RECEIVED),
        "connection_id": "c-1",
        "message_seq": 7,
        "trade_index": 0,
        "symbol": "AAPL",
        "price_usd": 187.5,
        "volume_shares": 100,
        "trade_ts": "2026-03-02T14:59:59.987Z",
        "conditions": ["1", "12"],
        **changed,
    }


def quote(**changed: Any) -> dict[str, Any]:
    return {
        "received_ts": iso(RECEIVED),
        "poller_id": "p-1",
        "poll_seq": 3,
        "symbol": "AAPL",
        "price_usd": 187.5,
        "change_usd": None,
        "change_pct": -0.5,
        "high_usd": 188.0,
        "low_usd": 186.0,
        "open_usd": 187.0,
        "previous_close_usd": 188.4,
        "quote_ts": "2026-03-02T14:59:59Z",
        **changed,
    }


def envelope(after: dict[str, Any] | None, op: str = "c", **changed: Any) -> bytes:
    source = {"version": "3", "lsn": 900, "ts_us": 1772463600200000, "snapshot": "false", "table": "finnhub_trades"}
    return json.dumps({"before": None, "after": after, "source": source, "op": op, "ts_us": 1772463600250000, **changed}).encode()


def log(*values: bytes | None, first: int = 40) -> list[LogRecord]:
    return [LogRecord(first + at, value, 1772463600300, 1772463600310000) for at, value in enumerate(values)]


def nothing_held(_: Sequence[Arrived]) -> set[tuple[str | int, ...]]:
    return set()


def test_a_trade_arrives_with_every_column_the_contract_has_in_its_order() -> None:
    block = build(TRADES, PARTITION, log(envelope(trade())), nothing_held)
    assert block.rows is not None
    assert block.rows.column_names == [name for name in TRADES.table.column_names if name != FILLED_BY_CLICKHOUSE]
    row = block.rows.to_pylist()[0]
    assert row == {
        "symbol": "AAPL",
        "trade_ts": datetime(2026, 3, 2, 14, 59, 59, 987000, UTC),
        "price_usd": 187.5,
        "volume_shares": 100.0,
        "conditions": ["1", "12"],
        "flaw": "",
        "received_ts": RECEIVED,
        "connection_id": "c-1",
        "message_seq": 7,
        "trade_index": 0,
        "lsn": 900,
        "committed_ts": datetime(2026, 3, 2, 15, 0, 0, 200000, UTC),
        "captured_ts": datetime(2026, 3, 2, 15, 0, 0, 250000, UTC),
        "appended_ts": datetime(2026, 3, 2, 15, 0, 0, 300000, UTC),
        "consumed_ts": datetime(2026, 3, 2, 15, 0, 0, 310000, UTC),
        "kafka_partition": 2,
        "kafka_offset": 40,
    }


def test_a_quote_arrives_with_every_column_and_its_nulls() -> None:
    block = build(QUOTES, Partition(QUOTES.topic, 0), log(envelope(quote())), nothing_held)
    assert block.rows is not None
    assert block.rows.column_names == [name for name in QUOTES.table.column_names if name != FILLED_BY_CLICKHOUSE]
    row = block.rows.to_pylist()[0]
    assert (row["change_usd"], row["change_pct"], row["poll_seq"]) == (None, -0.5, 3)


def test_missing_conditions_are_an_empty_list() -> None:
    block = build(TRADES, PARTITION, log(envelope(trade(conditions=None))), nothing_held)
    assert block.rows is not None
    assert block.rows["conditions"].to_pylist() == [[]]


@pytest.mark.parametrize(
    ("changed", "flaw"),
    [
        ({}, ""),
        ({"price_usd": 0}, "price_not_positive"),
        ({"price_usd": -1, "volume_shares": -1}, "price_not_positive"),
        ({"volume_shares": -1}, "volume_negative"),
        ({"volume_shares": 0}, ""),
        ({"trade_ts": iso(whole_ms(RECEIVED) + timedelta(seconds=60))}, ""),
        ({"trade_ts": iso(whole_ms(RECEIVED) + timedelta(seconds=60, milliseconds=1))}, "future_time"),
        ({"trade_ts": iso(whole_ms(RECEIVED) + timedelta(days=9)), "volume_shares": -1}, "volume_negative"),
        ({"trade_ts": "1970-01-20T16:13:20.000Z"}, "past_time"),
        ({"trade_ts": "2000-01-01T00:00:00.000Z"}, ""),
    ],
)
def test_an_impossible_trade_is_kept_with_its_first_flaw(changed: dict[str, Any], flaw: str) -> None:
    block = build(TRADES, PARTITION, log(envelope(trade(**changed))), nothing_held)
    assert block.rows is not None
    assert block.rows["flaw"].to_pylist() == [flaw]


POISON = {
    "not JSON": (b"{", "not_json"),
    "not UTF-8": (b'{"op": "\xff"}', "not_json"),
    "JSON of another kind": (b"[]", "wrong_shape"),
    "a column is missing": (envelope({"symbol": "AAPL"}), "wrong_shape"),
    "a text for a number": (envelope(trade(price_usd="187.5")), "wrong_shape"),
    "a number that is none": (envelope(trade(price_usd=float("nan"))), "not_json"),
    "a number beyond a double": (envelope(trade()).replace(b"187.5", b"1e999"), "wrong_shape"),
    "a number beyond 64 bits": (envelope(trade(message_seq=2**63)), "wrong_shape"),
    "an index beyond 32 bits": (envelope(trade(trade_index=2**31)), "wrong_shape"),
    "a price no exact sum holds": (envelope(trade(price_usd=NUMBER_LIMIT)), "number_too_large"),
    "a time without a zone": (envelope(trade(trade_ts="2026-03-02T14:59:59.987")), "wrong_shape"),
    "a time that is none": (envelope(trade(trade_ts="yesterday")), "wrong_shape"),
    "a time ClickHouse cannot hold": (envelope(trade(trade_ts="1899-12-31T23:59:59Z")), "time_out_of_range"),
    "a time finer than ClickHouse keeps": (envelope(trade(trade_ts="2026-03-02T14:59:59.9871Z")), "time_too_fine"),
    "a time of before the epoch": (envelope(trade(trade_ts="1969-12-31T23:59:59Z")), "time_out_of_range"),
    "too many condition codes": (envelope(trade(conditions=["1"] * 33)), "too_many_conditions"),
    "condition codes too long": (envelope(trade(conditions=["1" * 256])), "conditions_out_of_bounds"),
    "a symbol that is too long": (envelope(trade(symbol="A" * 65)), "name_out_of_bounds"),
    "a change of unknown kind": (envelope(trade(), op="x"), "unknown_op"),
    "a new row without the row": (envelope(None), "no_row"),
    "no source": (json.dumps({"op": "c", "after": trade(), "ts_us": 1}).encode(), "wrong_shape"),
    "too large": (envelope(trade(symbol="A" * MAX_VALUE_BYTES)), "too_large"),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_goes_to_the_dead_letters_whole_and_its_neighbours_go_on(name: str) -> None:
    value, reason = POISON[name]
    block = build(TRADES, PARTITION, log(envelope(trade()), value, envelope(trade(trade_index=1))), nothing_held)
    assert block.rows is not None
    assert block.rows["kafka_offset"].to_pylist() == [40, 42]
    (letter,) = block.dead_letters
    assert (letter.reason, letter.offset, letter.value, letter.partition) == (reason, 41, value, PARTITION)
    assert letter.detail


def test_a_block_of_poison_alone_has_no_rows() -> None:
    block = build(TRADES, PARTITION, log(b"", b"null"), nothing_held)
    assert block.rows is None
    assert len(block.dead_letters) == 2


def test_deletes_updates_and_tombstones_are_counted_and_not_applied() -> None:
    block = build(
        TRADES,
        PARTITION,
        log(envelope(None, op="d"), envelope(trade(), op="u"), None, envelope(trade())),
        nothing_held,
    )
    assert block.not_applied == 3
    assert block.dead_letters == ()
    assert block.rows is not None
    assert block.rows["kafka_offset"].to_pylist() == [43]


def test_rows_read_again_are_left_out_when_they_came_before() -> None:
    asked: list[list[int]] = []

    def held(rows: Sequence[Arrived]) -> set[tuple[str | int, ...]]:
        asked.append([each.offset for each in rows])
        return {("c-1", 1, 0)}

    values = [
        envelope(trade(message_seq=1), op="r"),  # held from an earlier block
        envelope(trade(message_seq=2)),
        envelope(trade(message_seq=2), op="r"),  # came in this block
        envelope(trade(message_seq=3), op="r"),  # new: its first coming was lost with the slot
        envelope(trade(message_seq=3), op="r"),
        envelope(trade(message_seq=1)),  # created rows are never questioned
    ]
    block = build(TRADES, PARTITION, log(*values), held)
    assert block.rows is not None
    assert block.rows["kafka_offset"].to_pylist() == [41, 43, 45]
    assert block.read_again == 3
    assert asked == [[40, 42, 43, 44]]


def test_equal_trades_of_one_message_are_kept() -> None:
    values = [envelope(trade(trade_index=0)), envelope(trade(trade_index=1))]
    block = build(TRADES, PARTITION, log(*values), nothing_held)
    assert block.rows is not None
    assert block.rows.num_rows == 2


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5)).map(
        lambda value: json.dumps(value).encode(),
    )
)
def test_no_bytes_stop_the_stream(value: bytes) -> None:
    block = build(TRADES, PARTITION, log(value), nothing_held)
    assert len(block.dead_letters) + block.not_applied == 1
    assert block.rows is None


finite = st.floats(-1e12, 1e12, allow_nan=False)
names = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)


moments = st.datetimes(datetime(1970, 1, 1), datetime(2250, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(price=finite, volume=finite, traded=moments.map(whole_ms), received=moments, seq=st.integers(0, 2**63 - 1), symbol=names)
def test_what_postgres_holds_arrives_unchanged(
    price: float,
    volume: float,
    traded: datetime,
    received: datetime,
    seq: int,
    symbol: str,
) -> None:
    after = trade(
        price_usd=price,
        volume_shares=volume,
        trade_ts=iso_padded(traded),
        received_ts=iso_padded(received),
        message_seq=seq,
        symbol=symbol,
    )
    block = build(TRADES, PARTITION, log(envelope(after)), nothing_held)
    assert block.rows is not None
    row = block.rows.to_pylist()[0]
    assert (row["price_usd"], row["volume_shares"], row["message_seq"], row["symbol"]) == (price, volume, seq, symbol)
    assert (row["trade_ts"], row["received_ts"]) == (traded, received)


def iso_padded(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
