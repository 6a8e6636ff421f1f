"""How far a table stands in the stream, as its snapshots say it: positions never go back, gaps between ranges are found."""

from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.report import OffsetRange
from spark.lake.snapshots import Progress, gaps_between

TOPIC = "finlake.ods.finnhub_trades"


def offsets(first: int, end: int, partition: int = 0) -> OffsetRange:
    return OffsetRange(topic=TOPIC, partition=partition, first=first, end=end)


def test_a_commit_says_what_it_brings_and_carries_every_other_partition_on() -> None:
    progress = Progress(positions={(TOPIC, 0): 20}, ranges=(offsets(10, 20),))
    assert progress.properties({(TOPIC, 0): 10, (TOPIC, 1): 7}) == {
        f"finlake.position.{TOPIC}.0": "20",
        f"finlake.position.{TOPIC}.1": "7",
        f"finlake.offsets.{TOPIC}.0": "10-20",
    }


def test_a_commit_that_comes_late_moves_no_position_back() -> None:
    late = Progress(positions={(TOPIC, 0): 20})
    assert late.properties({(TOPIC, 0): 50}) == {f"finlake.position.{TOPIC}.0": "50"}
    assert late.is_shown_by({(TOPIC, 0): 50})
    assert late.is_shown_by({(TOPIC, 0): 20})
    assert not late.is_shown_by({(TOPIC, 0): 19})
    assert not late.is_shown_by({(TOPIC, 1): 50})


def test_offsets_before_the_first_range_are_missed_only_where_the_whole_history_is_known() -> None:
    assert gaps_between([offsets(5, 9)], is_whole_history=False) == []
    assert gaps_between([offsets(5, 9)], is_whole_history=True) == [offsets(0, 5)]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_gaps_are_exactly_the_offsets_that_no_range_brought(steps: list[tuple[int, int, int]]) -> None:
    ranges: list[OffsetRange] = []
    missing: set[tuple[int, int]] = set()
    at = {0: 0, 1: 0}
    for partition, skipped, count in steps:
        first = at[partition] + skipped
        missing |= {(partition, offset) for offset in range(at[partition], first)}
        ranges.append(offsets(first, first + count, partition))
        at[partition] = first + count
    gaps = gaps_between(ranges, is_whole_history=True)
    assert {(gap.partition, offset) for gap in gaps for offset in range(gap.first, gap.end)} == missing


def test_a_range_that_was_written_twice_is_no_gap() -> None:
    assert gaps_between([offsets(0, 9), offsets(0, 9), offsets(9, 12)], is_whole_history=True) == []
