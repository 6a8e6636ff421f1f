"""The one place that opens a Spark session: a Spark Connect client, made when first needed."""

from pyspark.sql import SparkSession


def connect(remote: str) -> SparkSession:
    """A session on the Spark Connect server at `remote` (`sc://host:port`), shared within the process."""
    return SparkSession.builder.remote(remote).getOrCreate()
