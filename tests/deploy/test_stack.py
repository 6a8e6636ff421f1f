"""The stack on real processes: Postgres, Spark Connect and Dagster with a code location of its own."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import psycopg
import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from deploy.local.errors import PortTakenError, StackError
from deploy.local.service import StackContext
from deploy.local.services import default_ports, free_ports, left_out
from deploy.local.settings import StackSettings
from deploy.local.stack import LocalStack, ServiceStatus
from deploy.local.supervision import Supervisor
from finlake_clients.dagster_graphql import DagsterClient, DagsterRequestError
from finlake_clients.dagster_login import USER
from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import LOOPBACK
from spark.lake.session import new_session

pytestmark = pytest.mark.stack

DAGSTER = ("postgres", "dagster_code_server", "dagster_webserver", "dagster_daemon")
SERVICES = ("postgres", "spark_connect", "dagster_code_server", "dagster_webserver", "dagster_daemon")

WORKSPACE = "load_from: [{python_file: {relative_path: definitions.py, location_name: tests}}]"
DEFINITIONS = """
import threading
import dagster as dg

@dg.asset(pool="endless")
def endless() -> None:
    threading.Event().wait(600)

defs = dg.Definitions(assets=[endless], jobs=[dg.define_asset_job("endless_job", [endless])],
                      executor=dg.in_process_executor)
"""

LAUNCH = """mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } } }"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
POOLS = "{ instance { concurrencyLimits { concurrencyKey activeSlotCount } } }"

Seen = TypeVar("Seen")

eventually = retry(stop=stop_after_delay(60), wait=wait_fixed(0.2), reraise=True)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    folder = Path(tempfile.mkdtemp(prefix="finlake-"))
    folder.chmod(0o711)
    (folder / "workspace.yaml").write_text(WORKSPACE)
    (folder / "definitions.py").write_text(DEFINITIONS)
    stack = LocalStack(
        folder / "my lake",
        free_ports(),
        jars=CHECKOUT / ".finlake" / "jars",
        workspace=folder / "workspace.yaml",
    )
    # As from a background shell, where Dagster would inherit deafness to every signal that stops it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stack.up(services=SERVICES)
        signal.signal(signal.SIGINT, before)
        yield stack
    finally:
        signal.signal(signal.SIGINT, before)
        stack.down()
        shutil.rmtree(folder)


def processes(stack: LocalStack) -> list[psutil.Process]:
    return Supervisor(stack.layout).leftovers()


def of_each(stack: LocalStack, look: Callable[[psutil.Process], Seen]) -> list[Seen]:
    """What can be seen of each process; some, like Postgres's short workers, end while they are looked at."""
    seen = []
    for process in processes(stack):
        with suppress(psutil.NoSuchProcess):
            seen.append(look(process))
    return seen


def status_of(stack: LocalStack, name: str) -> ServiceStatus:
    return next(entry for entry in stack.status() if entry.name == name)


def ask(stack: LocalStack, query: str, **variables: object) -> Any:
    url = stack.environment()["FINLAKE_DAGSTER_URL"] + "/graphql"
    login = (USER, stack.layout.dagster_web_password.read_text().strip())
    answer = httpx.post(url, json={"query": query, "variables": variables}, auth=login, timeout=30, trust_env=False)
    return answer.raise_for_status().json()["data"]


def test_up_again_starts_nothing_anew(stack: LocalStack) -> None:
    before = {entry.name: entry.pid for entry in stack.status()}
    assert stack.up(services=SERVICES) == {}
    Supervisor(stack.layout).start("postgres")
    assert {entry.name: entry.pid for entry in stack.status()} == before
    assert [entry.name for entry in stack.status() if entry.state == "running"] == list(SERVICES)


def test_up_with_other_settings_is_refused(stack: LocalStack) -> None:
    other = LocalStack(stack.layout.home, jars=stack.layout.jars, variables={"FINLAKE_SOURCES": "live"})
    with pytest.raises(StackError, match=r"other settings \(FINLAKE_SOURCES\); run `finlake down`"):
        other.up(services=["postgres"])


