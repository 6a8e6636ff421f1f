"""Hops from station to station, and the durations that people write."""

from datetime import timedelta

import pytest

from finlake_proofs.bench.hops import SPANS, DurationError, Hop, Hops, clock_remarks, duration


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400)])
def test_durations_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m5", "5 m", "0s", "-3s", "1.5h", "5w"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(DurationError, match="write it like"):
        duration(text)


def test_hops_lead_from_receipt_to_insertion_without_a_gap() -> None:
    assert [span[0] for span in SPANS[1:-1]] == [span[1] for span in SPANS[:-2]]
    assert SPANS[-1] == ("received_ts", "inserted_ts")


def hop(start: str, end: str, negative_count: int = 0) -> Hop:
    return Hop(start=start, end=end, p50_ms=1, p99_ms=2, max_ms=3, negative_count=negative_count)


def test_hops_are_named_by_their_stations_and_the_whole_way_is_the_total() -> None:
    hops = Hops(row_count=1, hops=tuple(hop(*span) for span in SPANS))
    assert hops.named("received → committed") == hops.hops[0]
    assert hops.hops[-1].name == "total"


def test_rows_that_arrived_before_they_left_are_owed_to_clocks() -> None:
    remarks = clock_remarks(Hops(row_count=9, hops=(hop("captured_ts", "appended_ts", negative_count=3),)))
    assert remarks[0] == "3 rows have a negative captured → appended: clocks differ"
    assert len(clock_remarks(Hops(row_count=9, hops=(hop("captured_ts", "appended_ts"),)))) == 1
