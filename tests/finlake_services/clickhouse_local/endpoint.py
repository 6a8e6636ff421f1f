"""The real endpoint as a process on a free port, with users and tables for tests."""

import json
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
from clickhouse_connect.driver.client import Client

USERS = {
    "admin": {"rights": "admin", "databases": []},
    "sink": {"rights": "writer", "databases": ["speed"]},
    "reader": {"rights": "reader", "databases": ["speed", "serving"]},
    "other_reader": {"rights": "reader", "databases": ["serving"]},
}
START_TIMEOUT_S = 60


@dataclass
class Server:
    """One endpoint and its folder."""

    folder: Path
    port: int = 0
    passwords: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "clickhouse"

    @property
    def users_file(self) -> Path:
        return self.folder / "users.json"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse"

    def write_users(self) -> None:
        """Generate passwords and the users file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        entries = {}
        for name, entry in USERS.items():
            self.passwords[name] = secrets.token_urlsafe(18)
            (self.folder / f"{name}.password").write_text(self.passwords[name] + "\n")
            entries[name] = {**entry, "password_file": f"{name}.password"}
        self.users_file.write_text(json.dumps(entries))

    def command(self) -> list[str]:
        """How the endpoint is started."""
        return [
            sys.executable,
            "-m",
            "finlake_services.clickhouse_local",
            "--home",
            str(self.home),
            "--port",
            str(self.port),
            "--users",
            str(self.users_file),
            "--working-folder",
            str(self.warehouse),
            "--memory-mb",
            "1500",
        ]

    def start(self) -> None:
        """Start, and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if httpx.get(f"{self.url}/ping", timeout=1).text == "Ok.\n":
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, f"the endpoint ended: {self.log()}"
                assert time.monotonic() < deadline, f"the endpoint does not answer: {self.log()}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text()

    def make_tables(self) -> None:
        """Make the tables of TABLES."""
        with self.http("admin") as admin:
            for statement in TABLES:
                admin.post("/", content=statement).raise_for_status()

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process and wait for its end; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(by)
        return self.process.wait(timeout=30)

    def http(self, user: str) -> httpx.Client:
        """A plain HTTP client of a user."""
        return httpx.Client(base_url=self.url, auth=(user, self.passwords[user]), timeout=60)

    def client(self, user: str, **options: Any) -> Client:
        """An unmodified clickhouse-connect client of a user."""
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=user, password=self.passwords[user], **options
        )


TABLES = (
    "CREATE DATABASE speed ENGINE = Atomic",
    "CREATE DATABASE serving ENGINE = Atomic",
    "CREATE DATABASE hidden ENGINE = Atomic",
    "CREATE TABLE hidden.salaries (name String) ENGINE = MergeTree ORDER BY name",
    "INSERT INTO hidden.salaries VALUES ('x')",
    "CREATE TABLE speed.ticks (symbol String, trade_ts DateTime64(6, 'UTC'), price_usd Float64) ENGINE = MergeTree "
    "ORDER BY (symbol, trade_ts)",
    "CREATE TABLE speed.totals (symbol String, ticks SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree "
    "ORDER BY symbol SETTINGS index_granularity = 128",
    "CREATE MATERIALIZED VIEW speed.totals_of_ticks TO speed.totals AS SELECT symbol, count() AS ticks FROM speed.ticks "
    "GROUP BY symbol",
    "CREATE VIEW serving.symbols AS SELECT symbol, sum(ticks) AS ticks FROM speed.totals GROUP BY symbol",
    "INSERT INTO speed.ticks SELECT ['AAPL', 'MSFT'][number % 2 + 1], toDateTime64('2026-01-05 14:30:00', 6, 'UTC') + number, "
    "100 + number FROM numbers(10)",
)
