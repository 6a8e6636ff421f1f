"""One ticker's prices over HTTP with the user's own key, which reaches no log, message or stored name."""

import logging
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from finlake_clients import bounded_http
from finlake_clients.secret_files import SecretUnreadableError, secret_of
from finlake_clients.source_errors import (
    AccessDeniedError,
    ApiKeyNeededError,
    CorruptFileError,
    LimitReachedError,
    NotDataError,
    SourceUnavailableError,
)
from finlake_clients.stooq.content import LINE_ENDS, classify
from finlake_clients.stooq.prices_file import StooqFile, prices_file
from spark.contracts.stooq_files import MAX_FILE_BYTES

if TYPE_CHECKING:
    import httpx


def keyless_url(base_url: str, vendor_code: str, start: date | None, end: date | None) -> str:
    """The download URL without the key: the form that may be logged and stored."""
    query = {"s": vendor_code, "i": "d"}
    if start is not None:
        query["d1"] = start.strftime("%Y%m%d")
    if end is not None:
        query["d2"] = end.strftime("%Y%m%d")
    return f"{base_url.rstrip('/')}/q/d/l/?{urlencode(query, safe='^')}"


@dataclass(frozen=True, kw_only=True)
class Downloader:
    """Asks the vendor, again where asking again can help; `backoff_seconds` is the first pause between tries."""

    base_url: str
    apikey_file: str | None
    connect_timeout_seconds: float
    read_timeout_seconds: float
    attempts: int
    backoff_seconds: float

    def download(self, ticker: str, vendor_code: str, start: date | None, end: date | None) -> StooqFile:
        """One ticker's CSV from `start` to `end`, both inclusive; None leaves that side open.

        Raises SourceRefusedError when Stooq refuses the run (limit, key, browser check, denied), NoDataError, NotDataError or
        CorruptFileError for this ticker, SourceUnavailableError when the server fails or is not reached after all tries.
        """
        url = keyless_url(self.base_url, vendor_code, start, end)
        key = self._apikey()
        content, fetched_ts = self._get(url, key)
        # A refusal may quote the request; the key must not reach the message by that way.
        classify(content.replace(key.encode(), b"***") if key else content, url)
        if not content.endswith(LINE_ENDS):
            raise CorruptFileError(url, "the last line has no end, so the answer was cut off", "Run again")
        return prices_file(ticker, content, "http", url, (fetched_ts, "response"))

    def _apikey(self) -> str:
        if self.apikey_file is None:
            return ""
        try:
            return secret_of("Stooq", Path(self.apikey_file))
        except SecretUnreadableError as error:
            raise ApiKeyNeededError(
                self.apikey_file,
                f"the API key file cannot be read ({error.reason})",
                "Put the key into it, or unset FINLAKE_STOOQ_APIKEY_FILE",
            ) from error

    def _get(self, url: str, key: str) -> tuple[bytes, datetime]:
        """The body and the UTC time of its arrival; tries again only for what can succeed the next time."""
        import httpx
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

        logging.getLogger("httpx").addFilter(_REDACTION)
        retrying = Retrying(
            retry=retry_if_exception_type(SourceUnavailableError),
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential_jitter(multiplier=self.backoff_seconds, max=60, jitter=self.backoff_seconds),
            reraise=True,
        )
        timeout = httpx.Timeout(self.read_timeout_seconds, connect=self.connect_timeout_seconds)
        # Redirects are not followed: the next host would see the key.
        with httpx.Client(timeout=timeout, follow_redirects=False, headers=bounded_http.UNPACKED) as client:
            return retrying(_get_once, client, url, key)


class _ApiKeyRedaction(logging.Filter):
    """Takes the key out of request lines, which httpx logs with the whole URL."""

    _KEY = re.compile(r"(apikey=)[^&\s\"']*", re.IGNORECASE)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "apikey=" in message.lower():
            record.msg, record.args = self._KEY.sub(r"\1***", message), ()
        return True


_REDACTION = _ApiKeyRedaction()


def _get_once(client: "httpx.Client", url: str, key: str) -> tuple[bytes, datetime]:
    import httpx

    try:
        with client.stream("GET", f"{url}&{urlencode({'apikey': key})}" if key else url) as response:
            _require_success(response, url)
            return bounded_http.body(response, url, max_bytes=MAX_FILE_BYTES), datetime.now(UTC)
    except httpx.RequestError as error:
        # The request within the error holds the key: only its type goes on.
        raise SourceUnavailableError(
            url,
            f"the server is not reached ({type(error).__name__})",
            "Check the network and the base URL; run again",
        ) from None


def _require_success(response: "httpx.Response", url: str) -> None:
    status = response.status_code
    if status >= 500:
        raise SourceUnavailableError(url, f"the server failed with HTTP {status}", "Run again later")
    if status == 429:
        raise LimitReachedError(url, "the server answers HTTP 429, too many requests", "Run again tomorrow, or drop files")
    if status in (401, 403):
        raise AccessDeniedError(url, f"the server answers HTTP {status}", "Download in a browser and drop the files")
    if status != 200:
        raise NotDataError(url, f"the server answers HTTP {status}", "Check the base URL")
