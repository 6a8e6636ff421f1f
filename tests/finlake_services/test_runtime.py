"""A service tells everything as JSON lines, and ends well when it is told to."""

import json
import signal
import subprocess
import sys

import pytest

STOPS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)


def test_own_lines_and_those_of_other_libraries_are_json() -> None:
    answer = run("""
import logging, structlog
from finlake_services.runtime import log_as_json
log_as_json(lambda _, __, event: {**event, "seen": True})
structlog.get_logger().info("begins", port=5)
logging.getLogger("library").info("too much")
try:
    raise OSError("it is away")
except OSError:
    logging.getLogger("library").exception("lost")
    structlog.get_logger().error("ends", exc_info=True)
""")
    assert (answer.returncode, answer.stderr) == (0, "")
    own, foreign, last = map(json.loads, answer.stdout.splitlines())
    assert (own["event"], own["level"], own["port"]) == ("begins", "info", 5)
    assert (foreign["event"], foreign["level"]) == ("lost", "error")
    for line in (own, foreign, last):
        assert line["timestamp"].endswith("Z")
        assert line["seen"]
    for line in (foreign, last):
        assert "OSError: it is away" in line["exception"]


@STOPS
def test_threads_are_told_to_stop(number: signal.Signals) -> None:
    answer = run(f"""
import os
from finlake_services.runtime import stop_of_threads
stop = stop_of_threads()
assert not stop.is_set()
os.kill(os.getpid(), {int(number)})
assert stop.wait(60)
""")
    assert (answer.returncode, answer.stderr) == (0, "")


@STOPS
def test_tasks_are_told_to_stop(number: signal.Signals) -> None:
    answer = run(f"""
import asyncio, os
from finlake_services.runtime import stop_of_tasks
async def main():
    stop = stop_of_tasks()
    assert not stop.is_set()
    os.kill(os.getpid(), {int(number)})
    await asyncio.wait_for(stop.wait(), 60)
asyncio.run(main())
""")
    assert (answer.returncode, answer.stderr) == (0, "")


@STOPS
def test_what_serves_http_ends_as_one_that_is_done(number: signal.Signals) -> None:
    answer = run(f"""
import os, socket
from finlake_services.runtime import serve
async def application(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    os.kill(os.getpid(), {int(number)})
    await send({{"type": "lifespan.startup.complete"}})
    await receive()
    await send({{"type": "lifespan.shutdown.complete"}})
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
serve(application, port)
print("done")
""")
    assert (answer.returncode, answer.stdout) == (0, "done\n"), answer.stderr
