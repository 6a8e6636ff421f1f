"""Every way of ending a command lets it clean up, and nothing cuts that short."""

import os
import signal

import pytest

from deploy.local.ending_signals import ended_like_ctrl_c, undisturbed


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
