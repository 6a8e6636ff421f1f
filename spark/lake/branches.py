"""Branches on which rows wait for their audit: their names, and which of them go away when.

A branch goes away with its write. One that has failed its audit stays for a while to be looked at; one whose process died is
dropped by a later write.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table as IcebergTable
from sqlalchemy.exc import OperationalError

from spark.contracts.report import Provenance
from spark.contracts.runs import LONGEST_RUN
from spark.contracts.table import Table
from spark.lake.commits import repeated_after

if TYPE_CHECKING:
    from spark.lake.storage import Lake

KEPT_BRANCH_DAYS = 7
"""How long a branch that has failed its audit is there to be looked at."""

# What Dagster needs to end a run that has taken too long, and two clocks that differ.
_RUN_GRACE = timedelta(hours=1)
_BRANCH = re.compile(r"audit_\w*_(?P<began>[0-9]{14})_[0-9a-f]{8}", re.ASCII)


def branches_of(provenance: Provenance) -> str:
    """What the names of a step's branches begin with."""
    step = hashlib.sha256(provenance.step.encode()).hexdigest()[:4]
    return f"audit_{provenance.run_id.replace('-', '')[:12]}_{step}_"


def new_branch(provenance: Provenance) -> str:
    """A name that no other branch has, and that says when it began."""
    return f"{branches_of(provenance)}{_now():%Y%m%d%H%M%S}_{uuid4().hex[:8]}"


def drop_left_behind(lake: "Lake", table: IcebergTable, provenance: Provenance) -> None:
    """Drop branches that nobody else will: of an attempt of this very step whose process died, or for which the catalog was
    away; and of other runs that are over, which come back under another name if at all."""
    prefix, now = branches_of(provenance), _now()
    left = [
        name for name in table.metadata.refs if (provenance.step and name.startswith(prefix)) or is_left_behind(table, name, now)
    ]
    for name in left:
        drop_branch(lake, ".".join(table.name()), name)
    if left:
        lake.forget_tables()


def drop_branch(lake: "Lake", address: str, branch: str) -> None:
    """Remove a branch. Repeated on its own: what the branch was for has happened, and must not happen again."""
    for attempt in repeated_after(CommitFailedException, OperationalError):
        with attempt:
            table = lake.catalog.load_table(address)
            if branch in table.metadata.refs:
                table.manage_snapshots().remove_branch(branch).commit()


def keep_branch(lake: "Lake", address: str, branch: str) -> None:
    """Have a branch stay for `KEPT_BRANCH_DAYS`, which is Iceberg's own word that it was not left behind."""
    for attempt in repeated_after(CommitFailedException, OperationalError):
        with attempt:
            table = lake.catalog.load_table(address)
            kept_ms = KEPT_BRANCH_DAYS * 86_400_000
            table.manage_snapshots().create_branch(
                table.metadata.refs[branch].snapshot_id, branch, max_ref_age_ms=kept_ms
            ).commit()


def is_left_behind(table: IcebergTable, branch: str, now: datetime) -> bool:
    """Whether a branch of an audit is of a process that died: of no run that could be running, and not kept on purpose.

    `now` must be aware. A branch that does not say when it began, as those of earlier versions, is not judged.
    """
    began = _began(branch)
    is_kept = table.metadata.refs[branch].max_ref_age_ms is not None
    return began is not None and not is_kept and now - began > LONGEST_RUN + _RUN_GRACE


def branch_age(table: IcebergTable, branch: str, now: datetime) -> timedelta:
    """Time since a branch was made or written to, whichever was later: one without a commit shows the past of `main`."""
    snapshot = table.metadata.snapshot_by_id(table.metadata.refs[branch].snapshot_id)
    written = datetime.fromtimestamp(snapshot.timestamp_ms / 1000 if snapshot else 0, UTC)
    return now - max(written, _began(branch) or written)


def snapshot_of(lake: "Lake", contract: Table, branch: str) -> int:
    """The snapshot that a branch shows, as the catalog says it now."""
    return lake.catalog.load_table(contract.address).metadata.refs[branch].snapshot_id


def _began(branch: str) -> datetime | None:
    found = _BRANCH.fullmatch(branch)
    try:
        return datetime.strptime(found["began"], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _now() -> datetime:
    return datetime.now(UTC)
