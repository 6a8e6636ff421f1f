"""What follows from the recipe of a service: test_recipes.py runs this in the copy to which it was applied."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
import yaml

from deploy.local.java import Java
from deploy.local.postgres import Cluster
from deploy.local.service import Launch
from deploy.local.services import SERVICES, default_ports
from deploy.local.settings import StackSettings
from deploy.local.stack import LocalStack
from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import LOOPBACK

NAME, PORT = "memory_watch", 18104


def command(folder: Path, port: int) -> list[str]:
    """As the stack would start it."""
    settings = StackSettings(default_ports().moved({NAME: port}))
    launch = Launch(LocalStack(folder).layout, settings, NAME, Cluster(folder, folder, None), Java(folder, 21, ()))
    return SERVICES[NAME].command(launch)


def test_ports_prometheus_and_status_have_it(tmp_path: Path) -> None:
    assert default_ports()[NAME] == PORT
    assert {each.name: (each.state, each.port) for each in LocalStack(tmp_path).status()}[NAME] == ("stopped", PORT)
    scraped = yaml.safe_load((CHECKOUT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert [f"{LOOPBACK}:{PORT}"] in [static["targets"] for job in scraped for static in job["static_configs"]]
    assert f"| {PORT} | `{NAME}` |" in (CHECKOUT / "docs/ports.md").read_text()


def test_it_starts_answers_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    started = subprocess.Popen(command(tmp_path, 0), cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    with started:
        try:
            assert started.stdout is not None
            told = json.loads(started.stdout.readline())
            assert told["event"] == "memory watch start"
            url = f"http://{LOOPBACK}:{told['metrics_port']}"
            # Its first look comes with the first answer, or just after it.
            deadline = time.monotonic() + 60
            while httpx.get(f"{url}/ready", trust_env=False).status_code == 503:
                assert time.monotonic() < deadline
            assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ok"}
            found = re.search(r"^finlake_memory_available_bytes (\S+)$", httpx.get(f"{url}/metrics", trust_env=False).text, re.M)
            assert found is not None
            assert float(found[1]) > 0
            started.send_signal(signal.SIGTERM)
            rest, _ = started.communicate(timeout=60)
        finally:
            started.kill()
    assert started.returncode == 0
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["memory watch stop"]
