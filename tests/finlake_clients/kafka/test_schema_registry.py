"""The registry's client: what it is told, what it makes of answers, and what it never takes or tells."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finlake_clients.kafka.schema_registry import (
    MAX_ANSWER_BYTES,
    RegistryRefusedError,
    RegistryUnavailableError,
    SchemaRegistry,
    schemas_of,
)
from finlake_clients.secret_files import SecretUnreadableError
from finlake_settings.groups import Kafka


@dataclass
class Script:
    """What the registry answers next, and what it was asked: method, path, token, body."""

    status: int = 200
    answer: bytes = b"{}"
    asked: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def registry(script: Script, tmp_path: Path) -> Iterator[SchemaRegistry]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            script.asked.append((self.command, self.path, self.headers.get("authorization"), body))
            self.send_response(script.status)
            self.end_headers()
            self.wfile.write(script.answer)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    token = tmp_path / "a.token"
    token.write_text("a-token\n")
    yield SchemaRegistry(f"http://127.0.0.1:{server.server_port}", token)
    server.shutdown()
    server.server_close()


def test_a_schema_is_asked_for_by_its_number_with_the_token(registry: SchemaRegistry, script: Script) -> None:
    script.answer = json.dumps({"schema": '"string"', "references": []}).encode()
    assert registry.schema_of(7) == '"string"'
    assert script.asked == [("GET", "/apis/ccompat/v7/schemas/ids/7", "Bearer a-token", b"")]


def test_the_token_is_told_to_no_proxy(
    registry: SchemaRegistry,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    script.answer = b'{"schema": "7"}'
    assert registry.schema_of(7) == "7"


def test_what_the_registry_lacks_is_no_failure(registry: SchemaRegistry, script: Script) -> None:
    script.status, script.answer = 404, b'{"error_code": 40403, "message": "Schema not found"}'
    assert registry.schema_of(7) is None
    assert registry.versions("a-value") == []
    with pytest.raises(RegistryRefusedError, match="Schema not found"):
        registry.schema("a-value", 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, RegistryRefusedError),
        (403, RegistryRefusedError),
        (422, RegistryRefusedError),
        (500, RegistryUnavailableError),
        (503, RegistryUnavailableError),
    ],
)
def test_a_refusal_is_not_taken_for_a_registry_that_fails(
    registry: SchemaRegistry,
    script: Script,
    status: int,
    error: type[Exception],
) -> None:
    script.status, script.answer = status, b'{"message": "because"}'
    with pytest.raises(error, match="because"):
        registry.schema_of(7)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"schema": 7}',
        b"not JSON",
        b"\xff",
        b"[" * 100_000,
        b'{"schema": "' + b"x" * MAX_ANSWER_BYTES + b'"}',
    ],
)
def test_an_answer_that_is_none_of_the_protocol_is_no_schema(registry: SchemaRegistry, script: Script, answer: bytes) -> None:
    script.answer = answer
    with pytest.raises(RegistryUnavailableError):
        registry.schema_of(7)


def test_whoever_is_no_registry_lacks_no_schema(registry: SchemaRegistry, script: Script) -> None:
    for script.answer in (b"", b"<html>Not Found</html>", b'"Not Found"'):
        script.status = 404
        with pytest.raises((RegistryUnavailableError, RegistryRefusedError)):
            registry.schema_of(7)


def test_the_rule_for_new_columns_is_of_all_subjects(registry: SchemaRegistry, script: Script) -> None:
    registry.require("FULL")
    assert [(method, path, json.loads(body)) for method, path, _, body in script.asked] == [
        ("PUT", "/apis/ccompat/v7/config", {"compatibility": "FULL"})
    ]


def test_a_registry_that_is_away_or_a_token_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailableError, match="schema_registry at http://127.0.0.1:1 cannot be asked"):
        SchemaRegistry("http://127.0.0.1:1", None).schema_of(7)
    with pytest.raises(SecretUnreadableError):
        SchemaRegistry("http://127.0.0.1:1", tmp_path / "none.token").schema_of(7)


def test_a_stream_without_a_registry_knows_no_schema() -> None:
    kafka = Kafka(bootstrap="nowhere:1", password_file=None, registry_url=None, registry_token_file=None)
    assert schemas_of(kafka)(7) is None
