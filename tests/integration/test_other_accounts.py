"""Another account of the machine gets nothing of a running stack: at no port, from no file, and from no command line."""

import json
import os
import pwd
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.postgres import MARKET_ROLES, OWNERS, SUPERUSER
from deploy.local.services import SERVICES, port_names
from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_settings.checkout import CHECKOUT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

STRANGER = "nobody"
# What these say is no secret: how much a process has done.
OPEN_TO_ALL = {name for name, service in SERVICES.items() if service.tells_everybody}


def listening(stack: LocalStack, kind: str) -> Iterator[tuple[psutil.Process, Any]]:
    """The sockets on which a process of the stack listens, with that process."""
    for process in Supervisor(stack.layout).leftovers():
        # One that has ended meanwhile listens no more.
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections(kind):
                if connection.status == psutil.CONN_LISTEN or (kind == "unix" and connection.laddr):
                    yield process, connection.laddr


def files_of(home: Path) -> Iterator[str]:
    """All files and folders below a state folder, in which processes make and remove some meanwhile."""
    for folder, folders, files in os.walk(home):
        yield from (path for name in (*folders, *files) if not os.path.islink(path := os.path.join(folder, name)))


@pytest.fixture(scope="module")
def ports(stack: LocalStack) -> dict[str, int]:
    # Left out where the lake is computed without it.
    stack.up(services=("spark_connect",))
    running = [entry.name for entry in stack.status() if entry.state == "running"]
    return {name: stack.settings().ports[name] for name in port_names(running)}


@pytest.fixture(scope="module")
def spark_ports(stack: LocalStack, ports: dict[str, int]) -> list[int]:
    """The ports of the stack that have no name: those on which Spark's driver waits for executors."""
    pid = next(entry.pid for entry in stack.status() if entry.name == "spark_connect")
    return [
        address.port for process, address in listening(stack, "inet") if address.port not in ports.values() and process.pid == pid
    ]


@pytest.fixture(scope="module")
def told(stack: LocalStack, ports: dict[str, int], spark_ports: list[int]) -> dict[str, Any]:
    """What a stranger was told at every door; a client without credentials when the test may not change accounts."""
    question = {
        "user": STRANGER if os.geteuid() == 0 else None,
        "ports": ports,
        "spark_ports": spark_ports,
        "postgres_roles": [*OWNERS, *MARKET_ROLES, SUPERUSER, STRANGER],
        "files": list(files_of(stack.layout.home)),
    }
    answer = subprocess.run(
        [sys.executable, "-m", "tests.integration.stranger"],
        input=json.dumps(question),
        check=True,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=300,
    )
    return dict(json.loads(answer.stdout))


def test_every_port_of_the_stack_is_one_that_is_tried_here(
    stack: LocalStack,
    ports: dict[str, int],
    spark_ports: list[int],
    told: dict[str, Any],
) -> None:
    found = {address.port for _, address in listening(stack, "inet")}
    assert found == {*ports.values(), *spark_ports}
    assert told["answers"].keys() | OPEN_TO_ALL == ports.keys() | {"spark_internal", "kafka_connect_body"}


def test_postgres_lets_nobody_in_without_a_password(told: dict[str, Any]) -> None:
    answers = told["answers"]["postgres"]
    assert len(answers) == 7
    assert all("no password supplied" in answer or "authentication failed" in answer for answer in answers), answers


def test_spark_refuses_every_call_without_its_token(told: dict[str, Any]) -> None:
    answers = told["answers"]["spark_connect"]
    assert len(answers) == 11
    assert {code for codes in answers.values() for code in codes} <= {"UNAUTHENTICATED", "PERMISSION_DENIED"}, answers


def test_the_driver_asks_whoever_comes_to_its_inner_ports_for_a_secret(told: dict[str, Any]) -> None:
    answers = told["answers"]["spark_internal"]
    assert len(answers) == 2
    assert all("sasl" in answer.lower() for answer in answers), answers


