"""Finnhub's token: read from its file when it is needed, written into no log.

The websocket takes it in its URL only, so the URL is as secret as the token.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

from structlog.typing import EventDict, WrappedLogger

from finlake_clients.secret_files import SecretUnreadableError, secret_of
from finlake_clients.source_errors import ApiKeyNeededError
from finlake_services.runtime import log_as_json


@dataclass(frozen=True)
class TokenFile:
    """Where the token is; a new token in the file is used from the next connection on."""

    path: Path
    _read_forms: set[str] = field(default_factory=set, repr=False, compare=False)

    def read(self) -> str:
        """The token. Raises ApiKeyNeededError when the file is missing, unreadable or empty."""
        try:
            token = secret_of("Finnhub", self.path)
        except SecretUnreadableError as error:
            reason = f"the token file {self.path} cannot be read ({error.reason})"
            raise ApiKeyNeededError("Finnhub", reason, self._next_step) from None
        self._read_forms.update((token, quote(token, safe=""), quote_plus(token)))
        return token

    def refused(self) -> ApiKeyNeededError:
        """The error to raise when the vendor turned the token down."""
        return ApiKeyNeededError("Finnhub", f"the token in {self.path} is refused (Invalid API key)", self._next_step)

    @property
    def _next_step(self) -> str:
        return f"Write a token of https://finnhub.io/dashboard into {self.path}; the feed looks again by itself"

    def redact(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """A structlog processor: whatever slips into an event by way of another library's message, the token does not."""
        for key, value in event.items():
            if isinstance(value, str):
                for form in self._read_forms:
                    value = value.replace(form, "[token]")
                event[key] = value
        return event


def log_without(token: TokenFile) -> None:
    """Log as JSON lines in which the token is not."""
    log_as_json(token.redact)
    # Told by the feed itself, once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
