"""The connector seen from outside, against a server that answers as Kafka Connect does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finlake_clients.connect import change_capture
from finlake_clients.connect.change_capture import ChangeCapture, ConnectorHealth
from finlake_clients.service_errors import ServiceUnavailableError

WANTED = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "exactly.once.support": "required",
    "poll.interval.ms": "5",
    "database.hostname": "<postgres_host>",
}
NAME = "finlake-ods"


class Worker:
    """One connector of a worker."""

    def __init__(self) -> None:
        self.config: dict[str, str] | None = {**WANTED, "name": NAME, "database.hostname": "127.0.0.1"}
        self.states = {"connector": "RUNNING", "task": "RUNNING"}
        self.trace: str | None = None
        self.objections: list[str] = []
        self.offsets: list[dict[str, object]] = []
        worker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(worker.found(self.path))

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer({"configs": [{"value": {"name": "exactly.once.support", "errors": worker.objections}}]})

            def answer(self, content: object) -> None:
                body = json.dumps(content if content is not None else {"message": "not found"}).encode()
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def found(self, path: str) -> object:
        if self.config is None:
            return None
        if path.endswith("/config"):
            return self.config
        if path.endswith("/offsets"):
            return {"offsets": self.offsets}
        task = {"id": 0, "state": self.states["task"], "worker_id": "w", **({"trace": self.trace} if self.trace else {})}
        return {"connector": {"state": self.states["connector"], "worker_id": "w"}, "tasks": [task]}


@pytest.fixture
def worker() -> Iterator[Worker]:
    running = Worker()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def capture(worker: Worker, tmp_path: Path) -> ChangeCapture:
    file = tmp_path / f"{NAME}.json"
    file.write_text(json.dumps(WANTED), encoding="utf-8")
    url = f"http://127.0.0.1:{worker.server.server_address[1]}"
    return ChangeCapture(connect_url=url, config_file=str(file), certificate_file=None)


def test_a_connector_that_runs_as_wanted(capture: ChangeCapture) -> None:
    assert capture.connector_name == NAME
    assert capture.look() == ConnectorHealth(state="RUNNING", task_states=("RUNNING",))


def test_places_of_an_installation_are_no_difference_and_other_settings_are(worker: Worker, capture: ChangeCapture) -> None:
    assert worker.config is not None
    worker.config |= {"poll.interval.ms": "500", "snapshot.mode": "never"}
    health = capture.look()
    assert health is not None
    assert health.differing_settings == ("poll.interval.ms", "snapshot.mode")


def test_a_failed_task_brings_its_trace(worker: Worker, capture: ChangeCapture) -> None:
    worker.states["task"], worker.trace = "FAILED", "ConnectException: slot is gone\n\tat io.debezium"
    worker.offsets = [{"partition": {"server": "finlake"}, "offset": {"lsn": 123}}]
    health = capture.look()
    assert health is not None
    assert health.task_states == ("FAILED",)
    assert health.trace == worker.trace
    assert health.stands_before == "the first change after LSN 0/7B"


def test_what_speaks_against_exactly_once_is_told(worker: Worker, capture: ChangeCapture) -> None:
    worker.objections = ["the worker does not support exactly-once source connectors"]
    health = capture.look()
    assert health is not None
    assert health.objections == tuple(worker.objections)


def test_a_connector_that_is_not_there(worker: Worker, capture: ChangeCapture) -> None:
    worker.config = None
    assert capture.look() is None


def test_a_worker_that_is_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_capture, "TIMEOUT_S", 0.01)
    file = tmp_path / f"{NAME}.json"
    file.write_text(json.dumps(WANTED), encoding="utf-8")
    with pytest.raises(ServiceUnavailableError, match="finlake up --service kafka_connect"):
        ChangeCapture(connect_url="http://127.0.0.1:1", config_file=str(file), certificate_file=None).look()
