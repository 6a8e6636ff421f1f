"""Whose stack answers on a port: every stack has an identity, made at its first start and kept in its state folder.

All processes of a stack carry the identity and the folder in their environment. Before a command speaks to a port it
looks at the process that listens there: ports are chosen once and remembered, so a stack that is down may find another
one on them, and a state folder may have been deleted, or copied, under a stack that still runs.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
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

PROC = Path("/proc")
# How the kernel's tables of TCP sockets write the state of one that listens.
KERNEL_LISTENS = "0A"
# How often a port that seems to be a stranger's is looked at. A server that is started again needs no longer between two looks.
LOOKS, BETWEEN_LOOKS_S = 5, 0.2


@dataclass(frozen=True)
class Identity:
    """A stack: the number drawn at its first start, and its state folder, links resolved."""

    number: str
    home: str


@dataclass(frozen=True)
class Listener:
    """A socket that listens on a port, and the processes that hold it, each with the stack it belongs to; None for no stack.

    Several hold it while a server makes a process for a new client; none that this user may see where it is another user's.
    """

    port: int
    inode: str
    holders: Mapping[int, Identity | None]

    def is_of(self, stack: Identity) -> bool:
        """Whether one of its processes is of this stack."""
        return stack in self.holders.values()


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
    suspected: set[str] = set()
    for _ in range(LOOKS):
        listeners = listening(ports)
        try:
            own = own_identity(layout)
        except StackError as never:
            raise StackError(f"{never}{_seen(listeners)}") from None
        strangers = [each for each in listeners if not each.is_of(own)]
        if not strangers:
            break
        # Who holds a socket may end before it is known whose it was: only what stays is a stranger.
        if stayed := [each for each in strangers if each.inode in suspected]:
            raise _foreign(layout, ports, stayed[0])
        suspected = {each.inode for each in strangers}
        time.sleep(BETWEEN_LOOKS_S)
    else:
        raise StackError(
            f"port {strangers[0].port} ({_owners(ports)[strangers[0].port]}) of the stack of {layout.home} changes hands from "
            "moment to moment; give the same command again when `finlake status` is steady"
        )
    if not listeners:
        raise StackError(f"the stack of {layout.home} is stopped; run `finlake up{_of(layout)}`")


def listening(ports: Ports) -> list[Listener]:
    """Who listens on the ports of a stack, as far as this user may see."""
    wanted = set(ports.values())
    sockets = {inode: port for inode, port in _listening_sockets() if port in wanted}
    # psutil names one process of a socket, be it one that was made a moment ago and lets go of it at once.
    holders: dict[str, dict[int, Identity | None]] = {inode: {} for inode in sockets}
    for pid in psutil.pids() if sockets else ():
        for inode in _sockets_of(pid) & sockets.keys():
            holders[inode][pid] = identity_of(pid)
    return [Listener(port, inode, holders[inode]) for inode, port in sockets.items()]


def _listening_sockets() -> Iterator[tuple[str, int]]:
    """The inode and the port of each TCP socket of this machine that listens."""
    for table in (PROC / "net/tcp", PROC / "net/tcp6"):
        # A kernel without IPv6 has one table.
        for line in table.read_text().splitlines()[1:] if table.is_file() else ():
            _, local, _, state, *_, inode = line.split()[:10]
            if state == KERNEL_LISTENS:
                yield inode, int(local.rpartition(":")[2], 16)


def _sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds; none when it has ended, or is another user's."""
    inodes = set()
    try:
        for file in (PROC / str(pid) / "fd").iterdir():
            # A file that was closed meanwhile is no link any more.
            with suppress(FileNotFoundError):
                kind, _, rest = str(file.readlink()).partition(":[")
                if kind == "socket":
                    inodes.add(rest.rstrip("]"))
    except OSError:
        return inodes
    return inodes


def identity_of(pid: int) -> Identity | None:
    """The stack that a process belongs to: by its own environment, or by that of a parent (Postgres overwrites its own)."""
    try:
        process = psutil.Process(pid)
        for each in (process, *process.parents()):
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
    pid, theirs = next(
        ((pid, stack) for pid, stack in stranger.holders.items() if stack), (next(iter(stranger.holders), "unknown"), None)
    )
    who = f"the stack of {theirs.home}" if theirs else "another program"
    if theirs and theirs.home == str(layout.home.resolve()):
        who = f"an earlier stack of {layout.home}, whose folder was recreated,"
    return ForeignStackError(
        f"port {stranger.port} ({_owners(ports)[stranger.port]}) belongs to {who} (pid {pid}), not to the stack "
        f"of {layout.home}; run `finlake up --free-ports{_of(layout)}`"
        + (f", or give --home {quote(theirs.home)} to speak to that one" if theirs else "")
    )


def _owners(ports: Ports) -> dict[int, str]:
    """The service to which each port belongs."""
    return {port: owner_of(name) for name, port in ports.items()}


def _of(layout: Layout) -> str:
    """The option that names this stack, as a shell takes it."""
    return f" --home {quote(str(layout.home))}"


def _seen(listeners: Sequence[Listener]) -> str:
    homes = sorted({stack.home for each in listeners for stack in each.holders.values() if stack})
    return f" (the stack of {', '.join(homes)} runs; give --home to speak to it)" if homes else ""
