"""The connector that captures changes, seen from outside: does it run, and as this checkout wants it?

Belongs here: comparing what Kafka Connect tells with the wanted configuration. Does not belong here: talking to Kafka
Connect (rest.py) or changing anything.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from finlake_clients.connect.rest import ConnectError, ConnectorUnknownError, ConnectUnavailableError, KafkaConnect
from finlake_clients.service_client import ServiceClient
from finlake_clients.service_errors import ServiceUnavailableError

SERVICE = "kafka_connect"
CONNECTORS = Path(str(files("finlake_clients.connect"))) / "connectors"
"""A file of settings for each connector, by its name; `<word>` in a value is a placeholder that each installation fills in."""
CONNECTOR = "finlake-ods"
"""The connector that captures the changes of the market's tables."""
CONNECTOR_FILE = CONNECTORS / f"{CONNECTOR}.json"
TIMEOUT_S = 5


@dataclass(frozen=True, kw_only=True)
class ConnectorHealth:
    """A connector as it is: states by task, the first trace of a failure and the change before which it stands, settings that
    differ from the wanted ones, and what speaks against exactly-once delivery."""

    state: str
    task_states: tuple[str, ...]
    trace: str = ""
    stands_before: str = ""
    differing_settings: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()


def connector_settings(file: Path, *, avro: bool) -> dict[str, str]:
    """A connector's settings; with `avro` those of the file of its name in the folder `avro` beside them."""
    files = (file, file.parent / "avro" / file.name) if avro else (file,)
    return {name: value for each in files for name, value in json.loads(each.read_text(encoding="utf-8")).items()}


class ChangeCapture(ServiceClient):
    """The connector whose wanted configuration is in `config_file`; the file's stem is its name.

    A wanted setting with a placeholder (`<...>`) differs between installations, and is not compared.
    """

    connect_url: str
    config_file: str
    certificate_file: str | None
    writes_avro: bool = False

    @property
    def connector_name(self) -> str:
        """Name of the connector."""
        return Path(self.config_file).stem

    def look(self) -> ConnectorHealth | None:
        """How the connector is; None when there is none. Raises `ServiceUnavailableError`."""
        certificate_file = Path(self.certificate_file) if self.certificate_file else None
        connect, name = KafkaConnect(self.connect_url, certificate_file, timeout_s=TIMEOUT_S), self.connector_name
        wanted = connector_settings(Path(self.config_file), avro=self.writes_avro)
        placed = {key for key, value in wanted.items() if "<" in value}
        try:
            status = connect.status(name)
            failure = connect.explain(status)
            differing = [key for key in connect.drift(name, wanted) if key not in placed]
            objections = connect.exactly_once_objections(name) if status.is_running else ()
        except ConnectorUnknownError:
            return None
        except ConnectUnavailableError as error:
            raise ServiceUnavailableError(SERVICE, self.connect_url, error) from error
        except ConnectError as error:
            raise ServiceUnavailableError(SERVICE, self.connect_url, f"it refuses: {error}") from error
        traces = [trace for trace in (status.trace, *(task.trace for task in status.tasks)) if trace]
        return ConnectorHealth(
            state=status.state,
            task_states=tuple(task.state for task in status.tasks),
            trace=traces[0] if traces else "",
            stands_before=failure.record if failure else "",
            differing_settings=tuple(differing),
            objections=objections,
        )
