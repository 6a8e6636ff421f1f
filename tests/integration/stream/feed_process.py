"""The feed as a process of its own, the vendor it listens to, and the database it writes to."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import httpx

from deploy.local.services import free_ports
from finlake_settings.checkout import CHECKOUT

if TYPE_CHECKING:
    import psycopg


def wait_until(condition: Callable[[], object], what: str, within_s: float = 60) -> None:
    """Ask again and again until the answer is true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class Vendor:
    """Finnhub's sample server under orders; `url` has no trailing slash."""

    url: str

    def order(self, **orders: Any) -> None:
        httpx.post(f"{self.url}/finnhub/_control", json=orders).raise_for_status()

    def connections(self) -> list[dict[str, Any]]:
        return list(httpx.get(f"{self.url}/finnhub/_control").json()["connections"])

    def sent(self) -> int:
        """Trades sent since the last reset, over all connections."""
        return sum(connection["trades_sent"] for connection in self.connections())

    def wait_for_subscriber(self, symbols: int = 1) -> None:
        wait_until(
            lambda: any(each["is_open"] and len(each["symbols"]) >= symbols for each in self.connections()),
            "a subscription",
        )

    def wait_until_sent(self) -> None:
        """All that was ordered is on its way."""
        wait_until(lambda: all(each["is_idle"] for each in self.connections() if each["is_open"]), "everything to be sent")


@dataclass(frozen=True)
class Feed:
    """A running feed; its log is a file of JSON lines."""

    process: subprocess.Popen[bytes]
    log: Path
    metrics_url: str

    def metric(self, name: str) -> float:
        """A metric's value summed over its labels; 0 as long as it has none."""
        lines = httpx.get(self.metrics_url).text.splitlines()
        values = [line.split()[-1] for line in lines if re.match(rf"finlake_feed_{name}(\{{[^}}]*\}})? ", line)]
        return sum(map(float, values))

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, event: str) -> bool:
        return any(each["event"] == event for each in self.events())

    def stop(self) -> int:
        """Ask it to end and wait; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=25)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)


@contextmanager
def feeding(environment: Mapping[str, str], folder: Path, arguments: Sequence[str] = ()) -> Iterator[Feed]:
    """A feed for the length of a block; killed at its end if it still runs."""
    port = free_ports()["sample_sources"]
    log = folder / f"feed-{port}.log"
    command = [sys.executable, "-m", "finlake_services.trade_feed", "--metrics-port", str(port), *arguments]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    feed = Feed(process, log, f"http://127.0.0.1:{port}/metrics")
    try:
        yield feed
    finally:
        process.kill()
        process.wait(timeout=10)


def fetch(database: "psycopg.Connection", query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
    return list(database.execute(query, parameters).fetchall())
