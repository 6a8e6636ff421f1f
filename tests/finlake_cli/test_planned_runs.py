"""Which runs a span of dates becomes, and what is said of the parts that cannot be built."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_cli.planned_runs import ASSETS_OF, Buildable, NothingToRunError, RunPlan, planned_runs
from finlake_clients.calendar import TradingCalendar
from spark.contracts.runs import BY_DAY

HISTORY_START = date(2000, 1, 3)
# A Wednesday, two hours before the close.
NOW = datetime(2024, 5, 15, 18, tzinfo=UTC)
KNOWN = Buildable(calendar=TradingCalendar(), now=NOW, history_start=HISTORY_START)
HORIZON = KNOWN.calendar.last_session


def keys(plan: RunPlan) -> dict[str, tuple[date | None, date | None]]:
    return {run.job: (run.first_key, run.last_key) for run in plan.runs}


def missed(plan: RunPlan) -> list[str]:
    return [str(part) for part in plan.not_run]


def test_a_past_span_is_run_whole_and_nothing_is_said() -> None:
    plan = planned_runs(date(2018, 3, 12), date(2018, 3, 27), KNOWN)
    assert keys(plan) == {
        # News of the week-end belong to Monday's session.
        "lake_by_day": (date(2018, 3, 9), date(2018, 3, 27)),
        "lake_by_session": (date(2018, 3, 12), date(2018, 3, 27)),
        "lake_by_month": (date(2018, 3, 1), date(2018, 3, 1)),
    }
    assert plan.lines == ()


def test_swapped_dates_are_called_swapped_with_the_command_that_works() -> None:
    with pytest.raises(NothingToRunError, match="swapped; write --from 2018-03-01 --to 2018-03-27"):
        planned_runs(date(2018, 3, 27), date(2018, 3, 1), KNOWN)


def test_a_span_over_the_present_runs_its_past_and_names_the_rest() -> None:
    plan = planned_runs(date(2024, 5, 13), date(2024, 5, 17), KNOWN)
    assert keys(plan) == {
        "lake_by_day": (date(2024, 5, 10), date(2024, 5, 14)),
        "lake_by_session": (date(2024, 5, 13), date(2024, 5, 14)),
    }
    assert missed(plan) == [
        "2024-05-15 to 2024-05-17: not traded yet; the newest session that has closed is 2024-05-14",
        "2024-05-15 to 2024-05-17: no news; the newest day that is over in New York is 2024-05-14",
        "2024-05-01 to 2024-05-14: no gold/monthly_summary; the month is not over",
    ]
    assert plan.lines[0] == "run: lake_by_day 2024-05-10 to 2024-05-14"


def test_after_the_close_the_session_is_run_and_its_day_is_not_over() -> None:
    plan = planned_runs(
        date(2024, 5, 15),
        date(2024, 5, 15),
        Buildable(calendar=KNOWN.calendar, now=datetime(2024, 5, 15, 20, 30, tzinfo=UTC), history_start=HISTORY_START),
    )
    assert keys(plan) == {"lake_by_session": (date(2024, 5, 15), date(2024, 5, 15))}
    assert missed(plan)[0] == "2024-05-15: no news; the newest day that is over in New York is 2024-05-14"


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (
            date(2024, 5, 16),
            date(2024, 5, 17),
            "2024-05-16 to 2024-05-17: not traded yet; the newest session that has closed is 2024-05-14",
        ),
        (
            date(2034, 12, 1),
            date(2035, 1, 5),
            f"2034-12-01 to 2035-01-05: beyond the exchange's calendar, which is known up to {HORIZON}",
        ),
        (
            date(1999, 3, 1),
            date(1999, 3, 5),
            "1999-03-01 to 1999-03-05: before the history that finlake keeps, which begins 2000-01-03",
        ),
        (date(2018, 3, 30), date(2018, 3, 31), "2018-03-30 to 2018-03-31: the exchange has no session; choose a span with one"),
    ],
)
def test_a_span_of_which_nothing_can_be_built_is_refused_with_its_own_reason(first: date, last: date, said: str) -> None:
    with pytest.raises(NothingToRunError) as refusal:
        planned_runs(first, last, KNOWN)
    assert str(refusal.value) == f"nothing to run: {said}"


def test_a_span_from_before_the_history_to_beyond_the_calendar_is_told_part_by_part() -> None:
    parts = missed(planned_runs(date(1999, 1, 1), date(2035, 1, 1), KNOWN))
    assert [part.split(":")[0] for part in parts] == [
        "1999-01-01 to 2000-01-02",
        f"2024-05-15 to {HORIZON}",
        f"{HORIZON + timedelta(days=1)} to 2035-01-01",
        "1999-01-01 to 2015-02-17",
        "2024-05-15 to 2035-01-01",
        "2024-05-01 to 2024-05-14",
    ]


def test_news_before_gdelt_began_are_named_and_prices_are_run() -> None:
    plan = planned_runs(date(2015, 2, 2), date(2015, 2, 6), KNOWN)
    assert set(keys(plan)) == {"lake_by_session", "lake_by_month"}
    assert missed(plan) == ["2015-02-02 to 2015-02-06: no news; GDELT's 15-minute files begin 2015-02-18"]


def test_beyond_the_end_of_the_samples_dropped_files_are_run_and_it_is_said_so() -> None:
    samples = Buildable(calendar=KNOWN.calendar, now=NOW, history_start=HISTORY_START, sources_end=date(2018, 3, 27))
    plan = planned_runs(date(2018, 3, 26), date(2018, 4, 3), samples)
    assert keys(plan)["lake_by_session"] == (date(2018, 3, 26), date(2018, 4, 3))
    assert plan.remarks == ("2018-03-28 to 2018-04-03: the sample sources end 2018-03-27; prices come from dropped files alone",)


def test_news_of_a_week_end_are_run_when_they_alone_are_asked_for() -> None:
    plan = planned_runs(date(2023, 7, 1), date(2023, 7, 2), KNOWN, ASSETS_OF[BY_DAY])
    assert keys(plan) == {"lake_by_day": (date(2023, 6, 30), date(2023, 7, 2))}
    assert missed(plan) == ["2023-07-01 to 2023-07-02: the exchange has no session; choose a span with one"]


def test_an_unknown_table_is_named_beside_those_that_exist() -> None:
    with pytest.raises(NothingToRunError, match="fills no table gold/typo; it builds bronze/gdelt_gkg"):
        planned_runs(date(2018, 3, 26), date(2018, 3, 27), KNOWN, ("gold/typo",))


@pytest.mark.parametrize("table", ["gold/candles_1m", "silver/trades", "bronze/finnhub_trades_cdc"])
def test_a_table_of_the_live_stream_is_told_with_what_fills_it(table: str) -> None:
    with pytest.raises(NothingToRunError, match=f"^{table}: .* sensor stream_ranges .*FINLAKE_UNATTENDED=1 finlake up"):
        planned_runs(date(2018, 3, 26), date(2018, 3, 27), KNOWN, (table, "gold/indicators"))


DAYS = st.dates(date(1995, 1, 1), date(2040, 1, 1))
MINUTES = st.integers(0, 8 * 365 * 24 * 60)


@given(first=DAYS, last=DAYS, minutes=MINUTES)
def test_no_run_reaches_a_date_that_does_not_exist_yet(first: date, last: date, minutes: int) -> None:
    first, last = min(first, last), max(first, last)
    now = datetime(2016, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    known = Buildable(calendar=KNOWN.calendar, now=now, history_start=HISTORY_START)
    try:
        plan = planned_runs(first, last, known)
    except NothingToRunError:
        return
    for run in plan.runs:
        assert run.first_key is not None
        assert run.last_key is not None
        assert run.first_key <= run.last_key
        newest = {"lake_by_day": known.last_day, "lake_by_session": known.last_closed, "lake_by_month": known.last_month}
        assert run.last_key <= newest[run.job]
    built = keys(plan)["lake_by_session"]
    for part in plan.not_run:
        if part.why.startswith(("not traded", "before the history", "beyond")):
            assert part.last < built[0] or built[1] < part.first  # type: ignore[operator]
