"""One trade has one fate, whoever judges it: feed, sink and archive take, flag or refuse the same."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.clickhouse_sink.blocks import TRADES, Arrived, build
from finlake_services.clickhouse_sink.exactly_once import Partition
from finlake_services.clickhouse_sink.records import LogRecord
from finlake_services.trade_feed.messages import Trades, parse, trade_rows
from spark.contracts import stream_rows
from spark.contracts.stream_rows import FLAWS, LONGEST_CONDITIONS, MOST_CONDITIONS, NUMBER_LIMIT, WIDEST_ROW_BYTES
from spark.transforms.avro_values import AvroValues
from spark.transforms.bronze.finnhub_changes import trade_decoder
from spark.transforms.silver.settled_changes import trades as settled_trades
from tests.avro_records import avro_of, schema_of

RECEIVED_US = 1_772_463_600_123_456
RECEIVED_TS = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=RECEIVED_US)
NOW_MS = RECEIVED_US // 1_000
REFUSED = "refused"

numbers = st.one_of(
    st.sampled_from([0.0, -0.0, -1.5, 187.5, 5e13, NUMBER_LIMIT, -NUMBER_LIMIT, 9.999e12, 1e15, 1e300, 5e-324]),
    st.floats(-1e14, 1e14),
    st.integers(-3, 10**14),
)
stamps = st.one_of(
    st.integers(NOW_MS - 10**7, NOW_MS + 10**6),
    st.integers(-5, 2 * 10**13),
    st.floats(0, 1e19),
    st.sampled_from(
        [
            NOW_MS // 1_000,
            NOW_MS * 1_000,
            NOW_MS * 10**6,
            float(NOW_MS),
            NOW_MS + 60_000,
            NOW_MS + 60_001,
            946_684_799_999,
            946_684_800_000,
            9_214_646_400_000,
            10**30,
        ]
    ),
)
texts = st.text(max_size=3) | st.sampled_from(["A" * 64, "A" * 65, "IC MARKETS:1", "\x7f", "é", "\\" * 64, ""])
few_codes = st.lists(st.none() | st.text(max_size=2) | st.sampled_from(["1", "12", "~" * 250]), max_size=4)
codes = (
    st.none()
    | few_codes
    | st.sampled_from(
        [["1"] * MOST_CONDITIONS, ["1"] * (MOST_CONDITIONS + 1), ["x" * LONGEST_CONDITIONS], ["x" * (LONGEST_CONDITIONS + 1)]]
    )
)
told = st.fixed_dictionaries({"p": numbers, "v": numbers, "t": stamps, "s": texts, "c": codes})


@dataclass(frozen=True)
class Record:
    value: bytes
    key: bytes | None = b"{}"
    offset: int = 41
    appended_ts: datetime = RECEIVED_TS


def nothing_held(_: Sequence[Arrived]) -> set[tuple[str | int, ...]]:
    return set()


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def record_of(row: dict[str, Any]) -> bytes:
    """What Debezium makes of a row of ods.finnhub_trades."""
    source = {"version": "3.7.0.Final", "lsn": 900, "ts_us": RECEIVED_US, "snapshot": "false", "table": "finnhub_trades"}
    return json.dumps({"before": None, "after": row, "source": source, "op": "c", "ts_us": RECEIVED_US}).encode()


def fate_in_feed(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The row that the feed writes, None for a trade that it refuses."""
    parsed = parse(json.dumps({"type": "trade", "data": [entry]}).encode(), RECEIVED_US, "c")
    assert isinstance(parsed, Trades)
    rows = trade_rows(parsed.trades, RECEIVED_US, "c", 7)
    assert len(rows) + len(parsed.refused) == 1
    if not rows:
        return None
    row = msgspec.structs.asdict(rows[0])
    happened = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row.pop("trade_ms"))
    row.pop("received_us")
    return row | {"received_ts": iso(RECEIVED_TS), "trade_ts": iso(happened)}


def fate_in_sink(value: bytes) -> str:
    block = build(TRADES, Partition(TRADES.topic, 0), [LogRecord(41, value, 1, 1)], nothing_held, AvroValues(schema_of))
    if block.rows is None:
        assert len(block.dead_letters) == 1
        return REFUSED
    return str(block.rows["flaw"][0].as_py())


def fate_in_archive(value: bytes) -> str:
    changes = trade_decoder().decode([Record(value)], TRADES.topic, 0, AvroValues(schema_of))
    assert changes.rows.num_rows + changes.rejected.num_rows == 1
    if not changes.rows.num_rows:
        return REFUSED
    frame = pl.from_arrow(changes.rows)
    assert isinstance(frame, pl.DataFrame)
    return str(settled_trades(frame)["flaw"][0])


@given(told)
def test_what_the_feed_stores_is_taken_by_sink_and_archive_with_one_flaw(entry: dict[str, Any]) -> None:
    row = fate_in_feed(entry)
    if row is not None:
        value = record_of(row)
        assert fate_in_sink(value) == fate_in_archive(value) != REFUSED
        assert len(value) <= WIDEST_ROW_BYTES


def whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


