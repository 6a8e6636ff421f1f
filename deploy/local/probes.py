"""Whether a service really answers: the questions that several ask, and the two ways to say no."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.service import Probe, Process
from finlake_clients.secret_files import secret_of
from finlake_settings.local_stack import LOOPBACK

if TYPE_CHECKING:
    import httpx

# A user, and the file with the password.
Login = tuple[str, Path]


class NotReadyError(Exception):
    """The service does not answer yet; asking again may help."""


class BrokenError(Exception):
    """The service answers that it will not work; asking again cannot help."""


def answers(path: str) -> Probe:
    """The question whether a service answers GET `path` on its port."""

    def probe(process: Process) -> None:
        get(f"http://{LOOPBACK}:{process.port}{path}")

    return probe


def listens(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def get(url: str, login: Login | None = None) -> None:
    """Raises NotReadyError when the answer is none or no good one."""
    import httpx

    auth = None if login is None else credentials(login)
    answer_of(lambda: httpx.get(url, auth=auth, timeout=10, trust_env=False))


def credentials(login: Login) -> tuple[str, str]:
    user, password_file = login
    return user, secret_of("dagster_webserver", password_file)


def answer_of(request: Callable[[], "httpx.Response"]) -> "httpx.Response":
    """What a request brings. Raises NotReadyError when that is nothing or no good answer."""
    import httpx

    try:
        answer = request()
        answer.raise_for_status()
    except httpx.HTTPError as problem:
        raise NotReadyError(str(problem) or type(problem).__name__) from problem
    return answer
