"""Passwords, tokens and keys: read from their files here and nowhere else, when a client is made.

Does not belong here: which file holds which secret (finlake_settings). Where the absence of a vendor's key is a refusal of the
vendor's, or of a user's an error of the users' file, who reads it says so in those words.
"""

from pathlib import Path
from typing import ClassVar

from finlake_clients.service_errors import ServiceUnavailableError


class SecretUnreadableError(ServiceUnavailableError):
    """The file of a service's secret cannot be read: which service, which file, why. Asking again does not help."""

    passes: ClassVar[bool] = False

    def __str__(self) -> str:
        return (
            f"the secret of {self.service} cannot be read from {self.where} ({self.reason}); have this account read it, or "
            "run `finlake down`, then `finlake up`, which makes what is missing of a local stack"
        )


def secret_of(service: str, file: Path) -> str:
    """What a service's client shows to be let in. Raises `SecretUnreadableError`, also for an empty file."""
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnreadableError(service, str(file), getattr(error, "strerror", None) or "it is no text") from error
    if not secret:
        raise SecretUnreadableError(service, str(file), "it is empty")
    return secret
