"""The name of a setting's variable, which follows from its place in the models."""

PREFIX = "FINLAKE_"


def variable(*path: object) -> str:
    """The variable of the setting at `path`: FINLAKE_KAFKA_BOOTSTRAP for "kafka", "bootstrap"."""
    return PREFIX + "_".join(map(str, path)).upper()
