"""The connectors of the stack: their configurations from `finlake_clients/connect/connectors`, filled in for this machine.

A file holds the settings of the connector that has the file's name; one of the same name in the folder `avro` those
that it needs besides when its records are to be Avro. `<word>` in a value is a placeholder that each stack fills in.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from deploy.local.kafka import connect_url
from deploy.local.layout import Layout
from deploy.local.ports import Ports
from deploy.local.schema_registry import converter_placeholders
from deploy.local.service import StackContext
from finlake_clients.connect.change_capture import CONNECTORS, connector_settings
from finlake_clients.connect.rest import ConnectError, KafkaConnect
from finlake_settings.local_stack import LOOPBACK

FOLDER = CONNECTORS

RUNNING_WITHIN_S = 240
FAILED_FOR_S = 20
STEADY_S = 5


def wanted_connectors(placeholders: Mapping[str, str], folder: Path = FOLDER, *, avro: bool = False) -> dict[str, dict[str, str]]:
    """Name -> configuration of every connector, with the placeholders filled in. Raises KeyError for one without a value."""
    return {
        file.stem: {
            setting: re.sub(r"<(\w+)>", lambda match: placeholders[match[1]], value)
            for setting, value in connector_settings(file, avro=avro).items()
        }
        for file in sorted(folder.glob("*.json"))
    }


def stack_connectors(context: StackContext) -> dict[str, dict[str, str]]:
    """Name -> configuration of every connector of this stack."""
    return wanted_connectors(local_placeholders(context.layout, context.ports), avro=context.settings.writes_avro)


def local_placeholders(layout: Layout, ports: Ports) -> dict[str, str]:
    """The values of the placeholders for this stack; secrets are files that the worker reads."""
    return {
        **converter_placeholders(layout, ports),
        "postgres_host": LOOPBACK,
        "postgres_port": str(ports["postgres"]),
        "secrets_folder": str(layout.connect_secrets),
    }


def register_connectors(context: StackContext) -> dict[str, tuple[str, ...]]:
    """Bring every connector to its configuration and make it run; returns the settings that were changed by name.

    A connector that was paused, stopped or has failed runs again. Raises ConnectError.
    """
    connect = KafkaConnect(connect_url(context.ports), context.layout.connect_certificate)
    known = connect.names()
    changed = {}
    for name, config in stack_connectors(context).items():
        changed[name] = connect.register(name, config)
        connect.resume(name)
        had_failed = name in known and connect.status(name).failure is not None
        if had_failed:
            connect.restart_failed(name)
        # One that fails while others die around it is started again by its keeper.
        connect.wait_until_running(name, timeout_s=RUNNING_WITHIN_S, failed_for_s=FAILED_FOR_S)
        if had_failed:
            connect.wait_until_steady(name, STEADY_S)
    return {name: settings for name, settings in changed.items() if settings}


def connector_faults(context: StackContext) -> dict[str, list[str]]:
    """What is wrong with every connector, by name; also that it cannot be asked."""
    connect = KafkaConnect(connect_url(context.ports), context.layout.connect_certificate, timeout_s=3)
    found = {}
    for name, wanted in stack_connectors(context).items():
        try:
            found[name] = faults_of(connect, name, wanted)
        except ConnectError as problem:
            found[name] = [str(problem)]
    return found


def faults_of(connect: KafkaConnect, name: str, wanted: Mapping[str, str]) -> list[str]:
    """What is wrong with a connector, in words: settings, state, why it failed and at which change. Raises ConnectError."""
    status = connect.status(name)
    failure = connect.explain(status)
    faults = [f"{setting} is not as in finlake_clients/connect/connectors" for setting in connect.drift(name, wanted)]
    if failure is not None:
        faults.append(f"it has failed: {failure}")
    elif not status.is_running:
        faults.append(f"it is {status.state}" if status.tasks else "it has no task")
    return faults
