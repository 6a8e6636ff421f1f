"""What changes leave of a row, against a plain machine that takes them one by one."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts import bronze, silver
from spark.transforms.polars_schema import polars_schema
from spark.transforms.silver.settled_changes import quotes, trades

NOW = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
SCHEMA = polars_schema(bronze.FINNHUB_TRADES_CDC)

Step = tuple[str, int, float]
steps = st.lists(st.tuples(st.sampled_from("ccrud"), st.integers(0, 3), st.sampled_from([1.0, 2.0, 3.0])), max_size=25)


def change(number: int, op: str = "c", seq: int = 1, price_usd: float = 1.0, **values: Any) -> dict[str, Any]:
    row = {
        "kafka_topic": "t",
        "kafka_partition": 0,
        "kafka_offset": number,
        "op": op,
        "lsn": number,
        "committed_ts": NOW,
        "captured_ts": NOW,
        "appended_ts": NOW + timedelta(milliseconds=number // 3),
        "appended_date": date(2026, 11, 22),
        "key_json": None,
        "before_json": None,
        "after_json": None,
        "received_ts": NOW,
        "connection_id": "a",
        "message_seq": seq,
        "trade_index": 0,
        "symbol": "AAPL",
        "price_usd": price_usd,
        "volume_shares": 1.0,
        "trade_ts": NOW,
        "conditions": ["1"],
    }
    if op == "d":
        row |= dict.fromkeys(("symbol", "price_usd", "volume_shares", "trade_ts", "conditions"))
    return {**row, **values}


def frame(*changes: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(changes), schema=SCHEMA)


def settled(changes: pl.DataFrame) -> dict[int, tuple[float, int]]:
    return {row["message_seq"]: (row["price_usd"], row["kafka_offset"]) for row in trades(changes).to_dicts()}


def one_by_one(sequence: list[Step]) -> dict[int, tuple[float, int]]:
    """Price and offset of every row that is there in the end."""
    rows: dict[int, tuple[float, int]] = {}
    for number, (op, seq, price) in enumerate(sequence):
        if op == "d":
            rows.pop(seq, None)
        elif op == "u":
            rows[seq] = (price, rows[seq][1] if seq in rows else number)
        else:
            rows.setdefault(seq, (price, number))
    return rows


@given(steps, st.randoms())
def test_any_changes_in_any_order_of_arrival_leave_what_one_by_one_leaves(
    sequence: list[Step],
    chance: Any,
) -> None:
    changes = [change(number, op, seq, price) for number, (op, seq, price) in enumerate(sequence)]
    chance.shuffle(changes)
    assert settled(frame(*changes)) == one_by_one(sequence)


@given(steps, st.integers(0, 25))
def test_new_rows_of_a_later_piece_are_those_that_an_earlier_one_lacks(sequence: list[Step], cut: int) -> None:
    sequence = [("r" if op in "ud" else op, seq, price) for op, seq, price in sequence]
    changes = [change(number, op, seq, price) for number, (op, seq, price) in enumerate(sequence)]
    before, after = settled(frame(*changes[:cut])), settled(frame(*changes[cut:]))
    assert {**after, **before} == settled(frame(*changes))


@pytest.mark.parametrize(
    ("values", "flaw"),
    [
        ({}, ""),
        ({"price_usd": 0.0}, "price_not_positive"),
        ({"price_usd": -1.0, "volume_shares": -1.0}, "price_not_positive"),
        ({"volume_shares": -0.5}, "volume_negative"),
        ({"volume_shares": 0.0}, ""),
        ({"trade_ts": NOW + timedelta(seconds=60)}, ""),
        ({"trade_ts": NOW + timedelta(seconds=60, microseconds=1)}, "future_time"),
        ({"trade_ts": datetime(1970, 1, 20, tzinfo=UTC)}, "past_time"),
    ],
)
def test_a_flaw_is_named_by_the_rules_of_the_live_tables(values: dict[str, Any], flaw: str) -> None:
    assert trades(frame(change(1, **values)))["flaw"].to_list() == [flaw]


def test_rows_have_the_contracts_columns_their_day_and_no_missing_list_of_conditions() -> None:
    found = trades(frame(change(1, conditions=None)))
    assert dict(found.schema) == polars_schema(silver.TRADES)
    assert found["received_date"].to_list() == [date(2026, 11, 21)]
    assert found["conditions"].to_list() == [[]]


def test_an_update_brings_its_values_also_where_they_are_empty_and_keeps_the_place_of_the_first_change() -> None:
    changes = frame(change(1, conditions=["1"]), change(2, "u", conditions=None, symbol="MSFT"))
    (row,) = trades(changes).to_dicts()
    assert (row["symbol"], row["conditions"], row["kafka_offset"], row["lsn"]) == ("MSFT", [], 1, 1)


def test_quotes_settle_by_their_own_key() -> None:
    kinds = polars_schema(bronze.FINNHUB_QUOTES_CDC)

    def quote(number: int, seq: int) -> dict[str, Any]:
        numbers = {column.name: float(number) for column in bronze.QUOTE_VALUES if column.type == "double"}
        told = {**change(number), **numbers, "poller_id": "p", "poll_seq": seq, "quote_ts": NOW, "change_usd": None}
        return {name: told[name] for name in kinds}

    rows = quotes(pl.DataFrame([quote(1, 1), quote(2, 1), quote(3, 2)], schema=kinds)).to_dicts()
    assert sorted((row["poll_seq"], row["price_usd"], row["change_usd"]) for row in rows) == [(1, 1.0, None), (2, 3.0, None)]


def test_no_change_is_no_row() -> None:
    assert trades(frame()).is_empty()
