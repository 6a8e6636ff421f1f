"""Ten minutes of a stack that nobody attends to, live in everything but the vendors' addresses.

Nothing fails, and what is made to go wrong arrives at a webhook, once.
"""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_clients.dagster_graphql import DagsterClient
from finlake_services.sample_sources.drop import write_drop
from finlake_settings.checkout import CHECKOUT
from tests.integration.dagster.webserver import Webserver, until

pytestmark = [pytest.mark.stack, pytest.mark.long]

ATTENDED_BY_NOBODY_S = 600
TIMEOUT_S = 3 * ATTENDED_BY_NOBODY_S
ALWAYS_ON = {
    "stooq_arrivals",
    "price_restatements",
    "months_follow_sessions",
    "stream_ranges",
    "stream_health",
    "run_failures",
    "failed_checks",
    "automation",
    "after_close",
    "news_of_the_day",
    "month_end",
    "daily_checks",
    "weekly_upkeep",
}


@dataclass
class Hook:
    """A webhook that keeps what it is sent."""

    taken: list[dict[str, Any]] = field(default_factory=list)

    def of(self, what: str, name: str) -> list[dict[str, Any]]:
        return [message for message in self.taken if name in message.get(what, ())]


@pytest.fixture(scope="module")
def hook() -> Iterator[tuple[Hook, str]]:
    kept = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kept, f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def unattended(hook: tuple[Hook, str]) -> Iterator[LocalStack]:
    home = Path(tempfile.mkdtemp(prefix="finlake-"))
    home.chmod(0o711)
    url_file = home / "webhook.url"
    url_file.write_text(hook[1], encoding="utf-8")
    variables = {"FINLAKE_UNATTENDED": "1", "FINLAKE_ALERT_WEBHOOK_URL_FILE": str(url_file)}
    stack = LocalStack(home, free_ports(), jars=CHECKOUT / ".finlake" / "jars", variables=variables)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        shutil.rmtree(home)


@pytest.mark.timeout(TIMEOUT_S + 1200)
def test_nothing_fails_and_an_alert_arrives_once_and_resolves(unattended: LocalStack, hook: tuple[Hook, str]) -> None:
    client = DagsterClient(unattended.environment()["FINLAKE_DAGSTER_URL"], unattended.layout.dagster_web_password)
    webserver, kept = Webserver(client), hook[0]
    until(webserver.ticks, lambda found: len(found.get("stream_health", ())) >= 2, timeout_s=300)
    assert set(webserver.ticks()) == ALWAYS_ON

    # A file arrives, and what follows it is nobody's business but the sensors'.
    write_drop(Path(unattended.environment()["FINLAKE_STOOQ_DROP"]), ["MSFT"])
    for job in ("checks_only", "upkeep", "serving", "stream_health"):
        webserver.client.launch(job)
    # Nobody reads the slot while Kafka Connect is away.
    supervisor = Supervisor(unattended.layout)
    supervisor.stop("kafka_connect")
    name = "cdc/market connector_runs"
    until(lambda: kept.of("turned_bad", name), bool, timeout_s=400)
    unattended.up()
    until(lambda: kept.of("turned_well", name), bool, timeout_s=400)

    waiting = Retrying(
        retry=retry_if_result(lambda seen: seen < ATTENDED_BY_NOBODY_S), wait=wait_fixed(10), stop=stop_after_delay(TIMEOUT_S)
    )
    waiting(lambda: ticked_for_s(webserver.ticks()["stream_health"]))

    failed = {name: tick for name, several in webserver.ticks().items() for tick in several if tick["status"] == "FAILURE"}
    assert failed == {}
    statuses = webserver.statuses()
    assert {run: status for run, status in statuses.items() if status in ("FAILURE", "CANCELED")} == {}
    assert {run.split()[0] for run in statuses} >= {"lake_by_session", "stream_archive", "checks_only", "upkeep", "serving"}
    assert len(kept.of("turned_bad", name)) == 1
    assert len(kept.of("turned_well", name)) == 1


def ticked_for_s(ticks: list[dict[str, Any]]) -> float:
    """Seconds between the first and the newest tick."""
    times = [tick["timestamp"] for tick in ticks]
    return float(max(times) - min(times))
