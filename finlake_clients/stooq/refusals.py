"""What Stooq says instead of prices, over HTTP or saved as a file, each as its typed error."""

from finlake_clients.source_errors import (
    AccessDeniedError,
    ApiKeyNeededError,
    ChallengePageError,
    LimitReachedError,
    NoDataError,
    SourceError,
)

_SEARCHED_BYTES = 65_536
_STEPS_FOR_DROPPED: dict[type[SourceError], str] = {
    LimitReachedError: "Download it again tomorrow",
    NoDataError: "Download it again with the right code, or move it away",
    ApiKeyNeededError: "Download it again in a browser, with the key that Stooq gives there",
}
"""What to do with a refusal that was saved as a file; dropping files is what was done."""


def refusal_of(body: bytes, name: str) -> SourceError | None:
    """What Stooq says with a body that is no file, as a typed error; None for what it never says."""
    text = body[:_SEARCHED_BYTES].decode("utf-8", errors="replace").lstrip("\ufeff").strip().lower()
    if text.startswith(("no data", "brak danych")):
        return NoDataError(name, "Stooq has no data for this code and range", "Check the code in the universe file")
    if text.startswith(("exceeded the daily hits limit", "przekroczony dzienny limit")):
        return LimitReachedError(name, "the daily limit of downloads is used up", "Run again tomorrow, or drop files instead")
    if text.startswith("get your apikey") or "apikey=xxxx" in text:
        return ApiKeyNeededError(
            name,
            "Stooq wants an API key",
            "Get one in a browser at https://stooq.com/q/d/?s=aapl.us&get_apikey and put it into the API key file",
        )
    if text.startswith("access denied"):
        return AccessDeniedError(name, "Stooq denies access to this client", "Download in a browser and drop the files")
    if text.startswith("<") and ("requires javascript to verify" in text or "__verify" in text):
        return ChallengePageError(
            name,
            "Stooq answers with a page that checks for a browser",
            "Download in a browser and drop the files",
        )
    return None


def dropped_refusal_of(body: bytes, name: str) -> SourceError | None:
    """The same of a body that was saved and dropped, with what helps then."""
    refusal = refusal_of(body, name)
    if refusal is None:
        return None
    return type(refusal)(name, refusal.reason, _STEPS_FOR_DROPPED.get(type(refusal), "Download it again in a browser"))
