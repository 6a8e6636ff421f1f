"""`finlake accept-columns`: changed columns of a captured table that the schema registry has refused are taken, once.

The connector stands at the first row that has them. It goes on when they are taken; what readers cannot make rows of becomes dead
letters and quarantine, and can be replayed when they can.
"""

from collections.abc import Callable

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from deploy.local.schema_registry import COMPATIBILITY
from finlake_clients.kafka.schema_registry import SchemaRegistry
from spark.contracts.streams import CapturedTable

ACCEPTED_WITHIN_S = 180.0
"""Longer than the longest pause of the connector's keeper between two starts."""


class ColumnsNotAcceptedError(Exception):
    """No new columns came to the registry; the message says what to look at."""


def accept(
    registry: SchemaRegistry,
    table: CapturedTable,
    report: Callable[[str], None],
    *,
    within_s: float = ACCEPTED_WITHIN_S,
) -> int:
    """Take whatever columns the connector brings next, then ask for compatible ones again; returns the schema's new version.

    Raises ColumnsNotAcceptedError, and what the registry raises.
    """
    before = registry.versions(table.subject)
    # Of all tables: a subject's own rule cannot be that there is none.
    registry.require("NONE")
    report(f"waiting until the connector brings the columns of {table.market_table}; its keeper starts it within a minute")
    arrived = Retrying(
        retry=retry_if_result(lambda versions: versions == before), stop=stop_after_delay(within_s), wait=wait_fixed(1)
    )
    try:
        versions = arrived(registry.versions, table.subject)
    except RetryError as error:
        raise ColumnsNotAcceptedError(
            f"no new columns of {table.market_table} came within {within_s:.0f} s; see in `finlake status` whether its connector "
            "stands at them, and whether its keeper runs"
        ) from error
    finally:
        registry.require(COMPATIBILITY)
    return versions[-1]
