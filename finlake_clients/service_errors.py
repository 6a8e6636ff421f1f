"""A service of the stream that cannot be asked: one type for all of them, so that callers can tell it from a bad answer.

Does not belong here: what vendors answer (source_errors.py).
"""

from typing import ClassVar


class ServiceUnavailableError(Exception):
    """A service does not answer, or refuses us: which one, where, why. The message says how to start it.

    `passes` says whether it may be over by itself, so that asking again can help.
    """

    passes: ClassVar[bool] = True

    def __init__(self, service: str, where: str, reason: object) -> None:
        super().__init__(service, where, str(reason))
        self.service = service
        self.where = where
        self.reason = str(reason).strip().splitlines()[0] if str(reason).strip() else "no reason given"

    def __str__(self) -> str:
        return (
            f"{self.service} at {self.where} cannot be asked ({self.reason}); see `finlake status`, "
            f"and start it with `finlake up --service {self.service}`"
        )
