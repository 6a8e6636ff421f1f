"""An outage is told from a bad row: by what Spark's client, Java's and psycopg2 raise when a server is away or has just been."""

import grpc  # type: ignore[import-untyped]
import psycopg2
import pytest
import sqlalchemy
from pyspark.errors import AnalysisException, PySparkAssertionError, PySparkException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException

from finlake_clients.lake_client import LakeClient
from finlake_clients.service_errors import ServiceUnavailableError
from spark.contracts.report import AuditFailedError, PublishConflictError, TableReport
from spark.contracts.silver import PRICES_DAILY
from spark.lake.outages import POSTGRES, SPARK, missing_server
from spark.lake.session import connect, forget
from spark.lake.storage import Lake

ANOTHER_SERVER = (
    "Received incorrect server side session identifier for request. Please create a new Spark Session to reconnect. (5f != 6a)"
)


def of_grpc(message: str, **more: object) -> SparkConnectGrpcException:
    return SparkConnectGrpcException(message=message, **more)  # type: ignore[arg-type]


def no_connection() -> Exception:
    """A real error of the driver, as SQLAlchemy hands it on."""
    try:
        sqlalchemy.create_engine("postgresql+psycopg2://lake@127.0.0.1:1/lake").connect()
    except sqlalchemy.exc.OperationalError as error:
        return error
    raise AssertionError("nothing listens on port 1")


AWAY = [
    (of_grpc("Socket closed", grpc_status_code=grpc.StatusCode.UNAVAILABLE), SPARK),
    (of_grpc("[INVALID_HANDLE.SESSION_NOT_FOUND] The handle 1-2 is invalid."), SPARK),
    (of_grpc("x", errorClass="INVALID_HANDLE.SESSION_CHANGED", messageParameters={"handle": "1"}), SPARK),
    (PySparkAssertionError(ANOTHER_SERVER), SPARK),
    (PySparkException(errorClass="NO_ACTIVE_SESSION", messageParameters={}), SPARK),
    (of_grpc("org.postgresql.util.PSQLException: Connection to 127.0.0.1:15432 refused. Check that the hostname"), POSTGRES),
    (of_grpc("Failed to connect", server_stacktrace="java.sql.SQLTransientConnectionException: x"), POSTGRES),
    (of_grpc("FATAL: terminating connection due to administrator command"), POSTGRES),
    (of_grpc("FATAL: terminating connection due to unexpected postmaster exit"), POSTGRES),
    (of_grpc("FATAL: the database system is not yet accepting connections"), POSTGRES),
    (of_grpc("org.postgresql.util.PSQLException: The connection attempt failed."), POSTGRES),
    (no_connection(), POSTGRES),
]
NOT_AWAY = [
    of_grpc("Division by zero", grpc_status_code=grpc.StatusCode.INTERNAL),
    AnalysisException("[TABLE_OR_VIEW_NOT_FOUND] lake.gold.nothing"),
    PySparkAssertionError("rows differ"),
    psycopg2.errors.UniqueViolation("duplicate key"),
    PublishConflictError("another writer"),
    AuditFailedError(TableReport(address=PRICES_DAILY.address, row_count=1), "audit_1"),
    ValueError("a bad row"),
    MemoryError(),
]


@pytest.mark.parametrize(("error", "server"), AWAY, ids=lambda value: str(value)[:40])
def test_a_server_that_is_away_is_named(error: Exception, server: str) -> None:
    assert missing_server(error) == server


def test_the_cause_of_an_error_counts_and_what_was_handled_before_it_is_left() -> None:
    outer = RuntimeError("the commit failed")
    outer.__cause__ = AWAY[0][0]
    assert missing_server(outer) == SPARK
    judged = ValueError("a bad row")
    judged.__context__, judged.__suppress_context__ = AWAY[0][0], True
    assert missing_server(judged) is None


@pytest.mark.parametrize("error", NOT_AWAY, ids=lambda value: type(value).__name__)
def test_what_trying_again_would_not_mend_is_no_outage(error: Exception) -> None:
    assert missing_server(error) is None


def jobs_that_raise(error: Exception) -> LakeClient:
    class Raising(LakeClient):
        def lake(self, *, for_one_job: bool = False) -> Lake:
            raise error

    return Raising(
        catalog_uri="postgresql+psycopg2://lake@127.0.0.1:1/lake",
        catalog_password_file="-",
        warehouse="file:///-",
        engine="spark",
        spark_remote="sc://127.0.0.1:1",
    )


@pytest.mark.parametrize("verb", ["check", "newest", "published", "archive_positions", "count_by_date", "known_spans"])
def test_every_verb_tells_an_outage_as_one_and_says_what_to_start(verb: str) -> None:
    arguments = {"count_by_date": ("silver.prices_daily", "session_date")}.get(verb, ("silver.prices_daily",))
    with pytest.raises(ServiceUnavailableError, match="finlake up --service spark_connect") as told:
        getattr(jobs_that_raise(AWAY[0][0]), verb)(*arguments)
    assert told.value.where == "sc://127.0.0.1:1"
    with pytest.raises(ValueError, match="a bad row"):
        getattr(jobs_that_raise(ValueError("a bad row")), verb)(*arguments)


def test_a_session_that_its_server_has_lost_is_made_anew_and_the_old_one_is_of_no_use() -> None:
    remote = "sc://127.0.0.1:1"
    lost = connect(remote, None)
    assert connect(remote, None) is lost
    assert max(policy.max_backoff for policy in lost.client.get_retry_policies()) <= 5_000  # type: ignore[operator]
    forget(remote)
    try:
        assert connect(remote, None) is not lost
        with pytest.raises(PySparkException) as told:
            lost.range(1).collect()
        assert missing_server(told.value) == SPARK
    finally:
        forget(remote)
