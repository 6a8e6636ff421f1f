"""First queries of a fresh Spark Connect server, run as `python -m deploy.local.warm_up sc://HOST:PORT TOKEN_FILE`.

The first query of a server takes seconds; here they pass before the server is called ready. Listing the namespaces
also makes the catalog's tables, before any client could race to make them. A process of its own, because pyspark
keeps one session for each process.
"""

import sys
from pathlib import Path


def warm_up(remote: str, token_file: Path) -> None:
    """Count some rows and list the namespaces of the catalog `lake`."""
    from finlake_clients.secret_files import secret_of
    from spark.lake.session import new_session

    spark = new_session(remote, secret_of("spark_connect", token_file))
    spark.range(1000).groupBy().count().collect()
    spark.sql("SHOW NAMESPACES IN lake").collect()
    spark.stop()


if __name__ == "__main__":
    warm_up(sys.argv[1], Path(sys.argv[2]))
