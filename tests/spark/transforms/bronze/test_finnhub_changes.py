"""Change records become rows of bronze or rejections, none is lost."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest

from spark.transforms.bronze.finnhub_changes import Changes, quote_decoder, trade_decoder

TOPIC = "finlake.ods.finnhub_trades"
APPENDED_TS = datetime(2026, 11, 22, 2, 30, 0, 123000, tzinfo=UTC)
KEY = {"received_ts": "2026-11-21T23:59:59.000001Z", "connection_id": "a", "message_seq": 7, "trade_index": 0}
ROW = {
    **KEY,
    "symbol": "AAPL",
    "price_usd": 164.0601,
    "volume_shares": 5,
    "trade_ts": "2026-11-21T23:59:58.58Z",
    "conditions": ["1", "12"],
}
QUOTE_KEY = {"received_ts": "2026-11-21T23:59:59Z", "poller_id": "p", "poll_seq": 3}
QUOTE = {
    **QUOTE_KEY,
    "symbol": "AAPL",
    "price_usd": 308.82,
    "change_usd": None,
    "change_pct": None,
    "high_usd": 311.4,
    "low_usd": 305.84,
    "open_usd": 306.12,
    "previous_close_usd": 304.99,
    "quote_ts": "2026-11-21T21:00:00Z",
}


@dataclass(frozen=True)
class Record:
    value: bytes | None
    key: bytes | None = json.dumps(KEY).encode()
    offset: int = 41
    appended_ts: datetime = APPENDED_TS


def change(op: str = "c", **parts: Any) -> bytes:
    envelope = {
        "before": None,
        "after": ROW,
        "op": op,
        "ts_us": 1_795_300_000_000_009,
        "ts_ms": 1_795_300_000_000,
        "source": {"lsn": 24023128, "ts_us": 1_795_300_000_000_001, "snapshot": "false"},
        "transaction": None,
    }
    return json.dumps({**envelope, **parts}).encode()


def decoded(*records: Record) -> Changes:
    return trade_decoder().decode(records, TOPIC, 2)


def test_a_new_row_is_kept_as_text_and_as_columns_with_every_hop() -> None:
    (row,) = decoded(Record(change())).rows.to_pylist()
    assert json.loads(row.pop("after_json")) == ROW
    assert json.loads(row.pop("key_json")) == KEY
    assert row == {
        "kafka_topic": TOPIC,
        "kafka_partition": 2,
        "kafka_offset": 41,
        "appended_date": date(2026, 11, 22),
        "op": "c",
        "lsn": 24023128,
        "committed_ts": datetime(2026, 11, 21, 22, 26, 40, 1, tzinfo=UTC),
        "captured_ts": datetime(2026, 11, 21, 22, 26, 40, 9, tzinfo=UTC),
        "appended_ts": APPENDED_TS,
        "before_json": None,
        "received_ts": datetime(2026, 11, 21, 23, 59, 59, 1, tzinfo=UTC),
        "connection_id": "a",
        "message_seq": 7,
        "trade_index": 0,
        "symbol": "AAPL",
        "price_usd": 164.0601,
        "volume_shares": 5.0,
        "conditions": ["1", "12"],
        "trade_ts": datetime(2026, 11, 21, 23, 59, 58, 580000, tzinfo=UTC),
    }


def test_of_a_deleted_row_only_the_key_is_believed() -> None:
    nonsense = {**KEY, "symbol": "", "price_usd": 0.0, "volume_shares": 0.0, "trade_ts": "1970-01-01T00:00:00Z"}
    (row,) = decoded(Record(change("d", before=nonsense, after=None))).rows.to_pylist()
    assert (row["op"], row["connection_id"], row["message_seq"], row["trade_index"]) == ("d", "a", 7, 0)
    assert [row[name] for name in ("symbol", "price_usd", "volume_shares", "trade_ts", "conditions")] == [None] * 5
    (keyless,) = decoded(Record(change("d", before=nonsense, after=None), key=None)).rows.to_pylist()
    (keyed,) = decoded(Record(change("d", before=None, after=None))).rows.to_pylist()
    assert keyless["received_ts"] == keyed["received_ts"] == row["received_ts"]


def test_coins_have_no_condition_codes() -> None:
    (row,) = decoded(Record(change(after={**ROW, "conditions": None}))).rows.to_pylist()
    assert row["conditions"] is None


def test_a_quote_may_lack_its_changes() -> None:
    record = Record(change(after=QUOTE), key=json.dumps(QUOTE_KEY).encode())
    (row,) = quote_decoder().decode([record], "finlake.ods.finnhub_quotes", 0).rows.to_pylist()
    assert (row["poller_id"], row["poll_seq"], row["price_usd"], row["change_usd"]) == ("p", 3, 308.82, None)
    assert row["quote_ts"] == datetime(2026, 11, 21, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"\xff\xfe", "malformed"),
        (b"{}", "missing required field `op`"),
        (None, "no value"),
        (change("t"), "op 't'"),
        (change(after={**ROW, "price_usd": "NaN"}), "Expected `float`"),
        (change(after=None), "Expected `object`, got `null`"),
        (change(after={**ROW, "trade_ts": "2026-11-21T23:59:58"}), "timezone"),
        (change(after={name: value for name, value in ROW.items() if name != "symbol"}), "symbol"),
        (change("d", after=None, before=None), None),
    ],
)
def test_what_cannot_be_read_is_quarantined_with_its_reason_and_the_rest_is_kept(value: bytes | None, why: str | None) -> None:
    bad = Record(value, offset=42) if why else Record(value, key=None, offset=42)
    found = decoded(Record(change()), bad, Record(change(), offset=43))
    assert found.rows["kafka_offset"].to_pylist() == [41, 43]
    (rejected,) = found.rejected.to_pylist()
    assert (why or "Expected `object`") in rejected["message"]
    assert (rejected["source_table"], rejected["source_name"], rejected["reference"], rejected["reason"]) == (
        "bronze.finnhub_trades_cdc",
        TOPIC,
        "2@42",
        "unreadable_change",
    )
    assert rejected["raw_text"] == (value or b"").decode(errors="replace")
    # Half past two in the morning, UTC, is the evening before in New York.
    assert rejected["day_date"] == date(2026, 11, 21)


def test_a_record_that_is_too_large_is_kept_by_its_begin_and_says_so() -> None:
    wide = change(after={**ROW, "conditions": ["x" * 1_000] * 1_300})
    (rejected,) = decoded(Record(wide)).rejected.to_pylist()
    assert rejected["raw_text"] == wide.decode()[:4_000]
    assert f"{len(wide)} bytes, more than 1000000 (the begin of {len(wide)} bytes is kept here)" in rejected["message"]
    odd = change(after={**ROW, "price_usd": 5e13})
    (rejected,) = decoded(Record(odd)).rejected.to_pylist()
    assert rejected["message"].startswith("number_too_large: ")
