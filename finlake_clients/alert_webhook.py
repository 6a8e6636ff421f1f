"""Where alerts go: one JSON message per POST to a webhook whose URL is a secret and stays in its file.

Does not belong here: when there is something to tell (finlake_sensors/alert_plans.py).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from finlake_clients.secret_files import SecretUnreadableError, secret_of
from finlake_clients.service_client import ServiceClient

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 4
TIMEOUT_S = 5.0
FIRST_WAIT_S = 0.5


class AlertNotSentError(Exception):
    """The webhook took no message; the reason never holds its URL."""


class AlertWebhook(ServiceClient):
    """A webhook that takes JSON with a `text` (as Slack, Mattermost and Teams do), or none at all."""

    url_file: str | None = None

    @property
    def is_configured(self) -> bool:
        """Whether there is somewhere to send to."""
        return self.url_file is not None

    def send(self, message: Mapping[str, object]) -> None:
        """POST one message; tried again when the webhook does not answer, is busy or fails.

        An answer may be lost after the message was taken. Each attempt has the message's `id` in the header Idempotency-Key, so
        that a receiver that looks can tell a repetition.

        Raises `AlertNotSentError` when it was not taken.
        """
        import httpx
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        url = self._url()
        retrying = Retrying(
            retry=retry_if_exception_type(_TryAgainError),
            stop=stop_after_attempt(ATTEMPTS),
            reraise=True,
            wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=4.0),
        )
        with httpx.Client(timeout=TIMEOUT_S) as client, _unmentioned(url):
            try:
                retrying(_post, client, url, message)
            except _TryAgainError as error:
                raise AlertNotSentError(f"the webhook took no message in {ATTEMPTS} attempts: {error}") from error

    def _url(self) -> str:
        if self.url_file is None:
            raise AlertNotSentError("there is no webhook; name the file that holds its URL in FINLAKE_ALERT_WEBHOOK_URL_FILE")
        try:
            return secret_of("the webhook", Path(self.url_file))
        except SecretUnreadableError as error:
            raise AlertNotSentError(f"the webhook's URL cannot be read from {self.url_file}: {error.reason}") from error


class _TryAgainError(Exception):
    """An attempt that may succeed later."""


def _post(client: "httpx.Client", url: str, message: Mapping[str, object]) -> None:
    """One attempt. httpx's own errors may hold the URL, so that none of them is raised on or chained."""
    import httpx

    try:
        key = {"Idempotency-Key": str(message["id"])} if "id" in message else {}
        # Its body says nothing that is needed, and is not read: it could be of any size.
        with client.stream("POST", url, json=dict(message), headers=key) as answer:
            status, is_taken = answer.status_code, answer.is_success
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise AlertNotSentError(f"the webhook's URL is none ({type(error).__name__}); write it into its file anew") from None
    except httpx.TransportError as error:
        raise _TryAgainError(type(error).__name__) from None
    if status == 429 or status >= 500:
        raise _TryAgainError(f"HTTP {status}")
    if not is_taken:
        raise AlertNotSentError(f"the webhook answers HTTP {status}; look whether its URL still is right")


@contextmanager
def _unmentioned(secret: str) -> Iterator[None]:
    """While it lasts, httpx logs no line with the URL it posts to."""
    log = logging.getLogger("httpx")

    def is_harmless(record: logging.LogRecord) -> bool:
        return secret not in record.getMessage()

    log.addFilter(is_harmless)
    try:
        yield
    finally:
        log.removeFilter(is_harmless)
