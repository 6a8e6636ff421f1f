"""Messages of the vendor become trades: none lost, none invented, each flaw told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.trade_feed import json_pieces
from finlake_services.trade_feed.messages import (
    RAW_TEXT_LIMIT,
    Malformed,
    Message,
    Ping,
    Refused,
    Trades,
    VendorError,
    VendorTrade,
    raw_text,
    rejection_reason,
    trade_rows,
)
from finlake_services.trade_feed.messages import parse as parse_received
from finlake_services.trade_feed.rows import TradeRow
from spark.contracts.stream_rows import LATEST_TS, LONGEST_CONDITIONS, MOST_CONDITIONS, NUMBER_LIMIT
from tests.counted_steps import counted_steps

RECEIVED_US = 1_700_000_001_000_000
FIRST_MS, LAST_MS = 946_684_800_000, int(LATEST_TS.timestamp()) * 1_000 - 1
SOUND: dict[str, object] = {"c": ["1", "12"], "p": 164.06, "s": "AAPL", "t": 1700001000480, "v": 4}

trades = st.fixed_dictionaries(
    {
        "c": st.none() | st.lists(st.sampled_from(["1", "8", "12", "24"]), max_size=4),
        "p": st.floats(-1e9, 1e9) | st.integers(-5, 5),
        "s": st.sampled_from(["AAPL", "BRK.B", "BINANCE:BTCUSDT"]),
        "t": st.integers(FIRST_MS, LAST_MS),
        "v": st.floats(0, 1e9) | st.integers(0, 1000),
    }
)
WRONG: list[dict[str, object]] = [
    {"p": None},
    {"p": "164.06"},
    {"p": True},
    {"p": float("nan")},
    {"p": float("inf")},
    {"p": 1e300},
    {"p": NUMBER_LIMIT},
    {"p": 5e13},
    {"v": -NUMBER_LIMIT},
    {"v": float("-inf")},
    {"v": []},
    {"t": "now"},
    {"t": 1.5},
    {"t": -1},
    {"t": LAST_MS + 1},
    {"t": 10**30},
    {"t": 1e300},
    {"s": ""},
    {"s": 7},
    {"s": "A" * 65},
    {"s": "A\x00"},
    {"s": "\ud800"},
    {"s": "Ä"},
    {"c": "1"},
    {"c": [1]},
    {"c": ["\x00"]},
    {"c": ["1"] * (MOST_CONDITIONS + 1)},
    {"c": ["x" * (LONGEST_CONDITIONS + 1)]},
]
broken: st.SearchStrategy[object] = st.one_of(
    st.sampled_from([{key: value for key, value in SOUND.items() if key != left_out} for left_out in ("p", "s", "t", "v")]),
    st.sampled_from([SOUND | wrong for wrong in WRONG]),
    st.sampled_from([None, 3, "x", []]),
)


def parse(raw: bytes) -> Message:
    return parse_received(raw, RECEIVED_US, "c")


def message(data: object) -> bytes:
    return json.dumps({"data": data, "type": "trade"}).encode()


@given(st.lists(trades))
def test_every_sound_trade_is_kept_with_its_numbers_and_its_place(entries: list[dict[str, object]]) -> None:
    parsed = parse(message(entries))
    assert isinstance(parsed, Trades)
    assert parsed.refused == []
    assert [(index, trade.c, trade.p, trade.s, trade.t, trade.v) for index, trade in parsed.trades] == [
        (index, entry["c"], entry["p"], entry["s"], entry["t"], entry["v"]) for index, entry in enumerate(entries)
    ]


@given(st.lists(trades.map(lambda trade: (True, trade)) | broken.map(lambda trade: (False, trade)), max_size=12))
def test_a_broken_trade_is_named_and_costs_none_of_its_neighbours(entries: list[tuple[bool, object]]) -> None:
    parsed = parse(message([entry for _, entry in entries]))
    assert isinstance(parsed, Trades)
    assert [index for index, _ in parsed.trades] == [index for index, (is_sound, _) in enumerate(entries) if is_sound]
    assert [each.index for each in parsed.refused] == [index for index, (is_sound, _) in enumerate(entries) if not is_sound]


@given(broken)
def test_whatever_is_kept_or_told_can_be_stored_as_text(entry: object) -> None:
    parsed = parse(message([entry]))
    assert isinstance(parsed, Trades)
    reason = rejection_reason(parsed.refused)
    assert reason.encode()
    assert "\x00" not in reason


@given(
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_message_stops_the_reader(raw: bytes) -> None:
    parse(raw)
    text = raw_text(raw)
    assert len(text) <= RAW_TEXT_LIMIT
    assert "\x00" not in text
    assert text.encode().decode() == text


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"9" * 5_000, b'{"type":"trade","data":' + b"[" * 100_000])
def test_a_message_made_to_exhaust_a_parser_is_malformed(raw: bytes) -> None:
    assert isinstance(parse(raw), Malformed)
    assert RAW_TEXT_LIMIT - 5 < len(raw_text(raw)) <= RAW_TEXT_LIMIT
    assert raw_text(raw).endswith(" bytes more were cut]")


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
    raw = b'{"data":[{"p":NaN,"s":"AAPL","t":1e3,"v":1},{"p":2,"s":"AAPL","t":1e3,"v":1}],"type":"trade"}'
    parsed = parse(raw)
    assert isinstance(parsed, Trades)
    assert [index for index, _ in parsed.trades] == [1]
    assert "number nan" in parsed.refused[0].why


@pytest.mark.parametrize(
    "costly",
    [
        b'{"p":1,"s":"AAPL","t":' + b"1" * 5_000 + b',"v":NaN}',
        b'{"p":1,"s":"AAPL","t":1e3,"v":' + b"[" * 3_000 + b"]" * 3_000 + b"}",
        b'{"p":1,"s":"AAPL","t":1e3,"v":1,"x":' + b'{"x":' * 3_000 + b"1" + b"}" * 3_001,
        b'{"p":1,"s":"\xff\xfe","t":1e3,"v":1}',
        b'{"p":1 "s":"AAPL"}',
        b'{"s":"a\\"],[","p":NaN}',
        b"",
    ],
    ids=lambda raw: raw[:36].decode("latin-1"),
)
@pytest.mark.parametrize("other", [b'{"p":NaN,"s":"AAPL","t":1e3,"v":1}', b'{"p":2,"s":"AAPL","t":1e3,"v":1}'])
def test_a_trade_that_no_decoder_takes_costs_itself_only(costly: bytes, other: bytes) -> None:
    sound = b'{"p":2,"s":"AAPL","t":1e3,"v":1}'
    parsed = parse(b'{"type": "trade", "data": [%s, %s, %s, %s]}' % (sound, costly, other, sound))
    assert isinstance(parsed, Trades)
    expected = [0, 3] if b"NaN" in other else [0, 2, 3]
    assert [index for index, _ in parsed.trades] == expected
    assert (parsed.refused[0].index, parsed.refused[0].text) == (1, costly)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_json_is_cut_at_its_outermost_commas(value: object, indent: int | None, is_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii).encode()
    parts = json_pieces.cut(text, b"[]")
    assert (parts is None) == (not isinstance(value, list))
    if parts is not None and isinstance(value, list):
        assert repr([json.loads(part) for part in parts]) == repr(value)
    members = json_pieces.cut(text, b"{}")
    assert (members is None) == (not isinstance(value, dict))
    if members is not None and isinstance(value, dict):
        assert repr({json.loads(key): json.loads(part) for key, part in json_pieces.by_key(members).items()}) == repr(value)


@pytest.mark.parametrize("text", [b"[1],[2]", b"[1", b"1]", b'["]', b"[[]", b"[]]", b"", b"[", b'{"a":1}'])
def test_what_is_not_enclosed_is_not_cut(text: bytes) -> None:
    assert json_pieces.cut(text, b"[]") is None


@pytest.mark.parametrize("flood", [b'\\"', b"[", b'"', b",", b'"a\\\\"'])
def test_cutting_twice_the_text_takes_no_more_than_twice_the_steps(flood: bytes) -> None:
    def steps(count: int) -> int:
        with counted_steps() as counted:
            json_pieces.cut(b"[" + flood * count + b"]", b"[]")
        return counted.steps

    assert steps(2_000) <= 2.1 * steps(1_000)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("{}".encode("utf-16"), "not UTF-8: byte 0xff at position 0"),
        (b'{"type":"ping\xfe"}', "not UTF-8: byte 0xfe at position 13"),
        (b'\xef\xbb\xbf{"type":"ping"}', "not JSON: Unexpected UTF-8 BOM"),
        ('{"type":"ping"}'.encode("utf-16-le"), "not JSON: "),
        (b'{"a":' * 3_000 + b"1" + b"}" * 3_000, "not JSON that can be read: brackets within brackets"),
    ],
)
def test_a_frame_that_cannot_be_read_has_a_plain_reason(raw: bytes, reason: str) -> None:
    parsed = parse(raw)
    assert isinstance(parsed, Malformed)
    assert parsed.reason.startswith(reason)


@pytest.mark.parametrize("words", [b"1" * 5_000, b"[" * 900 + b"]" * 900, b"NaN", b'"\xff"'])
def test_a_complaint_in_odd_words_is_still_a_complaint(words: bytes) -> None:
    assert isinstance(parse(b'{"type":"error","msg":%s}' % words), VendorError)


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
        TradeRow(7, "c", 2, 3, "AAPL", 1.5, 2.0, 99, ["1"]),
        TradeRow(7, "c", 2, 5, "X:Y", 2.5, 0.5, 98, None),
    ]


def test_many_rejections_make_a_short_reason() -> None:
    reason = rejection_reason([Refused(number, "x", b"") for number in range(9)])
    assert reason == "trade 0: x; trade 1: x; trade 2: x; trade 3: x; trade 4: x; and 4 more"


@pytest.mark.parametrize(
    ("stamp", "milliseconds"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000_123_456, 1_700_000_000_123),
        (1_700_000_000_123_456_789, 1_700_000_000_123),
        (1_700_000_000_123, 1_700_000_000_123),
        (1_700_000_000_123.0, 1_700_000_000_123),
        (1.7e9, 1_700_000_000_000),
    ],
)
def test_a_time_near_its_receipt_is_understood_in_whatever_unit_it_comes(stamp: float, milliseconds: int) -> None:
    parsed = parse(message([SOUND | {"t": stamp}]))
    assert isinstance(parsed, Trades)
    assert [trade.t for _, trade in parsed.trades] == [milliseconds]
    assert parsed.converted == (stamp != milliseconds)


def test_a_time_in_seconds_of_another_year_is_left_to_those_who_judge() -> None:
    parsed = parse(message([SOUND | {"t": 1_500_000_000}]))
    assert isinstance(parsed, Trades)
    assert [trade.t for _, trade in parsed.trades] == [1_500_000_000]


def test_of_a_long_message_the_refused_trades_keep_their_own_text_and_the_others_flow() -> None:
    entries: list[object] = [SOUND | {"s": f"S{number}"} for number in range(1_000)]
    entries[500] = SOUND | {"p": "164.06", "note": "in the middle"}
    raw = json.dumps({"data": entries, "type": "trade"}).encode()
    parsed = parse(raw)
    assert isinstance(parsed, Trades)
    assert [index for index, _ in parsed.trades] == [index for index in range(1_000) if index != 500]
    text = raw_text(raw, parsed.refused)
    assert text == f"[of a message of {len(raw)} bytes, 1 of 1 refused trades]\ntrade 500: {json.dumps(entries[500])}"


@given(st.integers(1, 400), st.integers(0, 60_000))
def test_a_rejected_message_is_kept_within_bounds_and_says_how_much_was_cut(count: int, length: int) -> None:
    entries = (
        [SOUND | {"c": ["x" * length] * 40, "v": number} for number in range(count)]
        if length < 500
        else [SOUND | {"c": ["x" * length] * 40}]
    )
    raw = json.dumps({"data": entries, "type": "trade"}).encode()
    parsed = parse(raw)
    assert isinstance(parsed, Trades)
    assert len(parsed.refused) == len(entries)
    text = raw_text(raw, parsed.refused)
    assert len(text) <= RAW_TEXT_LIMIT
    if len(raw) <= RAW_TEXT_LIMIT:
        assert text == raw.decode()
    else:
        first = parsed.refused[0]
        said = int(text.split(" bytes more were cut")[0].rpartition("[")[2]) if "were cut" in text else 0
        line = text.splitlines()[1].removeprefix("trade 0: ").partition(f" [{said} bytes")[0]
        assert first.text.startswith(line.encode())
        assert len(line) + said == len(first.text)
