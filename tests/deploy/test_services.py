"""One record is all that a service needs: everything that goes by services follows."""

import shutil
import socket
from collections.abc import Callable
from configparser import RawConfigParser
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from deploy.local import config_files
from deploy.local.errors import StackError
from deploy.local.java import Java
from deploy.local.layout import Layout
from deploy.local.postgres import Cluster
from deploy.local.probes import NotReadyError, answers
from deploy.local.service import Launch, Process, Service, Stage
from deploy.local.services import SERVICES, default_ports, free_ports, owner_of, port_names, with_requirements
from deploy.local.settings import StackSettings, recorded, save
from deploy.local.stack import LocalStack
from deploy.local.supervision import Program
from finlake_cli import documents as docs
from finlake_proofs.chaos.plan import batch_targets, stream_targets
from finlake_proofs.chaos.run import Options
from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import LOOPBACK


class ToldSupervisor:
    """Runs whatever it is told to start."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def is_running(self) -> bool:
        return True

    def program(self, name: str) -> Program:
        return self.programs()[name]

    def programs(self) -> dict[str, Program]:
        return {
            name: Program(name, "RUNNING", 7, 100, "up") if name in self.started else Program(name, "STOPPED", 0, 0, "")
            for name in SERVICES
        }

    def start(self, name: str) -> None:
        self.started.append(name)


@pytest.fixture
def events() -> list[object]:
    """What the functions of the made-up service were asked, in order."""
    return []


@pytest.fixture
def quotes(events: list[object], monkeypatch: pytest.MonkeyPatch) -> Service:
    """A made-up service: the one record, and nothing else anywhere."""

    def note(what: str) -> Callable[[Stage], None]:
        return lambda _: events.append(what)

    def probe(process: Process) -> None:
        events.append(("probe", process.port, process.started))
        if events.count(("probe", process.port, process.started)) == 1:
            raise NotReadyError("it still reads")

    service = Service(
        name="quotes",
        command=lambda launch: ["/opt/quotes server", "--port", str(launch.port), "--peer", str(launch.ports["quotes_peer"])],
        port=18200,
        more_ports={"quotes_peer": 18201},
        probe=probe,
        metrics_path="/numbers",
        before_start=note("before"),
        when_ready=note("ready"),
        priority=70,
        ready_within_s=30,
        working_folder=lambda layout: layout.home / "quotes",
        stop_signal="QUIT",
        stops_group=False,
        chaos="stream",
    )
    monkeypatch.setitem(cast("dict[str, Service]", SERVICES), service.name, service)
    return service


def layout_and_settings(home: Path) -> tuple[Layout, StackSettings]:
    return LocalStack(home).layout, StackSettings(default_ports())


def test_its_ports_are_among_the_usual_and_the_free_ones(quotes: Service, tmp_path: Path) -> None:
    assert (default_ports()["quotes"], default_ports()["quotes_peer"]) == (18200, 18201)
    assert free_ports().keys() == default_ports().keys()
    assert port_names(["quotes"]) == ["quotes", "quotes_peer"]
    assert owner_of("quotes_peer") == "quotes"


def test_the_record_of_a_stack_from_before_it_gets_its_usual_ports(
    tmp_path: Path,
    quotes: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layout, _ = layout_and_settings(tmp_path)
    with monkeypatch.context() as earlier:
        earlier.delitem(cast("dict[str, Service]", SERVICES), "quotes")
        save(layout, StackSettings(free_ports()))
    found = recorded(layout, default_ports())
    assert found is not None
    assert (found.ports["quotes"], found.ports["quotes_peer"]) == (18200, 18201)
    assert found.ports["postgres"] != default_ports()["postgres"]


def test_the_supervisor_is_told_how_to_run_and_stop_it(quotes: Service, tmp_path: Path) -> None:
    layout, settings = layout_and_settings(tmp_path)
    moved = StackSettings(settings.ports.moved({"quotes": 5, "quotes_peer": 6}))
    launch = Launch(layout, moved, quotes.name, Cluster(Path("/bin"), Path("/data"), None), Java(Path("/java"), 21, ()))
    config = RawConfigParser()
    config.read_string(config_files.supervisor_config(layout, {quotes: quotes.command(launch)}, "finlake_postgres"))
    program = config["program:quotes"]
    assert program["command"] == "'/opt/quotes server' --port 5 --peer 6"
    assert program["directory"] == str(tmp_path / "quotes")
    assert (program["priority"], program["stopsignal"], program["stopasgroup"]) == ("70", "QUIT", "false")
    assert program["stdout_logfile"] == str(layout.log("quotes"))
    assert "user" not in program


def test_up_starts_it_asks_it_and_takes_its_steps(
    quotes: Service,
    events: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack, supervisor = stack_of(tmp_path)
    monkeypatch.setattr(stack, "_require_secrets", lambda: None)
    assert list(stack.up(services=["quotes"])) == ["quotes"]
    assert supervisor.started == ["quotes"]
    asked = ("probe", stack.settings().ports["quotes"], 100)
    assert events == ["before", asked, asked, "ready"]


def test_status_and_logs_know_it(quotes: Service, tmp_path: Path) -> None:
    stack, supervisor = stack_of(tmp_path)
    entry = {each.name: each for each in stack.status()}["quotes"]
    assert (entry.state, entry.port) == ("stopped", stack.settings().ports["quotes"])
    with socket.create_server((LOOPBACK, stack.settings().ports["quotes"])):
        supervisor.start("quotes")
        assert {each.name: each.state for each in stack.status()}["quotes"] == "running"
    with pytest.raises(StackError, match="quotes has no log .* not been started yet"):
        stack.log_file("quotes")


def stack_of(home: Path) -> tuple[LocalStack, ToldSupervisor]:
    """A stack with free ports whose supervisor is the test's."""
    layout = LocalStack(home).layout
    layout.record.parent.mkdir(parents=True, exist_ok=True)
    save(layout, StackSettings(free_ports()))
    stack, supervisor = LocalStack(home), ToldSupervisor()
    stack._supervisor = supervisor  # type: ignore[assignment]
    return stack, supervisor


def test_prometheus_scrapes_it(quotes: Service, tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    docs.write(tmp_path)
    config: dict[str, Any] = yaml.safe_load((tmp_path / "deploy/prometheus/prometheus.yml").read_text())
    assert config["scrape_configs"][-1] == {
        "job_name": "quotes",
        "metrics_path": "/numbers",
        "static_configs": [{"targets": ["127.0.0.1:18200"], "labels": {"stack": "finlake"}}],
    }
    assert Path("deploy/prometheus/prometheus.yml") in docs.stale(CHECKOUT)


def test_chaos_kills_it_while_trades_flow(quotes: Service) -> None:
    assert "quotes" in stream_targets()
    assert "quotes" in (Options(kills=1, seed=1, has_dagster=False).services or ())
    assert "quotes" not in batch_targets("spark")


def test_whoever_needs_it_brings_it_along(quotes: Service) -> None:
    assert with_requirements(["quotes"]) == ["quotes"]
    assert list(SERVICES)[-1] == "quotes"


@pytest.mark.parametrize("missing", ["command", "probe"])
def test_a_service_without_a_command_or_a_probe_cannot_be_made(missing: str) -> None:
    given = {"name": "quotes", "command": lambda _: ["quotes"], "probe": answers("/"), "priority": 1, "ready_within_s": 1}
    Service(**cast(Any, given))
    del given[missing]
    with pytest.raises(TypeError, match=missing):
        Service(**cast(Any, given))
