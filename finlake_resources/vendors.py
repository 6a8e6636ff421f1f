"""The batch vendors as Dagster asks for them: a resource for each, and what stands behind its key.

A client and Dagster's base class together; fields and verbs are the client's.
"""

import dagster as dg

from finlake_clients.gdelt.feed import GdeltFeed
from finlake_clients.object_store import object_store
from finlake_clients.service_client import path_text
from finlake_clients.stooq.feed import StooqPrices
from finlake_settings.processes import DagsterSettings


class GdeltResource(GdeltFeed, dg.ConfigurableResource[None]):
    """GDELT's files."""


class StooqResource(StooqPrices, dg.ConfigurableResource[None]):
    """Stooq's daily prices."""


def vendor_resources(settings: DagsterSettings) -> dict[str, object]:
    """One resource per vendor, by the key under which assets and sensors ask for it; nothing is opened."""
    return {
        "stooq": StooqResource(
            drop_location=settings.stooq.drop,
            base_url=settings.stooq.url,
            apikey_file=path_text(settings.stooq.apikey_file),
            **object_store(settings),
        ),
        "gdelt": GdeltResource(base_url=settings.gdelt.url, delay_seconds=0.0 if settings.sources == "sample" else 0.1),
    }
