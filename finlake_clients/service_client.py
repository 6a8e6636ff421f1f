"""What every client is: its address, files of secrets and limits as fields that are checked, and nothing opened by it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class ServiceClient(BaseModel):
    """Fields say where and how to ask; verbs ask. Two clients with the same fields are equal."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def path_text(file: Path | None) -> str | None:
    """A path as the field of a client holds it: Dagster's configuration, which a resource's fields are, knows no paths."""
    return None if file is None else str(file)
