"""Stands in for the services of the stream: what they answer is a record of plain values, what they were asked is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from finlake_assets.speed.health_checks import WatchedStream
from finlake_assets.speed.rules import HealthLimits, Hours
from finlake_clients.alert_webhook import AlertNotSentError
from finlake_clients.calendar import TradingCalendar
from finlake_clients.clickhouse.server import ClickHouseRefusedError
from finlake_clients.connect.change_capture import ConnectorHealth
from finlake_clients.kafka.topics import Watermarks
from finlake_clients.lake_client import LakeClient
from finlake_clients.postgres.market import FeedGaps, SlotHealth, VendorComplaints
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_reconciliation.report import ReconcileReport
from finlake_resources.resources import (
    AlertWebhookResource,
    ChangeCaptureResource,
    ClickHouseResource,
    KafkaResource,
    MarketResource,
    ReconciliationResource,
    StateFolderResource,
)

NOW = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)  # a Friday, 11:00 in New York
SLOT = SlotHealth(
    name="finlake_ods", is_active=True, wal_status="reserved", retained_wal_bytes=5_000_000, safe_wal_bytes=2_000_000_000
)
RUNNING = ConnectorHealth(state="RUNNING", task_states=("RUNNING",))


@dataclass(kw_only=True)
class StreamLog:
    """A healthy stream, until a test says otherwise."""

    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    slots: list[SlotHealth] = field(default_factory=lambda: [SLOT])
    published: frozenset[str] = frozenset({"finnhub_trades", "finnhub_quotes", "cdc_heartbeat"})
    newest_received: datetime | None = NOW
    waiting_since: datetime | None = None
    gaps: FeedGaps = FeedGaps(count=0, total_s=0.0, newest="")
    rejected: int = 0
    complaints: VendorComplaints = VendorComplaints(count=0, newest="")
    connector: ConnectorHealth | None = RUNNING
    lag: dict[int, int] = field(default_factory=lambda: {0: 1})
    ends: dict[str, int] = field(default_factory=dict)
    newest_there: datetime | None = NOW
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: str = ""
    sent: list[Mapping[str, object]] = field(default_factory=list)
    webhook_fails: bool = False
    state_free_bytes: int = 50 << 30
    clickhouse_free_bytes: int = 50 << 30

    def ask(self, service: str) -> None:
        """Note that a service was asked; it may be silent."""
        self.asked.append(service)
        if service in self.silent:
            raise ServiceUnavailableError(service, "127.0.0.1:1", "connection refused")


def market_of(log: StreamLog) -> MarketResource:
    """Postgres that answers from the log."""

    class FakeMarket(MarketResource):
        def slots(self) -> list[SlotHealth]:
            log.ask("postgres")
            return log.slots

        def published_tables(self) -> frozenset[str]:
            log.ask("postgres")
            return log.published

        def newest_received(self, relation: str) -> datetime | None:
            log.ask("postgres")
            return log.newest_received

        def first_received_after(self, relation: str, moment: datetime | None) -> datetime | None:
            log.ask("postgres")
            assert moment == log.newest_there
            return log.waiting_since

        def estimated_rows(self, relation: str) -> int:
            log.ask("postgres")
            return 1000

        def feed_gaps(self, since: datetime) -> FeedGaps:
            log.ask("postgres")
            return log.gaps

        def rejected_messages(self, since: datetime) -> int:
            log.ask("postgres")
            return log.rejected

        def vendor_complaints(self, since: datetime) -> VendorComplaints:
            log.ask("postgres")
            return log.complaints

    return FakeMarket(uri="-", password_file="-")


def topics_of(log: StreamLog) -> KafkaResource:
    """Kafka that answers from the log."""

    class FakeTopics(KafkaResource):
        def watermarks(self, topic: str) -> dict[int, Watermarks]:
            log.ask("kafka")
            end = log.ends.get(topic, 0 if topic == "finlake.dead_letters" else 100)
            return {0: Watermarks(0, end)}

        def group_lag(self, group: str, topic: str) -> dict[int, int]:
            log.ask("kafka")
            assert group == "clickhouse_sink"
            return log.lag

    return FakeTopics(bootstrap="-", password_file=None)


def capture_of(log: StreamLog) -> ChangeCaptureResource:
    """Kafka Connect that answers from the log."""

    class FakeCapture(ChangeCaptureResource):
        def look(self) -> ConnectorHealth | None:
            log.ask("kafka_connect")
            return log.connector

    return FakeCapture(connect_url="-", config_file="finlake-ods.json", certificate_file=None)


def clickhouse_of(log: StreamLog) -> ClickHouseResource:
    """ClickHouse that answers from the log: rows by a word of the question."""

    class FakeClickHouse(ClickHouseResource):
        def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
            log.ask("clickhouse")
            if "system.disks" in sql:
                return [{"free_bytes": log.clickhouse_free_bytes}]
            return next((rows for word, rows in log.answers.items() if word in sql), [])

        def read_lake(self, sql: str, **snapshots: Any) -> list[dict[str, Any]]:
            if log.refused:
                raise ClickHouseRefusedError(log.refused)
            return self.rows(sql)

        def newest(self, address: str, column: str) -> datetime | None:
            log.ask("clickhouse")
            return log.newest_there

    return FakeClickHouse(url="-", admin_password_file="-", reader_password_file="-")


def state_folder_of(log: StreamLog) -> StateFolderResource:
    """A state folder whose disk has the room that the log says."""

    class FakeFolder(StateFolderResource):
        def free_bytes(self) -> int:
            return log.state_free_bytes

    return FakeFolder(path="-")


def webhook_of(log: StreamLog, url_file: str | None = "url") -> AlertWebhookResource:
    """A webhook that keeps what it is sent."""

    class FakeWebhook(AlertWebhookResource):
        def send(self, message: Mapping[str, object]) -> None:
            if log.webhook_fails:
                raise AlertNotSentError("the webhook took no message in 4 attempts: HTTP 503")
            log.sent.append(message)

    return FakeWebhook(url_file=url_file)


def reconciliation_of(log: StreamLog) -> ReconciliationResource:
    """A comparison whose first engine does not answer: what it finds is for others to test."""

    class SilentReconciliation(ReconciliationResource):
        def run(
            self, jobs: LakeClient | None, *, wait_s: float = 60, proves_days: bool = False, drops_proven: bool = False
        ) -> ReconcileReport:
            log.asked.append("reconciliation")
            raise ServiceUnavailableError("postgres", "127.0.0.1:1", "connection refused")

    return SilentReconciliation(
        market_uri="",
        market_password_file="",
        kafka_bootstrap="",
        kafka_password_file=None,
        clickhouse_url="",
        clickhouse_password_file="",
    )


def stream_of(log: StreamLog, *, hours: Hours = "exchange", now: datetime = NOW) -> WatchedStream:
    """The services as questions see them."""
    return WatchedStream(
        market=market_of(log),
        topics=topics_of(log),
        capture=capture_of(log),
        clickhouse=clickhouse_of(log),
        state_folder=state_folder_of(log),
        limits=HealthLimits(),
        calendar=TradingCalendar(),
        hours=hours,
        now=now,
    )


def resources_of(log: StreamLog) -> dict[str, object]:
    """The services as Dagster's resources."""
    return {
        "market": market_of(log),
        "topics": topics_of(log),
        "capture": capture_of(log),
        "clickhouse": clickhouse_of(log),
        "state_folder": state_folder_of(log),
        "alerts": webhook_of(log),
        "reconciliation": reconciliation_of(log),
    }


def evaluations(
    checks: Sequence[dg.AssetChecksDefinition],
    assets: Sequence[dg.AssetSpec | dg.AssetsDefinition],
    resources: Mapping[str, object],
) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """What checks find, by asset and name."""
    job = dg.Definitions(
        asset_checks=checks,
        assets=assets,
        resources=resources,
        jobs=[dg.define_asset_job("all", selection=dg.AssetSelection.all_asset_checks())],
    ).resolve_job_def("all")
    found = job.execute_in_process().get_asset_check_evaluations()
    return {(".".join(each.asset_key.path), each.check_name): each for each in found}
