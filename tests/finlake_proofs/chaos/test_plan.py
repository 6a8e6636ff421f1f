"""What befalls which process when: repeatable, no target is left out by chance, and every kind of fault has its turn."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_proofs.chaos.plan import (
    DISKS,
    NO_SERVICE,
    Fault,
    Mix,
    Target,
    batch_targets,
    planned_faults,
    single_targets,
    stream_targets,
)

TARGETS = (*stream_targets(), *batch_targets("spark"))
ALONE = Mix(has_groups=False, has_kills_during_up=False, longest_freeze_s=0, disks=())
mixes = st.builds(
    Mix,
    has_groups=st.booleans(),
    has_kills_during_up=st.booleans(),
    longest_freeze_s=st.sampled_from([0.0, 1.0, 6.0, 75.0]),
    disks=st.sampled_from([(), DISKS, ("kafka",)]),
)


def killed(faults: list[Fault]) -> Counter[Target]:
    return Counter(target for fault in faults if fault.kind in ("kill", "kill_during_up") for target in fault.targets)


def test_what_may_die_is_every_engine_and_feed_of_the_stream_and_what_archives() -> None:
    assert sorted(stream_targets()) == [
        "capture_keeper",
        "clickhouse",
        "clickhouse_sink",
        "kafka",
        "kafka_connect",
        "postgres",
        "postgres_backend",
        "trade_feed",
    ]
    assert sorted(batch_targets("spark")) == ["dagster_code_server", "dagster_daemon", "dagster_run", "spark_connect"]
    assert {*batch_targets("spark")} - {*batch_targets("embedded")} == {"spark_connect"}
    assert single_targets() == {"postgres_backend", "dagster_run", "spark_connect"}


@given(st.integers(1, 60), st.integers(), mixes)
def test_the_same_seed_gives_the_same_plan_in_which_targets_take_turns(count: int, seed: int, mix: Mix) -> None:
    plan = planned_faults(count, seed, TARGETS, 5, mix)
    assert plan == planned_faults(count, seed, TARGETS, 5, mix)
    kills = killed(plan)
    assert kills.total() == count
    assert max(kills.values()) - min(kills[target] for target in TARGETS) <= 1


@given(st.integers(1, 60), st.integers(), mixes)
def test_what_dies_together_can_and_what_stands_still_is_a_service(count: int, seed: int, mix: Mix) -> None:
    for fault in planned_faults(count, seed, TARGETS, 5, mix):
        assert len(set(fault.targets)) == len(fault.targets) <= 3
        if len(fault.targets) > 1 or fault.kind == "kill_during_up":
            assert not single_targets() & set(fault.targets)
        if fault.kind == "freeze":
            assert not NO_SERVICE & set(fault.targets)
        if fault.kind in ("freeze", "freeze_all"):
            assert min(5.0, mix.longest_freeze_s) <= fault.lasts_s <= mix.longest_freeze_s
        assert (fault.disk is not None) == (fault.kind == "full_disk")
        assert fault.disk is None or fault.disk in mix.disks
        assert fault.words.startswith("after ")


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_kills_hold_every_kind_of_fault(seed: int) -> None:
    plan = planned_faults(100, seed, TARGETS, 5, Mix())
    kinds = Counter(fault.kind for fault in plan)
    sizes = Counter(len(fault.targets) for fault in plan if fault.kind in ("kill", "kill_during_up"))
    assert (kinds["kill_during_up"], kinds["freeze"], kinds["freeze_all"], kinds["full_disk"]) == (10, 10, 5, 12)
    assert (sizes[2], sizes[3]) == (10, 5)
    assert {fault.disk for fault in plan if fault.disk} == set(DISKS)


def test_ten_kills_hold_a_pair_and_a_freeze() -> None:
    plan = planned_faults(10, 20261121, stream_targets(), 2.5, Mix(has_kills_during_up=False, longest_freeze_s=6, disks=()))
    assert Counter(fault.kind for fault in plan) == {"kill": 9, "freeze": 1}
    assert sorted(len(fault.targets) for fault in plan) == [1] * 9 + [2]


def test_kills_alone_are_kills_alone() -> None:
    plan = planned_faults(30, 1, TARGETS, 5, ALONE)
    assert {(fault.kind, len(fault.targets)) for fault in plan} == {("kill", 1)}


def test_another_seed_gives_another_order() -> None:
    orders = {tuple(fault.targets for fault in planned_faults(9, seed, TARGETS, 5, ALONE)) for seed in range(5)}
    assert len(orders) == 5


@given(st.integers(), st.floats(0, 60))
def test_pauses_stay_between_the_shortest_and_twice_the_mean(seed: int, mean_s: float) -> None:
    assert all(0.2 <= fault.pause_s <= max(0.2, 2 * mean_s) for fault in planned_faults(20, seed, TARGETS, mean_s, Mix()))
