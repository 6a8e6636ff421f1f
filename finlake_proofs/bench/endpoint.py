"""`finlake bench endpoint`: what one user's flood does to another user's `SELECT 1`.

On a ClickHouse endpoint of its own, in a temporary folder. The flood comes from a process of its own with the lowest priority,
because what is measured is what the endpoint lets through and not which of two clients gets the processor.
"""

import asyncio
import base64
import http.client
import json
import multiprocessing
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

from finlake_proofs.bench.newest_row import quantile

MOST_TIMES_USUAL: Final = 3.0
CONNECTIONS: Final = 64
PAUSE_S: Final = 0.005
WARM_UP_S: Final = 2.0
START_TIMEOUT_S: Final = 60.0
_HEAVY: Final = b"SELECT count() FROM numbers(1000000000) WHERE sipHash64(number) = 1"
_LONG: Final = b"SELECT number, toString(number) FROM numbers(5000000) FORMAT TSV"

FLOODS: Final[Mapping[str, tuple[str, bytes]]] = {
    "SELECT 1": ("/", b"SELECT 1"),
    "statements that take all cores": ("/", _HEAVY),
    "long answers, compressed": ("/?enable_http_compression=1", _LONG),
    "texts of 200 kB": ("/", b"SELECT " + b",".join([b"x"] * 100_000)),
    "nested texts": ("/", b"SELECT " + b"negate(" * 190 + b"1" + b")" * 190),
    "bodies of 4 MB that are refused": ("/", b"INSERT " + b"(" * (4 << 20)),
    "compressed bodies": ("/?gzip", b""),
    "wrong logins": ("/?user=nobody", b"SELECT 1"),
    "requests that never end": ("", b""),
    "/metrics without a login": ("/metrics", b""),
}
"""Floods by name: path, and statement."""


@dataclass(frozen=True)
class Waits:
    """How long `SELECT 1` took, in milliseconds."""

    flood: str
    count: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class WaitsPair:
    """Without a flood, and right after it with one: a machine that others use too is seldom the same for long."""

    usual: Waits
    flooded: Waits

    @property
    def times_usual(self) -> float:
        """How many times as long the 99th percentile is."""
        return self.flooded.p99_ms / self.usual.p99_ms

    @property
    def is_met(self) -> bool:
        """Whether that is MOST_TIMES_USUAL at most."""
        return self.times_usual <= MOST_TIMES_USUAL


@contextmanager
def _endpoint() -> Iterator[tuple[int, dict[str, str]]]:
    """An endpoint with two readers: its port, and their passwords."""
    with tempfile.TemporaryDirectory(prefix="finlake-endpoint-") as folder:
        home = Path(folder)
        passwords = {name: secrets.token_urlsafe(18) for name in ("flooding", "waiting")}
        for name, password in passwords.items():
            (home / name).write_text(password)
        users = home / "users.json"
        users.write_text(json.dumps({name: {"rights": "reader", "databases": [], "password_file": name} for name in passwords}))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "finlake_services.clickhouse_local",
                "--home",
                str(home / "clickhouse"),
                "--port",
                str(port),
                "--users",
                str(users),
            ]
        )
        try:
            _await(port)
            yield port, passwords
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await(port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the endpoint does not listen on port {port} after {START_TIMEOUT_S:.0f} s")
        time.sleep(0.05)


def _login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _flood(port: int, password: str, name: str, over: Event) -> None:
    """Keep CONNECTIONS busy until `over`."""
    os.nice(19)
    path, statement = FLOODS[name]
    login = "" if "login" in name else f"Authorization: {_login('flooding', password)}\r\n"
    headers = ""
    if path == "/?gzip":
        import gzip

        path, headers, statement = "/", "Content-Encoding: gzip\r\n", gzip.compress(b" " * (4 << 20))
    method = "GET" if not statement else "POST"
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n{login}{headers}"
        f"Content-Length: {len(statement)}\r\n\r\n"
    ).encode() + statement
    if not path:
        request = b"POST / HTTP/1.1\r\nHost: x\r\n"

    async def keep_asking() -> None:
        while not over.is_set():
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    while not over.is_set():
                        writer.write(request)
                        await writer.drain()
                        if not await _answered(reader):
                            break
                finally:
                    writer.close()

    async def all_at_once() -> None:
        asking = [asyncio.create_task(keep_asking()) for _ in range(CONNECTIONS)]
        parent = multiprocessing.parent_process()
        while not over.is_set() and (parent is None or parent.is_alive()):
            await asyncio.sleep(0.05)
        over.set()
        for task in asking:
            task.cancel()

    asyncio.run(all_at_once())


async def _answered(reader: asyncio.StreamReader) -> bool:
    """Read one answer; False when the connection is at its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0))
    return b"connection: close" not in head


def _measure(port: int, password: str, flood: str, seconds: float) -> Waits:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    waits = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        connection.request("POST", "/", b"SELECT 1", {"Authorization": _login("waiting", password)})
        answer = connection.getresponse()
        if answer.read() != b"1\n":
            raise RuntimeError(f"SELECT 1 was answered with status {answer.status} under the flood {flood!r}")
        waits.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE_S)
    connection.close()
    return Waits(flood, len(waits), quantile(waits, 0.5), quantile(waits, 0.99))


def measure(seconds: float, floods: Iterable[str], report: Callable[[str], None]) -> tuple[WaitsPair, ...]:
    """Measure for `seconds` without and for as long with each of the `floods`."""
    with _endpoint() as (port, passwords):
        _measure(port, passwords["waiting"], "warm-up", WARM_UP_S)
        pairs = []
        for name in floods:
            report(f"flood: {name}")
            usual = _measure(port, passwords["waiting"], "none", seconds)
            with _flooding(port, passwords["flooding"], name):
                _measure(port, passwords["waiting"], name, WARM_UP_S)
                pairs.append(WaitsPair(usual, _measure(port, passwords["waiting"], name, seconds)))
        return tuple(pairs)


@contextmanager
def _flooding(port: int, password: str, name: str) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    over = context.Event()
    flooding = context.Process(target=_flood, args=(port, password, name, over), daemon=True)
    flooding.start()
    try:
        yield
        if not flooding.is_alive():
            raise RuntimeError(f"the flood {name!r} ended by itself, with {flooding.exitcode}, before it was measured")
    finally:
        over.set()
        flooding.join(timeout=30)
        flooding.kill()
        flooding.join()
