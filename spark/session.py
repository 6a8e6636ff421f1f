"""The one place that opens a Spark session: a Spark Connect client, made when first needed."""

from threading import Lock

from pyspark.sql import SparkSession

_sessions: dict[str, SparkSession] = {}
_lock = Lock()


def connect(remote: str) -> SparkSession:
    """A session on the Spark Connect server at `remote` (`sc://host:port`), one per server within the process."""
    # pyspark's getOrCreate gives the first session of the process, whatever server is asked for.
    with _lock:
        if remote not in _sessions:
            _sessions[remote] = SparkSession.builder.remote(remote).create()
        return _sessions[remote]
