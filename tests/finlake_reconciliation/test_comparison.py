"""Random losses, doublings and changes in any engine are found and named; equal rows in any order give no finding."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from finlake_reconciliation.buckets import US_PER_HOUR, Bucket, Buckets, Content, Tally, merged, row_count
from finlake_reconciliation.comparison import SHOWN_IDS, Ids, RowDifferences, Rows, compare_rows, different_buckets


@dataclass(frozen=True)
class Trade:
    """One row as every engine would tell it."""

    row_id: str
    symbol: str
    received_us: int
    content: Content


def trade(number: int, symbol: str, hour: int, price: int, volume: int) -> Trade:
    return Trade(f"connection:{number}:0", symbol, hour * US_PER_HOUR + number, Content((price, volume), number))


@st.composite
def trades(draw: st.DrawFn) -> list[Trade]:
    count = draw(st.integers(min_value=1, max_value=40))
    return [
        trade(
            number,
            draw(st.sampled_from(["AAPL", "MSFT", "BINANCE:BTCUSDT"])),
            draw(st.integers(480_000, 480_003)),
            draw(st.integers(-10, 10**14)),
            draw(st.integers(0, 10**12)),
        )
        for number in range(count)
    ]


def buckets_of(rows: Sequence[Trade]) -> Buckets:
    tally = Tally()
    for row in rows:
        tally.add(row.row_id, row.symbol, row.received_us, row.content)
    return tally.buckets()


def rows_of(rows: Sequence[Trade], buckets: Sequence[Bucket]) -> Rows:
    found: dict[str, list[Content]] = {}
    for row in rows:
        if Bucket(row.symbol, row.received_us // US_PER_HOUR) in buckets:
            found.setdefault(row.row_id, []).append(row.content)
    return found


def compared(expected: Sequence[Trade], found: Sequence[Trade]) -> RowDifferences:
    """Bucket by bucket first, then row by row where sums differ, as for every engine."""
    different = different_buckets(buckets_of(expected), buckets_of(found))
    return compare_rows(rows_of(expected, different), rows_of(found, different))


@given(trades(), st.data())
def test_equal_rows_in_any_order_and_any_parts_give_no_finding(rows: list[Trade], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    split = data.draw(st.integers(0, len(rows)))
    together = merged([buckets_of(shuffled[:split]), buckets_of(shuffled[split:])])
    assert different_buckets(buckets_of(rows), together) == []
    assert row_count(together) == len(rows)


@given(trades(), st.data())
def test_lost_and_doubled_rows_are_counted_and_named(rows: list[Trade], data: st.DataObject) -> None:
    fates = data.draw(st.lists(st.sampled_from(["kept", "lost", "doubled"]), min_size=len(rows), max_size=len(rows)))
    times = {"kept": 1, "lost": 0, "doubled": 2}
    found = [row for row, fate in zip(rows, fates, strict=True) for _ in range(times[fate])]
    named = {fate: sorted(row.row_id for row, own in zip(rows, fates, strict=True) if own == fate) for fate in times}
    differences = compared(rows, data.draw(st.permutations(found)))
    assert differences.missing == Ids(count=len(named["lost"]), first=tuple(named["lost"][:SHOWN_IDS]))
    assert differences.doubled == Ids(count=len(named["doubled"]), first=tuple(named["doubled"][:SHOWN_IDS]))
    assert differences.fault_count == len(named["lost"]) + len(named["doubled"])


@given(trades(), st.data())
def test_a_row_lost_and_another_doubled_in_the_same_bucket_do_not_cancel_out(rows: list[Trade], data: st.DataObject) -> None:
    twin = trade(1000, rows[0].symbol, rows[0].received_us // US_PER_HOUR, *rows[0].content.numbers)
    differences = compared([*rows, twin], [*rows, rows[0]])
    assert (differences.missing.first, differences.doubled.first) == ((twin.row_id,), (rows[0].row_id,))


@given(trades(), st.data())
def test_a_row_with_another_number_is_changed_and_neither_lost_nor_doubled(rows: list[Trade], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    (price, volume), event_us = rows[place].content
    other = Trade(rows[place].row_id, rows[place].symbol, rows[place].received_us, Content((price + 1, volume), event_us))
    differences = compared(rows, [*rows[:place], other, *rows[place + 1 :]])
    assert differences.changed.first == (other.row_id,)
    assert differences.fault_count == 1


@given(trades())
def test_rows_that_nobody_expects_are_named(rows: list[Trade]) -> None:
    stranger = trade(1000, "AAPL", 480_000, 1, 1)
    assert compared(rows, [*rows, stranger]).unexpected == Ids(count=1, first=(stranger.row_id,))


def test_a_row_that_postgres_deleted_later_is_explained_and_no_fault() -> None:
    rows = [trade(1, "AAPL", 480_000, 1, 1)]
    differences = compare_rows({}, rows_of(rows, [Bucket("AAPL", 480_000)]), explained={rows[0].row_id})
    assert differences.explained.count == 1
    assert differences.fault_count == 0


def test_a_row_expected_twice_and_found_once_is_missing() -> None:
    row = trade(1, "AAPL", 480_000, 1, 1)
    assert compare_rows({row.row_id: [row.content] * 2}, {row.row_id: [row.content]}).missing.count == 1


def test_only_the_first_ids_are_named_and_all_are_counted() -> None:
    rows = [trade(number, "AAPL", 480_000, 1, 1) for number in range(100)]
    missing = compared(rows, []).missing
    assert (missing.count, len(missing.first)) == (100, SHOWN_IDS)
    assert Counter(missing.first).most_common(1)[0][1] == 1
