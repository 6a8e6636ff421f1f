"""Dagster's webserver behind a door: `python -m deploy.local.webserver --workspace FILE --port N --password-file FILE`.

Dagster's own command serves whoever can reach its port: another account of the machine, or a web page whose name is made to
point here, could read everything and launch runs. Its parts are put together here as that command does it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.webserver_door import guarded
from finlake_clients.secret_files import secret_of
from finlake_settings.local_stack import LOOPBACK

STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_MAX_OVERFLOW = 15_000, 3_600, 20


def main(
    workspace: Annotated[Path, typer.Option(help="The file that tells Dagster what to load.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Loopback port.")],
    password_file: Annotated[Path, typer.Option(help="File with the password that is asked for.")],
) -> None:
    """Serve Dagster's pages and GraphQL until stopped by SIGINT or SIGTERM."""
    import uvicorn
    from dagster import DagsterInstance, __version__
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context

    from finlake_services.http_server import BoundedHttp, vouch_for

    password = secret_of("dagster_webserver", password_file)
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget(paths=[str(workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            pages = create_app_from_workspace_process_context(context, lifespan=_quiet_end)
            door = guarded(pages, hosts={f"{LOOPBACK}:{port}", f"localhost:{port}"}, password=password, let_in=vouch_for)
            uvicorn.run(door, http=BoundedHttp, host=LOOPBACK, port=port, log_level="warning")


@asynccontextmanager
async def _quiet_end(_: object) -> AsyncIterator[None]:
    """Being stopped is no error."""
    with suppress(asyncio.CancelledError):
        yield


if __name__ == "__main__":
    typer.run(main)
