"""Disks of their own for the engines of a stack, small enough to be filled: file systems in memory, which only root can mount.

To fill one, it is shrunk to what is in it, so that nothing is written for it; the engines see what a full disk shows them.
"""

import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from deploy.local.host import is_root
from deploy.local.layout import Layout
from finlake_proofs.chaos.plan import Disk

SIZE_MB = 2048
PAGE_BYTES = 4096
LEFT_BYTES = 64 * 1024


def folder_of(disk: Disk, layout: Layout) -> Path:
    """The folder of a stack that lies on this disk."""
    folders: dict[Disk, Path] = {
        "postgres": layout.postgres,
        "kafka": layout.kafka,
        "clickhouse": layout.clickhouse,
        "spark": layout.spark,
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
    _shrink(folder)
    try:
        yield
    finally:
        _run("mount", "-o", f"remount,size={SIZE_MB}m", str(folder))


@retry(
    retry=retry_if_exception_type(subprocess.CalledProcessError), stop=stop_after_attempt(20), wait=wait_fixed(0.1), reraise=True
)
def _shrink(folder: Path) -> None:
    """Leave next to no room; again when more was written between the look and the deed, which is then refused."""
    _run("mount", "-o", f"remount,size={_used_bytes(folder) + LEFT_BYTES}", str(folder))


def _used_bytes(folder: Path) -> int:
    stat = os.statvfs(folder)
    return max(PAGE_BYTES, (stat.f_blocks - stat.f_bfree) * stat.f_frsize)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
