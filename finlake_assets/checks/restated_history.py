"""Does published history show every restatement, or do newer sessions stand beside older prices?"""

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_clients.stale_history import stale_history
from finlake_resources.resources import LakeResource
from spark.contracts import silver

NAME = "restatements_are_shown"


def build() -> list[dg.AssetChecksDefinition]:
    """The check on the prices; it asks about now, whatever sessions a run is about."""

    @dg.asset_check(
        asset=asset_key(silver.PRICES_DAILY.address),
        name=NAME,
        description="No accepted download says of a published session what the session does not show.",
    )
    @tried_again_after_outages()
    def restatements_are_shown(jobs: LakeResource) -> dg.AssetCheckResult:
        """A warning: where runs are unattended a sensor rebuilds the history by itself."""
        stale = stale_history(jobs)
        return dg.AssetCheckResult(
            passed=stale is None,
            severity=dg.AssetCheckSeverity.WARN,
            description=stale or "published prices show every accepted download",
        )

    return [restatements_are_shown]
