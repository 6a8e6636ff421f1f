"""Where a partition is taken up by what the group, its log and ClickHouse say."""

import pytest

from finlake_services.clickhouse_sink.exactly_once import InFlightBlock, Partition, Resumption, TopicReplacedError
from finlake_services.clickhouse_sink.opening import Opening

COMMITTED = Resumption(5, InFlightBlock(5, 7))


def opening(*, is_first_commit: bool) -> Opening:
    return Opening(Partition("trades", 0), "speed.trades", COMMITTED, is_first_commit, low=2, high=10)


@pytest.mark.parametrize("held", [None, 4, 9])
def test_what_the_group_committed_counts_whatever_clickhouse_holds(held: int | None) -> None:
    found = opening(is_first_commit=False)
    assert (found.after(held), found.has_forgotten(held)) == (COMMITTED, False)


def test_where_the_group_has_no_commit_the_table_counts() -> None:
    found = opening(is_first_commit=True)
    assert (found.after(None), found.has_forgotten(None)) == (COMMITTED, False)
    assert (found.after(6), found.has_forgotten(6)) == (Resumption(7), True)


@pytest.mark.parametrize("is_first_commit", [True, False])
def test_rows_from_beyond_the_logs_end_are_another_topics(is_first_commit: bool) -> None:
    with pytest.raises(TopicReplacedError, match="offset 10 of trades:0 but the log ends at 10.*Empty speed.trades"):
        opening(is_first_commit=is_first_commit).after(10)
