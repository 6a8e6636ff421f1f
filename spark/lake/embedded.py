"""Sail, the engine in a process of its own choice: Spark's protocol and SQL without a JVM, for one machine.

Its server takes whatever any account of the machine sends to its port, Python code included. So it hears nobody but this process:
the port is closed as soon as the one connection of this process stands, and the server is given up where another connection may
have been made in between.
"""

import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import grpc  # type: ignore[import-untyped]
from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pysail.spark import SparkConnectServer

LOOPBACK = "127.0.0.1"
STARTED_WITHIN_S = 90.0
CONNECTED_WITHIN_S = 20
COUNTERS = Path("/proc/net/snmp")
# Sail reads its own settings when a server is made, and what it logs goes to the standard error of the process.
SETTINGS = {"RUST_LOG": "error"}
# A channel without calls would close its connection after half an hour, and no other one can be made.
NEVER = 2**31 - 1

_lock = Lock()
_started: dict[str, "tuple[SparkConnectServer, SparkSession]"] = {}
_ONE = "one per process"


class EngineNotPrivateError(Exception):
    """The embedded engine could not be started without a moment in which another process might have reached it."""

    def __init__(self) -> None:
        super().__init__(
            f"at every start of the embedded engine, for {STARTED_WITHIN_S:.0f} s, others connected on this machine at "
            "the same moment, so that another account might have reached it; try again when the machine is quieter, or set "
            "FINLAKE_ENGINE=spark"
        )


def session(store: Mapping[str, str]) -> SparkSession:
    """The session of this process on its own Sail, which is started when there is none; it ends with the process.

    `store` are pyiceberg's properties of an S3-compatible store, by which Sail reads the same files. Raises
    `EngineNotPrivateError`.
    """
    with _lock:
        # Read when a file is: the engine may have been started for another lake.
        os.environ.update(_store_variables(store))
        if _ONE not in _started or cast(Any, _started[_ONE][1]).client.is_closed:
            _started[_ONE] = _start()
        return _started[_ONE][1]


def stop() -> None:
    """End the engine of this process, if there is one; the next `session` starts another."""
    with _lock:
        found = _started.pop(_ONE, None)
    if found is not None:
        client = cast(Any, found[1]).client
        client._channel.close()
        client._closed = True
        found[0].stop()


def _start() -> "tuple[SparkConnectServer, SparkSession]":
    from pysail.spark import SparkConnectServer
    from pyspark.sql.connect.client.core import ChannelBuilder
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    class OneConnection(ChannelBuilder):
        """A channel that is there already."""

        def __init__(self, channel: grpc.Channel) -> None:
            super().__init__()
            self._channel = channel

        @property
        def endpoint(self) -> str:
            return LOOPBACK

        def toChannel(self) -> grpc.Channel:  # noqa: N802 - pyspark's name
            return self._channel

    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline:
        server = SparkConnectServer(LOOPBACK, 0)
        opened = _connections_ever()
        server.start(background=True)
        _, port = server.listening_address
        channel = grpc.insecure_channel(
            f"{LOOPBACK}:{port}", options=[*ChannelBuilder.GRPC_DEFAULT_OPTIONS, ("grpc.client_idle_timeout_ms", NEVER)]
        )
        grpc.channel_ready_future(channel).result(timeout=CONNECTED_WITHIN_S)
        _close_port(port)
        if _connections_ever() == opened + 1:
            made = ConnectSession.builder.channelBuilder(cast(Any, OneConnection(channel))).create()
            # What `builder.remote` does: functions of columns ask by this which kind of session there is.
            os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
            made.conf.set("spark.sql.session.timeZone", "UTC")
            return server, cast(SparkSession, made)
        channel.close()
        _end_connections(port)
        server.stop()
    raise EngineNotPrivateError


def _close_port(port: int) -> None:
    """Close the socket of this process that listens on a port.

    Another socket, to which nothing ever comes, takes its number: the server goes on waiting there. Were the port only shut down,
    the server would ask it again and again.
    """
    with socket.socket() as silent:
        for number, found in _sockets_at(port):
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                os.dup2(silent.fileno(), number, inheritable=False)


def _end_connections(port: int) -> None:
    """End what has been connected to a port of this process: a server that is stopped waits for those who say nothing."""
    for _, found in _sockets_at(port):
        # Gone meanwhile, or the socket that listened.
        with suppress(OSError):
            found.shutdown(socket.SHUT_RDWR)


def _sockets_at(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Sockets of this process whose own port this is: the number of the file, and a copy that is closed afterwards."""
    for number in [int(name) for name in os.listdir("/proc/self/fd")]:
        try:
            found = socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) if stat.S_ISSOCK(os.fstat(number).st_mode) else None
        except OSError:
            # Gone meanwhile.
            continue
        if found is None:
            continue
        with found:
            name = found.getsockname()
            if len(name) > 1 and name[1] == port:
                yield number, found


def _connections_ever() -> int:
    """How many connections have been taken by listening sockets of this machine, or of this container."""
    names, values = (line.split() for line in COUNTERS.read_text().splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("PassiveOpens")])


def _store_variables(store: Mapping[str, str]) -> dict[str, str]:
    """The variables by which Sail finds an S3-compatible store."""
    if "s3.endpoint" not in store:
        return {}
    return {
        "AWS_ENDPOINT": store["s3.endpoint"],
        "AWS_REGION": store["s3.region"],
        "AWS_ACCESS_KEY_ID": store["s3.access-key-id"],
        "AWS_SECRET_ACCESS_KEY": store["s3.secret-access-key"],
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        **({"AWS_ALLOW_HTTP": "true"} if store["s3.endpoint"].startswith("http://") else {}),
    }
