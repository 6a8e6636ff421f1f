"""Resources from settings: which object stands behind each resource key."""

from finlake_clients.connect.change_capture import CONNECTOR_FILE
from finlake_clients.object_store import object_store
from finlake_clients.service_client import path_text
from finlake_resources.resources import (
    AlertWebhookResource,
    ChangeCaptureResource,
    ClickHouseResource,
    KafkaResource,
    LakeResource,
    MarketResource,
    ReconciliationResource,
    StateFolderResource,
    UniverseResource,
)
from finlake_resources.vendors import vendor_resources
from finlake_settings.processes import DagsterSettings


def build_resources(settings: DagsterSettings) -> dict[str, object]:
    """One resource per outside system, by the key under which assets and sensors ask for it; nothing is opened.

    `topics` is `kafka` with a shorter timeout: for those who look at many things and must not hang at one that is silent.
    """
    return {
        "jobs": LakeResource.of(settings),
        **vendor_resources(settings),
        "universe": UniverseResource(path=str(settings.universe)),
        "state_folder": StateFolderResource(path=str(settings.home)),
        "kafka": KafkaResource.of(settings.kafka),
        "topics": KafkaResource.of(settings.kafka, timeout_s=5),
        "market": MarketResource(uri=settings.market.uri, password_file=str(settings.market.reconcile_password_file)),
        "capture": ChangeCaptureResource(
            connect_url=settings.connect.url,
            config_file=str(CONNECTOR_FILE),
            certificate_file=path_text(settings.connect.certificate_file),
            writes_avro=settings.stream.format == "avro",
        ),
        "clickhouse": ClickHouseResource(
            url=settings.clickhouse.url,
            admin_password_file=str(settings.clickhouse.admin_password_file),
            reader_password_file=str(settings.clickhouse.reader_password_file),
            s3_endpoint=object_store(settings)["s3_endpoint"],
        ),
        "reconciliation": ReconciliationResource.of(settings),
        "alerts": AlertWebhookResource(url_file=path_text(settings.alert.webhook_url_file)),
    }
