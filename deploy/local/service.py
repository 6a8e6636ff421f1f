"""What a service of the stack is: one record, and what its functions are given.

The records stand in deploy/local/services.py, their functions in deploy/local/engines.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deploy.local.java import Java
from deploy.local.layout import Layout
from deploy.local.ports import Ports
from deploy.local.postgres import Cluster
from deploy.local.settings import StackSettings
from finlake_settings.checkout import CHECKOUT


@dataclass(frozen=True)
class StackContext:
    """One stack: its folders, and its ports and variables."""

    layout: Layout
    settings: StackSettings

    @property
    def ports(self) -> Ports:
        return self.settings.ports


@dataclass(frozen=True)
class ServiceContext(StackContext):
    """What the functions of the service `name` are given."""

    name: str

    @property
    def port(self) -> int:
        """The service's own port."""
        return self.ports[self.name]


@dataclass(frozen=True)
class Launch(ServiceContext):
    """What the command line of a service is made of; the engines' configuration files are written."""

    cluster: Cluster
    java: Java


@dataclass(frozen=True)
class Process(ServiceContext):
    """The process of a service, which started at Unix second `started`."""

    started: int


@dataclass(frozen=True)
class Stage(StackContext):
    """A starting stack. `fresh`: none of its processes ran before. `report` takes one line per step."""

    fresh: bool
    report: Callable[[str], None]


# Returns a command line, in which no secret may stand.
Command = Callable[[Launch], list[str]]

# Asks a service what a client would ask. Raises NotReadyError or BrokenError.
Probe = Callable[[Process], None]

# Safe to repeat: each `up` takes the steps of all services that it was asked for.
Step = Callable[[Stage], None]

# How `finlake chaos` kills a service: `stream` while trades flow, `avro` while they flow as that, `batch` when Dagster runs too,
# and `archiving` in the middle of a run that needs it, and so alone.
ChaosRole = Literal["stream", "avro", "batch", "archiving"]


def repository(_: Layout) -> Path:
    return CHECKOUT


def always_wanted(_: StackContext) -> None:
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """One supervised process.

    `port` is where it serves its clients, None when it does not listen; `more_ports` are its others by name.
    `metrics_path` is where Prometheus finds its numbers on its port. `tells_everybody` is what whoever reaches the port is told,
    where that is no secret; otherwise docs/security.md has a row for each of its ports. `left_out` gives the reason why it cannot
    run in a stack, or is not needed there, None when it is wanted.

    `before_start` is done before its process starts, `when_ready` when it answers. `requires` are ready before it starts;
    `beside` are started at the same time and asked first; `after` are ready before it starts when they are wanted too, but it
    does not bring them along. `ready_within_s` is the longest start that is still normal.

    `priority` orders stopping: higher stops first. `stops_group`: the signal goes to its children too. `gives_up_root`: it runs
    as the account of Postgres when root starts the stack.
    """

    name: str
    command: Command
    probe: Probe
    priority: int
    ready_within_s: int
    port: int | None = None
    more_ports: Mapping[str, int] = field(default_factory=dict)
    metrics_path: str | None = None
    tells_everybody: str = ""
    left_out: Callable[[StackContext], str | None] = always_wanted
    before_start: Step | None = None
    when_ready: Step | None = None
    requires: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    working_folder: Callable[[Layout], Path] = repository
    stop_signal: str = "TERM"
    stop_within_s: int = 20
    stops_group: bool = True
    gives_up_root: bool = False
    chaos: ChaosRole | None = None

    @property
    def ports(self) -> Mapping[str, int]:
        """All its ports with their usual numbers, by name."""
        own = {} if self.port is None else {self.name: self.port}
        return {**own, **self.more_ports}


def own_service(module: str, *arguments: str) -> Command:
    """What runs one of finlake's own services that is asked, on its port, about itself alone."""
    return lambda launch: own_command(module, "--metrics-port", launch.port, *arguments)


def own_command(module: str, *arguments: object) -> list[str]:
    """The command line of one of finlake's own services."""
    return [sys.executable, "-m", f"finlake_services.{module}", *map(str, arguments)]
