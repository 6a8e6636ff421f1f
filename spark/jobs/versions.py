"""What besides tables a job was given, in the form in which a snapshot records its inputs."""

from collections.abc import Mapping

from spark.contracts.universe import Universe


def universe_version(universe: Universe) -> Mapping[str, int]:
    """The universe file beside the input snapshots: a number that changes when the file does."""
    return {"universe": int(universe.sha256[:15], 16)}


def listings_version(universe: Universe) -> Mapping[str, int]:
    """The same of what the file says of listings."""
    return {"listings": int(universe.listings_sha256[:15], 16)}
