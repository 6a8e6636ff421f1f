"""What Dagster's storages wait for, and what they do not: told by the words of a Postgres that does not let them in."""

import psycopg2
import pytest
import sqlalchemy.exc
from dagster_postgres.utils import DagsterPostgresException

from finlake_resources import dagster_storage
from finlake_resources.dagster_storage import awaited, is_away, is_lost, repeated_when_lost

NOBODY = 'connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs the server running on that host?'
FATAL = 'connection to server at "127.0.0.1", port 1 failed: FATAL:  '
AWAY = [
    NOBODY,
    "server closed the connection unexpectedly",
    f"{FATAL}the database system is starting up",
    f"{FATAL}the database system is shutting down",
    f"{FATAL}the database system is in recovery mode",
    f"{FATAL}the database system is not yet accepting connections",
    f"{FATAL}sorry, too many clients already",
    f"{FATAL}remaining connection slots are reserved for roles with the SUPERUSER attribute",
]
REFUSED = [
    f'{FATAL}password authentication failed for user "dagster"',
    f'{FATAL}database "dagster" does not exist',
    f'{FATAL}role "dagster" is not permitted to log in',
    "connection failed: fe_sendauth: no password supplied",
]


def wrapped(error: Exception) -> Exception:
    """As SQLAlchemy and then Dagster hand an error of the driver on."""
    outer = DagsterPostgresException("too many retries for DB connection")
    outer.__cause__ = sqlalchemy.exc.OperationalError("", {}, error)
    return outer


@pytest.mark.parametrize(("said", "expected"), [*((said, True) for said in AWAY), *((said, False) for said in REFUSED)])
def test_a_refusal_is_told_from_an_absence(said: str, *, expected: bool) -> None:
    error = psycopg2.OperationalError(said)
    assert [is_away(error), is_away(wrapped(error))] == [expected, expected]


def test_other_errors_are_no_absence() -> None:
    assert not is_away(ValueError(NOBODY))
    assert not is_away(DagsterPostgresException(NOBODY))
    assert not is_away(sqlalchemy.exc.ProgrammingError("", {}, Exception(NOBODY)))


def test_who_waits_gets_the_answer_when_it_is_there_and_the_error_when_the_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def connect() -> str:
        asked.append(1)
        if len(asked) < 3:
            raise psycopg2.OperationalError(NOBODY)
        return "connected"

    assert awaited(connect) == "connected"
    monkeypatch.setattr(dagster_storage, "WAITS_S", 0)
    asked.clear()
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        awaited(connect)


def test_only_a_lost_connection_is_a_reason_to_ask_again_and_not_for_ever() -> None:
    lost = sqlalchemy.exc.OperationalError("", {}, Exception("server closed the connection"), connection_invalidated=True)
    wrong = sqlalchemy.exc.ProgrammingError("", {}, Exception("syntax error"))
    asked: list[Exception] = []

    def ask(error: Exception) -> None:
        asked.append(error)
        raise error

    for error in (lost, wrong):
        with pytest.raises(type(error)):
            repeated_when_lost(lambda error=error: ask(error))  # type: ignore[misc]
    assert [asked.count(lost), asked.count(wrong)] == [dagster_storage.TRIES_AFTER_LOST_ANSWERS, 1]
    assert not is_lost(ValueError())
