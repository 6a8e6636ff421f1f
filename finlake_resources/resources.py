"""The clients as Dagster asks for them: what an asset, a check or a sensor names as the type of a parameter.

A client and Dagster's base class together; fields and verbs are the client's. Does not belong here: anything of its own; the
vendors whose files Dagster fetches (vendors.py).
"""

import dagster as dg

from finlake_clients.alert_webhook import AlertWebhook
from finlake_clients.clickhouse.server import ClickHouse
from finlake_clients.connect.change_capture import ChangeCapture
from finlake_clients.kafka.topics import KafkaTopics
from finlake_clients.lake_client import LakeClient
from finlake_clients.postgres.market import Market
from finlake_clients.state_folder import StateFolder
from finlake_clients.universe_file import UniverseFile
from finlake_reconciliation.reconcile import Reconciliation


class AlertWebhookResource(AlertWebhook, dg.ConfigurableResource[None]):
    """Where alerts are sent."""


class ChangeCaptureResource(ChangeCapture, dg.ConfigurableResource[None]):
    """The connector that captures the changes of Postgres."""


class ClickHouseResource(ClickHouse, dg.ConfigurableResource[None]):
    """The ClickHouse server."""


class KafkaResource(KafkaTopics, dg.ConfigurableResource[None]):
    """The topics of the broker."""


class LakeResource(LakeClient, dg.ConfigurableResource[None]):
    """The lake and its jobs."""


class MarketResource(Market, dg.ConfigurableResource[None]):
    """Postgres database `market`."""


class ReconciliationResource(Reconciliation, dg.ConfigurableResource[None]):
    """The comparison of the stream's engines."""


class StateFolderResource(StateFolder, dg.ConfigurableResource[None]):
    """The folder in which the local stack keeps everything."""


class UniverseResource(UniverseFile, dg.ConfigurableResource[None]):
    """The universe file."""
