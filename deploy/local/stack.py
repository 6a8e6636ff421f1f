"""The local stack as one object: up, down, status, and the variables its clients need."""

import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.local import config_files, host
from deploy.local import settings as stack_settings
from deploy.local.dagster_runs import fail_abandoned_runs
from deploy.local.errors import PortTakenError, ServiceNotReadyError, StackError
from deploy.local.jars import fetch_jars, required_jars
from deploy.local.java import Java, find_java
from deploy.local.layout import REPOSITORY, Layout
from deploy.local.passwords import write_private
from deploy.local.ports import LOOPBACK, Ports, is_free, settle
from deploy.local.postgres import prepare_cluster, provision
from deploy.local.probes import BrokenError, NotReadyError, listens, probe
from deploy.local.services import SERVICES, command_of, with_requirements
from deploy.local.settings import Settings
from deploy.local.spark_server import server_command, spark_environment
from deploy.local.supervision import Program, Supervisor, tail

DAGSTER_SERVICES = frozenset({"dagster_webserver", "dagster_daemon"})

State = Literal["running", "starting", "stopped", "failed"]

# Supervisor's process states in the words of `finlake status`.
STATES: Mapping[str, State] = {"RUNNING": "running", "STARTING": "starting", "BACKOFF": "starting", "FATAL": "failed"}


ALIVE = frozenset({"RUNNING", "STARTING"})


@dataclass(frozen=True)
class ServiceStatus:
    """One service as `finlake status` shows it; `detail` is the supervisor's remark (uptime or reason)."""

    name: str
    state: State
    port: int | None
    pid: int | None
    detail: str


