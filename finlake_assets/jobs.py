"""The jobs a person or a sensor launches: one per calendar, for one key or a range in one run, and two for care.

`stream_archive` without configuration archives all that is in Kafka up to the end of the run's last day, and carries it on;
with a range of offsets, as the sensor asks for it, exactly up to the end of that range.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.upkeep.lake import GROUP as UPKEEP_GROUP
from spark.contracts import lake, silver
from spark.contracts.runs import BY_DAY, BY_MONTH, BY_SESSION, STREAM_ARCHIVE
from spark.contracts.table import WindowKind

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    # What dg.define_asset_job returns; dagster does not export the name.
    AssetJob: TypeAlias = UnresolvedAssetJobDefinition

CHECKS_ONLY = "checks_only"
UPKEEP = "upkeep"

_AGREED = silver.PRICES_DAILY.address
_SESSION_TABLES = lake.of_window("session")
# From the vendor to a verdict over what it sent.
DOWNLOAD_CHAIN = tuple(asset_key(name) for name in _SESSION_TABLES if name in lake.sources_of(_AGREED))
# On to the agreed price: what an ordinary session fills, before its news are complete.
PRICES_CHAIN = (*DOWNLOAD_CHAIN, asset_key(_AGREED))
# What changes when accepted history does; months follow their sessions by themselves.
RESTATED_CHAIN = (asset_key(_AGREED), *(asset_key(name) for name in _SESSION_TABLES if name in lake.readers_of(_AGREED)))


def build(apart: Sequence[dg.AssetChecksDefinition]) -> "dict[str, AssetJob]":
    """All jobs by name; a range is asked for with Dagster's tags for the start and end of a partition range.

    Checks that stand `apart` ask about now, not about the run's dates: they are left to `checks_only`.
    """
    about_now = dg.AssetSelection.checks(*apart)
    jobs = [
        dg.define_asset_job(
            BY_DAY,
            selection=_by_calendar("day") - about_now,
            description="News: 15-minute files to mentions, by calendar day.",
        ),
        dg.define_asset_job(
            BY_SESSION,
            selection=_by_calendar("session") - about_now,
            description="Prices from the vendor to gold, with the news that are there, by session.",
        ),
        dg.define_asset_job(
            BY_MONTH,
            selection=_by_calendar("month") - about_now,
            description="Summaries of whole months.",
        ),
        dg.define_asset_job(
            STREAM_ARCHIVE,
            selection=_by_calendar("stream_day") - about_now,
            description="The live stream from Kafka to bronze, silver and candles, by UTC day.",
        ),
        dg.define_asset_job(
            CHECKS_ONLY,
            selection=dg.AssetSelection.all_asset_checks(),
            description="Every check over everything published; writes nothing. `finlake check` launches it.",
        ),
        dg.define_asset_job(
            UPKEEP,
            selection=dg.AssetSelection.groups(UPKEEP_GROUP),
            description="Compaction, expired snapshots, orphan files, stale audit branches.",
        ),
    ]
    return {job.name: job for job in jobs}


def range_tags(start: str, end: str) -> dict[str, str]:
    """Run tags that make one run of the partitions from `start` to `end`, both inclusive."""
    return {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}


def _by_calendar(window: WindowKind) -> dg.AssetSelection:
    """The tables of a calendar that a step writes."""
    return dg.AssetSelection.assets(*(asset_key(address) for address in lake.of_window(window)))
