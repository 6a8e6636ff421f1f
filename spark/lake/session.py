"""The one place that opens a Spark session: a Spark Connect client, made when first needed, released at exit."""

import atexit
import logging
import os
from threading import Lock
from typing import TYPE_CHECKING, cast

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark.sql.connect.client import SparkConnectClient

LOOKS_FOR_A_SERVER, LONGEST_PAUSE_MS = 60, 4_000
"""Four minutes: as long as the stack's supervisor lets a Spark server take to start."""

logger = logging.getLogger(__name__)

_sessions: dict[str, SparkSession] = {}
_lock = Lock()


def connect(remote: str, token: str | None) -> SparkSession:
    """A session on the Spark Connect server at `remote` (`sc://host:port`), one per server within the process.

    `token` is what the server asks for; None when it asks for nothing.
    """
    # pyspark's getOrCreate gives the first session of the process, whatever server is asked for.
    with _lock:
        if remote not in _sessions or _client(_sessions[remote]).is_closed:
            _sessions[remote] = session = new_session(remote, token)
            # At exit it would ask a server that is gone for ten minutes to clean a cache that finlake does not use.
            atexit.unregister(_client(session)._cleanup_ml_cache)
            atexit.register(_release, session)
        return _sessions[remote]


def forget(remote: str) -> None:
    """Let the next `connect` make a new session: the server has lost the one there is, by its death or by a restart."""
    with _lock:
        session = _sessions.pop(remote, None)
    if session is not None:
        client = _client(session)
        # Not `close`, which waits for calls to a server that may be gone for ten minutes.
        client._channel.close()
        client._closed = True


def new_session(remote: str, token: str | None) -> SparkSession:
    """A session of the caller's own; see `connect`."""
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    channel = DefaultChannelBuilder(remote)
    if token is not None:
        # As metadata of each call, because pyspark sends a token over TLS or to the name localhost only, which may be ::1,
        # where anybody's process may listen. In the address it would show up wherever the address does.
        channel.set("authorization", f"Bearer {token}")
    session = ConnectSession.builder.channelBuilder(channel).create()
    # pyspark would look for a server that is gone after one minute and then after another; this sees it within seconds of its
    # return, and gives up as a restart would have ended long ago.
    session.client.set_retry_policies([DefaultPolicy(max_retries=LOOKS_FOR_A_SERVER, max_backoff=LONGEST_PAUSE_MS)])
    # What `builder.remote` does: functions of columns ask by this which kind of session there is.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    return cast(SparkSession, session)


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
