"""The schema registry, which a stream of Avro needs."""

from pathlib import Path

from deploy.local import schema_registry
from deploy.local.errors import StackError
from deploy.local.java import find_java
from deploy.local.layout import Layout
from deploy.local.probes import NotReadyError
from deploy.local.service import Launch, Process, StackContext, Stage
from deploy.local.settings import needs_registry
from finlake_clients.service_errors import ServiceUnavailableError


def left_out(context: StackContext) -> str | None:
    return None if needs_registry(context.layout, context.settings) else "FINLAKE_STREAM_FORMAT=avro alone needs it"


def command(launch: Launch) -> list[str]:
    return schema_registry.command(launch.layout, launch.java)


def working_folder(layout: Layout) -> Path:
    """It looks for settings where it stands, and keeps its schemas there."""
    return layout.schema_registry


def before_start(stage: Stage) -> None:
    """Its program, its settings and the token of its clients."""
    schema_registry.prepare(stage.layout, stage.ports, find_java())


def probe(process: Process) -> None:
    """A subject that is not there."""
    try:
        schema_registry.registry_client(process.layout, process.ports).versions("probe")
    except ServiceUnavailableError as problem:
        raise NotReadyError(problem.reason) from problem


def when_ready(stage: Stage) -> None:
    """The rule for new schemas."""
    try:
        schema_registry.registry_client(stage.layout, stage.ports).require(schema_registry.COMPATIBILITY)
    except ServiceUnavailableError as problem:
        raise StackError(f"{problem} (see `{stage.layout.logs_command('schema_registry')}`)") from problem
