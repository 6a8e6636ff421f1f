"""The local stack as one object: up, down, status, and the variables its clients need."""

import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deploy.local import config_files, identity, kafka
from deploy.local import settings as stack_settings
from deploy.local.certificate import make_certificate
from deploy.local.errors import PortTakenError, ServiceNotReadyError, StackError
from deploy.local.jars import Jar, fetch_jars, required_jars, some_names
from deploy.local.java import Java, find_java
from deploy.local.layout import Layout
from deploy.local.passwords import write_private
from deploy.local.ports import Ports, settle
from deploy.local.postgres import prepare_cluster
from deploy.local.privacy import make_private, private_folders
from deploy.local.probes import BrokenError, NotReadyError, listens
from deploy.local.service import Launch, Process, Service, StackContext, Stage
from deploy.local.services import SERVICES, default_ports, left_out, port_names, service_named, with_requirements
from deploy.local.settings import StackSettings
from deploy.local.spark_server import spark_environment
from deploy.local.supervision import Program, Supervisor, tail
from deploy.local.workspace import code_location, served_workspace
from finlake_clients.secret_files import secret_of
from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import LOOPBACK
from finlake_settings.machine import process_environment

State = Literal["running", "starting", "stopped", "failed", "left out"]

# Supervisor's process states in the words of `finlake status`.
STATES: Mapping[str, State] = {"RUNNING": "running", "STARTING": "starting", "BACKOFF": "failed", "FATAL": "failed"}


ALIVE = frozenset({"RUNNING", "STARTING"})

# The service that needs jars of its own.
SPARK = "spark_connect"

# How long a process may end again as soon as it is started: Postgres killed hard needs some tries until its old backends
# have let go of the shared memory.
FAILING_AT_MOST_S = 25.0

