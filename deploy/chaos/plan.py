"""Which process is killed when. Pure: the same seed gives the same plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Target = Literal[
    "trade_feed", "postgres", "postgres_backend", "kafka_connect", "kafka", "clickhouse_sink", "clickhouse",
    "dagster_daemon", "dagster_run",
]
STREAM_TARGETS: tuple[Target, ...] = (
    "trade_feed", "postgres", "postgres_backend", "kafka_connect", "kafka", "clickhouse_sink", "clickhouse")
DAGSTER_TARGETS: tuple[Target, ...] = ("dagster_daemon", "dagster_run")
SHORTEST_PAUSE_S = 0.2


@dataclass(frozen=True)
class Kill:
    """A target, and how many seconds after the kill before it its turn comes."""

    target: Target
    pause_s: float


def planned_kills(count: int, seed: int, targets: Sequence[Target], seconds_between: float) -> list[Kill]:
    """Kills in rounds: every target once in random order, then again, so that none is forgotten by chance.

    Pauses are random with the mean `seconds_between`: some processes die while others still recover.
    """
    chosen = Random(seed)
    kills: list[Kill] = []
    while len(kills) < count:
        for target in chosen.sample(targets, len(targets)):
            kills.append(Kill(target, max(SHORTEST_PAUSE_S, chosen.uniform(0, 2 * seconds_between))))
    return kills[:count]
