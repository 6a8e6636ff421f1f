"""Cleaning up: what a measurement started ends with it, however it ends."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import ServiceNotReadyError
from deploy.local.stack import LocalStack
from finlake_proofs.bench.temporary_lake import temporary_stack, worker


def test_a_worker_is_another_process_and_is_gone_afterwards() -> None:
    with worker() as process:
        process_id = process.call(os.getpid)
        assert process_id != os.getpid()
        assert psutil.pid_exists(process_id)
    assert not psutil.pid_exists(process_id)


def test_a_worker_ends_in_the_middle_of_its_work_when_its_caller_is_interrupted() -> None:
    process_ids: list[int] = []

    def interrupted() -> None:
        with worker() as process:
            process_ids.append(process.call(os.getpid))
            endless = process.start(signal.pause)
            # Bounded by the test's own time limit; before that it would be cancelled and not ended.
            while not endless.running():
                continue
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not psutil.pid_exists(process_ids[0])


def test_what_a_worker_raises_is_raised_in_the_caller() -> None:
    with worker() as process, pytest.raises(ValueError, match="invalid literal"):
        process.call(int, "no number")


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary stacks are made; each writes a log and some data, and starts nothing."""

    def up(stack: LocalStack, **_: object) -> None:
        for file in (stack.layout.log("spark_connect"), stack.layout.spark / "big" / "data", stack.layout.record):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("the reason\n")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(LocalStack, "up", up)
    monkeypatch.setattr(LocalStack, "down", lambda _: 0)
    return tmp_path


def test_after_an_error_the_logs_of_a_temporary_stack_are_there_to_be_read_and_nothing_else(homes: Path) -> None:
    told: list[str] = []
    with pytest.raises(ServiceNotReadyError), temporary_stack(homes / "jars", None, told.append) as stack:
        raise ServiceNotReadyError("spark_connect does not answer")
    assert list(stack.layout.home.iterdir()) == [stack.layout.logs]
    assert LocalStack(stack.layout.home).log_file("spark_connect").read_text() == "the reason\n"
    assert str(stack.layout.logs) in told[-1]


def test_nothing_of_a_temporary_stack_stays_when_all_went_well_or_somebody_wanted_its_end(homes: Path) -> None:
    with temporary_stack(homes / "jars", None, print):
        pass
    with pytest.raises(KeyboardInterrupt), temporary_stack(homes / "jars", None, print):
        raise KeyboardInterrupt
    assert list(homes.iterdir()) == []
