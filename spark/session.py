"""The one place that opens a Spark session: a Spark Connect client, made when first needed, released at exit."""

import atexit
from threading import Lock
from typing import TYPE_CHECKING, cast

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark.sql.connect.client import SparkConnectClient

_sessions: dict[str, SparkSession] = {}
_lock = Lock()


def connect(remote: str) -> SparkSession:
    """A session on the Spark Connect server at `remote` (`sc://host:port`), one per server within the process."""
    # pyspark's getOrCreate gives the first session of the process, whatever server is asked for.
    with _lock:
        if remote not in _sessions:
            _sessions[remote] = session = SparkSession.builder.remote(remote).create()
            # At exit it would ask a server that is gone for ten minutes to clean a cache that finlake does not use.
            atexit.unregister(_client(session)._cleanup_ml_cache)
            atexit.register(_release, session)
        return _sessions[remote]


def _release(session: SparkSession) -> None:
    """Have the server forget the session and let go of what it holds for it, connections to the catalog among them."""
    # One try: at the end of a process there is nobody left to wait for a server that is gone.
    _client(session).set_retry_policies([])
    session.stop()


def _client(session: SparkSession) -> "SparkConnectClient":
    # The decorator of pyspark's property hides its type.
    return cast("SparkConnectClient", session.client)  # type: ignore[operator]
