"""Who may look into a state folder: its owner alone.

The services make their files private themselves; this is about the folders, into which commands and other programs of the
owner write with their own notions of privacy.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import Layout


def private_folders(layout: Layout) -> tuple[Path, ...]:
    """The folders that no other account may enter; Postgres's is its account's own, and jars are no secret.

    What lies outside the state folder comes after the folder that it lies in, whose owner could replace it.
    """
    with_sockets = (layout.spark_sockets, layout.temporary)
    return (
        *(layout.logs, layout.secrets, layout.lock.parent, layout.supervisor_socket.parent),
        *(folder.parent for folder in with_sockets if layout.home not in folder.parents),
        *with_sockets,
        *(layout.warehouse, layout.stooq_drop, layout.dagster, layout.spark, layout.kafka, layout.kafka_connect),
        *(layout.clickhouse, layout.java_temporary),
        *((layout.schema_registry,) if layout.schema_registry.is_dir() else ()),
    )


def make_private(home: Path, folders: Iterable[Path]) -> None:
    """Make folders that are not there yet, and take from other accounts every right to those that are.

    A folder in `home` that belongs to another account is left to it: the owner of `home` has placed it there on purpose. Raises
    StackError for one outside, where anybody may make folders.
    """
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid == os.geteuid():
            folder.chmod(found.st_mode & 0o7700)
        elif home not in folder.parents:
            raise StackError(f"the folder {folder} belongs to another user; remove it, then run `finlake up`")