def test_spark_and_pyiceberg_see_each_others_rows_in_the_catalog(stack: LocalStack) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    environment = stack.environment()
    password = Path(environment["FINLAKE_CATALOG_PASSWORD_FILE"]).read_text().strip()
    uri = environment["FINLAKE_CATALOG_URI"].replace("lake@", f"lake:{password}@")
    catalog = SqlCatalog("lake", uri=uri, warehouse=environment["FINLAKE_WAREHOUSE"])
    spark = new_session(environment["FINLAKE_SPARK_REMOTE"], stack.layout.spark_token.read_text().strip())
    try:
        spark.sql("CREATE NAMESPACE lake.probe")
        spark.sql("CREATE TABLE lake.probe.seen (id BIGINT, at TIMESTAMP) USING iceberg")
        spark.sql("INSERT INTO lake.probe.seen VALUES (1, TIMESTAMP '2024-07-01 12:00:00')")
        rows = catalog.load_table("probe.seen").scan().to_arrow()
        # The session is in UTC, wherever the machine is.
        assert rows.to_pylist()[0]["at"].isoformat() == "2024-07-01T12:00:00+00:00"
        catalog.load_table("probe.seen").append(rows)
        assert spark.table("lake.probe.seen").count() == 2
    finally:
        spark.stop()


def test_spark_workers_import_the_repository_with_the_environments_python(stack: LocalStack) -> None:
    import sys

    import pyarrow

    def locate(batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        import sys
        from importlib import import_module

        for _ in batches:
            found = [sys.prefix, import_module("spark").__path__[0]]
            yield pyarrow.RecordBatch.from_pydict({"found": found})

    spark = new_session(stack.environment()["FINLAKE_SPARK_REMOTE"], stack.layout.spark_token.read_text().strip())
    try:
        rows = spark.range(1).mapInArrow(locate, "found string").collect()
    finally:
        spark.stop()
    assert [row.found for row in rows] == [sys.prefix, str(CHECKOUT / "spark")]


def test_a_role_enters_its_own_database_with_its_password_only(stack: LocalStack) -> None:
    port = status_of(stack, "postgres").port
    password = stack.layout.password_file("lake").read_text().strip()
    psycopg.connect(host=LOOPBACK, port=port, user="lake", dbname="lake", password=password).close()
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(host=LOOPBACK, port=port, user="lake", dbname="dagster", password=password)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=LOOPBACK, port=port, user="lake", dbname="lake", password="guess")


def test_no_process_and_no_log_shows_a_password(stack: LocalStack) -> None:
    files = [*stack.layout.secrets.rglob("*.password"), stack.layout.spark_token, stack.layout.finnhub_token]
    passwords = [file.read_text().strip() for file in files]
    assert len(passwords) == 15
    shown = of_each(stack, lambda process: " ".join([*process.cmdline(), *process.environ().values()]))
    shown += [log.read_text() for log in stack.layout.logs.iterdir()]
    assert not [text for text in shown for password in passwords if password in text]


def test_all_services_listen_on_loopback_only(stack: LocalStack) -> None:
    connections = of_each(stack, lambda process: process.net_connections("inet"))
    listening = [each.laddr.ip for some in connections for each in some if each.status == psutil.CONN_LISTEN]
    assert len(listening) >= 3
    assert {ip.removeprefix("::ffff:") for ip in listening} == {LOOPBACK}


def test_a_jvm_holds_no_file_that_would_outlive_the_state_folder(stack: LocalStack) -> None:
    def temporary(process: psutil.Process) -> list[str]:
        mapped = [each.path for each in process.memory_maps()] if process.name() == "java" else []
        return [path for path in mapped if Path(tempfile.gettempdir()) in Path(path).parents]

    assert [path for paths in of_each(stack, temporary) for path in paths if stack.layout.home not in Path(path).parents] == []
    assert stack.layout.java_temporary.is_dir()


def test_no_code_server_ends_because_nobody_asked_it_for_a_while(stack: LocalStack) -> None:
    # As all of them do that are told to listen for heartbeats, after the machine was suspended.
    commands = of_each(stack, lambda process: process.cmdline())
    servers = [command for command in commands if "grpc" in command]
    assert len(servers) == 1
    assert [command for command in commands if "--heartbeat" in command] == []


@pytest.mark.parametrize("name", ["postgres", "dagster_code_server", "dagster_daemon"])
def test_a_killed_service_comes_back_also_while_up_waits_for_it(stack: LocalStack, name: str) -> None:
    killed = status_of(stack, name).pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    stack.up(services=SERVICES)

    @eventually
    def is_back() -> None:
        entry = status_of(stack, name)
        assert entry.state == "running"
        assert entry.pid != killed

    is_back()


