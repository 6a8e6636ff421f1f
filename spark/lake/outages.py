"""Which errors say that a server beneath the lake was away, and not that rows or code are wrong.

Belongs here: telling them apart, by types and codes. Does not belong here: what is done about them (a session is replaced in
session.py, steps are tried again by Dagster).
"""

import re
from collections.abc import Iterator

import grpc  # type: ignore[import-untyped]
from psycopg2 import InterfaceError, OperationalError
from pyspark.errors import PySparkAssertionError, PySparkException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException

SPARK, POSTGRES = "spark_connect", "postgres"

# A server that was killed, or that has been started again, knows nothing of a session or of what ran in it.
_SESSION_GONE = ("INVALID_HANDLE.", "NO_ACTIVE_SESSION", "RESPONSE_ALREADY_RECEIVED")
_CALL_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
# How Spark's catalog, which is Java's, tells that Postgres was away: PSQLException, or Iceberg's own about connections.
_CATALOG_AWAY = re.compile(
    r"Connection to \S+ refused|SQL(Non)?TransientConnectionException|This connection has been closed"
    r"|I/O error occurred while sending|terminating connection due to"
    r"|the database system is (starting up|shutting down|in recovery|not yet accepting)|The connection attempt failed"
)
# SQLSTATE: class 08 is about connections, 57P about a server that stops or starts.
_AWAY_STATES = ("08", "57P")


def missing_server(error: BaseException) -> str | None:
    """The server whose absence an error, or what caused it, tells of: `spark_connect` or `postgres`; None for any other error."""
    return next(filter(None, map(_server_of, _causes(error))), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _server_of(error: BaseException) -> str | None:
    if isinstance(error, grpc.RpcError):
        return SPARK if getattr(error, "code", lambda: None)() in _CALL_LOST else None
    if isinstance(error, PySparkException):
        return _of_spark(error)
    if isinstance(error, OperationalError | InterfaceError):
        # Without a state: the connection broke, or was never made.
        return POSTGRES if error.pgcode is None or error.pgcode.startswith(_AWAY_STATES) else None
    return None


def _of_spark(error: PySparkException) -> str | None:
    if (error.getCondition() or "").startswith(_SESSION_GONE):
        return SPARK
    if isinstance(error, PySparkAssertionError):
        # How a client says that another server answers under the same address.
        return SPARK if "server side session identifier" in str(error) else None
    if isinstance(error, SparkConnectGrpcException):
        if error.getGrpcStatusCode() in _CALL_LOST or any(name in str(error) for name in _SESSION_GONE[:1]):
            return SPARK
        if _CATALOG_AWAY.search(f"{error}\n{error.getStackTrace() or ''}"):
            return POSTGRES
    return None
