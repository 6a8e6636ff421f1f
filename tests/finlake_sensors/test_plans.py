"""What the plans decide, as tables and properties: pure values in, pure values out."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_clients.calendar import TradingCalendar
from finlake_sensors.plans import (
    AFTER_CLOSE_HOURS,
    NEW_YORK,
    RESTATEMENT_ATTEMPTS,
    PartitionRange,
    RestatementPlan,
    Skip,
    after_close_span,
    arrival_span,
    beyond_sources,
    month_before,
    news_day,
    plan_after_close,
    plan_arrivals,
    plan_months,
    plan_news,
    plan_restatements,
)

CALENDAR = TradingCalendar()
START, NEWEST = date(2000, 1, 3), date(2018, 3, 27)
NOON = datetime(2018, 3, 28, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    name: str
    size: int = 10
    mtime: datetime = NOON


@dataclass(frozen=True)
class Pending:
    ticker: str
    file_sha256: str
    recompute_from_date: date
    needs_whole_history: bool = False


def test_a_file_arrives_at_the_second_look_at_which_it_is_the_same() -> None:
    first = plan_arrivals([Entry("aapl_us_d.csv")], None)
    assert (first.arrived, first.waiting) == ((), ("aapl_us_d.csv",))
    second = plan_arrivals([Entry("aapl_us_d.csv")], first.cursor)
    assert (second.arrived, second.waiting) == (("aapl_us_d.csv",), ())
    third = plan_arrivals([Entry("aapl_us_d.csv")], second.cursor)
    assert (third.arrived, third.waiting) == ((), ())


def test_a_growing_file_is_waited_for() -> None:
    cursor = None
    for size in (10, 20, 30):
        plan = plan_arrivals([Entry("d_us_txt.zip", size)], cursor)
        assert plan.arrived == ()
        cursor = plan.cursor
    assert plan_arrivals([Entry("d_us_txt.zip", 30)], cursor).arrived == ("d_us_txt.zip",)


def test_a_changed_file_arrives_again_under_another_key() -> None:
    old, new = [Entry("aapl_us_d.csv")], [Entry("aapl_us_d.csv", 11)]
    before = plan_arrivals(old, plan_arrivals(old, None).cursor)
    after = plan_arrivals(new, plan_arrivals(new, before.cursor).cursor)
    assert after.arrived == ("aapl_us_d.csv",)
    assert after.key != before.key


def test_a_file_that_went_away_and_came_back_arrives_again() -> None:
    here = [Entry("aapl_us_d.csv")]
    taken = plan_arrivals(here, plan_arrivals(here, None).cursor)
    gone = plan_arrivals([], taken.cursor)
    assert plan_arrivals(here, plan_arrivals(here, gone.cursor).cursor).arrived == ("aapl_us_d.csv",)


@pytest.mark.parametrize("name", ["aapl_us_d.csv.part", "d_us_txt.zip.crdownload", "notes.md", "readme"])
def test_files_that_are_no_data_are_left_alone(name: str) -> None:
    plan = plan_arrivals([Entry(name)], plan_arrivals([Entry(name)], None).cursor)
    assert (plan.arrived, plan.waiting) == ((), ())


def test_a_packed_file_arrives_so_that_a_run_says_that_it_is_not_read() -> None:
    here = [Entry("ko_us_d.csv.gz")]
    assert plan_arrivals(here, plan_arrivals(here, None).cursor).arrived == ("ko_us_d.csv.gz",)


listings_of_a_folder = st.lists(
    st.dictionaries(st.sampled_from(["a.csv", "b.csv", "c.zip"]), st.integers(1, 3)), min_size=1, max_size=8
)


@given(listings_of_a_folder)
def test_every_state_that_stays_is_taken_and_no_other(listings: list[dict[str, int]]) -> None:
    cursor, taken = None, []
    for listing in listings:
        plan = plan_arrivals([Entry(name, size) for name, size in listing.items()], cursor)
        taken += [(name, listing[name]) for name in plan.arrived]
        cursor = plan.cursor
    seen_twice = {(name, size) for one, two in pairwise(listings) for name, size in two.items() if one.get(name) == size}
    assert set(taken) == seen_twice
    last = listings[-1]
    final = plan_arrivals([Entry(name, size) for name, size in last.items()], cursor)
    again = plan_arrivals([Entry(name, size) for name, size in last.items()], final.cursor)
    assert again.arrived == ()


@pytest.mark.parametrize(
    ("tickers", "known", "span"),
    [
        (["AAPL", "MSFT"], {}, PartitionRange(start=START, end=NEWEST)),
        (["AAPL"], {"AAPL": date(2018, 3, 22)}, PartitionRange(start=date(2018, 3, 23), end=NEWEST)),
        (["AAPL", "MSFT"], {"AAPL": NEWEST}, PartitionRange(start=START, end=NEWEST)),  # MSFT is new
        (["AAPL"], {"AAPL": NEWEST}, PartitionRange(start=NEWEST, end=NEWEST)),  # nothing new, perhaps a restatement
        ([], {}, PartitionRange(start=NEWEST, end=NEWEST)),  # of no ticker of the universe: a run says so
        (["IBM"], {"IBM": date(2013, 3, 1)}, PartitionRange(start=date(2013, 3, 4), end=NEWEST)),
    ],
)
def test_arrivals_fill_what_is_not_known(tickers: list[str], known: dict[str, date], span: PartitionRange) -> None:
    assert arrival_span(tickers, known, NEWEST, START, CALENDAR) == span


def plan(pending: list[Pending], cursor: str | None = None, is_running: bool = False) -> RestatementPlan:
    return plan_restatements(pending, cursor, history_start=START, newest=NEWEST, is_running=is_running, calendar=CALENDAR)


SPLIT = Pending("AAPL", "a" * 64, date(2014, 6, 9))
DIVIDEND = Pending("MSFT", "b" * 64, date(2018, 2, 14))


def test_no_restatement_requests_nothing() -> None:
    assert plan([]).decision == Skip(reason="no restatement is pending")


def test_a_restatement_is_recomputed_from_the_first_session_it_changes() -> None:
    assert plan([DIVIDEND]).decision == PartitionRange(start=date(2018, 2, 14), end=NEWEST)


def test_several_restatements_are_one_request_from_the_earliest() -> None:
    assert plan([DIVIDEND, SPLIT]).decision == PartitionRange(start=date(2014, 6, 9), end=NEWEST)


def test_a_boundary_on_a_holiday_begins_with_the_next_session() -> None:
    good_friday = replace(DIVIDEND, recompute_from_date=date(2018, 2, 19))
    assert plan([good_friday]).decision == PartitionRange(start=date(2018, 2, 20), end=NEWEST)


def test_a_restatement_older_than_the_history_begins_with_it() -> None:
    assert plan([replace(SPLIT, recompute_from_date=date(1987, 6, 15))]).decision == PartitionRange(start=START, end=NEWEST)


def test_a_partial_restatement_asks_for_the_whole_history_of_its_ticker() -> None:
    found = plan([replace(SPLIT, needs_whole_history=True), DIVIDEND])
    assert found.whole_history == ("AAPL",)
    assert plan([SPLIT, DIVIDEND]).whole_history == ()


def test_nothing_is_requested_while_a_recomputation_runs() -> None:
    first = plan([SPLIT])
    waiting = plan([SPLIT], first.cursor, is_running=True)
    assert isinstance(waiting.decision, Skip)
    assert waiting.cursor == first.cursor


def test_a_recomputation_that_fails_is_repeated_a_few_times_and_then_waits_for_a_person() -> None:
    cursor, keys = None, set()
    for _ in range(RESTATEMENT_ATTEMPTS):
        attempt = plan([SPLIT], cursor)
        assert isinstance(attempt.decision, PartitionRange)
        keys.add(attempt.key)
        cursor = attempt.cursor
    assert len(keys) == RESTATEMENT_ATTEMPTS
    last = plan([SPLIT], cursor)
    assert isinstance(last.decision, Skip)
    assert "AAPL: still pending after 3" in last.decision.reason
    # Another restatement is not held up by it.
    assert plan([SPLIT, DIVIDEND], last.cursor).decision == PartitionRange(start=date(2018, 2, 14), end=NEWEST)


def test_a_restatement_that_was_recomputed_is_forgotten() -> None:
    done = plan([], plan([SPLIT]).cursor)
    assert isinstance(plan([SPLIT], done.cursor).decision, PartitionRange)


@pytest.mark.parametrize(
    ("now", "decision"),
    [
        ("2026-11-20T18:00-05:00", date(2026, 11, 20)),  # two hours after an ordinary close
        ("2026-03-09T18:00-04:00", date(2026, 3, 9)),  # the first session in summer time
        ("2026-11-20T15:00-05:00", "closes at 21:00Z"),  # still trading
        ("2026-11-27T15:00-05:00", date(2026, 11, 27)),  # early close at 13:00
        ("2026-11-27T18:00-05:00", "was asked for at 15:00"),
        ("2026-11-26T18:00-05:00", "2026-11-26 is no session"),  # Thanksgiving
        ("2026-07-03T18:00-04:00", "2026-07-03 is no session"),  # a full holiday on a Friday
        ("2026-11-21T18:00-05:00", "2026-11-21 is no session"),  # Saturday
    ],
)
def test_prices_are_asked_for_once_after_each_close(now: str, decision: date | str) -> None:
    found = plan_after_close(datetime.fromisoformat(now), CALENDAR)
    if isinstance(decision, str):
        assert isinstance(found, Skip)
        assert decision in found.reason
    else:
        assert found == decision


@given(st.sampled_from(CALENDAR.sessions(date(2015, 1, 1), date(2026, 11, 1))))
def test_every_session_is_asked_for_by_exactly_one_tick(session: date) -> None:
    ticks = [datetime.combine(session, time(hour), NEW_YORK) for hour in AFTER_CLOSE_HOURS]
    assert [plan_after_close(tick, CALENDAR) for tick in ticks].count(session) == 1


@pytest.mark.parametrize(
    ("known", "span"),
    [
        (date(2018, 3, 26), PartitionRange(start=NEWEST, end=NEWEST)),
        (date(2018, 3, 21), PartitionRange(start=date(2018, 3, 22), end=NEWEST)),  # three missed sessions
        (NEWEST, PartitionRange(start=NEWEST, end=NEWEST)),
        (None, PartitionRange(start=START, end=NEWEST)),
    ],
)
def test_missed_sessions_are_made_up_for(known: date | None, span: PartitionRange) -> None:
    assert after_close_span(NEWEST, known, START, CALENDAR) == span


def test_news_are_those_of_the_day_that_is_over_in_new_york() -> None:
    assert news_day(datetime(2026, 11, 21, 5, 40, tzinfo=UTC)) == date(2026, 11, 20)
    assert news_day(datetime(2026, 11, 21, 4, 40, tzinfo=UTC)) == date(2026, 11, 19)


def test_a_day_with_all_its_slots_is_not_fetched_again() -> None:
    assert plan_news(NEWEST, 95, 96) == NEWEST
    assert plan_news(NEWEST, 96, 96) == Skip(reason="all 96 slots of 2018-03-27 are loaded")


def test_the_month_before_ends_with_new_york_time() -> None:
    assert month_before(datetime(2026, 1, 1, 4, tzinfo=UTC)) == date(2025, 11, 1)
    assert month_before(datetime(2026, 1, 1, 6, tzinfo=UTC)) == date(2025, 12, 1)


@pytest.mark.parametrize(
    ("span", "months"),
    [
        (
            PartitionRange(start=date(2018, 1, 15), end=date(2018, 3, 27)),
            PartitionRange(start=date(2018, 1, 1), end=date(2018, 3, 1)),
        ),
        (
            PartitionRange(start=date(2026, 9, 15), end=date(2026, 11, 20)),
            PartitionRange(start=date(2026, 9, 1), end=date(2026, 10, 1)),
        ),
        (PartitionRange(start=date(2026, 11, 2), end=date(2026, 11, 20)), Skip(reason="the month of 2026-11-02 is not over")),
    ],
)
def test_only_months_that_are_over_follow_their_sessions(span: PartitionRange, months: PartitionRange | Skip) -> None:
    assert plan_months(span, datetime(2026, 11, 21, 12, tzinfo=UTC)) == months


def test_sample_sources_end() -> None:
    assert beyond_sources(NEWEST, NEWEST) is None
    assert beyond_sources(date(2026, 11, 20), None) is None
    ended = beyond_sources(date(2018, 3, 28), NEWEST)
    assert ended is not None
    assert "end on 2018-03-27" in ended.reason
