"""What every client is: its address, files of secrets and limits as fields that are checked, and nothing opened by it."""

from pydantic import BaseModel, ConfigDict


class ServiceClient(BaseModel):
    """Fields say where and how to ask; verbs ask. Two clients with the same fields are equal."""

    model_config = ConfigDict(frozen=True, extra="forbid")
