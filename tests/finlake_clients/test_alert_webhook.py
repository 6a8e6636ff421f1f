"""A webhook on loopback: what it takes, when it is tried again, and that its URL is told to nobody."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finlake_clients import alert_webhook
from finlake_clients.alert_webhook import ATTEMPTS, AlertNotSentError, AlertWebhook

SECRET = "/hooks/T0/hunter2"


class Hook:
    """A server that gives these answers one after the other, then 200, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.taken: list[tuple[str, dict[str, object]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.taken.append((self.path, json.loads(body)))
                self.send_response(hook.answers.pop(0) if hook.answers else 200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}{SECRET}"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(alert_webhook, "FIRST_WAIT_S", 0.001)
    running = Hook()
    yield running
    running.server.shutdown()
    running.server.server_close()


def webhook_at(url: str, folder: Path) -> AlertWebhook:
    file = folder / "webhook.url"
    file.write_text(f"{url}\n", encoding="utf-8")
    return AlertWebhook(url_file=str(file))


def test_a_message_arrives_as_json_at_the_url_of_the_file(hook: Hook, tmp_path: Path) -> None:
    webhook_at(hook.url, tmp_path).send({"text": "BAD", "turned_bad": {"a": "b"}})
    assert hook.taken == [(SECRET, {"text": "BAD", "turned_bad": {"a": "b"}})]


@pytest.mark.parametrize("busy", [429, 500, 503])
def test_a_busy_webhook_is_tried_again(hook: Hook, tmp_path: Path, busy: int) -> None:
    hook.answers = [busy, busy]
    webhook_at(hook.url, tmp_path).send({"text": "BAD"})
    assert len(hook.taken) == 3


def test_a_webhook_that_stays_busy_is_given_up(hook: Hook, tmp_path: Path) -> None:
    hook.answers = [503] * 10
    with pytest.raises(AlertNotSentError, match="HTTP 503"):
        webhook_at(hook.url, tmp_path).send({"text": "BAD"})
    assert len(hook.taken) == ATTEMPTS


def test_a_webhook_that_is_gone_is_not_tried_again(hook: Hook, tmp_path: Path) -> None:
    hook.answers = [404, 404]
    with pytest.raises(AlertNotSentError, match="HTTP 404"):
        webhook_at(hook.url, tmp_path).send({"text": "BAD"})
    assert len(hook.taken) == 1


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/hunter2", "gopher://x/hunter2", "http:///hunter2"])
def test_no_failure_tells_the_url(
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(alert_webhook, "FIRST_WAIT_S", 0.001)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AlertNotSentError) as failure:
        webhook_at(url.format(port=closed_port()), tmp_path).send({"text": "BAD"})
    error: BaseException | None = failure.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__
    assert "hunter2" not in caplog.text


def test_a_success_does_not_log_the_url_either(hook: Hook, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="httpx")
    before = list(logging.getLogger("httpx").filters)
    webhook_at(hook.url, tmp_path).send({"text": "BAD"})
    assert "hunter2" not in caplog.text
    assert logging.getLogger("httpx").filters == before


def test_without_a_file_there_is_no_webhook() -> None:
    assert not AlertWebhook().is_configured
    with pytest.raises(AlertNotSentError, match="FINLAKE_ALERT_WEBHOOK_URL_FILE"):
        AlertWebhook().send({"text": "BAD"})


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(AlertNotSentError, match="/nowhere/url: No such file"):
        AlertWebhook(url_file="/nowhere/url").send({"text": "BAD"})
