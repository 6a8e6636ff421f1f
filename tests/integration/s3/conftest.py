"""A real S3 server on loopback, and a stack whose warehouse and drop location are on it."""

import json
import secrets
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.local.passwords import write_private
from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import LOOPBACK
from spark.contracts.engine import Engine

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

REGION = "us-east-1"
BUCKET = "finlake"
READY_WITHIN_S = 60


@dataclass(frozen=True)
class S3Server:
    """A running server; its keys are in files, as the product wants them."""

    endpoint: str
    access_key_file: Path
    secret_key_file: Path

    def filesystem(self) -> "S3FileSystem":
        """A client with the server's keys."""
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key=self.access_key_file.read_text(),
            secret_key=self.secret_key_file.read_text(),
            region=REGION,
            endpoint_override=self.endpoint.removeprefix("http://"),
            scheme="http",
            allow_bucket_creation=True,
        )


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """SeaweedFS with an empty bucket."""
    # A short path: the sockets of the server lie in it.
    folder = Path(tempfile.mkdtemp(prefix="finlake-s3-"))
    process = None
    try:
        server, command = prepared(folder)
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        make_bucket(server, process, folder / "server.log")
        yield server
    finally:
        if process is not None:
            # Its orderly stop waits for half a minute; nothing of it is needed any more.
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def prepared(folder: Path) -> tuple[S3Server, list[str]]:
    """Keys, configuration and command line of a server that keeps everything in a folder."""
    keys = {name: secrets.token_hex(16) for name in ("access", "secret")}
    for name, key in keys.items():
        write_private(folder / f"{name}.key", key)
    write_private(
        folder / "s3.json",
        json.dumps(
            {
                "identities": [
                    {
                        "name": "finlake",
                        "credentials": [{"accessKey": keys["access"], "secretKey": keys["secret"]}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        ),
    )
    (folder / "data").mkdir()
    parts = ("master", "volume", "filer", "s3")
    ports = unused_ports(2 * len(parts))
    command = [
        str(Path(sysconfig.get_path("scripts")) / "weed"),
        "server",
        f"-dir={folder}/data",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-filer",
        "-s3",
        f"-s3.config={folder}/s3.json",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.localSocket={folder}/s3.sock",
        f"-filer.localSocket={folder}/filer.sock",
        "-master.telemetry=false",
        "-volume.max=50",
        "-master.volumeSizeLimitMB=64",
        *(f"-{part}.port{kind}={ports.pop()}" for part in parts for kind in (".grpc", "")),
    ]
    endpoint = f"http://{LOOPBACK}:{command[-1].partition('=')[2]}"
    return S3Server(endpoint, folder / "access.key", folder / "secret.key"), command


def unused_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on."""
    with ExitStack() as probes:
        return [probes.enter_context(socket.create_server((LOOPBACK, 0))).getsockname()[1] for _ in range(count)]


def make_bucket(server: S3Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Make the bucket as soon as the server lets us."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            server.filesystem().create_dir(BUCKET)
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server does not take a bucket:\n{log.read_text()[-2000:]}") from None


@pytest.fixture(scope="session")
def s3_environment(s3_server: S3Server, engine: Engine) -> Iterator[dict[str, str]]:
    """The variables with which a process uses a lake in S3; its Postgres runs, and Spark if it computes."""
    home = Path(tempfile.mkdtemp(prefix="finlake-"))
    # Others may walk through it, because root's Postgres runs as another user.
    home.chmod(0o711)
    stack = LocalStack(
        home,
        free_ports(),
        jars=CHECKOUT / ".finlake" / "jars",
        variables={
            "FINLAKE_WAREHOUSE": f"s3://{BUCKET}/warehouse",
            "FINLAKE_STOOQ_DROP": f"s3://{BUCKET}/drop",
            "FINLAKE_S3_ENDPOINT": s3_server.endpoint,
            "FINLAKE_S3_REGION": REGION,
            "FINLAKE_S3_ACCESS_KEY_FILE": str(s3_server.access_key_file),
            "FINLAKE_S3_SECRET_KEY_FILE": str(s3_server.secret_key_file),
            "FINLAKE_ENGINE": engine,
        },
    )
    try:
        stack.up(services=("spark_connect",) if engine == "spark" else ("postgres",))
        yield stack.environment()
    finally:
        stack.down()
        shutil.rmtree(home)
        # The next engine begins with an empty store too.
        for folder in ("warehouse", "drop"):
            s3_server.filesystem().delete_dir_contents(f"{BUCKET}/{folder}", missing_dir_ok=True)
