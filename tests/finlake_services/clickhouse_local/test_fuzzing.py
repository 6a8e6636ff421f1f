"""A minute of attacks with a fixed seed; `fuzzing.py` tells what is attacked, and takes other seeds and longer times."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.finlake_services.clickhouse_local.endpoint import Server
from tests.finlake_services.clickhouse_local.fuzzing import Attacker, Canaries, attack

SECONDS, SEED = 60, 20260105


def test_a_seed_draws_the_same_attempts_again(tmp_path: Path) -> None:
    first, again, other = (
        list(islice(Attacker(seed, Canaries(tmp_path, "secret"), ("max_threads",)).attempts(), 200)) for seed in ("1", "1", "2")
    )
    assert first == again != other
    assert {attempt.user for attempt in first} == {"reader", "sink", "other_reader"}
    assert len({attempt.text for attempt in first}) > 60


@pytest.mark.slow
def test_no_attack_of_a_minute_gets_anything_out_or_brings_the_endpoint_down(
    new_server: Callable[[], Server],
    tmp_path: Path,
) -> None:
    findings = attack(new_server(), tmp_path, SECONDS, SEED)
    assert findings.faults == []
    assert findings.attempts > 100
    assert findings.answers["status 200"] > 5
