"""Is anything missing between the ranges of offsets that were archived?

Judged by what the snapshots of a table say, not by its rows: offsets of a topic have holes that are no loss.
"""

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.report_metadata import samples_table
from finlake_resources.resources import LakeResource
from spark.contracts.report import OffsetRange
from spark.contracts.streams import STREAMS

NAME = "offsets_are_continuous"


def build() -> list[dg.AssetChecksDefinition]:
    """One check for every table that archives a topic."""
    return [_check(each.changes.address, each.topic) for each in STREAMS]


def _check(address: str, topic: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(address),
        name=NAME,
        description=f"The archived ranges of {topic} follow upon one another, as far back as snapshots are kept.",
    )
    @tried_again_after_outages()
    def is_continuous(jobs: LakeResource) -> dg.AssetCheckResult:
        """A gap warns: what Kafka has deleted is gone, and the archive goes on; silver.quarantine keeps it for good."""
        gaps = jobs.offset_gaps(address)
        return dg.AssetCheckResult(
            passed=not gaps,
            severity=dg.AssetCheckSeverity.WARN,
            description=verdict(address, gaps),
            metadata={
                "missing_offsets": sum(gap.end - gap.first for gap in gaps),
                **({"gaps": samples_table([_shown(gap) for gap in gaps[::-1]])} if gaps else {}),
            },
        )

    return is_continuous


def verdict(address: str, gaps: list[OffsetRange]) -> str:
    """What the gaps mean, newest first, and what can be done."""
    if not gaps:
        return f"{address} has every offset between the first and the last range that its snapshots remember"
    named = ", ".join(str(gap) for gap in gaps[::-1][:5])
    return (
        f"{len(gaps)} gaps, newest first: {named}. Kafka had deleted them before they were archived. Rows that Postgres still "
        "has come back when the connector takes a new snapshot; see silver.quarantine for when each gap was met"
    )


def _shown(gap: OffsetRange) -> dict[str, str]:
    return {"topic": gap.topic, "partition": str(gap.partition), "first": str(gap.first), "end": str(gap.end)}
