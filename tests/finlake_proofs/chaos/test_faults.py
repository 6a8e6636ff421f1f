"""Faults as a process meets them: a full disk that has room again, and a standstill that always ends."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deploy.local.layout import Layout
from finlake_proofs.chaos.plan import DISKS
from finlake_proofs.chaos.small_disks import can_mount, folder_of, full, small_disks
from finlake_proofs.chaos.victims import still


def test_a_small_disk_is_full_for_a_while_and_then_has_room_and_all_that_was_in_it(tmp_path: Path) -> None:
    if not can_mount():
        pytest.skip("only root with the right to mount can give engines disks of their own")
    layout = Layout(tmp_path / "home", tmp_path / "jars")
    with small_disks(layout, DISKS):
        for disk in DISKS:
            folder = folder_of(disk, layout)
            assert folder.is_mount()
            (folder / "before").write_bytes(b"x" * 100_000)
            with full(folder), pytest.raises(OSError) as no_room:
                (folder / "more").write_bytes(b"x" * 100_000)
            assert no_room.value.errno == errno.ENOSPC
            (folder / "more").write_bytes(b"x" * 100_000)
            assert (folder / "before").read_bytes() == b"x" * 100_000
    assert not any(folder_of(disk, layout).is_mount() for disk in DISKS)


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    process = psutil.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
    yield process
    with suppress(psutil.NoSuchProcess):
        process.kill()
    process.wait()


def test_what_stood_still_goes_on_also_when_the_waiting_is_cut_short(
    sleeper: psutil.Popen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut_short(_: float) -> None:
        _, status = os.waitpid(sleeper.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", cut_short)
    with pytest.raises(KeyboardInterrupt):
        still([sleeper], 60)
    _, status = os.waitpid(sleeper.pid, os.WCONTINUED)
    assert os.WIFCONTINUED(status)


def test_what_dies_while_it_stands_still_is_no_matter(sleeper: psutil.Popen, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: float) -> None:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()

    monkeypatch.setattr(time, "sleep", killed)
    still([sleeper], 60)
    assert not sleeper.is_running()
