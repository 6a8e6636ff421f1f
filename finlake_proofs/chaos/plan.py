"""What befalls which process when. Pure: the same seed gives the same plan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from deploy.local.service import ChaosRole
from deploy.local.services import SERVICES
from spark.contracts.engine import Engine

# The name of a service that has a role in chaos, or one of the two victims that are no services.
Target = str
Disk = Literal["postgres", "kafka", "clickhouse", "spark", "warehouse"]
Kind = Literal["kill", "kill_during_up", "freeze", "freeze_all", "full_disk"]

BACKEND: Target = "postgres_backend"
RUN: Target = "dagster_run"
NO_SERVICE: frozenset[Target] = frozenset({BACKEND, RUN})

# What runs of Dagster alone write to.
BATCH_DISKS: tuple[Disk, ...] = ("spark", "warehouse")
DISKS: tuple[Disk, ...] = ("postgres", "kafka", "clickhouse", *BATCH_DISKS)

SHORTEST_PAUSE_S, SHORTEST_FREEZE_S = 0.2, 5.0
SHORTEST_FULL_S, LONGEST_FULL_S = 5.0, 30.0
# So many kills for each pair, triple and so on; a plan of fewer has one pair and one freeze all the same.
KILLS_PER_PAIR, KILLS_PER_TRIPLE, KILLS_PER_UP, KILLS_PER_FREEZE, KILLS_PER_FREEZE_OF_ALL, KILLS_PER_DISK = 10, 20, 10, 10, 20, 8


def stream_services(*, avro: bool = False) -> tuple[Target, ...]:
    """The services through which trades flow."""
    return (*_with_role("stream"), *(_with_role("avro") if avro else ()))


def stream_targets(*, avro: bool = False) -> tuple[Target, ...]:
    """What may die while trades flow."""
    return (*stream_services(avro=avro), BACKEND)


def batch_targets(engine: Engine) -> tuple[Target, ...]:
    """What may die too when Dagster runs; the embedded engine dies with the run that it computes in."""
    return (*(archiving_targets() if engine == "spark" else ()), *_with_role("batch"), RUN)


def archiving_targets() -> tuple[Target, ...]:
    """The services that die in the middle of a run that archives, on Apache Spark."""
    return _with_role("archiving")


def single_targets() -> frozenset[Target]:
    """These need another process alive at the moment of their death, so they die alone."""
    return frozenset({*NO_SERVICE, *archiving_targets()})


def _with_role(role: ChaosRole) -> tuple[Target, ...]:
    return tuple(name for name, service in SERVICES.items() if service.chaos == role)


@dataclass(frozen=True)
class Fault:
    """What happens `pause_s` seconds after the fault before it.

    `targets` die at once, or stand still together for `lasts_s`; of a full disk there are none, and all of them of a freeze
    of everything.
    """

    kind: Kind
    pause_s: float
    targets: tuple[Target, ...] = ()
    disk: Disk | None = None
    lasts_s: float = 0.0

    @property
    def words(self) -> str:
        """The fault in one line."""
        names = " and ".join(self.targets)
        match self.kind:
            case "kill":
                said = f"kill {names}"
            case "kill_during_up":
                said = f"kill {names} while `finlake up` runs"
            case "freeze":
                said = f"freeze {names} for {self.lasts_s:.0f} s"
            case "freeze_all":
                said = f"freeze every process for {self.lasts_s:.0f} s"
            case "full_disk":
                said = f"the disk of {self.disk} is full for {self.lasts_s:.0f} s"
        return f"after {self.pause_s:4.1f} s {said}"


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What a plan is made of beside single kills. `longest_freeze_s` 0: nothing is frozen; `disks` may become full."""

    has_groups: bool = True
    has_kills_during_up: bool = True
    longest_freeze_s: float = 75.0
    disks: Sequence[Disk] = DISKS


def planned_faults(count: int, seed: int, targets: Sequence[Target], seconds_between: float, mix: Mix) -> list[Fault]:
    """`count` kills and what goes with them.

    Kills go in rounds: every target once in random order, then again, so that none is forgotten by chance. Some of them are
    then put together to pairs and triples, some happen while `finlake up` runs, and freezes and full disks come in between.
    Pauses are random with the mean `seconds_between`: some processes die while others still recover.
    """
    chosen = Random(seed)
    order: list[Target] = []
    while len(order) < count:
        order += chosen.sample(targets, len(targets))

    def pause_s() -> float:
        return max(SHORTEST_PAUSE_S, chosen.uniform(0, 2 * seconds_between))

    faults = [Fault("kill", pause_s(), (target,)) for target in order[:count]]
    if mix.has_groups:
        for size, times in ((3, count // KILLS_PER_TRIPLE), (2, max(1, count // KILLS_PER_PAIR))):
            for _ in range(times):
                faults = _together(faults, size, chosen)
    if mix.has_kills_during_up:
        for _ in range(count // KILLS_PER_UP):
            faults = _during_up(faults, chosen)
    return _among(faults, [*_freezes(count, targets, mix, chosen), *_full_disks(count, mix, chosen)], pause_s, chosen)


def _together(faults: list[Fault], size: int, chosen: Random) -> list[Fault]:
    """The faults with `size` neighbours, single kills so far, made one."""
    single = single_targets()
    positions = [
        position
        for position in range(len(faults) - size + 1)
        if all(len(fault.targets) == 1 and fault.targets[0] not in single for fault in faults[position : position + size])
        and len({fault.targets[0] for fault in faults[position : position + size]}) == size
    ]
    if not positions:
        return faults
    position = chosen.choice(positions)
    victims = tuple(fault.targets[0] for fault in faults[position : position + size])
    return [*faults[:position], replace(faults[position], targets=victims), *faults[position + size :]]


def _during_up(faults: list[Fault], chosen: Random) -> list[Fault]:
    single = single_targets()
    positions = [position for position, fault in enumerate(faults) if fault.kind == "kill" and fault.targets[0] not in single]
    if not positions:
        return faults
    position = chosen.choice(positions)
    return [*faults[:position], replace(faults[position], kind="kill_during_up"), *faults[position + 1 :]]


def _freezes(count: int, targets: Sequence[Target], mix: Mix, chosen: Random) -> list[Fault]:
    if mix.longest_freeze_s <= 0:
        return []

    def lasts_s() -> float:
        return chosen.uniform(min(SHORTEST_FREEZE_S, mix.longest_freeze_s), mix.longest_freeze_s)

    services = [target for target in targets if target not in NO_SERVICE]
    ones = [Fault("freeze", 0, (chosen.choice(services),), lasts_s=lasts_s()) for _ in range(max(1, count // KILLS_PER_FREEZE))]
    return [*ones, *(Fault("freeze_all", 0, lasts_s=lasts_s()) for _ in range(count // KILLS_PER_FREEZE_OF_ALL))]


def _full_disks(count: int, mix: Mix, chosen: Random) -> list[Fault]:
    disks: list[Disk] = []
    while mix.disks and len(disks) < count // KILLS_PER_DISK:
        disks += chosen.sample(mix.disks, len(mix.disks))
    return [
        Fault("full_disk", 0, disk=disk, lasts_s=chosen.uniform(SHORTEST_FULL_S, LONGEST_FULL_S))
        for disk in disks[: count // KILLS_PER_DISK]
    ]


def _among(faults: list[Fault], more: Sequence[Fault], pause_s: Callable[[], float], chosen: Random) -> list[Fault]:
    """The faults with more of them at random positions."""
    found = list(faults)
    for fault in more:
        found.insert(chosen.randint(0, len(found)), replace(fault, pause_s=pause_s()))
    return found