class LocalStack:
    """The services that keep their state under `home`.

    `ports` None means the ports of the last start, else the defaults. `jars` is the folder of downloaded jars
    (default `<home>/jars`). `variables` are FINLAKE_* variables that the user has set. `workspace` is the file that
    tells Dagster what to load.
    """

    def __init__(
        self,
        home: Path,
        ports: Ports | None = None,
        *,
        jars: Path | None = None,
        variables: Mapping[str, str] | None = None,
        workspace: Path = REPOSITORY / "workspace.yaml",
    ) -> None:
        home = home.expanduser().absolute()
        self.layout = Layout(home, jars.absolute() if jars else home / "jars", workspace.absolute())
        self._ports = ports
        self._variables = dict(variables or {})
        self._supervisor = Supervisor(self.layout)

    def prepare(self, report: Callable[[str], None] = lambda _: None) -> Java:
        """Find Java and fetch the jars; all that `up` needs from the network. Returns the Java."""
        java = find_java()
        report(f"Java {java.major} in {java.home}")
        fetched = fetch_jars(self.layout.jars, required_jars(self.settings().uses_s3), java)
        report(f"downloaded {', '.join(jar.file_name for jar in fetched)}" if fetched else "jars are complete")
        return java

    def up(
        self,
        free_ports: bool = False,
        services: Collection[str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> dict[str, float]:
        """Start what does not run yet and wait until all of it answers. Safe to repeat.

        `services` None means all; what a service needs is started too. `report` gets one line per step. Returns the
        seconds that each newly started service took. Raises PortTakenError, ServiceNotReadyError or another StackError;
        services that had started then keep running.
        """
        wanted = with_requirements(services)
        with self._alone():
            fresh = not self._supervisor.is_running()
            if fresh:
                self._begin(free_ports, report)
            settings = self._running_settings()
            programs = self._supervisor.programs()
            starting = [name for name in wanted if programs[name].state not in ALIVE]
            if not fresh:
                self._require_free_ports(settings, starting)
            return self._start(wanted, starting, settings, fresh, report)

    def down(self, report: Callable[[str], None] = lambda _: None) -> int:
        """Stop everything and verify that no process is left; returns how many had to be ended one by one.

        Safe when nothing runs, and when the supervisor was killed. Raises StackError when a process survives.
        """
        with self._alone():
            if self._supervisor.is_running():
                report("stopping")
                self._supervisor.shut_down()
            return self._supervisor.end_leftovers()

    def status(self) -> list[ServiceStatus]:
        """Every service with its state; `starting` also for a process whose port does not answer yet."""
        ports = self.settings().ports
        programs = self._supervisor.programs()
        return [_status(name, programs.get(name), ports.of(name)) for name in SERVICES]

    def settings(self) -> Settings:
        """Ports and variables: those of the last start, with what this object was given on top."""
        last = stack_settings.recorded(self.layout) or Settings()
        return Settings(self._ports or last.ports, {**last.variables, **self._variables})

    def environment(self) -> dict[str, str]:
        """Variables (FINLAKE_*, DAGSTER_HOME) of a process that uses the stack; secrets only as paths of files."""
        return stack_settings.client_environment(self.layout, self.settings())

    def log_file(self, name: str) -> Path:
        """The log of a service or of `supervisord`. Raises StackError when there is none."""
        file = self.layout.log(name)
        if name not in {*SERVICES, "supervisord"}:
            raise StackError(f"no service is named {name}; there are {', '.join(SERVICES)}")
        if not file.is_file():
            raise StackError(f"{name} has no log in {self.layout.logs}; it has not been started yet")
        return file

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.layout.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.layout.lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(
                    f"another `finlake up` or `finlake down` is at work in {self.layout.home}; wait until it ends"
                ) from None
            yield

    def _begin(self, free_ports: bool, report: Callable[[str], None]) -> None:
        """Everything that has to be there before the first service starts, and the supervisor itself."""
        layout = self.layout
        ended = self._supervisor.end_leftovers()
        if ended:
            report(f"ended {ended} processes that an earlier stack had left")
        last = stack_settings.recorded(layout)
        ports = self._ports or (last.ports if last else Ports())
        settings = Settings(settle(ports, SERVICES, move=free_ports), self._variables)
        # What a killed Spark has left.
        shutil.rmtree(layout.spark / "scratch", ignore_errors=True)
        for folder in (layout.logs, layout.warehouse, layout.stooq_drop, layout.dagster, layout.spark / "scratch"):
            folder.mkdir(parents=True, exist_ok=True)
        java = self.prepare(report)
        cluster = prepare_cluster(layout)
        write_private(
            layout.spark_properties,
            config_files.spark_properties(layout, settings, java, stack_settings.s3_keys(settings)),
        )
        write_private(layout.spark_properties.with_name("log4j2.properties"), config_files.SPARK_LOGGING)
        write_private(layout.dagster / "dagster.yaml", config_files.dagster_instance(layout, settings.ports.postgres))
        spark_command = server_command(layout, java)
        commands = {
            service: command_of(name, layout, settings.ports, cluster, spark_command)
            for name, service in SERVICES.items()
        }
        # Postgres must be able to enter its folder as another user; Spark leaves files where it stands.
        folders = dict.fromkeys(SERVICES, str(REPOSITORY))
        folders |= {"postgres": "/", "spark_connect": str(layout.spark)}
        write_private(layout.supervisor_config, config_files.supervisor_config(layout, commands, folders, cluster.user))
        stack_settings.save(layout, settings)
        self._ports, self._variables = None, {}
        self._supervisor.launch(
            host.process_environment(
                stack_settings.client_environment(layout, settings)
                | spark_environment(layout, java)
                | {
                    "SPARK_LOCAL_IP": LOOPBACK,
                    "PYSPARK_PYTHON": sys.executable,
                    # Spark's Python workers import the transforms they run.
                    "PYTHONPATH": str(REPOSITORY),
                    "PGPASSFILE": str(layout.passfile),
                    # A run over thousands of sessions logs tens of thousands of events; see RangeEventLogStorage.
                    "DAGSTER_EVENT_BATCH_SIZE": "1000",
                    "PYTHONUNBUFFERED": "1",
                }
            )
        )

    def _running_settings(self) -> Settings:
        """Settings of the running stack. Raises StackError when this object asks for others."""
        running = stack_settings.recorded(self.layout) or Settings()
        wanted = self.settings()
        if wanted == running:
            return running
        different = [name for name, value in wanted.variables.items() if running.variables.get(name) != value]
        what = ", ".join(different) or "ports"
        raise StackError(f"the stack runs with other settings ({what}); run `finlake down`, then `finlake up`")

    def _require_free_ports(self, settings: Settings, starting: Collection[str]) -> None:
        for name in starting:
            port = settings.ports.of(name)
            if port is not None and not is_free(port):
                raise PortTakenError(
                    f"port {port} of {name} is taken by another program; stop that program, "
                    "or run `finlake down` and then `finlake up --free-ports`"
                )

    def _start(
        self,
        wanted: Collection[str],
        starting: Collection[str],
        settings: Settings,
        fresh: bool,
        report: Callable[[str], None],
    ) -> dict[str, float]:
        seconds: dict[str, float] = {}

        def bring(name: str) -> None:
            began = time.monotonic()
            self._supervisor.start(name)
            finish(name, began)

        def finish(name: str, began: float) -> None:
            self._wait(name, settings)
            if name in starting:
                seconds[name] = round(time.monotonic() - began, 1)
                report(f"{name} is ready ({seconds[name]:.1f} s)")

        def bring_dagster() -> None:
            if fresh:
                for run_id in fail_abandoned_runs(self.layout):
                    report(f"closed run {run_id}, whose process had ended")
            names = [name for name in wanted if name in DAGSTER_SERVICES]
            # Both load the code location at the same time; only their readiness is asked one after the other.
            began = time.monotonic()
            for name in names:
                self._supervisor.start(name)
            for name in names:
                finish(name, began)

        if "postgres" in wanted:
            bring("postgres")
            provision(self.layout, settings.ports.postgres)
        others = [name for name in wanted if name not in DAGSTER_SERVICES and name != "postgres"]
        with ThreadPoolExecutor() as pool:
            tasks = [pool.submit(bring, name) for name in others]
            if DAGSTER_SERVICES & set(wanted):
                tasks.append(pool.submit(bring_dagster))
        for task in tasks:
            task.result()
        return seconds

    def _wait(self, name: str, settings: Settings) -> None:
        """Ask a service until it answers. Raises ServiceNotReadyError when it gave up or takes too long."""
        deadline = time.monotonic() + SERVICES[name].ready_within_s
        reason = "it has not been asked yet"
        while time.monotonic() < deadline:
            program = self._supervisor.program(name)
            if program.state in {"FATAL", "EXITED", "UNKNOWN"}:
                raise self._not_ready(name, f"stopped again ({program.detail})")
            try:
                if program.state in ALIVE:
                    probe(name, self.layout, settings, program.started)
                    return
            except NotReadyError as problem:
                reason = str(problem)
            except BrokenError as problem:
                raise self._not_ready(name, str(problem)) from problem
            time.sleep(0.2)
        raise self._not_ready(name, f"does not answer after {SERVICES[name].ready_within_s} s: {reason}")

    def _not_ready(self, name: str, reason: str) -> ServiceNotReadyError:
        last = tail(self.layout.log(name), 1)
        said = f"; its log ends with: {last[0].strip()}" if last else ""
        return ServiceNotReadyError(f"{name} {reason}{said} (see `finlake logs {name}`)")


def _status(name: str, program: Program | None, port: int | None) -> ServiceStatus:
    state = STATES.get(program.state, "stopped") if program else "stopped"
    if program is None or state == "stopped":
        return ServiceStatus(name, "stopped", port, None, "")
    if port is not None and program.state in ALIVE:
        state = "running" if listens(port) else "starting"
    return ServiceStatus(name, state, port, program.pid or None, program.detail)
