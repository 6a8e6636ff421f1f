"""Messages of the vendor become trades: none lost, none invented, each flaw told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.trade_feed.messages import (
    LAST_TRADE_MS,
    RAW_TEXT_LIMIT,
    Malformed,
    Ping,
    Trades,
    VendorError,
    VendorTrade,
    parse,
    raw_text,
    rejection_reason,
    trade_rows,
)
from finlake_services.trade_feed.rows import TradeRow

SOUND: dict[str, object] = {"c": ["1", "12"], "p": 164.06, "s": "AAPL", "t": 1700001000480, "v": 4}

trades = st.fixed_dictionaries({
    "c": st.none() | st.lists(st.sampled_from(["1", "8", "12", "24"]), max_size=4),
    "p": st.floats(-1e9, 1e9) | st.integers(-5, 5),
    "s": st.sampled_from(["AAPL", "BRK.B", "BINANCE:BTCUSDT"]),
    "t": st.integers(0, LAST_TRADE_MS),
    "v": st.floats(0, 1e9) | st.integers(0, 1000),
})
WRONG: list[dict[str, object]] = [
    {"p": None}, {"p": "164.06"}, {"p": True}, {"p": float("nan")}, {"p": float("inf")}, {"p": 1e300},
    {"v": float("-inf")}, {"v": []}, {"t": "now"}, {"t": 1.5}, {"t": -1}, {"t": LAST_TRADE_MS + 1},
    {"t": 10**30}, {"s": ""}, {"s": 7}, {"s": "A" * 65}, {"s": "A\x00"}, {"s": "\ud800"}, {"c": "1"}, {"c": [1]},
    {"c": ["\x00"]},
]
broken: st.SearchStrategy[object] = st.one_of(
    st.sampled_from([{key: value for key, value in SOUND.items() if key != left_out} for left_out in ("p", "s", "t", "v")]),
    st.sampled_from([SOUND | wrong for wrong in WRONG]),
    st.sampled_from([None, 3, "x", []]),
)


def message(data: object) -> bytes:
    return json.dumps({"data": data, "type": "trade"}).encode()


@given(st.lists(trades))
def test_every_sound_trade_is_kept_with_its_numbers_and_its_place(entries: list[dict[str, object]]) -> None:
    parsed = parse(message(entries))
    assert isinstance(parsed, Trades)
    assert parsed.rejections == []
    assert [(index, trade.c, trade.p, trade.s, trade.t, trade.v) for index, trade in parsed.trades] == [
        (index, entry["c"], entry["p"], entry["s"], entry["t"], entry["v"]) for index, entry in enumerate(entries)
    ]


@given(st.lists(trades.map(lambda trade: (True, trade)) | broken.map(lambda trade: (False, trade)), max_size=12))
def test_a_broken_trade_is_named_and_costs_none_of_its_neighbours(entries: list[tuple[bool, object]]) -> None:
    parsed = parse(message([entry for _, entry in entries]))
    assert isinstance(parsed, Trades)
    assert [index for index, _ in parsed.trades] == [index for index, (is_sound, _) in enumerate(entries) if is_sound]
    assert [int(reason.split(":")[0].removeprefix("trade ")) for reason in parsed.rejections] == [
        index for index, (is_sound, _) in enumerate(entries) if not is_sound
    ]


@given(broken)
def test_whatever_is_kept_or_told_can_be_stored_as_text(entry: object) -> None:
    parsed = parse(message([entry]))
    assert isinstance(parsed, Trades)
    reason = rejection_reason(parsed.rejections)
    assert reason.encode()
    assert "\x00" not in reason


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value).encode()))
def test_no_message_stops_the_reader(raw: bytes) -> None:
    parse(raw)
    text = raw_text(raw)
    assert len(text) <= RAW_TEXT_LIMIT
    assert "\x00" not in text
    assert text.encode().decode() == text


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"9" * 5_000, b'{"type":"trade","data":' + b"[" * 100_000])
def test_a_message_made_to_exhaust_a_parser_is_malformed(raw: bytes) -> None:
    assert isinstance(parse(raw), Malformed)
    assert len(raw_text(raw)) == RAW_TEXT_LIMIT


@pytest.mark.parametrize("price", [0, -1.5])
def test_an_impossible_price_is_kept_for_those_who_judge(price: float) -> None:
    parsed = parse(message([SOUND | {"p": price}]))
    assert isinstance(parsed, Trades)
    assert parsed.trades[0][1].p == price


def test_a_time_in_the_far_future_is_kept_for_those_who_judge() -> None:
    parsed = parse(message([SOUND | {"t": 4_000_000_000_000}]))
    assert isinstance(parsed, Trades)
    assert parsed.trades[0][1].t == 4_000_000_000_000


def test_nan_written_as_javascript_does_costs_its_own_trade_only() -> None:
    raw = b'{"data":[{"p":NaN,"s":"AAPL","t":1,"v":1},{"p":2,"s":"AAPL","t":1,"v":1}],"type":"trade"}'
    parsed = parse(raw)
    assert isinstance(parsed, Trades)
    assert [index for index, _ in parsed.trades] == [1]
    assert "price nan" in parsed.rejections[0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"type":"ping"}', Ping()),
        (b'{"msg":"Invalid API key","type":"error"}', VendorError("Invalid API key")),
        (b'{"type":"error"}', VendorError("no words")),
        (b'{"type":"trade"}', Malformed("a trade message without a list of trades")),
        (b'{"type":"trade","data":{}}', Malformed("a trade message without a list of trades")),
        (b'{"type":"news","data":[]}', Malformed("unknown type 'news'")),
        (b'{"data":[]}', Malformed("not an object with a type")),
        (b"[]", Malformed("not an object with a type")),
        (b'{"type":"trade","data":[]}', Trades([])),
    ],
)
def test_a_message_is_what_its_type_says(raw: bytes, expected: object) -> None:
    assert parse(raw) == expected


def test_text_that_is_no_json_says_where() -> None:
    parsed = parse(b"<html>")
    assert isinstance(parsed, Malformed)
    assert parsed.reason.startswith("not JSON: ")


def test_rows_carry_receipt_and_place_and_leave_out_codes_that_say_nothing() -> None:
    trades = [(3, VendorTrade(1.5, "AAPL", 99, 2.0, ["1", None])), (5, VendorTrade(2.5, "X:Y", 98, 0.5))]
    assert trade_rows(trades, received_us=7, connection_id="c", message_seq=2) == [
        TradeRow(7, "c", 2, 3, "AAPL", 1.5, 2.0, 99, ["1"]), TradeRow(7, "c", 2, 5, "X:Y", 2.5, 0.5, 98, None),
    ]


def test_many_rejections_make_a_short_reason() -> None:
    reason = rejection_reason([f"trade {number}: x" for number in range(9)])
    assert reason == "trade 0: x; trade 1: x; trade 2: x; trade 3: x; trade 4: x; and 4 more"
