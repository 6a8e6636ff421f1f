"""The sink as a whole: it stays in the group until it is stopped, and rejoins when a stay becomes void."""

import time
from threading import Event

import structlog
from confluent_kafka import KafkaException
from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event, wait_fixed

from finlake_services.clickhouse_sink.clickhouse import SinkConnection
from finlake_services.clickhouse_sink.consumer_configuration import Broker
from finlake_services.clickhouse_sink.consumer_session import ConsumerSession, MembershipLostError, StoppingError
from finlake_services.clickhouse_sink.dead_letters import DeadLetters
from finlake_services.clickhouse_sink.exactly_once import CommitRefusedError
from finlake_services.clickhouse_sink.metrics import Health, SinkMetrics

_REJOIN_AFTER_S = 0.5
# A turn takes as long as its slowest block; without one for this long the loop hangs.
_LONGEST_TURN_S = 60.0
log = structlog.get_logger()


class Sink:
    """Records of both topics into ClickHouse until `stop` is set."""

    def __init__(
        self, broker: Broker, clickhouse: SinkConnection, dead_letters: DeadLetters, metrics: SinkMetrics, stop: Event
    ) -> None:
        self._broker, self._clickhouse, self._dead_letters = broker, clickhouse, dead_letters
        self._metrics, self._stop = metrics, stop
        self._session: ConsumerSession | None = None
        self._turned_at = time.monotonic()

    def run(self) -> None:
        """Return after `stop` is set and the group is left. Raises TopicReplacedError and CorruptPlanError."""
        Retrying(
            retry=retry_if_exception_type((CommitRefusedError, MembershipLostError, KafkaException)),
            wait=wait_fixed(_REJOIN_AFTER_S),
            sleep=sleep_using_event(self._stop),
            before_sleep=self._note_rejoin,
        )(self._stay)

    def health(self) -> Health:
        """Whether records flow, or what keeps them from it."""
        session = self._session
        if session is None:
            return Health("starting", "the group")
        if session.is_kafka_away:
            return Health("waiting", "Kafka")
        if session.waiting_for:
            return Health("waiting", session.waiting_for)
        if time.monotonic() - self._turned_at > _LONGEST_TURN_S:
            return Health("waiting", "a turn that does not end")
        return Health("ok")

    def _stay(self) -> None:
        """Be in the group until `stop` is set, or until an exception ends the stay."""
        if self._stop.is_set():
            return
        self._session = session = ConsumerSession(
            self._broker,
            self._clickhouse,
            self._dead_letters,
            self._metrics,
            self._stop,
        )
        try:
            while not self._stop.is_set():
                session.poll_once()
                self._turned_at = time.monotonic()
        except StoppingError:
            log.info("stopped while waiting; the block in flight stays planned")
        finally:
            session.leave()

    def _note_rejoin(self, state: RetryCallState) -> None:
        self._metrics.rejoins.inc()
        error = state.outcome.exception() if state.outcome is not None else None
        log.warning("left the group to join it anew", error=str(error))
