"""The sample sources, and the feed that writes their trades into Postgres."""

from deploy.local.service import Launch, StackContext, own_command


def sources_command(launch: Launch) -> list[str]:
    return own_command("sample_sources", "--port", launch.port, "--finnhub-token-file", launch.layout.finnhub_token)


def sources_left_out(context: StackContext) -> str | None:
    return "FINLAKE_SOURCES=live asks the vendors themselves" if context.settings.parsed.sources == "live" else None


def feed_left_out(context: StackContext) -> str | None:
    return None if context.settings.parsed.finnhub.token_file else "FINLAKE_FINNHUB_TOKEN_FILE names no file with a token"
