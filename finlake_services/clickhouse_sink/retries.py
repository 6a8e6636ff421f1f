"""Trouble outside is waited out: an action is tried until it succeeds; meanwhile nothing is fetched, and the member stays.

Does not belong here: what is done in the meantime (consumer_session.py), and what the actions do (effects.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from confluent_kafka import Consumer
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from finlake_clients.service_errors import ServiceUnavailableError
from finlake_services.clickhouse_sink.clickhouse import ClickHouseUnavailableError
from finlake_services.clickhouse_sink.dead_letters import DeadLettersUnavailableError
from finlake_services.clickhouse_sink.exactly_once import CommitRefusedError
from finlake_services.clickhouse_sink.metrics import SinkMetrics

Answer = TypeVar("Answer")
log = structlog.get_logger()


class RebalancingError(CommitRefusedError):
    """The group refused a commit because its members are being counted. When the partition is still ours afterwards, it was
    never another's, and the commit can be repeated."""


_WORTH_WAITING_FOR = (ClickHouseUnavailableError, DeadLettersUnavailableError, ServiceUnavailableError, RebalancingError)


class TroubleLog:
    """Logs a trouble when it begins or becomes another, not at every attempt."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def note(self, event: str, error: str) -> None:
        """Log the error unless one of its kind was logged since the last `clear`."""
        kind = error.split(" (")[0]
        if kind not in self._logged:
            self._logged.add(kind)
            log.error(event, error=error)

    def clear(self) -> None:
        """The trouble is over."""
        self._logged.clear()


class Retries:
    """Actions of one member of the group, each tried until it succeeds.

    `sleep` lets time pass between two attempts while the group's calls are answered; what it raises ends the attempts.

    `ended` is called when fetching is about to go on after a wait.
    """

    def __init__(
        self,
        consumer: Consumer,
        sleep: Callable[[float], None],
        ended: Callable[[], None],
        troubles: TroubleLog,
        metrics: SinkMetrics,
    ) -> None:
        self.waiting_for = ""
        """The last attempt's error; empty when nothing is waited for."""
        self.is_waiting = False
        """Whether fetching is paused; partitions that come meanwhile have to be paused too."""
        self._consumer, self._sleep, self._ended = consumer, sleep, ended
        self._troubles, self._metrics = troubles, metrics
        self._is_running = self._is_off = False

    def run(self, action: Callable[[], Answer], before_attempt: Callable[[int], None] = lambda _: None) -> Answer:
        """`action`, as often as it takes; `before_attempt` is called with the number of each attempt, from 1 on."""
        if self._is_off:
            return action()
        attempts, is_outermost = 0, not self._is_running

        def once() -> Answer:
            nonlocal attempts
            attempts += 1
            before_attempt(attempts)
            return action()

        retrying = Retrying(
            retry=retry_if_exception_type(_WORTH_WAITING_FOR),
            wait=wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1),
            sleep=self._sleep,
            before_sleep=self._note,
        )
        self._is_running = True
        try:
            answer = retrying(once)
            if is_outermost and self.is_waiting:
                log.info("going on")
            return answer
        finally:
            if is_outermost:
                self._is_running = False
                if self.is_waiting:
                    self._end()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Within it each action is tried once: there is no time to wait."""
        self._is_off = True
        try:
            yield
        finally:
            self._is_off = False

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if not self.is_waiting:
            self.is_waiting = True
            self._metrics.is_waiting.set(1)
            self._consumer.pause(self._consumer.assignment())
        self.waiting_for = str(error)
        if isinstance(error, RebalancingError):
            log.info("the group counts its members", commit=str(error))
        else:
            self._troubles.note("waiting", str(error))

    def _end(self) -> None:
        self.is_waiting, self.waiting_for = False, ""
        self._ended()
        self._metrics.is_waiting.set(0)
        self._troubles.clear()
        self._consumer.resume(self._consumer.assignment())
