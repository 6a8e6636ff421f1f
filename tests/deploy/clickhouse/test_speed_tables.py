"""What the speed tables compute, in a real engine: equal to Python's recomputation in every digit, in any order of arrival."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deploy.clickhouse.scratch import ScratchEngine, scratch_engine
from spark.contracts.clickhouse import ONE_SERVER, exact_units, nearest_double, render, statements, window_start
from tests.deploy.clickhouse import recomputed
from tests.deploy.clickhouse.recomputed import Tick

pytestmark = pytest.mark.slow

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ONCE = "insert_deduplicate = 1, deduplicate_blocks_in_dependent_materialized_views = 1"


@pytest.fixture(scope="module")
def module_engine() -> Iterator[ScratchEngine]:
    with scratch_engine() as engine:
        for text in render(statements(), ONE_SERVER):
            engine.command(text)
        yield engine


@pytest.fixture
def engine(module_engine: ScratchEngine) -> ScratchEngine:
    empty(module_engine)
    return module_engine


def empty(engine: ScratchEngine) -> None:
    for table in ("stock_realtime", "candles_1m_state", "windows_15s_state"):
        engine.command(f"TRUNCATE TABLE speed.{table}")


def insert(engine: ScratchEngine, ticks: Sequence[Tick], token: str = "") -> None:
    values = ", ".join(
        f"('{tick.symbol}', '{tick.trade_ts:%Y-%m-%d %H:%M:%S.%f}', {tick.price_usd!r}, {tick.volume_shares!r}, '{tick.flaw}', "
        f"'2026-03-02 12:00:00', 0, {tick.offset})"
        for tick in ticks
    )
    engine.command(
        "INSERT INTO speed.stock_realtime (symbol, trade_ts, price_usd, volume_shares, flaw, received_ts, kafka_partition, "
        f"kafka_offset) SETTINGS {ONCE}, insert_deduplication_token = '{token}' VALUES {values}",
    )


def read(engine: ScratchEngine, table: str) -> list[tuple[object, ...]]:
    """All rows of a reader's view by its first two columns, numbers as floats or ints, times as datetimes.

    Without is_final, which depends on what has come since.
    """
    columns = engine.rows(
        f"SELECT name, type FROM system.columns WHERE table = '{table}' AND name != 'is_final' ORDER BY position"
    )
    return [
        tuple(_value(text, kind) for text, (_, kind) in zip(row, columns, strict=True))
        for row in engine.rows(f"SELECT {', '.join(name for name, _ in columns)} FROM speed.{table} ORDER BY 1, 2")
    ]


def _value(text: str, kind: str) -> object:
    if text == "\\N":
        return None
    if "Float64" in kind:
        return float(text)
    if "Int" in kind:
        return int(text)
    return datetime.fromisoformat(f"{text}+00:00") if kind.startswith("DateTime64") else text


ticks = st.lists(
    st.builds(
        Tick,
        symbol=st.sampled_from(["AAPL", "BINANCE:SHIBUSDT"]),
        trade_ts=st.integers(-70_000, 130_000).map(lambda ms: NOON + timedelta(milliseconds=ms)),
        price_usd=st.floats(1e-9, 1e12, allow_subnormal=False) | st.sampled_from([187.5, 187.51, 0.00001234]),
        volume_shares=st.floats(0, 1e12, allow_subnormal=False) | st.sampled_from([1.0, 100.0, 3e12]),
        offset=st.just(0),
        flaw=st.sampled_from(["", "", "", "future_time"]),
    ),
    min_size=1,
    max_size=25,
).map(lambda found: [Tick(**{**vars(tick), "offset": at}) for at, tick in enumerate(found)])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=ticks, data=st.data())
def test_no_order_of_arrival_changes_a_digit(engine: ScratchEngine, made: list[Tick], data: st.DataObject) -> None:
    empty(engine)
    arriving = data.draw(st.permutations(made))
    while arriving:
        size = data.draw(st.integers(1, len(arriving)))
        insert(engine, arriving[:size])
        arriving = arriving[size:]
    if data.draw(st.booleans()):
        for table in ("candles_1m_state", "windows_15s_state"):
            engine.command(f"OPTIMIZE TABLE speed.{table} FINAL")
    assert read(engine, "candles_1m") == recomputed.candles(made)
    assert read(engine, "windows_30s") == recomputed.windows_30s(made)
    assert read(engine, "price_volume_15s") == recomputed.price_volume_15s(made)


def test_a_late_trade_corrects_the_windows_it_belongs_to(engine: ScratchEngine) -> None:
    first = Tick("AAPL", NOON + timedelta(seconds=10), 100.0, 5, 0)
    last = Tick("AAPL", NOON + timedelta(seconds=50), 101.0, 5, 1)
    next_minute = Tick("AAPL", NOON + timedelta(seconds=70), 102.0, 5, 2)
    late = Tick("AAPL", NOON + timedelta(seconds=2), 99.0, 7, 3)
    insert(engine, [first, last, next_minute])
    before = read(engine, "candles_1m")
    insert(engine, [late])
    after = read(engine, "candles_1m")
    assert before[0] == ("AAPL", NOON, 100.0, 101.0, 100.0, 101.0, 10.0, 2)
    assert after[0] == ("AAPL", NOON, 99.0, 101.0, 99.0, 101.0, 17.0, 3)
    assert after[1] == before[1]
    assert read(engine, "windows_30s") == recomputed.windows_30s([first, last, next_minute, late])


def test_of_trades_at_one_instant_the_offset_says_which_is_first(engine: ScratchEngine) -> None:
    insert(engine, [Tick("AAPL", NOON, price, 1, offset) for offset, price in ((2, 12.0), (0, 10.0), (1, 11.0))])
    assert read(engine, "candles_1m")[0][2:6] == (10.0, 12.0, 10.0, 12.0)


def test_a_repeated_token_adds_nothing_anywhere(engine: ScratchEngine) -> None:
    block = [Tick("AAPL", NOON, 10.0, 1, 0), Tick("MSFT", NOON, 20.0, 1, 1)]
    for _ in range(3):
        insert(engine, block, "trades:0:0-1")
    assert engine.rows("SELECT count() FROM speed.stock_realtime") == [("2",)]
    assert read(engine, "candles_1m") == recomputed.candles(block)


def test_a_block_that_reached_the_rows_but_not_the_aggregates_is_completed_by_its_token(engine: ScratchEngine) -> None:
    block = [Tick("AAPL", NOON, 10.0, 1, 0), Tick("AAPL", NOON, 11.0, 2, 1)]
    views = [each for each in statements() if each.kind == "materialized view"]
    for view in views:
        engine.command(f"DROP VIEW {view.name} SYNC")
    insert(engine, block, "trades:0:0-1")
    for text in render(views, ONE_SERVER):
        engine.command(text)
    assert read(engine, "candles_1m") == []
    insert(engine, block, "trades:0:0-1")
    assert engine.rows("SELECT count() FROM speed.stock_realtime") == [("2",)]
    assert read(engine, "candles_1m") == recomputed.candles(block)
    assert read(engine, "windows_30s") == recomputed.windows_30s(block)


def receive(engine: ScratchEngine, seconds: Sequence[float], *, late_s: float = 0.2) -> None:
    """A trade at each of these seconds after noon, received and appended soon after it."""
    at = [NOON + timedelta(seconds=second) for second in seconds]
    known = int(engine.rows("SELECT count() FROM speed.stock_realtime")[0][0])
    values = ", ".join(
        f"('AAPL', '{moment:%Y-%m-%d %H:%M:%S.%f}', 10, 1, '', '{moment + timedelta(seconds=0.1):%Y-%m-%d %H:%M:%S.%f}', "
        f"'{moment + timedelta(seconds=late_s):%Y-%m-%d %H:%M:%S.%f}', 0, {known + number})"
        for number, moment in enumerate(at)
    )
    engine.command(
        "INSERT INTO speed.stock_realtime (symbol, trade_ts, price_usd, volume_shares, flaw, received_ts, "
        f"appended_ts, kafka_partition, kafka_offset) VALUES {values}"
    )


def finals(engine: ScratchEngine, table: str, start: str) -> list[int]:
    """Starts of the final windows, as seconds after noon."""
    rows = engine.rows(
        f"SELECT toUnixTimestamp({start}) - toUnixTimestamp('{NOON:%Y-%m-%d %H:%M:%S}', 'UTC') FROM speed.{table} "
        "WHERE is_final ORDER BY 1"
    )
    return [int(second) for (second,) in rows]


@pytest.mark.parametrize("late_s", [0.2, 300, 3 * 3600])
def test_the_current_window_is_marked_until_something_comes_that_was_received_long_after_it(
    engine: ScratchEngine,
    late_s: float,
) -> None:
    receive(engine, [-4 * 86_400], late_s=late_s)
    for last in (59, 119, 121, 179.8, 180):
        empty(engine)
        # However late the stream is, what counts is when its newest trade was received.
        receive(engine, [-4 * 86_400, *range(0, int(last), 5), last], late_s=late_s)
        # Behind by more than an hour, the newest day alone is looked at with doubt.
        told = last + 0.1 if late_s < 3600 else late_s + last - 86_400
        for table, start, width in (
            ("candles_1m", "minute_ts", 60),
            ("windows_30s", "window_start_ts", 30),
            ("price_volume_15s", "window_start_ts", 15),
        ):
            expected = [begin for begin in range(0, int(last) + 1, width) if begin + width + 60 <= told]
            assert [second for second in finals(engine, table, start) if second >= 0] == expected
            assert any(second < 0 for second in finals(engine, table, start))


def test_equal_trades_with_other_tokens_are_all_kept(engine: ScratchEngine) -> None:
    for offset in range(3):
        insert(engine, [Tick("AAPL", NOON, 10.0, 1, offset)], f"trades:0:{offset}-{offset}")
    assert read(engine, "candles_1m")[0][6:] == (3.0, 3)


def windows_of(prices: Sequence[tuple[float, float]], volumes: Sequence[float]) -> list[Tick]:
    """Two trades, lowest and highest, in each 30-second window from noon on."""
    return [
        Tick("AAPL", NOON + timedelta(seconds=30 * at + place), price, volumes[at] / 2, 2 * at + place)
        for at, pair in enumerate(prices)
        for place, price in enumerate(pair)
    ]


def test_anomalies_are_judged_by_the_five_windows_before(engine: ScratchEngine) -> None:
    flat = (100.0, 100.0)
    made = windows_of([flat] * 6 + [(106.0, 106.0), flat, (94.0, 94.0), (99.0, 102.0)], [10] * 7 + [31, 10, 10])
    insert(engine, made)
    rows = read(engine, "anomalies")
    starts = [NOON + timedelta(seconds=30 * at) for at in (6, 7, 8, 9)]
    assert [(row[1], row[2], row[3]) for row in rows] == [
        (starts[0], "['PRICE_SPIKE_UP']", 1),
        (starts[1], "['VOLUME_SPIKE']", 1),
        (starts[2], "['PRICE_SPIKE_DOWN']", 1),
        (starts[3], "['HIGH_VOLATILITY','PRICE_GAP']", 2),
    ]
    assert rows[0][4] == pytest.approx(6.0)
    assert rows[1][5] == pytest.approx(3.1)
    assert rows[1][4] == pytest.approx((100 / 101.2 - 1) * 100)
    assert rows[3][6] == pytest.approx(2.1213203)
    assert rows[3][7] == pytest.approx(3 / 100.5 * 100)


def test_with_fewer_windows_before_the_baseline_is_what_there_is_and_none_for_the_first(engine: ScratchEngine) -> None:
    insert(engine, windows_of([(100.0, 103.0), (110.0, 110.0)], [10, 40]))
    first, second = read(engine, "anomalies")
    assert first[2:6] == ("['HIGH_VOLATILITY','PRICE_GAP']", 2, None, None)
    assert second[2:4] == ("['PRICE_SPIKE_UP','VOLUME_SPIKE']", 2)
    assert second[4] == pytest.approx((110 / 101.5 - 1) * 100)
    assert second[5] == pytest.approx(4.0)


def test_a_window_of_one_trade_has_no_deviation_and_no_alarm(engine: ScratchEngine) -> None:
    insert(engine, [Tick("AAPL", NOON, 10.0, 1, 0)])
    assert read(engine, "windows_30s")[0][-1] is None
    assert read(engine, "anomalies") == []


@settings(max_examples=25)
@given(numbers=st.lists(st.floats(-1e26, 1e26, allow_subnormal=False), min_size=1, max_size=200))
def test_integer_units_are_exact(module_engine: ScratchEngine, numbers: list[float]) -> None:
    listed = ", ".join(map(repr, numbers))
    found = module_engine.rows(f"SELECT {exact_units('x')} FROM (SELECT arrayJoin([{listed}]::Array(Float64)) AS x)")
    assert [int(value) for (value,) in found] == [recomputed.units(number) for number in numbers]


# Between two doubles and one unit above their middle: rounded to 64 bits first, they would fall on the middle.
@settings(max_examples=25)
@example(numbers=[((2**53 + 1) << shift) + 1 for shift in range(12, 60)])
@given(numbers=st.lists(st.integers(-(2**126), 2**126), min_size=1, max_size=200))
def test_a_wide_sum_becomes_the_nearest_double(module_engine: ScratchEngine, numbers: list[int]) -> None:
    listed = ", ".join(f"toInt128('{number}')" for number in numbers)
    found = module_engine.rows(f"SELECT {nearest_double('x')} FROM (SELECT arrayJoin([{listed}]) AS x)")
    assert [float(value) for (value,) in found] == [float(number) for number in numbers]


@pytest.mark.parametrize(
    ("trade_ts", "seconds", "start"),
    [
        ("2026-03-02 12:00:59.999", 60, "2026-03-02 12:00:00.000000"),
        ("2026-03-02 12:01:00.000", 60, "2026-03-02 12:01:00.000000"),
        ("2026-03-02 12:00:44.999", 15, "2026-03-02 12:00:30.000000"),
        ("1969-12-31 23:59:59.999", 30, "1969-12-31 23:59:30.000000"),
    ],
)
def test_a_window_starts_at_a_multiple_of_its_length(
    module_engine: ScratchEngine,
    trade_ts: str,
    seconds: int,
    start: str,
) -> None:
    expression = window_start(seconds, f"toDateTime64('{trade_ts}', 3, 'UTC')")
    assert module_engine.rows(f"SELECT {expression}") == [(start,)]


def test_a_candle_read_by_symbol_and_time_reads_a_few_granules(engine: ScratchEngine) -> None:
    engine.command(
        "INSERT INTO speed.stock_realtime (symbol, trade_ts, price_usd, volume_shares) SELECT toString(number % 50), "
        "toDateTime64('2026-03-02 00:00:00', 3, 'UTC') + intDiv(number, 50) * 60, 10, 1 FROM numbers(50 * 1440)",
    )
    plan = engine.rows(
        "EXPLAIN indexes = 1 SELECT * FROM speed.candles_1m WHERE symbol = '7' "
        "AND minute_ts BETWEEN '2026-03-02 10:00:00' AND '2026-03-02 14:00:00'",
    )
    (granules,) = [line.split()[-1] for (line,) in plan if "Granules" in line][-1:]
    read_granules, all_granules = map(int, granules.split("/"))
    assert all_granules > 200
    assert read_granules <= 4
