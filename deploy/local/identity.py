"""Whose stack answers on a port: every stack has an identity, made at its first start and kept in its state folder.

All processes of a stack carry the identity and the folder in their environment. Before a command speaks to a port it
looks at the process that listens there: ports are chosen once and remembered, so a stack that is down may find another
one on them, and a state folder may have been deleted, or copied, under a stack that still runs.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import psutil

from deploy.local.errors import ForeignStackError, StackError
from deploy.local.layout import Layout
from deploy.local.passwords import write_private
from deploy.local.ports import Ports
from deploy.local.services import owner_of
from deploy.local.settings import HOME_VARIABLE

IDENTITY_VARIABLE = "FINLAKE_STACK_ID"


@dataclass(frozen=True)
class Identity:
    """A stack: the number drawn at its first start, and its state folder, links resolved."""

    number: str
    home: str


@dataclass(frozen=True)
class Listener:
    """A process that listens on a port, and the stack it belongs to; None for a program that is of no stack."""

    port: int
    pid: int | None
    identity: Identity | None


def make_identity(layout: Layout) -> Identity:
    """The stack's identity, drawn now if this is its first start."""
    if not layout.identity.is_file():
        layout.identity.parent.mkdir(parents=True, exist_ok=True)
        write_private(layout.identity, f"{uuid.uuid4()}\n")
    return own_identity(layout)


def own_identity(layout: Layout) -> Identity:
    """The identity that the state folder holds. Raises StackError when no stack was ever started there."""
    try:
        number = layout.identity.read_text().strip()
    except FileNotFoundError:
        if layout.record.is_file():
            raise StackError(
                f"the stack of {layout.home} was started by an earlier version and has no identity yet; run "
                "`finlake down`, then `finlake up`"
            ) from None
        raise StackError(f"no stack was ever started in {layout.home}; run `finlake up{_of(layout)}`") from None
    return Identity(number, str(layout.home.resolve()))


def variables(identity: Identity) -> dict[str, str]:
    """What the processes of a stack carry in their environment, beside its folder."""
    return {IDENTITY_VARIABLE: identity.number}


def require_own(layout: Layout, ports: Ports) -> None:
    """Raise unless the stack of `layout` runs and nobody else listens on one of its ports.

    ForeignStackError names both stacks; StackError says that this one was never started or is stopped.
    """
    listeners = list(listening(ports))
    try:
        own = own_identity(layout)
    except StackError as never:
        raise StackError(f"{never}{_seen(listeners)}") from None
    strangers = [each for each in listeners if each.identity != own]
    if strangers:
        raise _foreign(layout, ports, strangers[0])
    if not listeners:
        raise StackError(f"the stack of {layout.home} is stopped; run `finlake up{_of(layout)}`")


def listening(ports: Ports) -> Iterable[Listener]:
    """Who listens on the ports of a stack, as far as this user may see."""
    wanted = set(ports.values())
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port in wanted:
            yield Listener(connection.laddr.port, connection.pid, identity_of(connection.pid))


def identity_of(pid: int | None) -> Identity | None:
    """The stack that a process belongs to: by its own environment, or by that of a parent (Postgres overwrites its own)."""
    try:
        process = None if pid is None else psutil.Process(pid)
        for each in (process, *process.parents()) if process else ():
            environment = _environment(each)
            if IDENTITY_VARIABLE in environment:
                return Identity(environment[IDENTITY_VARIABLE], str(Path(environment.get(HOME_VARIABLE, "")).resolve()))
    except psutil.Error:
        return None
    return None


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _foreign(layout: Layout, ports: Ports, stranger: Listener) -> ForeignStackError:
    names = {port: owner_of(name) for name, port in ports.items()}
    who = f"the stack of {stranger.identity.home}" if stranger.identity else "another program"
    if stranger.identity and stranger.identity.home == str(layout.home.resolve()):
        who = f"an earlier stack of {layout.home}, whose folder was recreated,"
    return ForeignStackError(
        f"port {stranger.port} ({names[stranger.port]}) belongs to {who} (pid {stranger.pid or 'unknown'}), not to the stack "
        f"of {layout.home}; run `finlake up --free-ports{_of(layout)}`"
        + (f", or give --home {quote(stranger.identity.home)} to speak to that one" if stranger.identity else "")
    )


def _of(layout: Layout) -> str:
    """The option that names this stack, as a shell takes it."""
    return f" --home {quote(str(layout.home))}"


def _seen(listeners: list[Listener]) -> str:
    homes = sorted({each.identity.home for each in listeners if each.identity})
    return f" (the stack of {', '.join(homes)} runs; give --home to speak to it)" if homes else ""
