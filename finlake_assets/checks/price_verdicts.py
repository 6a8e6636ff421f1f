"""Is every download used that claims to be newer than what is published, or has something better come since?"""

from collections.abc import Sequence

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.report_metadata import samples_table
from finlake_clients.price_ledgers import DownloadVerdict
from finlake_resources.resources import LakeResource
from spark.contracts import silver

NAME = "downloads_are_used"


def build() -> list[dg.AssetChecksDefinition]:
    """The check on the verdicts."""

    @dg.asset_check(
        asset=asset_key(silver.PRICE_RESTATEMENTS.address),
        name=NAME,
        description="No ticker waits: a download that was rejected, or that waits for the whole history, has been followed by "
        "one that is used.",
    )
    @tried_again_after_outages()
    def downloads_are_used(jobs: LakeResource) -> dg.AssetCheckResult:
        """A warning: what is published stands; it does not move on until somebody acts or a good download comes."""
        waiting = unused(jobs.price_verdicts())
        return dg.AssetCheckResult(
            passed=not waiting,
            severity=dg.AssetCheckSeverity.WARN,
            description=said(waiting),
            metadata={
                "tickers_waiting": len({each.ticker for each in waiting}),
                **({"downloads": samples_table([_shown(each) for each in waiting])} if waiting else {}),
            },
        )

    return [downloads_are_used]


def unused(verdicts: Sequence[DownloadVerdict]) -> list[DownloadVerdict]:
    """Of each ticker the newest download that is kept out and after which no other one was used, by ticker."""
    newest: dict[str, DownloadVerdict] = {}
    for each in sorted(verdicts, key=lambda verdict: (verdict.ticker, verdict.fetched_ts, verdict.file_sha256)):
        if each.is_used:
            newest.pop(each.ticker, None)
        elif each.verdict in silver.UNUSED_VERDICTS:
            newest[each.ticker] = each
    return list(newest.values())


def said(waiting: Sequence[DownloadVerdict]) -> str:
    """Which tickers wait, the file that is kept out, why, and what can be done."""
    if not waiting:
        return "every download is used, or has been followed by one that is"
    listed = " | ".join(f"{each.ticker}: {each.message}" for each in waiting[:5])
    more = f" | and {len(waiting) - 5} more; list them by finlake prices verdicts --unused" if len(waiting) > 5 else ""
    who = "1 ticker stands" if len(waiting) == 1 else f"{len(waiting)} tickers stand"
    return f"{who} still since a download that is not used: {listed}{more}"


def _shown(each: DownloadVerdict) -> dict[str, str]:
    return {
        "ticker": each.ticker,
        "verdict": each.verdict,
        "file": each.source_name,
        "sha256": each.file_sha256[:12],
        "message": each.message,
    }
