"""Serve the sample sources: `python -m finlake_services.sample_sources --port N [--host 127.0.0.1]`."""

from pathlib import Path
from typing import Annotated

import structlog
import typer

from finlake_clients.secret_files import secret_of
from finlake_clients.universe_file import UniverseFile
from finlake_services.runtime import log_as_json, own_settings, serve
from finlake_services.sample_sources.server import create_app
from finlake_settings.local_stack import LOOPBACK
from finlake_settings.processes import SampleSourcesSettings


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    finnhub_token_file: Annotated[
        Path | None,
        typer.Option(help="File with the only Finnhub token to accept. Default: any token.", dir_okay=False),
    ] = None,
) -> None:
    """Answer as Stooq, GDELT and Finnhub until stopped by SIGINT or SIGTERM."""
    log_as_json()
    structlog.get_logger().info("sample sources start", host=host, port=port)
    token = secret_of("sample_sources", finnhub_token_file) if finnhub_token_file else None
    universe = UniverseFile(path=str(own_settings(SampleSourcesSettings).universe)).read()
    serve(create_app(token, universe.symbols), port, host=host)


if __name__ == "__main__":
    typer.run(main)
