"""Cleaning up: what a measurement started ends with it, however it ends."""

import os
import signal

import psutil
import pytest

from deploy.bench.temporary_lake import ended_like_ctrl_c, undisturbed, worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_every_way_of_being_ended_runs_the_clean_up(number: signal.Signals) -> None:
    # Set, because a runner in the background hands on ignored signals.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    finished = False
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
            finished = True
    finally:
        signal.signal(signal.SIGHUP, before)
    assert finished


def test_cleaning_up_is_not_cut_short_by_a_second_interrupt() -> None:
    finished = False
    with undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        finished = True
    assert finished


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