moments = st.datetimes(datetime(1900, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
rows = st.fixed_dictionaries(
    {
        "received_ts": st.just(iso(RECEIVED_TS)),
        "connection_id": texts,
        "symbol": texts,
        "price_usd": numbers,
        "volume_shares": numbers,
        "message_seq": st.integers(-(2**64), 2**64),
        "trade_index": st.integers(-(2**33), 2**33),
        "trade_ts": (moments | moments.map(whole_ms)).map(iso),
        "conditions": codes,
    }
)


@given(rows)
def test_whoever_wrote_a_row_sink_and_archive_decide_alike(row: dict[str, Any]) -> None:
    value = record_of(row)
    assert fate_in_sink(value) == fate_in_archive(value)


@pytest.mark.parametrize(("trade_ts", "fate"), [("2026-03-02T14:59:59.987Z", ""), ("2026-03-02T14:59:59.987001Z", REFUSED)])
def test_a_time_finer_than_clickhouse_keeps_is_refused_by_all(trade_ts: str, fate: str) -> None:
    row = fate_in_feed({"p": 187.5, "v": 100, "t": NOW_MS, "s": "AAPL", "c": ["1"]})
    assert row is not None
    value = record_of(row | {"trade_ts": trade_ts})
    assert fate_in_sink(value) == fate_in_archive(value) == fate


@given(rows, st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_a_row_has_the_same_fate_in_json_and_in_avro(row: dict[str, Any], message_seq: int, trade_index: int) -> None:
    row |= {"message_seq": message_seq, "trade_index": trade_index}
    value = record_of(row)
    assert fate_in_sink(avro_of(value)) == fate_in_archive(avro_of(value)) == fate_in_sink(value)


@given(told, st.integers(0, 400), st.binary(max_size=9), st.integers(0, 9))
def test_sink_and_archive_refuse_the_same_damaged_avro(entry: dict[str, Any], at: int, inserted: bytes, cut: int) -> None:
    row = fate_in_feed(entry)
    if row is not None:
        value = avro_of(record_of(row))
        damaged = value[:at] + inserted + value[at + cut :]
        assert fate_in_sink(damaged) == fate_in_archive(damaged)


def test_what_is_kept_of_a_record_does_not_depend_on_its_format() -> None:
    row = fate_in_feed({"p": 187.5, "v": 100, "t": NOW_MS, "s": "AAPL", "c": ["1"]})
    assert row is not None
    value = record_of(row)
    as_json, as_avro = (
        trade_decoder().decode([Record(each)], TRADES.topic, 0, AvroValues(schema_of)).rows.to_pylist()
        for each in (value, avro_of(value))
    )
    for [kept] in (as_json, as_avro):
        kept["after_json"] = json.loads(kept["after_json"])
    assert as_json == as_avro


@given(told)
def test_a_trade_that_the_feed_refuses_would_be_refused_everywhere(entry: dict[str, Any]) -> None:
    row = fate_in_feed(entry)
    moment = stream_rows.moment(int(entry["t"]), "ms") if float(entry["t"]).is_integer() else None
    if row is None and moment is not None:
        value = record_of(
            {
                "received_ts": iso(RECEIVED_TS),
                "connection_id": "c",
                "message_seq": 7,
                "trade_index": 0,
                "symbol": entry["s"],
                "price_usd": entry["p"],
                "volume_shares": entry["v"],
                "trade_ts": iso(moment),
                "conditions": entry["c"] and [code for code in entry["c"] if code is not None],
            }
        )
        assert fate_in_sink(value) == fate_in_archive(value) == REFUSED


@pytest.mark.parametrize(
    ("entry", "fate"),
    [
        ({}, ""),
        ({"p": 5e13}, REFUSED),
        ({"p": 9.99e12}, ""),
        ({"p": 0}, "price_not_positive"),
        ({"v": -1}, "volume_negative"),
        ({"t": NOW_MS // 1_000}, ""),
        ({"t": float(NOW_MS)}, ""),
        ({"t": 1_500_000_000}, "past_time"),
        ({"t": 0}, "past_time"),
        ({"t": NOW_MS + 60_001}, "future_time"),
        ({"c": ["1"] * 1_300}, REFUSED),
        ({"c": ['"\\' * 40] * 3}, ""),
    ],
)
def test_the_fate_of_a_trade(entry: dict[str, Any], fate: str) -> None:
    row = fate_in_feed({"p": 187.5, "v": 100, "t": NOW_MS, "s": "AAPL", "c": ["1"]} | entry)
    found = REFUSED if row is None else fate_in_sink(record_of(row))
    assert found == fate
    assert fate in (REFUSED, "", *FLAWS)


def test_the_widest_row_that_the_constraints_let_in_fits_with_room_to_spare() -> None:
    widest = {
        "received_ts": iso(RECEIVED_TS),
        "connection_id": '"' * 64,
        "message_seq": -(2**63),
        "trade_index": -(2**31),
        "symbol": "\\" * 64,
        "price_usd": -1.2345678901234567e-300,
        "volume_shares": -1.2345678901234567e-300,
        "trade_ts": iso(whole_ms(RECEIVED_TS)),
        "conditions": ['"' * 7] * MOST_CONDITIONS,
    }
    value = record_of(widest)
    assert fate_in_sink(value) != REFUSED
    assert len(value) < WIDEST_ROW_BYTES < stream_rows.MAX_VALUE_BYTES // 100
