"""The certificate of Kafka Connect's REST interface: made once, signed by itself, and shown by both sides.

Worker and clients hold the same key, so that each knows the other, as with a password, and a stranger fails at the handshake.
The machine's Java makes it; no Python library of the installation makes keys.
"""

import base64
import subprocess
import tempfile
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.java import Java
from deploy.local.java_gateway import java_gateway
from deploy.local.layout import Layout
from deploy.local.passwords import password_from, write_private
from finlake_settings.local_stack import LOOPBACK

ALIAS = "finlake"
KEY = ("-keyalg", "EC", "-groupname", "secp256r1")
# The files live and die with the installation: a date would only end a stack that works.
VALID_DAYS = 100 * 365


def make_certificate(layout: Layout, java: Java) -> None:
    """Make the worker's key store and the clients' PEM file (key, then certificate) when one of them is not there.

    Raises StackError when Java's tools fail.
    """
    if layout.connect_keystore.is_file() and layout.connect_certificate.is_file():
        return
    password = password_from(layout.connect_password)
    with tempfile.TemporaryDirectory(dir=layout.secrets) as private:
        store = Path(private) / layout.connect_keystore.name
        access = (
            "-alias",
            ALIAS,
            "-storetype",
            "PKCS12",
            "-keystore",
            str(store),
            "-storepass:file",
            str(layout.connect_password),
        )
        _keytool(
            java,
            "-genkeypair",
            *access,
            *KEY,
            "-dname",
            f"CN={ALIAS}",
            "-validity",
            str(VALID_DAYS),
            "-ext",
            f"SAN=ip:{LOOPBACK},dns:localhost",
        )
        certificate = _keytool(java, "-exportcert", "-rfc", *access)
        key = base64.encodebytes(_key_in(store, password, java)).decode()
        store.chmod(0o600)
        store.replace(layout.connect_keystore)
    write_private(layout.connect_certificate, f"-----BEGIN PRIVATE KEY-----\n{key}-----END PRIVATE KEY-----\n{certificate}")


def _keytool(java: Java, *arguments: str) -> str:
    tool = java.executable.with_name("keytool")
    try:
        answer = subprocess.run([tool, *arguments], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as problem:
        reason = (problem.stderr or problem.stdout).strip().splitlines()[:1]
        raise StackError(f"{tool} could not make the certificate of Kafka Connect: {' '.join(reason)}") from problem
    except OSError as problem:
        raise StackError(
            f"{tool} cannot be run ({problem.strerror}), which makes the certificate of Kafka Connect; "
            "let JAVA_HOME name a Java that has it, or unset it"
        ) from problem
    return answer.stdout


def _key_in(store: Path, password: str, java: Java) -> bytes:
    """The private key in a store, as PKCS #8 in DER, which keytool gives nobody."""
    with java_gateway(java) as gateway:
        security = gateway.jvm.java.security
        characters = gateway.new_array(gateway.jvm.char, len(password))
        for position, character in enumerate(password):
            characters[position] = character
        key = security.KeyStore.getInstance(gateway.jvm.java.io.File(str(store)), characters).getKey(ALIAS, characters)
        form = gateway.jvm.java.lang.Class.forName("java.security.spec.PKCS8EncodedKeySpec")
        return bytes(security.KeyFactory.getInstance("EC").getKeySpec(key, form).getEncoded())
