"""The schema registry on this machine: Apicurio Registry, its schemas in a file of the state folder.

It speaks Confluent's protocol to readers and its own to the converter in Kafka Connect. Nothing else of it can be reached, and
neither without the token. Does not belong here: the client (finlake_clients.kafka.schema_registry.py).
"""

import base64
import json
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

from deploy.local.jars import SCHEMA_REGISTRY
from deploy.local.java import Java, kept_within
from deploy.local.java_gateway import java_gateway
from deploy.local.layout import Layout
from deploy.local.passwords import write_private
from deploy.local.ports import Ports
from finlake_clients.kafka.schema_registry import PROTOCOL, Compatibility, SchemaRegistry
from finlake_settings.local_stack import LOOPBACK
from spark.transforms.avro_values import MAX_SCHEMA_BYTES

COMPATIBILITY: Compatibility = "FULL"
"""Of a captured table: what is stored must stay readable with its new columns, and its new records with the present ones."""

HEAP_MB = 192
KEY_BITS = 2048
# The file lives and dies with the installation: a date would only end a stack that works.
VALID_UNTIL_S = 7_000_000_000
CONVERTER_PROTOCOL = "/apis/registry/v2"


def registry_url(ports: Ports) -> str:
    return f"http://{LOOPBACK}:{ports['schema_registry']}"


def registry_client(layout: Layout, ports: Ports, timeout_s: float = 5.0) -> SchemaRegistry:
    return SchemaRegistry(registry_url(ports), layout.registry_token, timeout_s)


def converter_placeholders(layout: Layout, ports: Ports) -> dict[str, str]:
    """What the converter's configuration in finlake_clients/connect/connectors leaves open."""
    return {"registry_url": f"{registry_url(ports)}{CONVERTER_PROTOCOL}", "registry_token": layout.registry_token.name}


def command(layout: Layout, java: Java) -> list[str]:
    return [
        *(str(java.executable), *java.options, *kept_within(layout.java_temporary)),
        *("-XX:+ExitOnOutOfMemoryError", "-Xms64m", f"-Xmx{HEAP_MB}m", "-XX:+UseSerialGC", "-Duser.timezone=UTC"),
        # Its transaction manager would open a port for a recovery that one database does not need.
        "-DCoordinatorEnvironmentBean.transactionStatusManagerEnable=false",
        f"-Dquarkus.config.locations={_properties_file(layout)}",
        *("-jar", str(_program(layout) / f"{SCHEMA_REGISTRY.module}-{SCHEMA_REGISTRY.version}-runner.jar")),
    ]


def properties(port: int, public_key: str) -> dict[str, object]:
    """The registry's settings; `public_key` is of whoever signed the token that it lets in."""
    return {
        "quarkus.http.host": LOOPBACK,
        "quarkus.http.port": port,
        # Before a login the body of a request is taken into memory.
        "quarkus.http.limits.max-body-size": f"{2 * MAX_SCHEMA_BYTES // 1024}K",
        "quarkus.http.limits.max-header-size": "16K",
        "quarkus.http.idle-timeout": "30S",
        # What was answered is on the disk: a number that a record bears must never become another schema's.
        "quarkus.datasource.jdbc.url": "jdbc:h2:file:./schemas;WRITE_DELAY=0",
        **{f"quarkus.datasource.jdbc.{size}": count for size, count in (("initial-size", 1), ("min-size", 1), ("max-size", 8))},
        "registry.auth.enabled": "true",
        "quarkus.oidc.auth-server-url": "",
        "quarkus.oidc.public-key": public_key,
        "quarkus.http.auth.permission.closed.paths": "/*",
        "quarkus.http.auth.permission.closed.policy": "deny",
        "quarkus.http.auth.permission.open.paths": ",".join(
            f"{protocol}/*" for protocol in (PROTOCOL, f"{CONVERTER_PROTOCOL}/groups", f"{CONVERTER_PROTOCOL}/ids")
        ),
        "quarkus.http.auth.permission.open.policy": "permit",
        # It answers what is closed with 500 and writes a page about each of these.
        'quarkus.log.category."io.quarkus.vertx.http.runtime".level': "OFF",
        # A line for each stranger's request would fill the disk.
        **{f'quarkus.log.category."{name}".level': "WARN" for name in ("io.apicurio", "io.quarkus.oidc.runtime.OidcProvider")},
        "quarkus.log.level": "WARN",
        "registry.ui.features.readOnly": "true",
    }


def prepare(layout: Layout, ports: Ports, java: Java) -> None:
    """Unpack the program, draw the token, and write the settings with which it starts."""
    layout.schema_registry.mkdir(mode=0o700, parents=True, exist_ok=True)
    _unpack(layout)
    if not layout.registry_token.is_file() or not _key_file(layout).is_file():
        _draw_token(layout, java)
    settings = properties(ports["schema_registry"], _key_file(layout).read_text())
    write_private(_properties_file(layout), "".join(f"{name}={value}\n" for name, value in settings.items()))


def _draw_token(layout: Layout, java: Java) -> None:
    """One token, and the key by which the registry knows it; the key that signed it is gone with this."""
    head, claims = ({"alg": "RS256", "typ": "JWT"}, {"sub": "finlake", "iat": int(time.time()), "exp": VALID_UNTIL_S})
    text = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    with java_gateway(java) as gateway:
        security = gateway.jvm.java.security
        generator = security.KeyPairGenerator.getInstance("RSA")
        generator.initialize(KEY_BITS)
        pair = generator.generateKeyPair()
        signature = security.Signature.getInstance("SHA256withRSA")
        signature.initSign(pair.getPrivate())
        signature.update(text)
        token = text + b"." + _encoded(bytes(signature.sign()))
        form = gateway.jvm.java.lang.Class.forName("java.security.spec.X509EncodedKeySpec")
        public = security.KeyFactory.getInstance("RSA").getKeySpec(pair.getPublic(), form)
        public_key = base64.b64encode(bytes(public.getEncoded()))
    write_private(_key_file(layout), public_key.decode())
    write_private(layout.registry_token, token.decode())


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def _unpack(layout: Layout) -> None:
    """The program beside the archive that was fetched; one that is there is left alone."""
    program = _program(layout)
    if program.is_dir():
        return
    partial = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=program.parent))
    with tarfile.open(layout.jars / SCHEMA_REGISTRY.path) as archive:
        archive.extractall(partial, filter="data")
    try:
        partial.rename(program)
    except OSError:
        # Another stack of the same folder was faster.
        shutil.rmtree(partial)


def _program(layout: Layout) -> Path:
    return layout.jars / SCHEMA_REGISTRY.folder / f"{SCHEMA_REGISTRY.module}-{SCHEMA_REGISTRY.version}"


def _key_file(layout: Layout) -> Path:
    return layout.schema_registry / "token_public_key"


def _properties_file(layout: Layout) -> Path:
    return layout.schema_registry / "application.properties"
