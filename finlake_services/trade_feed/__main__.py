"""Run the feed: `python -m finlake_services.trade_feed --metrics-port N`."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import structlog
import typer

from finlake_clients.secret_files import SecretUnreadableError
from finlake_clients.universe_file import UniverseFile
from finlake_services.metrics_server import MetricsServer
from finlake_services.runtime import log_as_json, own_settings, stop_of_tasks
from finlake_services.trade_feed.finnhub_token import TokenFile, log_without
from finlake_services.trade_feed.metrics import FeedMetrics
from finlake_services.trade_feed.ods_writer import DEFAULT_BATCH_ROWS, DEFAULT_BUFFER_ROWS, OdsAccess, OdsError
from finlake_services.trade_feed.quote_poller import DEFAULT_INTERVAL_S
from finlake_services.trade_feed.service import DEFAULT_DRAIN_LIMIT_S, FeedConfig, RowsNotWrittenError, run_feed
from finlake_services.trade_feed.trade_stream import DEFAULT_REFUSED_WAIT_S, DEFAULT_SILENCE_LIMIT_S, ConnectionLimits
from finlake_settings.local_stack import LOOPBACK
from finlake_settings.processes import FeedSettings
from finlake_settings.reading import SettingsError
from spark.contracts.universe import UniverseError


def main(
    metrics_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Prometheus metrics.")],
    metrics_host: Annotated[str, typer.Option(help="Address of Prometheus metrics.")] = LOOPBACK,
    look_up: Annotated[bool, typer.Option(help="Skip symbols that Finnhub does not list.")] = True,
    quote_interval_s: Annotated[
        float,
        typer.Option(min=0, help="Seconds between quotes of a symbol; 0: none."),
    ] = DEFAULT_INTERVAL_S,
    silence_limit_s: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds without a message or ping after which a connection counts as dead."),
    ] = DEFAULT_SILENCE_LIMIT_S,
    refused_wait_s: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds before a refused token is tried again."),
    ] = DEFAULT_REFUSED_WAIT_S,
    batch_rows: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows in one transaction.")] = DEFAULT_BATCH_ROWS,
    buffer_rows: Annotated[
        int,
        typer.Option(min=1, help="Rows held while Postgres is away; then reading stops."),
    ] = DEFAULT_BUFFER_ROWS,
    drain_limit_s: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds that the last rows may take when the feed is stopped."),
    ] = DEFAULT_DRAIN_LIMIT_S,
) -> None:
    """Store Finnhub's trades and quotes in Postgres until stopped by SIGINT or SIGTERM."""
    log_as_json()
    settings = own_settings(FeedSettings)
    try:
        token = _token_of(settings)
        log_without(token)
        config = FeedConfig(
            websocket_url=settings.finnhub.ws_url,
            rest_url=settings.finnhub.url,
            token=token,
            ods=OdsAccess(settings.market.uri, "feed", settings.market.feed_password_file),
            symbols=symbols_of(settings.universe, settings.finnhub.symbols),
            looks_up_symbols=look_up,
            quote_interval_s=quote_interval_s,
            batch_rows=batch_rows,
            buffer_rows=buffer_rows,
            limits=ConnectionLimits(silence_limit_s, refused_wait_s),
            drain_limit_s=drain_limit_s,
        )
        metrics = FeedMetrics()
        with closing(MetricsServer(metrics_port, metrics.registry, host=metrics_host)):
            structlog.get_logger().info("trade feed start", symbols=list(config.symbols), metrics_port=metrics_port)
            asyncio.run(_until_stopped(config, metrics))
    except (SettingsError, UniverseError, SecretUnreadableError, OdsError, RowsNotWrittenError) as error:
        structlog.get_logger().error("trade feed ends", reason=str(error))
        sys.exit(1)


async def _until_stopped(config: FeedConfig, metrics: FeedMetrics) -> None:
    await run_feed(config, metrics, stop_of_tasks())


def _token_of(settings: FeedSettings) -> TokenFile:
    if settings.finnhub.token_file is None:
        raise SettingsError("live trades need a Finnhub token; write one into a file, set FINLAKE_FINNHUB_TOKEN_FILE to its path")
    return TokenFile(settings.finnhub.token_file)


def symbols_of(universe_file: Path, more: Sequence[str]) -> tuple[str, ...]:
    """The universe's symbols and more, each once. Raises UniverseError."""
    return tuple(dict.fromkeys((*UniverseFile(path=str(universe_file)).read().symbols, *more)))


if __name__ == "__main__":
    typer.run(main)
