"""The sample sources, and the feed that writes their trades into Postgres."""

from deploy.local.service import Launch, own_command
from deploy.local.settings import Settings


def sources_command(launch: Launch) -> list[str]:
    return own_command("sample_sources", "--port", launch.port, "--finnhub-token-file", launch.layout.finnhub_token)


def sources_left_out(settings: Settings) -> str | None:
    return "FINLAKE_SOURCES=live asks the vendors themselves" if settings.uses_live_sources else None


def feed_command(launch: Launch) -> list[str]:
    return own_command("trade_feed", "--metrics-port", launch.port)


def feed_left_out(settings: Settings) -> str | None:
    has_token = "FINLAKE_FINNHUB_TOKEN_FILE" in settings.variables or not settings.uses_live_sources
    return None if has_token else "FINLAKE_FINNHUB_TOKEN_FILE names no file with a token"
