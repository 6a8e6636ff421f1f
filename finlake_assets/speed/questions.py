"""What is asked about the stream: each question names the asset it is about, where to look, and the rule that judges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from finlake_assets.describe import asset_key
from finlake_assets.speed import rules
from finlake_assets.speed.chain import (
    CAPTURE,
    DEAD_LETTERS_TOPIC,
    HEARTBEAT_TOPIC,
    QUOTES_TOPIC,
    TRADES_TOPIC,
    ods_key,
    topic_key,
)
from finlake_assets.speed.rules import StreamLimits, Verdict
from finlake_resources import change_capture, clickhouse, kafka, market
from finlake_resources.calendar import TradingCalendar
from finlake_resources.change_capture import ChangeCapture
from finlake_resources.clickhouse import ClickHouse
from finlake_resources.kafka import KafkaTopics, UnknownTopic
from finlake_resources.market import Market
from finlake_resources.service_errors import ServiceUnavailable
from spark.contracts.clickhouse import SINK_GAPS
from spark.contracts.speed import QUOTES_REALTIME, STOCK_REALTIME
from spark.contracts.table import Severity

SINK_GROUP = "clickhouse_sink"
GAPS_WITHIN = timedelta(hours=24)
CAPTURED = frozenset({"finnhub_trades", "finnhub_quotes", "cdc_heartbeat"})
FOLLOWED = {"finnhub_trades": STOCK_REALTIME.address, "finnhub_quotes": QUOTES_REALTIME.address}
"""By table of schema `ods`, the table of ClickHouse that its rows come to."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The services of the stream, and by what they are judged; `is_live` says whether the exchange's hours matter."""

    market: Market
    topics: KafkaTopics
    capture: ChangeCapture
    clickhouse: ClickHouse
    limits: StreamLimits
    calendar: TradingCalendar
    is_live: bool
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question about an asset of the stream, and the services it needs an answer of.

    `is_alerted` says whether a bad answer is told at once.
    """

    name: str
    asset: dg.AssetKey
    about: str
    needs: frozenset[str]
    ask: Callable[[Stream], Verdict]
    severity: Severity = "error"
    is_alerted: bool = True


def answers(questions: Sequence[Question], stream: Stream) -> list[tuple[Question, Verdict]]:
    """All verdicts. A service that was silent once is not waited for again."""
    given: list[tuple[Question, Verdict]] = []
    silent: dict[str, Verdict] = {}
    for question in questions:
        known = [silent[service] for service in sorted(question.needs) if service in silent]
        try:
            verdict = known[0] if known else question.ask(stream)
        except UnknownTopic as error:
            verdict = unknown(error)
        except ServiceUnavailable as error:
            verdict = silent[error.service] = unknown(error)
        given.append((question, verdict))
    return given


def unknown(error: ServiceUnavailable) -> Verdict:
    """The verdict where a service cannot be asked, which is not the same as ill."""
    return Verdict(state="unknown", text=f"not judged: {error}")


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


POSTGRES, KAFKA = frozenset({market.SERVICE}), frozenset({kafka.SERVICE})
CONNECT, CLICKHOUSE = frozenset({change_capture.SERVICE}), frozenset({clickhouse.SERVICE})


def _lag(topic: str) -> Callable[[Stream], Verdict]:
    return lambda stream: rules.judge_lag(topic, stream.topics.group_lag(SINK_GROUP, topic), stream.limits)


def _progress(relation: str) -> Callable[[Stream], Verdict]:
    address = FOLLOWED[relation]

    def ask(stream: Stream) -> Verdict:
        # ClickHouse first: what is newer in Postgres than this answer has waited since then.
        newest = stream.clickhouse.newest(address, "received_ts")
        waiting_since = stream.market.first_received_after(relation, newest)
        return rules.judge_progress(address, newest, waiting_since, stream.now, stream.limits)

    return ask


def _feed(stream: Stream) -> Verdict:
    newest = stream.market.newest_received("finnhub_trades")
    if not stream.is_live:
        return Verdict(state="well", text="sample sources have no hours; the last trade was received "
                                          + ("never" if newest is None else f"at {newest:%Y-%m-%d %H:%M:%S} UTC"))
    return rules.judge_feed(newest, stream.now, stream.calendar, stream.limits)


def _gaps(stream: Stream) -> Verdict:
    since = stream.now - GAPS_WITHIN
    return rules.judge_gaps(stream.market.feed_gaps(since), stream.market.rejected_messages(since), GAPS_WITHIN)


def _skipped(stream: Stream) -> Verdict:
    return rules.judge_skipped(stream.clickhouse.rows(
        f"SELECT topic, kafka_partition, first_offset, last_offset FROM {SINK_GAPS} ORDER BY noticed_ts LIMIT 100"))


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="trades_are_received", asset=ods_key("finnhub_trades"), needs=POSTGRES, ask=_feed,
        about="While the exchange is open, trades come in.",
    ),
    Question(
        name="feed_is_unbroken", asset=ods_key("finnhub_trades"), needs=POSTGRES, ask=_gaps, severity="warn", is_alerted=False,
        about="No interruption of the feed and no unreadable message within a day.",
    ),
    Question(
        name="slot_is_read", asset=CAPTURE, needs=POSTGRES,
        ask=lambda stream: rules.judge_slot(stream.market.slots(), stream.limits),
        about="The replication slot is read, and Postgres keeps little log for it.",
    ),
    Question(
        name="tables_are_published", asset=CAPTURE, needs=POSTGRES,
        ask=lambda stream: rules.judge_publication(stream.market.published_tables(), CAPTURED),
        about="Changes of every table of the stream are published.",
    ),
    Question(
        name="connector_runs", asset=CAPTURE, needs=CONNECT,
        ask=lambda stream: rules.judge_connector(stream.capture.connector_name, stream.capture.look()),
        about="The connector and its tasks run, exactly once, as this checkout configures them.",
    ),
    Question(
        name="sink_keeps_up", asset=topic_key(TRADES_TOPIC), needs=KAFKA, ask=_lag(TRADES_TOPIC),
        about="The sink is not far behind in the topic of trades.",
    ),
    Question(
        name="sink_keeps_up", asset=topic_key(QUOTES_TOPIC), needs=KAFKA, ask=_lag(QUOTES_TOPIC),
        about="The sink is not far behind in the topic of quotes.",
    ),
    Question(
        name="no_dead_letters", asset=topic_key(DEAD_LETTERS_TOPIC), needs=KAFKA, severity="warn", is_alerted=False,
        ask=lambda stream: rules.judge_dead_letters(stream.topics.watermarks(DEAD_LETTERS_TOPIC)),
        about="Every record could be read.",
    ),
    Question(
        name="rows_arrive", asset=asset_key(STOCK_REALTIME.address), needs=CLICKHOUSE | POSTGRES, ask=_progress("finnhub_trades"),
        about="A trade that is in Postgres is soon in ClickHouse.",
    ),
    Question(
        name="rows_arrive", asset=asset_key(QUOTES_REALTIME.address), needs=CLICKHOUSE | POSTGRES,
        ask=_progress("finnhub_quotes"),
        about="A quote that is in Postgres is soon in ClickHouse.",
    ),
    Question(
        name="nothing_was_skipped", asset=asset_key(STOCK_REALTIME.address), needs=CLICKHOUSE, ask=_skipped,
        about="Kafka deleted no record before the sink had read it.",
    ),
)

TOPICS = (TRADES_TOPIC, QUOTES_TOPIC, HEARTBEAT_TOPIC, DEAD_LETTERS_TOPIC)
