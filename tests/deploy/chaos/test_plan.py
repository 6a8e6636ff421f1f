"""Which process dies when: repeatable, and no target is left out by chance."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from deploy.chaos.plan import DAGSTER_TARGETS, STREAM_TARGETS, planned_kills

TARGETS = (*STREAM_TARGETS, *DAGSTER_TARGETS)


@given(st.integers(1, 60), st.integers())
def test_the_same_seed_gives_the_same_plan_in_which_targets_take_turns(count: int, seed: int) -> None:
    plan = planned_kills(count, seed, TARGETS, seconds_between=5)
    assert plan == planned_kills(count, seed, TARGETS, seconds_between=5)
    assert len(plan) == count
    kills = Counter({target: 0 for target in TARGETS})
    kills.update(kill.target for kill in plan)
    assert max(kills.values()) - min(kills.values()) <= 1


def test_another_seed_gives_another_order() -> None:
    orders = {tuple(kill.target for kill in planned_kills(9, seed, TARGETS, 5)) for seed in range(5)}
    assert len(orders) == 5


@given(st.integers(), st.floats(0, 60))
def test_pauses_stay_between_the_shortest_and_twice_the_mean(seed: int, mean_s: float) -> None:
    assert all(0.2 <= kill.pause_s <= max(0.2, 2 * mean_s) for kill in planned_kills(20, seed, TARGETS, mean_s))