def test_webserver_and_code_server_killed_together_find_each_other_again(stack: LocalStack) -> None:
    for name in ("dagster_webserver", "dagster_code_server"):
        killed = status_of(stack, name).pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
    # Is over when the webserver has loaded what the code server gives it.
    stack.up(services=SERVICES)
    loaded = ask(stack, "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
    assert loaded["repositoriesOrError"]["nodes"]


def endless_run(stack: LocalStack) -> str:
    """The id of a run that has begun and does not end by itself."""
    selector = {"repositoryLocationName": "tests", "repositoryName": "__repository__", "jobName": "endless_job"}
    launched = ask(stack, LAUNCH, parameters={"selector": selector, "mode": "default"})["launchRun"]
    run_id = str(launched["run"]["runId"])

    @eventually
    def holds_its_slot() -> None:
        assert ask(stack, RUN, id=run_id)["runOrError"]["status"] == "STARTED"
        assert ask(stack, POOLS)["instance"]["concurrencyLimits"] == [{"concurrencyKey": "endless", "activeSlotCount": 1}]

    holds_its_slot()
    return run_id


def test_a_run_can_be_asked_for_while_the_code_server_is_away(stack: LocalStack) -> None:
    killed = status_of(stack, "dagster_code_server").pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    client = DagsterClient(stack.environment()["FINLAKE_DAGSTER_URL"], stack.layout.dagster_web_password)
    run_id = client.launch("endless_job", location="tests")
    client.stop(run_id)

    @eventually
    def is_over() -> None:
        assert ask(stack, RUN, id=run_id)["runOrError"]["status"] == "CANCELED"

    is_over()


def test_a_run_that_is_given_up_ends_and_lets_the_next_one_in(stack: LocalStack) -> None:
    run_id = endless_run(stack)
    client = DagsterClient(stack.environment()["FINLAKE_DAGSTER_URL"], stack.layout.dagster_web_password)
    client.stop(run_id)

    @eventually
    def is_over() -> None:
        assert ask(stack, RUN, id=run_id)["runOrError"]["status"] == "CANCELED"
        assert ask(stack, POOLS)["instance"]["concurrencyLimits"] == [{"concurrencyKey": "endless", "activeSlotCount": 0}]

    is_over()
    with pytest.raises(DagsterRequestError, match="did not stop it"):
        client.stop(run_id)


def test_a_run_whose_process_died_with_the_stack_is_closed_by_the_next_up(stack: LocalStack) -> None:
    run_id = endless_run(stack)
    doomed = processes(stack)
    for process in doomed:
        # Postgres's backends end by themselves as soon as their parent has.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(doomed, timeout=30)
    assert stack.down() == 0

    stack.up(services=DAGSTER)
    assert ask(stack, RUN, id=run_id)["runOrError"]["status"] == "FAILURE"
    assert ask(stack, POOLS)["instance"]["concurrencyLimits"] == [{"concurrencyKey": "endless", "activeSlotCount": 0}]


def test_down_ends_what_a_killed_supervisor_left_running(stack: LocalStack) -> None:
    supervisor = int(stack.layout.supervisor_pid.read_text())
    os.kill(supervisor, signal.SIGKILL)
    assert stack.down() > 0
    assert processes(stack) == []


def test_down_stops_everything_by_itself(stack: LocalStack) -> None:
    stack.up(services=DAGSTER)
    running = processes(stack)
    assert len(running) > 5
    assert stack.down() == 0
    assert processes(stack) == []
    assert not [process for process in running if process.is_running()]
    unneeded = left_out(StackContext(stack.layout, StackSettings(default_ports())))
    assert {entry.name for entry in stack.status() if entry.state != "stopped"} == set(unneeded)


def test_a_taken_port_stops_up_before_anything_runs_and_free_ports_moves(stack: LocalStack) -> None:
    port = status_of(stack, "postgres").port
    with socket.create_server((LOOPBACK, port or 0)):
        with pytest.raises(PortTakenError, match=f"port {port} of postgres"):
            stack.up(services=["postgres"])
        assert processes(stack) == []
        stack.up(free_ports=True, services=["postgres"])
        assert status_of(stack, "postgres").port != port
        assert status_of(stack, "postgres").state == "running"
    stack.down()
