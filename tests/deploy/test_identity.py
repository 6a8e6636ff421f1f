"""No command speaks to a stack that is not its own: whose process listens on its ports decides."""

import inspect
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from deploy.local.errors import ForeignStackError, StackError
from deploy.local.identity import listening, make_identity
from deploy.local.layout import Layout
from deploy.local.ports import Ports
from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from finlake_cli.main import app
from finlake_settings.local_stack import LOOPBACK

SERVER = f"""
import socket, sys
with socket.create_server(("{LOOPBACK}", int(sys.argv[1]))):
    print("listening", flush=True)
    sys.stdin.read()
"""
# A parent with the environment, and a child without it that listens, as Postgres does.
PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SERVER!r}, sys.argv[1]], env={{"PATH": os.environ["PATH"]}})
sys.stdin.read()
child.terminate()
child.wait()
"""


# A server whose socket is also held by a process that has no parent of the stack: it ends with its input.
ORPHANING = """
import os, signal, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    server.set_inheritable(True)
    read, write = os.pipe()
    if os.fork() == 0:
        script = "import os, sys; print('listening', flush=True); os.close(1); os.read(int(sys.argv[1]), 1)"
        os.close(write)
        os.set_inheritable(read, True)
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, "-c", script, str(read)], {})
        os._exit(0)
    os.wait()
    sys.stdin.read()
"""


@contextmanager
def process_on(port: int, script: str = SERVER, **environment: str) -> Iterator[int]:
    """A process that listens on a port, with these variables; its pid."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FINLAKE_")}
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=inherited | environment
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield process.pid
    finally:
        process.communicate()


@pytest.fixture(scope="module")
def ports() -> Ports:
    return free_ports()


def started(home: Path, ports: Ports) -> LocalStack:
    """A stack that was started once and is stopped."""
    stack = LocalStack(home, ports)
    make_identity(stack.layout)
    stack.layout.record.write_text(json.dumps({"ports": dict(ports), "variables": {}}))
    return stack


def belonging_to(layout: Layout) -> dict[str, str]:
    return {"FINLAKE_STACK_ID": layout.identity.read_text().strip(), "FINLAKE_HOME": str(layout.home)}


def test_an_identity_is_drawn_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a", tmp_path / "jars")
    first = make_identity(layout)
    assert make_identity(layout) == first
    assert uuid.UUID(first.number)
    assert layout.identity.stat().st_mode & 0o077 == 0
    assert make_identity(Layout(tmp_path / "b", tmp_path / "jars")) != first


def test_a_stack_that_was_never_started_is_refused_with_the_next_step_and_the_neighbour(tmp_path: Path, ports: Ports) -> None:
    mine, neighbour = LocalStack(tmp_path / "mine", ports), started(tmp_path / "neighbour", ports)
    with process_on(ports["dagster_webserver"], **belonging_to(neighbour.layout)), pytest.raises(StackError) as refusal:
        mine.require_running()
    said = str(refusal.value)
    assert f"no stack was ever started in {mine.layout.home}; run `finlake up --home {mine.layout.home}`" in said
    assert f"the stack of {neighbour.layout.home} runs" in said


def test_a_stopped_stack_is_refused_with_a_command_that_a_shell_takes_as_it_is(tmp_path: Path, ports: Ports) -> None:
    home = tmp_path / "a folder (mine)"
    with pytest.raises(StackError, match="is stopped") as refusal:
        started(home, ports).require_running()
    command = str(refusal.value).split("`")[1]
    assert shlex.split(command) == ["finlake", "up", "--home", str(home)]


def test_a_stack_of_an_earlier_version_is_told_to_be_started_anew(tmp_path: Path, ports: Ports) -> None:
    stack = started(tmp_path, ports)
    stack.layout.identity.unlink()
    with pytest.raises(StackError, match=r"has no identity yet; run `finlake down`, then `finlake up`"):
        stack.require_running()


@pytest.mark.parametrize("script", [SERVER, PARENT], ids=["itself", "by its parent"])
def test_a_stack_on_its_own_ports_is_spoken_to(tmp_path: Path, ports: Ports, script: str) -> None:
    stack = started(tmp_path, ports)
    with process_on(ports["postgres"], script, **belonging_to(stack.layout)):
        stack.require_running()


def test_a_state_folder_may_be_named_by_a_link(tmp_path: Path, ports: Ports) -> None:
    stack = started(tmp_path / "real", ports)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with process_on(ports["kafka"], **belonging_to(stack.layout)):
        LocalStack(tmp_path / "link", ports).require_running()


