"""Loopback ports by name, and which of them are free. Which ports there are follows from deploy/local/services.py."""

import itertools
import random
import socket
from collections.abc import Collection, Iterator, Mapping

from deploy.local.errors import PortTakenError
from finlake_settings.local_stack import LOOPBACK

# Below the usual range of outgoing connections.
CHOSEN_FROM = range(20_000, 32_768)


class Ports(Mapping[str, int]):
    """The loopback ports of one stack: one has the name of the service that serves its clients there, further ones their own."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = dict(numbers)

    def __getitem__(self, name: str) -> int:
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"Ports({self._numbers})"

    def moved(self, numbers: Mapping[str, int]) -> "Ports":
        """These ports with other numbers for some of them. Raises ValueError for a name that is not among them."""
        unknown = numbers.keys() - self.keys()
        if unknown:
            raise ValueError(f"no port is named {sorted(unknown)[0]}")
        return Ports({**self._numbers, **numbers})

    def taken(self, names: Collection[str]) -> dict[str, int]:
        """Those of the ports `names` on which another program listens now."""
        return {name: port for name, port in self.items() if name in names and not is_free(port)}


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT after the last stop counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def settle(wanted: Ports, names: Collection[str], move: bool) -> Ports:
    """Ports of which all `names` can be listened on: `wanted`, with taken ones replaced when `move` is true.

    Raises PortTakenError for the first taken port when `move` is false.
    """
    taken = wanted.taken(names)
    if taken and not move:
        name, port = next(iter(taken.items()))
        raise PortTakenError(
            f"port {port} of {name} is taken by another program; stop that program, "
            "or run `finlake up --free-ports` to move to free ports"
        )
    return wanted.moved(chosen(taken))


def chosen(names: Collection[str]) -> Ports:
    """A free port for each name."""
    # Not by the operating system: it chooses from the range that outgoing connections use, and one of those may sit on the
    # port by the time its service starts.
    candidates = random.sample(CHOSEN_FROM, len(CHOSEN_FROM))
    free = itertools.islice(filter(is_free, candidates), len(names))
    return Ports(dict(zip(names, free, strict=True)))
