"""The health checks of the stream: each names the asset it is about, where to look, and the rule that decides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.speed import rules
from finlake_assets.speed.chain import (
    CAPTURE,
    ods_key,
    topic_key,
)
from finlake_assets.speed.rules import HealthLimits, HealthResult, Hours, SymbolActivity
from finlake_clients.calendar import TradingCalendar
from finlake_clients.clickhouse import server as clickhouse
from finlake_clients.connect import change_capture
from finlake_clients.kafka import topics as kafka
from finlake_clients.kafka.topics import UnknownTopicError
from finlake_clients.postgres import market
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_resources.resources import (
    ChangeCaptureResource,
    ClickHouseResource,
    KafkaResource,
    MarketResource,
    StateFolderResource,
)
from spark.contracts import streams
from spark.contracts.clickhouse import SINK_GAPS, STARTS_OF_WINDOWS
from spark.contracts.speed import CANDLES_1M, QUOTES_REALTIME, STOCK_REALTIME
from spark.contracts.table import Severity

GAPS_WITHIN = timedelta(hours=24)
COMPLAINTS_WITHIN = timedelta(minutes=30)
CAPTURED = frozenset({*(each.name for each in streams.STREAMS), streams.HEARTBEAT})
FOLLOWED = {each.name: each.realtime.address for each in streams.STREAMS}
"""By table of schema `ods`, the table of ClickHouse that its rows come to."""


@dataclass(frozen=True, kw_only=True)
class WatchedStream:
    """The services of the stream, where they keep what they have, and by what all is judged.

    `hours` are those in which trades are expected. Op, sensor and check each name the five services and build one: Dagster
    reads from a function's parameters which resources it needs.
    """

    market: MarketResource
    topics: KafkaResource
    capture: ChangeCaptureResource
    clickhouse: ClickHouseResource
    state_folder: StateFolderResource
    limits: HealthLimits
    calendar: TradingCalendar
    hours: Hours
    now: datetime


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """One check of an asset of the stream, and the services that it asks. An alert is sent when it fails."""

    name: str
    asset: dg.AssetKey
    about: str
    needs: frozenset[str]
    run: Callable[[WatchedStream], HealthResult]
    severity: Severity = "error"


def run_checks(checks: Sequence[HealthCheck], stream: WatchedStream) -> list[tuple[HealthCheck, HealthResult]]:
    """All results. A service that was silent once is not waited for again."""
    given: list[tuple[HealthCheck, HealthResult]] = []
    silent: dict[str, HealthResult] = {}
    for check in checks:
        known = [silent[service] for service in sorted(check.needs) if service in silent]
        try:
            result = known[0] if known else check.run(stream)
        except UnknownTopicError as error:
            result = unknown(error)
        except ServiceUnavailableError as error:
            result = silent[error.service] = unknown(error)
        given.append((check, result))
    return given


def unknown(error: ServiceUnavailableError) -> HealthResult:
    """The result where a service cannot be asked, which is not the same as unhealthy."""
    return HealthResult(state="unknown", text=f"not judged: {error}")


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


POSTGRES, KAFKA = frozenset({market.SERVICE}), frozenset({kafka.SERVICE})
CONNECT, CLICKHOUSE = frozenset({change_capture.SERVICE}), frozenset({clickhouse.SERVICE})


def _lag(topic: str) -> Callable[[WatchedStream], HealthResult]:
    return lambda stream: rules.check_lag(topic, stream.topics.group_lag(streams.SINK_GROUP, topic), stream.limits)


def _progress(relation: str) -> Callable[[WatchedStream], HealthResult]:
    address = FOLLOWED[relation]

    def run(stream: WatchedStream) -> HealthResult:
        # ClickHouse first: what is newer in Postgres than this answer has waited since then.
        newest = stream.clickhouse.newest(address, "received_ts")
        waiting_since = stream.market.first_received_after(relation, newest)
        return rules.check_progress(address, newest, waiting_since, stream.now, stream.limits)

    return run


def _feed(stream: WatchedStream) -> HealthResult:
    newest = stream.market.newest_received(streams.TRADES.name)
    return rules.check_feed(newest, stream.now, stream.hours, stream.calendar, stream.limits)


def _symbols(stream: WatchedStream) -> HealthResult:
    """Per symbol the minutes with a trade, counted where candles are merged from; the minute under way is left out."""
    if stream.hours == "any":
        return HealthResult(state="healthy", text="no trade is expected")
    table, minute = STARTS_OF_WINDOWS[CANDLES_1M.address]
    until = rules.whole_minute(stream.now)
    in_sessions = rules.open_spans(stream.hours, until - rules.USUAL_OVER, until, stream.calendar)
    always = rules.open_spans("always", until - rules.USUAL_OVER, until, stream.calendar)

    def within(spans: Sequence[rules.Span]) -> str:
        """Bounds as whole seconds since 1970."""
        named = " OR ".join(
            f"({minute} >= toDateTime({start.timestamp():.0f}) AND {minute} < toDateTime({end.timestamp():.0f}))"
            for start, end in spans
        )
        return f"({named or 'false'})"

    rows = stream.clickhouse.rows(
        f"SELECT symbol, toInt64(uniqExact({minute})) AS active_minutes, toInt64(toUnixTimestamp(min({minute}))) AS first_s, "
        f"toInt64(toUnixTimestamp(max({minute}))) AS newest_s FROM {table} "
        f"WHERE if(position(symbol, ':') > 0, {within(always)}, {within(in_sessions)}) GROUP BY symbol ORDER BY symbol"
    )
    found = [
        SymbolActivity(
            symbol=row["symbol"],
            active_minutes=row["active_minutes"],
            first_minute_ts=datetime.fromtimestamp(row["first_s"], UTC),
            newest_minute_ts=datetime.fromtimestamp(row["newest_s"], UTC),
        )
        for row in rows
    ]
    return rules.check_symbols(found, in_sessions, always)


def _complaints(stream: WatchedStream) -> HealthResult:
    return rules.check_complaints(stream.market.vendor_complaints(stream.now - COMPLAINTS_WITHIN), COMPLAINTS_WITHIN)


def _gaps(stream: WatchedStream) -> HealthResult:
    since = stream.now - GAPS_WITHIN
    return rules.check_gaps(stream.market.feed_gaps(since), stream.market.rejected_messages(since), GAPS_WITHIN)


def _skipped(stream: WatchedStream) -> HealthResult:
    return rules.check_skipped(
        stream.clickhouse.rows(
            f"SELECT topic, kafka_partition, first_offset, last_offset FROM {SINK_GAPS} ORDER BY noticed_ts LIMIT 100"
        )
    )


def _room_of_state_folder(stream: WatchedStream) -> HealthResult:
    return rules.check_room(
        "the state folder",
        stream.state_folder.free_bytes(),
        "Postgres, Kafka and runs stop when it is full. Make room; job upkeep removes old snapshots and orphan files of the lake",
        stream.limits,
    )


def _room_of_clickhouse(stream: WatchedStream) -> HealthResult:
    """As `admin`: a reader may not see which disks there are. An object store claims more room than a signed number holds."""
    (row,) = stream.clickhouse.read_lake(
        "SELECT toInt64(least(min(free_space), 1000000000000000)) AS free_bytes FROM system.disks"
    )
    return rules.check_room(
        "ClickHouse",
        row["free_bytes"],
        "inserts are refused when it is full, and records wait in Kafka. Make room; what waits comes by itself then",
        stream.limits,
    )


HEALTH_CHECKS: tuple[HealthCheck, ...] = (
    HealthCheck(
        name="trades_are_received",
        asset=ods_key(streams.TRADES.name),
        needs=POSTGRES,
        run=_feed,
        about="While the exchange is open, trades come in.",
    ),
    HealthCheck(
        name="every_symbol_trades",
        asset=asset_key(STOCK_REALTIME.address),
        needs=CLICKHOUSE,
        run=_symbols,
        about="No symbol is silent for longer than it usually is, while others trade.",
    ),
    HealthCheck(
        name="vendor_is_content",
        asset=ods_key(streams.TRADES.name),
        needs=POSTGRES,
        run=_complaints,
        about="The vendor has not complained of late.",
    ),
    HealthCheck(
        name="feed_is_unbroken",
        asset=ods_key(streams.TRADES.name),
        needs=POSTGRES,
        run=_gaps,
        severity="warn",
        about="No interruption of the feed and no unreadable message within a day.",
    ),
    HealthCheck(
        name="slot_is_read",
        asset=CAPTURE,
        needs=POSTGRES,
        run=lambda stream: rules.check_slot(stream.market.slots(), stream.limits),
        about="The replication slot is read, and Postgres keeps little log for it.",
    ),
    HealthCheck(
        name="tables_are_published",
        asset=CAPTURE,
        needs=POSTGRES,
        run=lambda stream: rules.check_publication(stream.market.published_tables(), CAPTURED),
        about="Changes of every table of the stream are published.",
    ),
    HealthCheck(
        name="connector_runs",
        asset=CAPTURE,
        needs=CONNECT,
        run=lambda stream: rules.check_connector(stream.capture.connector_name, stream.capture.look()),
        about="The connector and its tasks run, exactly once, as this checkout configures them.",
    ),
    HealthCheck(
        name="state_folder_has_room",
        asset=CAPTURE,
        needs=frozenset(),
        run=_room_of_state_folder,
        about="The disk of the state folder, where Postgres, Kafka and the lake write, has room.",
    ),
    HealthCheck(
        name="sink_keeps_up",
        asset=topic_key(streams.TRADES.topic),
        needs=KAFKA,
        run=_lag(streams.TRADES.topic),
        about="The sink is not far behind in the topic of trades.",
    ),
    HealthCheck(
        name="sink_keeps_up",
        asset=topic_key(streams.QUOTES.topic),
        needs=KAFKA,
        run=_lag(streams.QUOTES.topic),
        about="The sink is not far behind in the topic of quotes.",
    ),
    HealthCheck(
        name="no_dead_letters",
        asset=topic_key(streams.DEAD_LETTERS_TOPIC),
        needs=KAFKA,
        severity="warn",
        run=lambda stream: rules.check_dead_letters(stream.topics.watermarks(streams.DEAD_LETTERS_TOPIC)),
        about="Every record could be read.",
    ),
    HealthCheck(
        name="rows_arrive",
        asset=asset_key(STOCK_REALTIME.address),
        needs=CLICKHOUSE | POSTGRES,
        run=_progress(streams.TRADES.name),
        about="A trade that is in Postgres is soon in ClickHouse.",
    ),
    HealthCheck(
        name="rows_arrive",
        asset=asset_key(QUOTES_REALTIME.address),
        needs=CLICKHOUSE | POSTGRES,
        run=_progress(streams.QUOTES.name),
        about="A quote that is in Postgres is soon in ClickHouse.",
    ),
    HealthCheck(
        name="nothing_was_skipped",
        asset=asset_key(STOCK_REALTIME.address),
        needs=CLICKHOUSE,
        run=_skipped,
        about="Kafka deleted no record before the sink had read it.",
    ),
    HealthCheck(
        name="disk_has_room",
        asset=asset_key(STOCK_REALTIME.address),
        needs=CLICKHOUSE,
        run=_room_of_clickhouse,
        about="ClickHouse's disk has room.",
    ),
)