@pytest.mark.parametrize("door", ["kafka", "kafka_controller"])
def test_kafka_shows_no_topic_without_a_login(told: dict[str, Any], door: str) -> None:
    answers = told["answers"][door]
    assert len(answers) == 3
    assert all(answer.startswith("refused") for answer in answers), answers
    assert not any("Connection refused" in answer for answer in answers), answers


@pytest.mark.parametrize(("door", "code"), [("dagster_webserver", 401), ("clickhouse", 403), ("sample_sources", 401)])
def test_what_speaks_http_refuses_every_request_without_a_password(told: dict[str, Any], door: str, code: int) -> None:
    answers = told["answers"][door]
    assert len(answers) >= 3
    assert {status for status, _ in answers} == {code}, answers


def test_kafka_connect_answers_no_request_without_its_certificate_and_takes_no_body(told: dict[str, Any]) -> None:
    answers = told["answers"]["kafka_connect"]
    assert len(answers) == 20
    assert {status for status, _ in answers} == {0}, answers
    assert not any("Connection refused" in text for _, text in answers), answers
    # What is on its way in the machine when the handshake fails.
    assert max(told["answers"]["kafka_connect_body"]) < 32


def is_left(port: int, first: bytes) -> bool:
    """Whether the other side ends a connection that says `first` and nothing more, well before a minute is over."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(first)
        with suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
    return True


def test_postgres_leaves_who_begins_to_log_in_and_goes_no_further(ports: dict[str, int]) -> None:
    body = struct.pack(">I", 3 << 16) + b"user\0feed\0database\0market\0\0"
    # Each holds a place that others may need.
    assert is_left(ports["postgres"], b"")
    assert is_left(ports["postgres"], struct.pack(">I", 4 + len(body)) + body)


@pytest.mark.parametrize("door", ["kafka", "kafka_controller"])
def test_kafka_takes_no_memory_for_a_large_message_before_a_login(ports: dict[str, int], door: str) -> None:
    # The length alone would make the broker take so much.
    assert is_left(ports[door], struct.pack(">i", 500_000))


def test_sockets_without_a_port_are_their_owners_alone(stack: LocalStack) -> None:
    # The supervisor binds its socket under another name and renames it; the kernel goes on telling the first.
    sockets = {Path(address) for _, address in listening(stack, "unix")} | {stack.layout.supervisor_socket}
    present = [path for path in sockets if path.exists()]
    # Beside it that of Dagster's code server.
    assert len(present) >= 2
    assert stack.layout.code_socket in present
    open_to_others = [
        path for path in present if stat.S_IMODE(path.stat().st_mode) & 0o077 and stat.S_IMODE(path.parent.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


def test_no_process_shows_a_secret_to_others(stack: LocalStack) -> None:
    layout = stack.layout
    secrets = [file.read_text().strip() for file in (*layout.secrets.rglob("*.password"), *layout.secrets.rglob("*.token"))]
    assert len(secrets) >= 15
    secrets += layout.connect_certificate.read_text().splitlines()[1:3]
    shown = []
    for process in Supervisor(layout).leftovers():
        with suppress(psutil.NoSuchProcess):
            # Its owner alone may read the environment; it holds no secret all the same.
            shown += [*process.cmdline(), *process.environ().values()]
    assert shown
    assert [text for text in shown if any(secret in text for secret in secrets)] == []


def test_no_file_of_the_stack_can_be_read_by_another_account(told: dict[str, Any]) -> None:
    if told["uid"] == os.geteuid():
        pytest.skip("only root can look with the eyes of another account")
    assert told["tried"] > 100
    assert told["read"] == []


def test_the_data_of_postgres_belong_to_an_account_that_runs_nothing_else(stack: LocalStack) -> None:
    if os.geteuid() != 0:
        pytest.skip("Postgres runs as the user of the stack, and needs no account of its own")
    owner = (stack.layout.postgres / "data").stat().st_uid
    postgres = next(entry.pid for entry in stack.status() if entry.name == "postgres")
    assert owner == psutil.Process(postgres).uids().effective
    assert owner not in (0, pwd.getpwnam(STRANGER).pw_uid)
    running = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.uids().effective == owner:
                running.add(process.name())
    # Other stacks of root run theirs as the same account.
    assert running <= {"postgres", "initdb"}