# How often a service that died, or whose requirements died, while it was made ready is made ready again; and how long the
# supervisor may need to notice a death.
READY_ATTEMPTS, NOTICED_WITHIN_S = 4, 3.0


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
        workspace: Path = CHECKOUT / "workspace.yaml",
    ) -> None:
        home = home.expanduser().absolute()
        self.layout = Layout(home, jars.absolute() if jars else home / "jars", workspace.absolute())
        self._ports = ports
        self._variables = dict(variables or {})
        self._supervisor = Supervisor(self.layout)

    def required_jars(self, with_spark: bool = False) -> tuple[Jar, ...]:
        """Every jar of this stack with its present settings; `with_spark`: Spark's too, although they do without it."""
        settings = self.settings()
        return required_jars(
            s3=settings.uses_s3,
            spark=settings.uses_spark or with_spark,
            avro=stack_settings.needs_registry(self.layout, settings),
        )

    def prepare(self, report: Callable[[str], None] = lambda _: None, with_spark: bool = False) -> Java:
        """Find Java and fetch the jars; all that `up` needs from the network. Returns the Java.

        `with_spark`: Spark's jars too, although the settings do without it.
        """
        java = find_java()
        report(f"Java {java.major} in {java.home}")
        fetched = fetch_jars(self.layout.jars, self.required_jars(with_spark), java)
        report(f"downloaded {some_names([jar.file_name for jar in fetched])}" if fetched else "jars are complete")
        return java

    def up(
        self,
        free_ports: bool = False,
        services: Collection[str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> dict[str, float]:
        """Start what does not run yet and wait until all of it answers. Safe to repeat.

        `services` None means all that the settings allow; what a service needs is started too. `report` gets one line
        per step. Returns the seconds that each newly started service took. Raises PortTakenError, ServiceNotReadyError
        or another StackError; services that had started then keep running.
        """
        unwanted = left_out(self.context)
        if services is None:
            for name, reason in unwanted.items():
                report(f"{name} is left out: {reason}")
            services = SERVICES.keys() - unwanted.keys()
        wanted = with_requirements(services, unwanted)
        with self._alone():
            fresh = not self._supervisor.is_running()
            if fresh:
                self._begin(free_ports, report, with_spark=SPARK in wanted)
            else:
                self._require_secrets()
            settings = self._running_settings()
            programs = self._supervisor.programs()
            starting = [name for name in wanted if programs[name].state not in ALIVE]
            if not fresh:
                self._require_free_ports(settings, starting)
                if SPARK in starting:
                    self.prepare(report, with_spark=True)
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
        settings = self.settings()
        programs = self._supervisor.programs()
        unwanted = left_out(StackContext(self.layout, settings))
        return [_status(name, programs.get(name), settings.ports.get(name), unwanted.get(name)) for name in SERVICES]

    def settings(self) -> StackSettings:
        """Ports and variables: those of the last start, with what this object was given on top."""
        last = self._recorded()
        return StackSettings(self._ports or last.ports, {**last.variables, **self._variables})

    @property
    def context(self) -> StackContext:
        """Its folders with the present settings."""
        return StackContext(self.layout, self.settings())

    def environment(self) -> dict[str, str]:
        """Variables (FINLAKE_*, DAGSTER_HOME) of a process that uses the stack; secrets only as paths of files."""
        return stack_settings.client_environment(self.layout, self.settings())

    def require_running(self) -> None:
        """Raise unless this stack runs and its ports are its own, so that no command speaks to another's.

        Raises StackError, or ForeignStackError that names both stacks.
        """
        identity.require_own(self.layout, self.settings().ports)

    def log_file(self, name: str) -> Path:
        """The log of a service or of `supervisord`. Raises StackError when there is none."""
        file = self.layout.log(name)
        if name != "supervisord":
            service_named(name)
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

    def _begin(self, free_ports: bool, report: Callable[[str], None], with_spark: bool) -> None:
        """Everything that has to be there before the first service starts, and the supervisor itself."""
        layout = self.layout
        ended = self._supervisor.end_leftovers()
        if ended:
            report(f"ended {ended} processes that an earlier stack had left")
        ports = self._ports or self._recorded().ports
        settings = StackSettings(settle(ports, ports, move=free_ports), self._variables)
        emptied = (layout.spark / "scratch", layout.java_temporary, layout.temporary)
        make_private(layout.home, (*private_folders(layout), *emptied))
        # What killed processes have left.
        for folder in emptied:
            shutil.rmtree(folder, ignore_errors=True)
        make_private(layout.home, emptied)
        java = self.prepare(report, with_spark)
        stack_settings.make_secrets(layout)
        make_certificate(layout, java)
        cluster = prepare_cluster(layout)
        write_private(
            layout.spark_properties,
            config_files.spark_properties(
                layout, settings, java, stack_settings.s3_keys(settings), secret_of("spark_connect", layout.spark_token)
            ),
        )
        write_private(layout.spark_properties.with_name("log4j2.properties"), config_files.SPARK_LOGGING)
        write_private(layout.dagster / "dagster.yaml", config_files.dagster_instance(layout, settings.ports["postgres"]))
        write_private(layout.served_workspace, served_workspace(code_location(layout.workspace), layout.code_socket))
        kafka.write_configuration(layout, settings.ports)
        write_private(layout.clickhouse / "users.json", config_files.clickhouse_users(layout))
        commands = {service: service.command(Launch(layout, settings, name, cluster, java)) for name, service in SERVICES.items()}
        write_private(layout.supervisor_config, config_files.supervisor_config(layout, commands, cluster.user))
        stack_settings.save(layout, settings)
        self._ports, self._variables = None, {}
        self._supervisor.launch(
            process_environment(service_variables(layout, settings, java) | identity.variables(identity.make_identity(layout)))
        )

    def _recorded(self) -> StackSettings:
        return stack_settings.recorded(self.layout, default_ports()) or StackSettings(default_ports())

    def _running_settings(self) -> StackSettings:
        """StackSettings of the running stack. Raises StackError when this object asks for others."""
        running = self._recorded()
        wanted = self.settings()
        if wanted == running:
            return running
        different = [name for name, value in wanted.variables.items() if running.variables.get(name) != value]
        what = ", ".join(different) or "ports"
        raise StackError(f"the stack runs with other settings ({what}); run `finlake down`, then `finlake up`")

    def _require_secrets(self) -> None:
        """Raises StackError when the stack that runs was started by a finlake that did not know some of the secrets."""
        missing = [file.name for file in stack_settings.needed_secrets(self.layout) if not file.is_file()]
        if missing:
            raise StackError(
                f"the stack that runs has no {missing[0]}, as one started by an earlier finlake, or the file is gone; "
                "run `finlake down`, then `finlake up`, which makes it"
            )

    def _require_free_ports(self, settings: StackSettings, starting: Collection[str]) -> None:
        for name, port in settings.ports.taken(port_names(starting)).items():
            raise PortTakenError(
                f"port {port} of {name} is taken by another program; stop that program, "
                "or run `finlake down` and then `finlake up --free-ports`"
            )

    def _start(
        self,
        wanted: Collection[str],
        starting: Collection[str],
        settings: StackSettings,
        fresh: bool,
        report: Callable[[str], None],
    ) -> dict[str, float]:
        seconds: dict[str, float] = {}
        stage = Stage(self.layout, settings, fresh, report)
        launched: dict[str, Future[float]] = {}
        ready: dict[str, Future[None]] = {}

        def launch(name: str) -> float:
            service = SERVICES[name]
            earlier = (service.requires | service.after) & set(wanted)
            wait([*(ready[name] for name in earlier), *(launched[name] for name in service.beside)])
            began = time.monotonic()
            before_start = service.before_start
            if name in starting and before_start is not None:
                self._despite_deaths(name, stage, lambda: before_start(stage))
            self._supervisor.start(name)
            return began

        def await_ready(name: str) -> None:
            began = launched[name].result()
            wait([ready[other] for other in SERVICES[name].beside])
            self._despite_deaths(name, stage, lambda: make_ready(SERVICES[name]))
            if name in starting:
                seconds[name] = round(time.monotonic() - began, 1)
                report(f"{name} is ready ({seconds[name]:.1f} s)")

        def make_ready(service: Service) -> None:
            self._wait(service.name, settings)
            if service.when_ready is not None:
                service.when_ready(stage)

        def wait(others: Collection[Future[Any]]) -> None:
            for other in others:
                other.result()

        # Each waits in a thread of its own for what it requires, which comes earlier in `wanted` or beside.
        with ThreadPoolExecutor(max_workers=2 * len(wanted)) as pool:
            for name in wanted:
                launched[name] = pool.submit(launch, name)
                ready[name] = pool.submit(await_ready, name)
        for task in ready.values():
            task.result()
        return seconds

    def _despite_deaths(self, name: str, stage: Stage, step: Callable[[], None]) -> None:
        """Take a step for a service, again when it failed because a process that it needs died meanwhile and came back.

        Whatever the step raises is raised when no process died, or too often.
        """
        for attempt in range(1, READY_ATTEMPTS + 1):
            before = self._lives(name)
            try:
                step()
                return
            # A death shows in as many ways as there are clients: whether there was one is asked of the supervisor.
            except Exception as problem:
                if attempt == READY_ATTEMPTS or not self._has_changed(name, before):
                    raise
                said = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
                stage.report(f"{name} is made ready again, because a process died meanwhile ({said})")
                for other in sorted(SERVICES[name].requires - left_out(stage).keys()):
                    self._wait(other, stage.settings)

    def _lives(self, name: str) -> list[int]:
        """The process ids of a service and of all that it needs."""
        programs = self._supervisor.programs()
        return [programs[each].pid for each in with_requirements([name]) if each in programs]

    def _has_changed(self, name: str, before: list[int]) -> bool:
        deadline = time.monotonic() + NOTICED_WITHIN_S
        while self._lives(name) == before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _wait(self, name: str, settings: StackSettings) -> None:
        """Ask a service until it answers. Raises ServiceNotReadyError when it ends again and again or takes too long."""
        deadline = time.monotonic() + SERVICES[name].ready_within_s
        reason = "it has not been asked yet"
        failing_since: float | None = None
        while time.monotonic() < deadline:
            program = self._supervisor.program(name)
            # Not EXITED: a program that was killed is that until its supervisor starts it again.
            if program.state in {"FATAL", "UNKNOWN"}:
                raise self._not_ready(name, f"stopped again ({program.detail})")
            if program.state == "RUNNING":
                failing_since = None
            elif program.state == "BACKOFF":
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > FAILING_AT_MOST_S:
                    raise self._not_ready(name, f"stops again and again ({program.detail})")
            try:
                if program.state in ALIVE:
                    SERVICES[name].probe(Process(self.layout, settings, name, program.started))
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
        return ServiceNotReadyError(f"{name} {reason}{said} (see `{self.layout.logs_command(name)}`)")


def service_variables(layout: Layout, settings: StackSettings, java: Java) -> dict[str, str]:
    """What the services find in their environment, and all that they start: Dagster's runs, Spark's Python workers."""
    return (
        stack_settings.client_environment(layout, settings)
        | spark_environment(layout, java)
        | {
            "SPARK_LOCAL_IP": LOOPBACK,
            "PYSPARK_PYTHON": sys.executable,
            # Spark's Python workers import the transforms they run.
            "PYTHONPATH": str(CHECKOUT),
            "PGPASSFILE": str(layout.passfile),
            # In the machine's folder another account could take a name first.
            "TMPDIR": str(layout.temporary),
            # A run over thousands of sessions logs tens of thousands of events; see RangeEventLogStorage.
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
            # A code server that is stopped waits so many seconds for calls that have begun; nobody is left then to make one.
            "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "5",
            "PYTHONUNBUFFERED": "1",
        }
    )


def _status(name: str, program: Program | None, port: int | None, unwanted: str | None) -> ServiceStatus:
    state = STATES.get(program.state, "stopped") if program else "stopped"
    if state == "stopped" and unwanted is not None:
        return ServiceStatus(name, "left out", port, None, unwanted)
    if program is None or state == "stopped":
        return ServiceStatus(name, "stopped", port, None, "")
    if port is not None and program.state in ALIVE:
        state = "running" if listens(port) else "starting"
    return ServiceStatus(name, state, port, program.pid or None, program.detail)
