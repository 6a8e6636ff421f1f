"""Serve the sample sources: `python -m finlake_services.sample_sources --port N [--host 127.0.0.1]`."""

from typing import Annotated

import structlog
import typer
import uvicorn

from finlake_services.sample_sources.server import create_app


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Answer as Stooq and GDELT until stopped by SIGINT or SIGTERM."""
    structlog.configure(processors=[
        structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ])
    structlog.get_logger().info("sample sources start", host=host, port=port)
    # No access log: a request line holds the caller's API key.
    uvicorn.run(create_app(), host=host, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    typer.run(main)
