"""What no connection covered lies in a recorded gap."""

from hypothesis import given
from hypothesis import strategies as st

from finlake_services.trade_feed.gaps import GapLedger, GapReason
from finlake_services.trade_feed.rows import GapRow

REASONS: list[GapReason] = ["closed", "lost", "silence", "refused"]

# Connections one after the other: the times of the messages of each (none for one that never spoke), and how it ended.
histories = st.lists(st.tuples(st.lists(st.integers(1, 50), max_size=4), st.sampled_from(REASONS)), max_size=8)


@given(st.none() | st.integers(0, 1000), histories)
def test_messages_and_gaps_together_cover_all_time_without_overlap(
    stored_us: int | None,
    history: list[tuple[list[int], GapReason]],
) -> None:
    ledger = GapLedger(stored_us)
    now = stored_us or 0
    covered: list[tuple[int | None, int]] = []
    for number, (steps, reason) in enumerate(history):
        last = None
        for step in steps:
            now += step
            gap = ledger.spoke(str(number), now, ["AAPL"])
            assert (gap is not None) == (last is None)
            covered.append((gap.gap_start_us if gap else last, now))
            last = now
        ledger.ended(last, reason)
    # Each stretch begins where the one before it ended: nothing between them is left out.
    assert [start for start, _ in covered[1:]] == [end for _, end in covered[:-1]]
    assert not covered or covered[0][0] == stored_us


def test_a_gap_goes_from_the_last_message_to_the_first_and_says_why_it_began() -> None:
    ledger = GapLedger(None)
    assert ledger.spoke("a", 10, ["AAPL"]) == GapRow("a", None, 10, "process_start", ["AAPL"])
    assert ledger.spoke("a", 11, ["AAPL"]) is None
    ledger.ended(11, "silence")
    ledger.ended(None, "lost")
    assert ledger.spoke("c", 30, ["AAPL", "IBM"]) == GapRow("c", 11, 30, "silence", ["AAPL", "IBM"])


def test_a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_began() -> None:
    gap = GapLedger(100).spoke("a", 40, [])
    assert gap is not None
    assert (gap.gap_start_us, gap.gap_end_us) == (100, 100)
