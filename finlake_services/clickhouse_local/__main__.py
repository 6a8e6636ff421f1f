"""Serve ClickHouse's HTTP interface: `python -m finlake_services.clickhouse_local --home DIR --port N --users FILE`."""

import logging
import os
import resource
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from finlake_services.clickhouse_local.answers import AnswerCutError
from finlake_services.clickhouse_local.connections import UsersHttp
from finlake_services.clickhouse_local.engine import Engine, FolderInUseError
from finlake_services.clickhouse_local.errors import EngineError
from finlake_services.clickhouse_local.memory import DEFAULT_MEMORY_MB
from finlake_services.clickhouse_local.server import ClickHouseHttp
from finlake_services.clickhouse_local.users import UsersFileError, read_users
from finlake_services.runtime import log_as_json, serve
from finlake_settings.local_stack import LOOPBACK

GRACE_S = 2
SWITCH_INTERVAL_S = 0.0001


def main(
    home: Annotated[Path, typer.Option(help="Folder of the engine's data; made when it does not exist.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help=f"Port to listen on, on {LOOPBACK} only.")],
    users: Annotated[Path, typer.Option(help="JSON of users: {name: {password_file, rights, databases}}.")],
    working_folder: Annotated[Path | None, typer.Option(help="Folder below which Iceberg tables lie; made if needed.")] = None,
    memory_mb: Annotated[int, typer.Option(min=512, help="Memory that all statements together may take.")] = (DEFAULT_MEMORY_MB),
) -> None:
    """Answer until stopped by SIGTERM or SIGINT."""
    log_as_json()
    log = structlog.get_logger()
    home = home.absolute()
    try:
        known_users = read_users(users.absolute(), memory_mb << 20)
        if working_folder is not None:
            # The engine reads Iceberg tables only below the working directory.
            working_folder.mkdir(parents=True, exist_ok=True)
            os.chdir(working_folder)
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
        engine = Engine(home, known_users.values(), memory_mb << 20)
    except (UsersFileError, FolderInUseError, EngineError, OSError) as error:
        log.error("clickhouse endpoint cannot start", reason=str(error))
        sys.exit(1)
    log.info("clickhouse endpoint starts", home=str(home), port=port, engine=engine.version, users=sorted(known_users))
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut_answer)
    # A statement that is taken apart by one thread lets the event loop, in which all others wait, have its turn soon.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    serve(
        ClickHouseHttp(engine, known_users),
        port,
        protocol=UsersHttp,
        ws="none",
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
    )


def _is_no_cut_answer(record: logging.LogRecord) -> bool:
    """Leave out the traceback of an answer that was cut on purpose; its error is counted, and sent to the client."""
    return not (record.exc_info and isinstance(record.exc_info[1], AnswerCutError))


if __name__ == "__main__":
    typer.run(main)