def test_a_neighbour_on_one_of_our_ports_is_named_with_both_folders(tmp_path: Path, ports: Ports) -> None:
    mine, neighbour = started(tmp_path / "mine", ports), started(tmp_path / "neighbour", ports)
    with (
        process_on(ports["postgres"], **belonging_to(mine.layout)),
        process_on(ports["dagster_webserver"], **belonging_to(neighbour.layout)) as pid,
        pytest.raises(ForeignStackError) as refusal,
    ):
        mine.require_running()
    said = str(refusal.value)
    port = ports["dagster_webserver"]
    assert said.startswith(f"port {port} (dagster_webserver) belongs to the stack of {neighbour.layout.home}")
    assert f"(pid {pid}), not to the stack of {mine.layout.home}; run `finlake up --free-ports" in said
    assert f"--home {neighbour.layout.home}" in said


def test_another_program_on_one_of_our_ports_is_no_stack(tmp_path: Path, ports: Ports) -> None:
    with process_on(ports["clickhouse"]), pytest.raises(ForeignStackError, match=r"\(clickhouse\) belongs to another program"):
        started(tmp_path, ports).require_running()


def test_a_process_without_a_parent_that_holds_our_socket_too_makes_it_nobody_elses(tmp_path: Path, ports: Ports) -> None:
    stack = started(tmp_path, ports)
    with process_on(ports["postgres"], ORPHANING, **belonging_to(stack.layout)) as pid:
        [listener] = listening(ports)
        assert {each == pid for each in listener.holders} == {True, False}
        assert None in listener.holders.values()
        stack.require_running()


def test_who_has_ended_when_looked_at_again_is_no_other_program(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = started(tmp_path, ports)
    with process_on(ports["kafka"], **belonging_to(stack.layout)), ExitStack() as moment:
        moment.enter_context(process_on(ports["postgres"]))
        monkeypatch.setattr(time, "sleep", lambda _: moment.close())
        stack.require_running()


def test_a_port_that_never_stays_with_anybody_is_not_said_to_be_another_programs(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as moment:
        moment.enter_context(process_on(ports["postgres"]))

        def change(_: float) -> None:
            moment.close()
            moment.enter_context(process_on(ports["postgres"]))

        monkeypatch.setattr(time, "sleep", change)
        with pytest.raises(StackError, match=r"\(postgres\) .* changes hands .* `finlake status`") as said:
            started(tmp_path, ports).require_running()
        assert not isinstance(said.value, ForeignStackError)


def test_a_copied_folder_is_not_the_stack_that_it_was_copied_from(tmp_path: Path, ports: Ports) -> None:
    original = started(tmp_path / "original", ports)
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    with process_on(ports["kafka"], **belonging_to(original.layout)), pytest.raises(ForeignStackError, match="original"):
        LocalStack(tmp_path / "copy", ports).require_running()


def test_a_folder_made_anew_is_not_the_stack_that_still_runs_there(tmp_path: Path, ports: Ports) -> None:
    stack = started(tmp_path, ports)
    before = belonging_to(stack.layout)
    stack.layout.identity.unlink()
    make_identity(stack.layout)
    with process_on(ports["kafka"], **before), pytest.raises(ForeignStackError, match="an earlier stack of"):
        stack.require_running()


# What only looks at this folder and at the processes of its own supervisor, or makes a stack of its own.
SPEAK_TO_NO_OTHER = {"prepare", "up", "down", "status", "logs", "doctor", "demo"}
EXAMPLES = {int: "1", datetime: "2018-03-27", str: "finlake.ods.finnhub_trades"}


def commands(app: typer.Typer, path: str = "") -> Iterator[tuple[str, Callable[..., object]]]:
    for command in app.registered_commands:
        assert command.callback is not None
        yield f"{path}{command.name or command.callback.__name__}", command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{path}{group.name} " if isinstance(group.name, str) else path)


def arguments_of(callback: Callable[..., object]) -> list[str]:
    """Something for whatever a command requires."""
    given: list[str] = []
    for name, parameter in inspect.signature(callback).parameters.items():
        if parameter.default is inspect.Parameter.empty:
            kind, told = get_args(parameter.annotation)[:2]
            # Typer keeps the first name of an option where its default would stand.
            names = [each for each in (told.default, *(told.param_decls or ()), f"--{name}") if str(each).startswith("--")]
            given += names[:1] if isinstance(told, typer.models.OptionInfo) else []
            given.append(EXAMPLES.get(kind, EXAMPLES[str]))
    return given


ALL = dict(commands(app))


SPEAKING = {name for name in ALL if not name.startswith("bench ")} - SPEAK_TO_NO_OTHER | {"bench rest"}


@pytest.mark.parametrize("name", sorted(SPEAKING))
def test_every_command_that_speaks_to_a_stack_refuses_when_its_own_was_never_started(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*name.split(), *arguments_of(ALL[name]), "--home", str(tmp_path)])
    assert isinstance(result.exception, StackError), result.output
    assert f"no stack was ever started in {tmp_path}" in str(result.exception)
