"""A stack that exists for a measurement only: with a state folder of its own, and processes that work on it."""

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from deploy.local.ending_signals import undisturbed
from deploy.local.layout import Layout
from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from finlake_settings.variable_names import variable
from spark.contracts.engine import Engine

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """A process of its own for one lake, like that of a run; one that can be ended in the middle of a job."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin a module's function in that process."""
        return self._executor.submit(function, *args, **kwargs)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a module's function in that process; what it raises is raised here."""
        return self.start(function, *args, **kwargs).result()


@contextmanager
def worker() -> Iterator[Worker]:
    """A worker that is ended also in the middle of its work."""
    executor = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin)
    process_id = executor.submit(os.getpid).result()
    try:
        yield Worker(executor)
    finally:
        with undisturbed():
            os.kill(process_id, signal.SIGTERM)
            executor.shutdown(cancel_futures=True)


@contextmanager
def temporary_lake(jars: Path, report: Callable[[str], None], engine: Engine) -> Iterator[dict[str, str]]:
    """The variables of a new, empty stack with what the engine needs and without Dagster, as long as the context lasts."""
    services = ("spark_connect",) if engine == "spark" else ("postgres",)
    with temporary_stack(jars, services, report, {variable("engine"): engine}) as stack:
        yield stack.environment()


@contextmanager
def temporary_stack(
    jars: Path,
    services: Collection[str] | None,
    report: Callable[[str], None],
    variables: Mapping[str, str] | None = None,
    around: Callable[[Layout], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Iterator[LocalStack]:
    """A new, empty stack with these services (None: all); stopped and removed at the end, whatever happens.

    After an error its logs stay, which the error may name; `report` says where. `around` is entered before anything of it is
    there, and left when all of it has stopped.
    """
    # A short path; others may walk through it, because root's Postgres runs as another user.
    home = Path(tempfile.mkdtemp(prefix="finlake-bench-"))
    home.chmod(0o711)
    stack = LocalStack(home, free_ports(), jars=jars, variables=variables)
    try:
        with around(stack.layout):
            try:
                stack.up(services=services, report=lambda step: report(f"{home.name}: {step}"))
                yield stack
            finally:
                with undisturbed():
                    stack.down()
    except Exception:
        with undisturbed():
            _remove_all_but(stack.layout.logs)
        report(f"the logs stay in {stack.layout.logs}; remove {home} when they have been read")
        raise
    except BaseException:
        with undisturbed():
            shutil.rmtree(home)
        raise
    with undisturbed():
        shutil.rmtree(home)


def _remove_all_but(kept: Path) -> None:
    """Remove what lies beside a folder."""
    for path in kept.parent.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path != kept:
                shutil.rmtree(path)
        else:
            path.unlink()


def environment_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """FINLAKE_* variables under the names of the settings' fields."""
    prefix = "FINLAKE_"
    return {name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)}


def _begin() -> None:
    """Ctrl-C reaches all processes of a terminal: the parent decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A first write replaces nothing, which pyiceberg remarks on each time.
    warnings.filterwarnings("ignore", message="Delete operation did not match any records")
