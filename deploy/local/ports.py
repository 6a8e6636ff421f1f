"""Which loopback ports the services listen on."""

import itertools
import random
import socket
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace

from deploy.local.errors import PortTakenError

LOOPBACK = "127.0.0.1"

# Below the usual range of outgoing connections.
CHOSEN_FROM = range(20_000, 32_768)

# Services of the ports that are not named like their service.
OWNERS = {"kafka_controller": "kafka"}


@dataclass(frozen=True)
class Ports:
    """The loopback ports of the listening services; a field is named like its service, a second port after it."""

    postgres: int = 15432
    spark_connect: int = 15002
    sample_sources: int = 18090
    dagster_webserver: int = 3000
    kafka: int = 19092
    kafka_controller: int = 19093
    kafka_connect: int = 18083
    clickhouse: int = 18123
    trade_feed: int = 18101
    clickhouse_sink: int = 18102
    capture_keeper: int = 18103

    @property
    def connect_url(self) -> str:
        """Where Kafka Connect's REST interface answers."""
        return f"https://{LOOPBACK}:{self.kafka_connect}"

    def of(self, service: str) -> int | None:
        """The port on which a service serves its clients, None for one that does not listen."""
        return asdict(self).get(service)

    def taken(self, services: Collection[str]) -> dict[str, int]:
        """Those ports of `services`, by name, on which another program listens now."""
        return {
            name: port for name, port in asdict(self).items() if OWNERS.get(name, name) in services and not is_free(port)
        }


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


def settle(wanted: Ports, services: Collection[str], move: bool) -> Ports:
    """Ports on which all of `services` can listen: `wanted`, with taken ones replaced when `move` is true.

    Raises PortTakenError for the first taken port when `move` is false.
    """
    taken = wanted.taken(services)
    if taken and not move:
        name, port = next(iter(taken.items()))
        raise PortTakenError(
            f"port {port} of {name} is taken by another program; stop that program, "
            "or run `finlake up --free-ports` to move to free ports"
        )
    return replace(wanted, **dict(zip(taken, _unused(len(taken)), strict=True)))


def free_ports() -> Ports:
    """A free port for every service."""
    return Ports(*_unused(len(fields(Ports))))


def _unused(count: int) -> list[int]:
    # Not by the operating system: it chooses from the range that outgoing connections use, and one of those may sit on the
    # port by the time its service starts.
    candidates = random.sample(CHOSEN_FROM, len(CHOSEN_FROM))
    return list(itertools.islice(filter(is_free, candidates), count))
