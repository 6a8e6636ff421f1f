"""The one place that opens a Spark session: a Spark Connect client, made when first needed, released at exit."""

import atexit
import logging
from threading import Lock
from typing import TYPE_CHECKING, cast

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark.sql.connect.client import SparkConnectClient

logger = logging.getLogger(__name__)

_sessions: dict[str, SparkSession] = {}
_lock = Lock()


def connect(remote: str) -> SparkSession:
    """A session on the Spark Connect server at `remote` (`sc://host:port`), one per server within the process."""
    # pyspark's getOrCreate gives the first session of the process, whatever server is asked for.
    with _lock:
        if remote not in _sessions or _client(_sessions[remote]).is_closed:
            _sessions[remote] = session = SparkSession.builder.remote(remote).create()
            # At exit it would ask a server that is gone for ten minutes to clean a cache that finlake does not use.
            atexit.unregister(_client(session)._cleanup_ml_cache)
            atexit.register(_release, session)
        return _sessions[remote]


def _release(session: SparkSession) -> None:
    """Have the server forget the session and let go of what it holds for it, connections to the catalog among them."""
    client = _client(session)
    if client.is_closed:
        return
    # One try: at the end of a process there is nobody left to wait for a server that is gone, or to read of it. pyspark
    # switches its log off, and every library that configures logging switches it on again.
    client.set_retry_policies([])
    logging.getLogger("pyspark.sql.connect.logging").disabled = True
    try:
        client.release_session()
    except PySparkException as error:
        logger.debug("the session is left to the server's own time limit: %s", error)
    client.close()


def _client(session: SparkSession) -> "SparkConnectClient":
    # The decorator of pyspark's property hides its type.
    return cast("SparkConnectClient", session.client)  # type: ignore[operator]
