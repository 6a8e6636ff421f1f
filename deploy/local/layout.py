"""Where the local stack keeps its files: every path in one place, nothing is created or read here."""

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from deploy.local.errors import StackError
from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import (
    CONNECT_CERTIFICATE,
    DAGSTER_WEB_PASSWORD,
    FINNHUB_TOKEN,
    KAFKA_PASSWORD,
    SECRETS,
    SPARK_TOKEN,
    password_of,
)

# Separators of the formats that carry these paths: supervisor and Java property files, class paths, URIs.
FORBIDDEN_IN_PATHS = "%#?;:,\"'\\&\n\r\t"

# A Unix socket path may hold 107 bytes; supervisor binds "<path>.<pid>" first.
LONGEST_SOCKET_PATH = 96
# Spark calls a socket in its folder ".<uuid>.sock".
LONGEST_SPARK_FOLDER = 107 - len("/.00000000-0000-0000-0000-000000000000.sock")
# The longest name of a socket among temporary files is Python's, of multiprocessing; Dagster's code servers have shorter ones.
LONGEST_TEMPORARY_FOLDER = 107 - len("/pymp-00000000/listener-00000000")


@dataclass(frozen=True)
class Layout:
    """Paths under the state folder `home` (FINLAKE_HOME).

    `jars` may lie elsewhere, so that several stacks share one download. `workspace` tells Dagster what to load.

    Raises StackError when one of the paths has a character that the engines' configuration
    formats cannot carry, or is no text in the encoding of this process. Spaces are fine.
    """

    home: Path
    jars: Path
    workspace: Path = CHECKOUT / "workspace.yaml"

    def __post_init__(self) -> None:
        for path in (self.home, self.jars, self.workspace):
            _require_text(path)
            found = sorted({character for character in str(path) if character in FORBIDDEN_IN_PATHS})
            if found:
                raise StackError(
                    f"the path {path} contains {' '.join(map(repr, found))}, which the engines' configuration files "
                    "cannot carry; move it to a folder without these characters"
                )

    def logs_command(self, service: str) -> str:
        """The command that shows the log of a service, as a shell takes it."""
        return f"finlake logs {service} --home {quote(str(self.home))}"

    @property
    def record(self) -> Path:
        """Ports and settings of the last `up`; holds no secret."""
        return self.home / "stack.json"

    @property
    def identity(self) -> Path:
        """Who this stack is; drawn at its first start."""
        return self.home / "identity"

    @property
    def lock(self) -> Path:
        return self.home / "run" / "stack.lock"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def secrets(self) -> Path:
        return self.home / SECRETS

    @property
    def passfile(self) -> Path:
        """Passwords of the Postgres roles in libpq's pgpass format, read by libpq and the JDBC driver."""
        return self.secrets / "pgpass"

    @property
    def postgres(self) -> Path:
        """Cluster files; a symbolic link when the state folder cannot be reached by the user that runs Postgres."""
        return self.home / "postgres"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse"

    @property
    def stooq_drop(self) -> Path:
        return self.home / "stooq_drop"

    @property
    def temporary(self) -> Path:
        """Temporary files and sockets of every service; emptied at each start; inside `home` if that is not too deep."""
        inside = self.home / "run" / "tmp"
        return inside if len(str(inside).encode()) <= LONGEST_TEMPORARY_FOLDER else self._short_folder / "tmp"

    @property
    def java_temporary(self) -> Path:
        """Temporary files of every JVM; emptied at each start."""
        return self.home / "run" / "java"

    @property
    def spark(self) -> Path:
        """Working folder of the Spark Connect server, scratch space included."""
        return self.home / "spark"

    @property
    def spark_sockets(self) -> Path:
        """Sockets between the server and its Python workers; inside `home` if that is not too deep."""
        inside = self.home / "run" / "spark"
        return inside if len(str(inside).encode()) <= LONGEST_SPARK_FOLDER else self._short_folder / "spark"

    @property
    def spark_properties(self) -> Path:
        return self.spark / "conf" / "finlake.conf"

    @property
    def kafka(self) -> Path:
        """Configuration and data of the broker."""
        return self.home / "kafka"

    @property
    def kafka_connect(self) -> Path:
        """Configuration of the Connect worker, which keeps its state in Kafka."""
        return self.home / "kafka_connect"

    @property
    def schema_registry(self) -> Path:
        """Settings and schemas of the registry; there once the stream has been Avro, and its records may still be."""
        return self.home / "schema_registry"

    @property
    def clickhouse(self) -> Path:
        """Configuration and tables of ClickHouse."""
        return self.home / "clickhouse"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.home / "dagster"

    @property
    def code_socket(self) -> Path:
        """Where Dagster's code server is asked; its folder is closed to other accounts."""
        return self.temporary / "code.sock"

    @property
    def served_workspace(self) -> Path:
        """Tells webserver and daemon where the code server is."""
        return self.dagster / "workspace.yaml"

    @property
    def supervisor_config(self) -> Path:
        return self.home / "run" / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        return self.home / "run" / "supervisord.pid"

    @property
    def supervisor_socket(self) -> Path:
        """Inside `home`, or in the machine's temporary folder when `home` is too deep for a Unix socket."""
        inside = self.home / "run" / "supervisor.sock"
        if len(str(inside).encode()) <= LONGEST_SOCKET_PATH:
            return inside
        return self._short_folder / "supervisor.sock"

    @property
    def _short_folder(self) -> Path:
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"finlake-{digest}"

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"

    @property
    def connect_secrets(self) -> Path:
        """The only secrets that Kafka Connect may read: whoever may configure a connector can make it show them."""
        return self.secrets / "kafka_connect"

    @property
    def registry_token(self) -> Path:
        """What the schema registry asks of its clients, of which the connector's converter is one."""
        return self.connect_secrets / "schema_registry.token"

    @property
    def finnhub_token(self) -> Path:
        """The token that the sample sources accept; a real one lies where FINLAKE_FINNHUB_TOKEN_FILE says."""
        return self.secrets / FINNHUB_TOKEN

    @property
    def spark_token(self) -> Path:
        """What the Spark Connect server asks of its clients."""
        return self.secrets / SPARK_TOKEN

    @property
    def kafka_password(self) -> Path:
        """Of the user as which every client of the broker logs in."""
        return self.secrets / KAFKA_PASSWORD

    @property
    def kafka_admin_password(self) -> Path:
        """Of the broker itself and of `finlake up`, which gives the broker its users."""
        return self.password_file("kafka_admin")

    @property
    def connect_password(self) -> Path:
        """Of the worker's key store; not in the folder that connectors read."""
        return self.password_file("connect")

    @property
    def connect_keystore(self) -> Path:
        """Key and certificate of Kafka Connect's REST interface, for the worker."""
        return self.secrets / "connect.p12"

    @property
    def connect_certificate(self) -> Path:
        """The same for its clients, as PEM."""
        return self.secrets / CONNECT_CERTIFICATE

    @property
    def dagster_web_password(self) -> Path:
        """Of Dagster's pages and GraphQL; the role `dagster` of Postgres has another."""
        return self.secrets / DAGSTER_WEB_PASSWORD

    def password_file(self, role: str) -> Path:
        folder = self.connect_secrets if role == "cdc" else self.secrets
        return folder / password_of(role)


def _require_text(path: Path) -> None:
    """Python gives bytes that its encoding cannot read as halves of characters, which no other program understands."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise StackError(
            f"the path {shown} cannot be read in this locale, whose encoding is {sys.getfilesystemencoding()}; set "
            "LC_ALL=C.UTF-8, or use a folder with plain letters in its path (--home)"
        ) from None
