"""Alerts: told once when something turns bad, once when it is well again, and not at all for a hiccup."""

from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from finlake_sensors.alert_plans import (
    LOOKS_BEFORE_ALERT,
    AlertPlan,
    alert_message,
    plan_alerts,
    remembered,
    run_message,
)

NOW = datetime(2026, 11, 20, 16, tzinfo=UTC)


@dataclass(frozen=True)
class Seen:
    name: str
    is_bad: bool
    text: str = "because"


def looks(*series: list[bool], is_sent: bool = True) -> list[AlertPlan]:
    """Plans of one look after the other; a look is a list of conditions a, b, c…, true for bad."""
    plans: list[AlertPlan] = []
    cursor = None
    for look in series:
        found = [Seen(chr(97 + position), is_bad) for position, is_bad in enumerate(look)]
        plans.append(plan_alerts(found, remembered(cursor), None))
        cursor = plans[-1].cursor if is_sent else plans[-1].unsent_cursor
    return plans


def test_one_bad_look_is_a_hiccup() -> None:
    assert [plan.is_news for plan in looks([True], [False], [True], [False])] == [False] * 4


def test_a_condition_is_told_once_and_once_more_when_it_is_well_again() -> None:
    plans = looks([True], [True], [True], [True], [False], [False])
    assert [(list(plan.turned_bad), list(plan.turned_well)) for plan in plans] == [
        ([], []),
        (["a"], []),
        ([], []),
        ([], []),
        ([], ["a"]),
        ([], []),
    ]


def test_news_that_could_not_be_sent_are_news_again() -> None:
    plans = looks([True], [True], [True], is_sent=False)
    assert [list(plan.turned_bad) for plan in plans] == [[], ["a"], ["a"]]
    told = plan_alerts([Seen("a", is_bad=True)], remembered(plans[1].cursor), None)
    well = plan_alerts([Seen("a", is_bad=False)], remembered(told.cursor), None)
    again = plan_alerts([Seen("a", is_bad=False)], remembered(well.unsent_cursor), None)
    assert (well.turned_well, again.turned_well) == (("a",), ("a",))


def test_a_condition_that_is_no_longer_asked_about_is_well() -> None:
    plans = looks([True, True], [True, True], [True])
    assert plans[-1].turned_well == ("b",)


def test_a_cursor_of_another_form_counts_as_none() -> None:
    for cursor in (None, "", "{", "[]", "3", '{"told": 3}', '{"bad_looks": {"a": "x"}}', '{"reported_ts": "soon"}'):
        assert remembered(cursor).alerted == frozenset()


def test_when_assets_were_reported_is_kept() -> None:
    assert remembered(plan_alerts([], remembered(None), NOW).cursor).reported_ts == NOW


@given(st.lists(st.lists(st.booleans(), min_size=2, max_size=2), max_size=30))
def test_bad_and_well_are_told_in_turn(series: list[list[bool]]) -> None:
    for position, name in enumerate("ab"):
        told: list[str] = []
        for plan in looks(*series):
            told += ["bad"] * (name in plan.turned_bad) + ["well"] * (name in plan.turned_well)
        assert told == ["bad" if number % 2 == 0 else "well" for number in range(len(told))]
        states = [look[position] for look in series]
        ends_bad = len(states) >= LOOKS_BEFORE_ALERT and all(states[-LOOKS_BEFORE_ALERT:])
        if ends_bad:
            assert told[-1:] == ["bad"]
        if states and not states[-1]:
            assert told[-1:] in ([], ["well"])


def test_a_message_says_where_what_and_what_to_do() -> None:
    (_, plan) = looks([True, False], [True, False])
    message = alert_message(plan, "local", NOW)
    assert message["text"] == "finlake (local)\nBAD a: because"
    assert message["turned_bad"] == {"a": "because"}


def test_the_message_about_a_run_leads_to_it() -> None:
    message = run_message(
        job="lake_by_session",
        run_id="r1",
        partitions="2026-11-19",
        failed_steps=["gold__indicators"],
        installation="production",
        url="http://127.0.0.1:3000/",
    )
    assert message["text"] == (
        "finlake (production)\nBAD run of lake_by_session over 2026-11-19 failed; failed steps: gold__indicators. "
        "See http://127.0.0.1:3000/runs/r1"
    )
