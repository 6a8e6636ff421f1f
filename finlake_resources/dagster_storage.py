"""Dagster's storages on Postgres, for processes that outlive their database: they wait for it instead of failing a run.

Found in Dagster 1.13.27 and dagster-postgres 0.29.27: a connection is asked for six times within eleven seconds, then the
process that asked ends, and its run with it; and an answer that is lost on the way is an error at once. The webserver does
not wait: its pages say that the database is away.

Does not belong here: what the event log does with events of many partitions (event_log.py).
"""

import logging
import re
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import isfunction
from typing import TYPE_CHECKING, Any, TypeVar

from dagster._core.storage.config import pg_config
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import DagsterPostgresException, pg_url_from_config

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

R = TypeVar("R")

WAITS_S = 900
"""How long a process waits for Postgres: a server that replays its log for longer needs somebody anyway."""

LONGEST_PAUSE_S = 5
TRIES_AFTER_LOST_ANSWERS = 5

# Asking these twice does what asking once does. Events are stored by event_log.py, which looks whether they are there already.
_MAY_BE_ASKED_AGAIN = (
    "get_",
    "has_",
    "check_",
    "claim_",
    "fetch_",
    "free_",
    "can_",
    "all_",
    "update_",
    "handle_run_event",
    "add_daemon_heartbeat",
    "set_cursor_values",
)
# What a server says that answers, and what its client says for want of a password.
_REFUSALS = ("FATAL:", "no password supplied")
# These pass: it starts, stops, or is full for a moment.
_PASSING_REFUSAL = re.compile(r"starting up|shutting down|in recovery|not yet accepting|too many clients|connection slots")

logger = logging.getLogger(__name__)


def is_away(error: BaseException) -> bool:
    """Whether an error of connecting, or its cause, says that Postgres is away and not that it refuses."""
    import psycopg2
    import sqlalchemy.exc

    if isinstance(error, DagsterPostgresException):
        return error.__cause__ is not None and is_away(error.__cause__)
    if not isinstance(error, psycopg2.OperationalError | sqlalchemy.exc.OperationalError):
        return False
    said = str(error)
    if _PASSING_REFUSAL.search(said):
        return True
    return not any(refusal in said for refusal in _REFUSALS)


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the connection broke while a statement ran, which may or may not have come through."""
    import sqlalchemy.exc

    return isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated


def awaited(connect: Callable[[], R]) -> R:
    """What `connect` returns, once Postgres is there; its error when Postgres refuses, or stays away for `WAITS_S`."""
    from tenacity import Retrying, before_sleep_log, retry_if_exception, stop_after_delay, wait_random_exponential

    waiting = Retrying(
        retry=retry_if_exception(is_away),
        stop=stop_after_delay(WAITS_S),
        reraise=True,
        wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE_S),
        before_sleep=before_sleep_log(logger, logging.DEBUG),
    )
    return waiting(connect)


def repeated_when_lost(ask: Callable[[], R]) -> R:
    """What `ask` returns, asked again when its connection broke meanwhile."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt

    return Retrying(retry=retry_if_exception(is_lost), stop=stop_after_attempt(TRIES_AFTER_LOST_ANSWERS), reraise=True)(ask)


def wait_for_connections(engine: "Engine") -> None:
    """Have every connection of an engine wait for its server."""
    from sqlalchemy import event

    def connect(dialect: Any, _record: object, arguments: Any, options: Any) -> Any:
        return awaited(lambda: dialect.connect(*arguments, **options))

    event.listen(engine, "do_connect", connect)


def _asked_again(verb: Callable[..., R]) -> Callable[..., R]:
    @wraps(verb)
    def asked(self: Any, /, *arguments: Any, **options: Any) -> R:
        return repeated_when_lost(lambda: verb(self, *arguments, **options))

    return asked


class AwaitsPostgres:
    """A mixin: a storage of Dagster on Postgres that waits for its server, also while it is made.

    The engine with which the webserver replaces the storage's own does not wait.
    """

    _engine: "Engine"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        awaited(lambda: super(AwaitsPostgres, self).__init__(*arguments, **options))
        wait_for_connections(self._engine)

    def __init_subclass__(cls) -> None:
        """Wrap what may be asked again, whatever Dagster adds to it."""
        for name in dir(cls):
            if name.startswith(_MAY_BE_ASKED_AGAIN) and isfunction(verb := getattr(cls, name)):
                setattr(cls, name, _asked_again(verb))

    @classmethod
    def config_type(cls) -> Any:
        """The configuration of Dagster's own storages on Postgres."""
        return pg_config()

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Any:
        """A storage from dagster.yaml."""
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
        )


class AwaitingRunStorage(AwaitsPostgres, PostgresRunStorage):
    """`PostgresRunStorage` that waits for its server."""


class AwaitingScheduleStorage(AwaitsPostgres, PostgresScheduleStorage):
    """`PostgresScheduleStorage` that waits for its server."""
