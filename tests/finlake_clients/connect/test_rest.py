"""Kafka Connect's REST interface as finlake uses it, against a server that keeps a worker's state and speaks as one."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from finlake_clients.connect.rest import (
    ConnectorFailedError,
    ConnectorNotReadyError,
    ConnectorStatus,
    ConnectorUnknownError,
    ConnectRefusedError,
    ConnectUnavailableError,
    KafkaConnect,
    TaskStatus,
)

NAME = "trades"
CONFIG = {"connector.class": "org.example.TradesConnector", "tasks.max": "1", "exactly.once.support": "required"}
TRACE = "org.example.Broken: the slot is gone\n\tat org.example.Trades.poll(Trades.java:1)"
NO_CONNECTOR = (404, {"error_code": 404, "message": f"Connector {NAME} not found"})
REBALANCE = (409, {"error_code": 409, "message": "Cannot complete request because of a conflicting operation"})
TIMED_OUT = (500, {"error_code": 500, "message": "Request timed out. The worker is currently joining the group."})
JETTY = (404, "<html>Error 404 Not Found</html>")


@dataclass
class Worker:
    """What the worker knows, what it was asked, and the answers that it gives first."""

    configs: dict[str, dict[str, str]] = field(default_factory=dict)
    task_states: list[str] = field(default_factory=lambda: ["RUNNING"])
    objections: list[str] = field(default_factory=list)
    first_answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lsn: int | None = None
    trace: str = TRACE

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if self.first_answers:
            return self.first_answers.pop(0)
        if path.startswith("/connector-plugins/TradesConnector/config/validate"):
            values = [{"value": {"name": name, "errors": []}} for name in body if name != "exactly.once.support"]
            return 200, {"configs": [*values, {"value": {"name": "exactly.once.support", "errors": self.objections}}]}
        if method == "PUT" and path == f"/connectors/{NAME}/config":
            self.configs[NAME] = {**body, "name": NAME}
            return 201, {}
        if NAME not in self.configs:
            return (200, []) if path == "/connectors" else NO_CONNECTOR
        if path == f"/connectors/{NAME}/config":
            return 200, self.configs[NAME]
        if path == f"/connectors/{NAME}/status":
            tasks = [
                {"id": number, "state": state, "worker_id": "w", **({"trace": self.trace} if state == "FAILED" else {})}
                for number, state in enumerate(self.task_states)
            ]
            return 200, {"name": NAME, "connector": {"state": "RUNNING", "worker_id": "w"}, "tasks": tasks}
        if path == f"/connectors/{NAME}/offsets":
            offset = {"lsn": self.lsn, "txId": 7} if self.lsn else None
            return 200, {"offsets": [{"partition": {"server": "finlake"}, "offset": offset}] if self.lsn is not None else []}
        return 204, None


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def connect(worker: Worker) -> Iterator[KafkaConnect]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = worker.answer(self.command, self.path, json.loads(body) if body else None)
            text = content if isinstance(content, str) else json.dumps(content)
            data = b"" if content is None else text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = _answer  # noqa: N815 -- the names that the base class calls

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield KafkaConnect(f"http://127.0.0.1:{server.server_port}", None, timeout_s=2)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_new_connector_is_registered_and_the_same_again_is_not(connect: KafkaConnect, worker: Worker) -> None:
    assert connect.register(NAME, CONFIG) == tuple(sorted(CONFIG))
    assert connect.register(NAME, CONFIG) == ()
    assert worker.asked.count(f"PUT /connectors/{NAME}/config") == 1


def test_drift_names_what_was_changed_added_and_taken_away(connect: KafkaConnect, worker: Worker) -> None:
    worker.configs[NAME] = {"name": NAME, "connector.class": "other", "tasks.max": "1", "poll.interval.ms": "5"}
    assert connect.drift(NAME, CONFIG) == ("connector.class", "exactly.once.support", "poll.interval.ms")
    assert connect.register(NAME, CONFIG) == ("connector.class", "exactly.once.support", "poll.interval.ms")
    assert connect.drift(NAME, CONFIG) == ()


@pytest.mark.parametrize("busy", [REBALANCE, TIMED_OUT, JETTY])
def test_a_worker_that_rebalances_or_starts_is_asked_again(connect: KafkaConnect, worker: Worker, busy: Any) -> None:
    worker.configs[NAME] = {**CONFIG, "name": NAME, "tasks.max": "2"}
    worker.first_answers = [busy, busy]
    assert connect.register(NAME, CONFIG) == ("tasks.max",)
    assert worker.configs[NAME]["tasks.max"] == "1"


def test_a_worker_that_stays_busy_is_given_up_with_the_reason(connect: KafkaConnect, worker: Worker) -> None:
    worker.first_answers = [REBALANCE] * 1000
    with pytest.raises(ConnectUnavailableError, match="conflicting operation"):
        replace(connect, timeout_s=0.2).names()


def test_an_error_that_no_repetition_cures_is_told_at_once(connect: KafkaConnect, worker: Worker) -> None:
    unknown_class = (500, {"error_code": 500, "message": "Failed to find any class that implements Connector"})
    worker.first_answers = [NO_CONNECTOR, unknown_class]
    with pytest.raises(ConnectRefusedError, match="with 500: Failed to find any class"):
        connect.register(NAME, CONFIG)
    assert worker.first_answers == []
    assert len(worker.asked) == 2


def test_a_worker_that_does_not_answer_is_named_with_its_address() -> None:
    with pytest.raises(ConnectUnavailableError, match=r"http://127.0.0.1:9 does not answer .*see that its worker runs"):
        KafkaConnect("http://127.0.0.1:9", None, timeout_s=0.1).names()


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_certificate_file_that_cannot_be_used_is_named_and_nobody_is_asked(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "connect.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConnectRefusedError, match=f"{file} cannot be read .*FINLAKE_CONNECT_CERTIFICATE_FILE"):
        KafkaConnect("https://127.0.0.1:9", file, timeout_s=0.1).names()


def test_a_refused_configuration_is_not_sent_again(connect: KafkaConnect, worker: Worker) -> None:
    worker.first_answers = [NO_CONNECTOR, (400, {"error_code": 400, "message": "Connector configuration\nis invalid"})]
    with pytest.raises(ConnectRefusedError, match="with 400: Connector configuration is invalid"):
        connect.register(NAME, CONFIG)
    assert len(worker.asked) == 2


def test_what_a_connector_has_failed_of_is_told_by_its_first_line(connect: KafkaConnect, worker: Worker) -> None:
    connect.register(NAME, CONFIG)
    worker.task_states = ["RUNNING", "FAILED"]
    status = connect.status(NAME)
    assert [task.state for task in status.tasks] == ["RUNNING", "FAILED"]
    assert status.tasks[1].trace == TRACE
    assert status.failure == "org.example.Broken: the slot is gone"
    assert not status.is_running
    with pytest.raises(ConnectorFailedError, match="connector trades failed: org.example.Broken: the slot is gone"):
        connect.wait_until_running(NAME)


@pytest.mark.parametrize("states", [[], ["UNASSIGNED"], ["RUNNING", "PAUSED"]])
def test_a_connector_whose_tasks_do_not_all_run_is_not_running(connect: KafkaConnect, worker: Worker, states: list[str]) -> None:
    connect.register(NAME, CONFIG)
    worker.task_states = states
    assert not connect.status(NAME).is_running
    with pytest.raises(ConnectorNotReadyError, match="connector trades is RUNNING"):
        connect.wait_until_running(NAME, timeout_s=0.3)


def test_a_connector_whose_state_is_not_known_yet_is_waited_for(connect: KafkaConnect, worker: Worker) -> None:
    connect.register(NAME, CONFIG)
    worker.first_answers = [(404, {"message": "Status for connector trades not found"})] * 2
    assert connect.wait_until_running(NAME).is_running


def test_a_connector_that_does_not_exist_is_unknown(connect: KafkaConnect) -> None:
    with pytest.raises(ConnectorUnknownError, match="register the connector"):
        connect.status(NAME)


def test_a_worker_restarted_without_exactly_once_is_found(connect: KafkaConnect, worker: Worker) -> None:
    connect.register(NAME, CONFIG)
    assert connect.exactly_once_objections(NAME) == ()
    worker.objections = ["This worker does not have exactly-once source support enabled."]
    assert connect.exactly_once_objections(NAME) == tuple(worker.objections)


def test_a_connector_that_does_not_ask_for_exactly_once_is_found(connect: KafkaConnect, worker: Worker) -> None:
    connect.register(NAME, {**CONFIG, "exactly.once.support": "requested"})
    assert connect.exactly_once_objections(NAME) == ("exactly.once.support is requested; register the connector anew",)


def test_verbs_reach_their_connector(connect: KafkaConnect, worker: Worker) -> None:
    connect.register(NAME, CONFIG)
    worker.asked.clear()
    connect.resume(NAME)
    connect.stop(NAME)
    connect.restart_failed(NAME)
    assert worker.asked == [
        f"PUT /connectors/{NAME}/resume",
        f"PUT /connectors/{NAME}/stop",
        f"POST /connectors/{NAME}/restart?includeTasks=true&onlyFailed=true",
    ]


@pytest.mark.parametrize(
    ("lsn", "record"),
    [
        (None, ""),
        (0, ""),
        ((1 << 32) + 0x16B3748, "the first change after LSN 1/16B3748"),
    ],
)
def test_a_failure_is_told_with_its_cause_and_the_change_it_stands_before(
    worker: Worker,
    connect: KafkaConnect,
    lsn: int | None,
    record: str,
) -> None:
    worker.configs[NAME], worker.lsn = dict(CONFIG), lsn
    assert connect.explain(connect.status(NAME)) is None
    worker.task_states = ["FAILED"]
    worker.trace = "A: the task\n\tat x\nCaused by: B: the send\n\tat y\nCaused by: C: 1391737 bytes\n\tat z"
    failure = connect.explain(connect.status(NAME))
    assert failure is not None
    assert (failure.reason, failure.record) == ("A: the task; because of C: 1391737 bytes", record)


def test_a_connector_that_fails_again_is_not_taken_for_one_that_runs(worker: Worker, connect: KafkaConnect) -> None:
    worker.configs[NAME] = dict(CONFIG)
    connect.wait_until_steady(NAME, for_s=0.1)
    worker.task_states = ["FAILED"]
    with pytest.raises(ConnectorFailedError, match="fails again: org.example.Broken"):
        connect.wait_until_steady(NAME, for_s=0.1)


def test_columns_that_the_schema_registry_refuses_are_told_with_what_to_do() -> None:
    trace = (
        "org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler\n\tat a.b(C.java:1)\n"
        "Caused by: io.apicurio.registry.rest.client.exception.RuleViolationException: Incompatible artifact: "
        "finlake.ods.finnhub_trades-value [AVRO], num of incompatible diffs: {1}, list of diff types: [x at /fields/0] "
        "Causes: reader union lacking writer type: RECORD at /fields/0/type/1\n\t... 13 more\n"
    )
    status = ConnectorStatus(NAME, "RUNNING", None, (TaskStatus(0, "FAILED", "w", trace),))
    assert status.failure == (
        "the schema registry refuses the new columns of finlake.ods.finnhub_trades (reader union lacking writer type: RECORD at "
        "/fields/0/type/1); undo the change of the table, or take it: docs/incompatible-columns.md"
    )


def test_a_failure_that_somebody_mends_in_time_is_waited_for(worker: Worker, connect: KafkaConnect) -> None:
    worker.configs[NAME], worker.task_states = dict(CONFIG), ["FAILED"]
    with pytest.raises(ConnectorFailedError, match="the slot is gone"):
        connect.wait_until_running(NAME, timeout_s=5, failed_for_s=0.1)
    mended = threading.Timer(0.3, lambda: worker.task_states.__setitem__(0, "RUNNING"))
    mended.start()
    assert connect.wait_until_running(NAME, timeout_s=20, failed_for_s=20).is_running
    mended.join()
