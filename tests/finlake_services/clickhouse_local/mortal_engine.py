"""An engine in a process of its own that does what it is told and may be killed at any of its system calls.

As a module it is that process: `python -m … HOME DESCRIPTOR` answers one JSON line for each.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.finlake_services.clickhouse_local.system_calls import Call, Fate, receive_listener, stop_at_changes, watch

if TYPE_CHECKING:
    from finlake_services.clickhouse_local.engine import Engine

ROOT = Path(__file__).parents[3]
MEMORY_BYTES = 1 << 30


class MortalEngine:
    """The process and what may be asked of it. Raises RuntimeError with the engine's own words."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._channel, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(home), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self._answers = self._channel.makefile("rb")

    def open(self) -> None:
        """Open the folder."""
        self._ask({"open": True})

    def migrate(self) -> None:
        """Make finlake's tables."""
        self._ask({"migrate": True})

    def ask(self, sql: str) -> str:
        """What a statement answers, as TabSeparated."""
        return self._ask({"sql": sql})

    def insert(self, table: str, rows: list[dict[str, object]], token: str) -> None:
        """Insert one block under its token, with the settings of the sink."""
        self._ask({"table": table, "rows": rows, "token": token})

    def stop_at_changes(self) -> int:
        """Have the kernel ask before each change of files; the descriptor to listen on."""
        self._send({"stop_at_changes": True})
        return receive_listener(self._channel)

    def watched(self, listener: int, fate: Callable[[Call], Fate], action: dict[str, object]) -> Call | None:
        """Begin `action`; the call before which the process was killed, None when it ended otherwise.

        The process is dead afterwards in any case.
        """
        self._send(action)
        call = watch(self._process.pid, listener, self._channel, fate)
        self.kill()
        return call

    def kill(self) -> None:
        """End the process as kill -9 does."""
        self._process.kill()
        self._process.wait(timeout=30)
        self._answers.close()
        self._channel.close()

    @property
    def exit_code(self) -> int | None:
        """How the process ended, minus the signal's number when one ended it."""
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.poll() is None:
            self.kill()

    def _send(self, action: dict[str, object]) -> None:
        self._channel.sendall(json.dumps(action).encode() + b"\n")

    def _ask(self, action: dict[str, object]) -> str:
        self._send(action)
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the engine's process ended with {self._process.wait(timeout=30)}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return str(answer["text"])


class _Migrating:
    """An engine as migrations need it."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def command(self, sql: str) -> None:
        self._engine.ask(sql)

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        return [tuple(line.split("\t")) for line in self._engine.ask(sql).decode().splitlines()]


def _serve(home: Path, channel: socket.socket) -> None:
    from deploy.clickhouse.migrate import apply_migrations
    from finlake_services.clickhouse_local.engine import Engine
    from finlake_services.clickhouse_local.errors import EngineError
    from finlake_services.clickhouse_sink.clickhouse import ONCE

    engine: Engine | None = None
    for line in channel.makefile("rb"):
        action = json.loads(line)
        text = ""
        try:
            if "stop_at_changes" in action:
                stop_at_changes(channel)
                continue
            if "open" in action:
                engine = Engine(home, [], MEMORY_BYTES)
            elif engine is None:
                raise RuntimeError("the folder is not open")
            elif "migrate" in action:
                apply_migrations(_Migrating(engine))
            elif "sql" in action:
                text = engine.ask(action["sql"]).decode()
            else:
                settings = {name: str(value) for name, value in ONCE.items()}
                connection = engine.open_connection(None, "default", {**settings, "insert_deduplication_token": action["token"]})
                rows = "".join(json.dumps(row) + "\n" for row in action["rows"])
                connection.insert(f"INSERT INTO {action['table']}", "JSONEachRow", rows.encode())
                connection.close()
            answer = {"text": text}
        except (OSError, RuntimeError, EngineError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        channel.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
