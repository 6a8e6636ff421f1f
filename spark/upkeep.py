"""Tidying a table: compact small files, expire old snapshots, remove orphan files, drop audit branches nobody looks at.

On Spark by Iceberg's own procedures, on one machine by pyiceberg (spark/lake/tidying.py).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from spark.contracts.table import Table
from spark.lake import tidying
from spark.lake.branches import KEPT_BRANCH_DAYS, branch_age, is_left_behind
from spark.lake.catalog import CATALOG
from spark.lake.storage import Lake

KEPT_SNAPSHOT_DAYS = 30
# Tables of the stream are written every few minutes, and each write lists all snapshots there are.
KEPT_STREAM_SNAPSHOT_DAYS = 7
KEPT_SNAPSHOTS = 20
# A writer may hold files that no snapshot names yet; Iceberg asks for at least a day.
ORPHAN_AGE_DAYS = 3


def compact(lake: Lake, table: Table) -> Mapping[str, int]:
    """Rewrite small files of every partition into sorted larger ones."""
    if not lake.has_spark:
        read, written = tidying.compact(lake, table)
        return {"rewritten_files": read, "added_files": written}
    row = _call(lake, table, f"rewrite_data_files(table => '{table.address}')")
    # Spark's snapshot says nothing of the stream, and those before it will expire.
    lake.keep_positions(table.address)
    return {"rewritten_files": row["rewritten_data_files_count"], "added_files": row["added_data_files_count"]}


def expire(lake: Lake, table: Table) -> Mapping[str, int]:
    """Expire snapshots older than a month (of the stream: a week), always keeping the newest twenty and every branch."""
    before = _days_ago(KEPT_STREAM_SNAPSHOT_DAYS if table.window == "stream_day" else KEPT_SNAPSHOT_DAYS)
    lake.keep_positions(table.address)
    if not lake.has_spark:
        data, manifests = tidying.expire(lake, table, before, KEPT_SNAPSHOTS)
        return {"deleted_data_files": data, "deleted_manifests": manifests}
    row = _call(
        lake,
        table,
        f"expire_snapshots(table => '{table.address}', older_than => {_time(before)}, retain_last => {KEPT_SNAPSHOTS})",
    )
    return {"deleted_data_files": row["deleted_data_files_count"], "deleted_manifests": row["deleted_manifest_files_count"]}


def remove_orphans(lake: Lake, table: Table) -> Mapping[str, int]:
    """Delete files under the table's folder that no snapshot names and that are older than three days."""
    before = _days_ago(ORPHAN_AGE_DAYS)
    if not lake.has_spark:
        return {"removed_files": tidying.remove_orphans(lake, table, before)}
    lake.table(table.address)
    removed = lake.spark.sql(
        f"CALL {CATALOG}.system.remove_orphan_files(table => '{table.address}', older_than => {_time(before)})"
    )
    return {"removed_files": len(removed.collect())}


def drop_stale_branches(lake: Lake, table: Table) -> Mapping[str, int]:
    """Drop audit branches that a process has left behind, and all older than a week; others are kept for inspection."""
    found, now = lake.table(table.address), datetime.now(UTC)
    stale = [
        name
        for name in found.metadata.refs
        if name.startswith("audit_")
        and (is_left_behind(found, name, now) or branch_age(found, name, now) > timedelta(days=KEPT_BRANCH_DAYS))
    ]
    for name in stale:
        lake.catalog.load_table(table.address).manage_snapshots().remove_branch(name).commit()
    return {"dropped_branches": len(stale)}


ACTIONS: dict[str, Callable[[Lake, Table], Mapping[str, int]]] = {
    "compact": compact,
    "expire": expire,
    "orphans": remove_orphans,
    "branches": drop_stale_branches,
}


def _call(lake: Lake, table: Table, procedure: str) -> Mapping[str, int]:
    lake.table(table.address)
    row = lake.spark.sql(f"CALL {CATALOG}.system.{procedure}").first()
    return row.asDict() if row is not None else {}


def _days_ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _time(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"
