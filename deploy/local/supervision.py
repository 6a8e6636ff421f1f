"""The supervisor process: starting it apart from the caller, talking to it, and ending whatever it left behind."""

import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil

from deploy.local.errors import StackError
from deploy.local.layout import Layout

# Supervisor gives this variable to its programs, and they to their children: it names the stack they belong to.
MARKER = "SUPERVISOR_SERVER_URL"


@dataclass(frozen=True)
class Program:
    """Supervisor's view of one service. `state` is one of supervisor's process states, `started` Unix seconds."""

    name: str
    state: str
    pid: int
    started: int
    detail: str


class Supervisor:
    """The supervisor of one state folder, whether it runs or not."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._url = f"unix://{layout.supervisor_socket}"

    def is_running(self) -> bool:
        try:
            self._ask("getPID")
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def launch(self, environment: Mapping[str, str], timeout_s: float = 20) -> None:
        """Start the supervisor in a session of its own, with no program running yet.

        Raises StackError when it does not answer in time.
        """
        socket_folder = self._layout.supervisor_socket.parent
        socket_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if socket_folder.owner() != psutil.Process().username():
            raise StackError(f"the folder {socket_folder} belongs to another user; remove it, then run `finlake up`")
        answer = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._layout.supervisor_config)],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._layout.home,
            env=dict(environment),
        )
        deadline = time.monotonic() + timeout_s
        while answer.returncode == 0 and time.monotonic() < deadline:
            if self.is_running():
                return
            time.sleep(0.05)
        reason = (answer.stdout + answer.stderr).strip().splitlines()[-1:]
        raise StackError(f"the supervisor did not start: {' '.join(reason)} (see {self._layout.log('supervisord')})")

    def start(self, name: str) -> None:
        """Ask for a program to be started; one that runs, is starting or is about to be started again stays as it is."""
        from supervisor.xmlrpc import Faults

        try:
            self._ask("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise

    def stop(self, name: str) -> None:
        """Ask a program to end, and wait until it has; what it does not do by itself is ended for it."""
        self._ask("stopProcess", name, True)

    def program(self, name: str) -> Program:
        return _program(cast(Mapping[str, object], self._ask("getProcessInfo", name)))

    def programs(self) -> dict[str, Program]:
        """All programs by name; empty when the supervisor does not run."""
        try:
            answer = self._ask("getAllProcessInfo")
        except (OSError, xmlrpc.client.Error):
            return {}
        return {program.name: program for program in map(_program, cast(list[Mapping[str, object]], answer))}

    def shut_down(self, timeout_s: float = 120) -> None:
        """Stop all programs, last started first, and the supervisor. Does nothing when it does not run."""
        try:
            pid = int(str(self._ask("getPID")))
            process = psutil.Process(pid)
            self._ask("shutdown")
            process.wait(timeout_s)
        except (OSError, psutil.NoSuchProcess):
            return
        except psutil.TimeoutExpired:
            # The caller ends what is left.
            return

    def leftovers(self) -> list[psutil.Process]:
        """Every process of this stack: the supervisor, its programs, and their descendants, orphans included."""
        config = str(self._layout.supervisor_config)
        roots = [process for process in psutil.process_iter() if self._belongs(process, config)]
        found = {process.pid: process for process in roots}
        for root in roots:
            try:
                found |= {child.pid: child for child in root.children(recursive=True)}
            except psutil.NoSuchProcess:
                continue
        return list(found.values())

    def end_leftovers(self) -> int:
        """End the processes that no supervisor watches any more; returns how many there were.

        Raises StackError when one survives SIGKILL.
        """
        ended = 0
        for attempt, timeout_s in (("terminate", 15), ("kill", 10)):
            processes = self.leftovers()
            ended = max(ended, len(processes))
            for process in processes:
                try:
                    getattr(process, attempt)()
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(processes, timeout=timeout_s)
        survivors = self.leftovers()
        if survivors:
            pids = ", ".join(f"{process.pid}" for process in survivors)
            raise StackError(f"processes {pids} of the stack in {self._layout.home} cannot be ended; end them by hand")
        return ended

    def _belongs(self, process: psutil.Process, config: str) -> bool:
        try:
            if process.environ().get(MARKER) == self._url:
                return bool(process.status() != psutil.STATUS_ZOMBIE)
            command = process.cmdline()
        except psutil.Error:
            return False
        return "supervisor.supervisord" in command and config in command

    def _ask(self, method: str, *arguments: object) -> object:
        """What the supervisor answers; raises OSError when there is none."""
        from supervisor.xmlrpc import SupervisorTransport

        # Left by itself, a socket that found nobody stays open until it is collected.
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, self._url)) as proxy:
            answer: object = getattr(proxy.supervisor, method)(*arguments)
        return answer


def tail(file: Path, lines: int) -> list[str]:
    """The last lines of a log, none when there is no log."""
    if not file.is_file():
        return []
    with file.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 64 * 1024))
        return stream.read().decode(errors="replace").splitlines()[-lines:]


def _program(entry: Mapping[str, object]) -> Program:
    return Program(
        str(entry["name"]),
        str(entry["statename"]),
        int(str(entry["pid"])),
        int(str(entry["start"])),
        str(entry["description"] or entry["spawnerr"]),
    )
