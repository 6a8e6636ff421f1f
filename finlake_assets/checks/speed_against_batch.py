"""Are the candles that ClickHouse keeps up to date, trade by trade, those that Spark computes from the archive?"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.report_metadata import Metadata, samples_table
from finlake_clients.clickhouse.server import ClickHouseRefusedError
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_resources.resources import ClickHouseResource, LakeResource
from spark.contracts import gold, speed
from spark.contracts.candle_comparison import candle_totals, differing_candles
from spark.contracts.streams import TRADES

NAME = "equals_batch"
COMPARED_DAYS = 7


def build() -> dg.AssetChecksDefinition:
    """The check on the live candles."""

    @dg.asset_check(
        asset=asset_key(speed.CANDLES_1M.address),
        name=NAME,
        additional_deps=[asset_key(gold.CANDLES_1M.address)],
        description=f"Equal to {gold.CANDLES_1M.address} to the last bit, over its newest {COMPARED_DAYS} dates, in every minute "
        "whose trades are archived.",
    )
    @tried_again_after_outages()
    def equals_batch(jobs: LakeResource, clickhouse: ClickHouseResource) -> dg.AssetCheckResult:
        """A minute that differs is named."""
        newest = jobs.newest(gold.CANDLES_1M.address)
        positions = {
            partition: end
            for (topic, partition), end in jobs.archive_positions(gold.CANDLES_1M.address).items()
            if topic == TRADES.topic
        }
        if newest is None or not positions:
            return _unjudged("nothing is archived yet; run the job stream_archive")
        first = newest - timedelta(days=COMPARED_DAYS - 1)
        snapshot = jobs.published(gold.CANDLES_1M.address)
        try:
            totals = clickhouse.read_lake(candle_totals(positions, first, newest), gold=snapshot)
            wrong = clickhouse.read_lake(differing_candles(positions, first, newest), gold=snapshot)
        except (ServiceUnavailableError, ClickHouseRefusedError) as error:
            return _unjudged(f"not judged: {error}")
        return verdict(totals, wrong)

    return equals_batch


def verdict(totals: Sequence[Mapping[str, object]], wrong: Sequence[Mapping[str, object]]) -> dg.AssetCheckResult:
    """The result from the totals of each side and the minutes that differ."""
    metadata: Metadata = {}
    for each in totals:
        for name in ("minutes", "trades", "volume_units"):
            metadata[f"{each['side']}_{name}"] = dg.TextMetadataValue(str(each[name]))
    minutes = {str(each["side"]): each["minutes"] for each in totals}
    compared = f"{minutes.get('speed', 0)} live and {minutes.get('batch', 0)} archived minutes"
    if not wrong:
        return dg.AssetCheckResult(passed=True, metadata=metadata, description=f"{compared} are equal")
    metadata["failing_rows"] = dg.IntMetadataValue(int(str(wrong[0]["differing_count"])))
    metadata["offending_rows"] = samples_table(
        [
            {
                "symbol": str(each["symbol"]),
                "minute_ts": str(each["minute_ts"]),
                "archived rows": str(each["batch_rows"]),
                "live rows": str(each["speed_rows"]),
            }
            for each in wrong
        ]
    )
    return dg.AssetCheckResult(
        passed=False,
        metadata=metadata,
        description=f"{wrong[0]['differing_count']} minutes differ among {compared}, first {wrong[0]['symbol']} at "
        f"{wrong[0]['minute_ts']}; `finlake reconcile` tells which trades",
    )


def _unjudged(text: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=text)
