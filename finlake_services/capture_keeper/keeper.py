"""When a failed connector is started again: at once, then after waits that double up to a minute, for ever."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from finlake_clients.connect.rest import (
    ConnectError,
    ConnectorFailure,
    ConnectorStatus,
    ConnectorUnknownError,
    ConnectUnavailableError,
)
from finlake_services.capture_keeper.metrics import KeeperMetrics

LOOK_S = 5.0
"""Seconds between two looks at a healthy connector."""

LONGEST_WAIT_S = 60.0
STEADY_S = 120.0
"""A connector that has run for so long has got over its failure: the next one is its first."""

TASKLESS_S = 30.0
"""A connector that runs without a task for so long is started again as if it had failed."""

_log = structlog.get_logger()


class Connectors(Protocol):
    """Kafka Connect as the keeper needs it."""

    def status(self, name: str) -> ConnectorStatus: ...
    def explain(self, status: ConnectorStatus) -> ConnectorFailure | None: ...
    def restart_failed(self, name: str) -> None: ...
    def restart(self, name: str) -> None: ...


def wait_s(restarts: int) -> float:
    """Seconds to wait before the next start after `restarts` that did not last: 0, 1, 2, 4 … 60."""
    return 0.0 if restarts == 0 else min(LONGEST_WAIT_S, 2.0 ** min(restarts - 1, 10))


@dataclass
class Keeper:
    """Looks after one connector. Times are monotonic seconds.

    One that somebody has paused or stopped is left alone, as is one that nobody has registered yet.
    """

    name: str
    connect: Connectors
    metrics: KeeperMetrics
    now_s: Callable[[], float]
    restarts: int = 0
    _unhealthy_since_s: float | None = None
    _healthy_since_s: float | None = None
    _taskless_since_s: float | None = None
    _restarted_at_s: float = field(default=float("-inf"))
    _is_away: bool = False

    def look(self) -> None:
        """Look once, and start again what has failed when its wait is over. Never raises for what the worker answers."""
        try:
            self._look()
            self._is_away = False
        except ConnectorUnknownError:
            self.metrics.is_running.set(0)
        except ConnectUnavailableError as error:
            # The worker itself is its supervisor's; logged once.
            self.metrics.is_running.set(0)
            if not self._is_away:
                _log.warning("kafka connect does not answer", reason=str(error))
            self._is_away = True
        except ConnectError as error:
            _log.error("kafka connect refuses", connector=self.name, reason=str(error))

    def _look(self) -> None:
        status = self.connect.status(self.name)
        failure = self.connect.explain(status)
        self.metrics.is_running.set(status.is_running)
        self.metrics.failed_tasks.set(sum(task.state == "FAILED" for task in status.tasks))
        now_s = self.now_s()
        if failure is not None:
            self._healthy_since_s = None
            self._restart(failure.reason, failure.record, now_s, self.connect.restart_failed)
        elif status.state == "RUNNING" and not status.tasks:
            self._healthy_since_s = None
            self._taskless_since_s = self._taskless_since_s or now_s
            if now_s - self._taskless_since_s >= TASKLESS_S:
                self._restart("it runs without a task", "", now_s, self.connect.restart)
        elif status.is_running:
            self._note_healthy(now_s)

    def _restart(self, reason: str, record: str, now_s: float, restart: Callable[[str], None]) -> None:
        if self._unhealthy_since_s is None:
            self._unhealthy_since_s = now_s
        if now_s - self._restarted_at_s < wait_s(self.restarts):
            return
        self.restarts += 1
        _log.error(
            "change capture failed and is started again",
            connector=self.name,
            reason=reason,
            record=record,
            restarts=self.restarts,
            next_wait_s=wait_s(self.restarts),
        )
        restart(self.name)
        self.metrics.restarts.inc()
        self._restarted_at_s, self._taskless_since_s = self.now_s(), None

    def _note_healthy(self, now_s: float) -> None:
        self._taskless_since_s = None
        if self._healthy_since_s is None:
            self._healthy_since_s = now_s
        if self._unhealthy_since_s is not None:
            _log.info("change capture runs again", connector=self.name, away_s=round(now_s - self._unhealthy_since_s, 1))
            self._unhealthy_since_s = None
        if now_s - self._healthy_since_s >= STEADY_S:
            self.restarts = 0
