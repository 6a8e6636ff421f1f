"""The room on the state folder's disk, asked of the operating system."""

import os
from pathlib import Path

from finlake_clients.state_folder import StateFolder


def test_the_room_is_what_the_folders_disk_has_for_everybody_and_a_folder_to_come_has_that_of_its_disk(tmp_path: Path) -> None:
    # Others write meanwhile: what is there before and after are the bounds, as far as the disk changes by less than this.
    slack = 1 << 30
    told = os.statvfs(tmp_path)
    expected = told.f_bavail * told.f_frsize
    for path in (tmp_path, tmp_path / "to" / "come"):
        assert abs(StateFolder(path=str(path)).free_bytes() - expected) < slack
    assert StateFolder(path="/proc").free_bytes() == 0
