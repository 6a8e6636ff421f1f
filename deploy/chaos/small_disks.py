"""Disks of their own for the engines of a stack, small enough to be filled: file systems in memory, which only root can mount.

To fill one, it is shrunk to what is in it, so that nothing is written for it; the engines see what a full disk shows them.
"""

import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.chaos.plan import Disk
from deploy.local.host import is_root
from deploy.local.layout import Layout

SIZE_MB = 2048
PAGE_BYTES = 4096


def folder_of(disk: Disk, layout: Layout) -> Path:
    """The folder of a stack that lies on this disk."""
    folders: dict[Disk, Path] = {
        "postgres": layout.postgres, "kafka": layout.kafka, "clickhouse": layout.clickhouse, "spark": layout.spark,
        "warehouse": layout.warehouse,
    }
    return folders[disk]


def can_mount() -> bool:
    """Whether this machine lets the present user mount file systems; a container often does not let root."""
    return is_root() and subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0


@contextmanager
def small_disks(layout: Layout, disks: Collection[Disk]) -> Iterator[None]:
    """The disks under the folders of a stack that was never started, as long as the context lasts."""
    mounted: list[Path] = []
    try:
        for disk in disks:
            folder = folder_of(disk, layout)
            folder.mkdir(mode=0o700, parents=True)
            _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0700", "finlake-chaos", str(folder))
            mounted.append(folder)
        yield
    finally:
        for folder in mounted:
            # A process that is just ending may still have a file open in it.
            _run("umount", "--lazy", str(folder))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A small disk without room, as long as the context lasts."""
    used = _used_bytes(folder)
    _run("mount", "-o", f"remount,size={used}", str(folder))
    try:
        yield
    finally:
        _run("mount", "-o", f"remount,size={SIZE_MB}m", str(folder))


def _used_bytes(folder: Path) -> int:
    stat = os.statvfs(folder)
    return max(PAGE_BYTES, (stat.f_blocks - stat.f_bfree) * stat.f_frsize)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
