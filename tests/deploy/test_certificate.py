"""The certificate of Kafka Connect: who has it is let in, and nobody else."""

import ssl
import stat
from pathlib import Path

import psutil
import pytest

from deploy.local.certificate import make_certificate
from deploy.local.errors import StackError
from deploy.local.java import Java, find_java
from deploy.local.layout import Layout
from deploy.local.settings import make_secrets
from finlake_clients.connect.rest import tls_context


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    home = tmp_path_factory.mktemp("made")
    layout = Layout(home, home / "jars")
    make_secrets(layout)
    before = psutil.Process().children()
    make_certificate(layout, find_java())
    assert psutil.Process().children() == before
    return layout


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """Let both sides speak in memory until each has read what the other has to say. Raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server, server_hostname=host), server.wrap_bio(to_server, to_client, server_side=True)]
    for side in sides * 3:
        try:
            side.do_handshake()
            side.read()
        except ssl.SSLWantReadError:
            continue


def worker(layout: Layout) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=layout.connect_certificate)
    context.load_cert_chain(layout.connect_certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_who_has_the_certificate_is_let_in_by_the_address_of_the_stack_alone(layout: Layout) -> None:
    shake_hands(worker(layout), tls_context(layout.connect_certificate), "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(worker(layout), tls_context(layout.connect_certificate), "192.0.2.1")


def test_a_stranger_fails_at_the_handshake(layout: Layout) -> None:
    stranger = ssl.create_default_context(cafile=layout.connect_certificate)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(worker(layout), stranger, "127.0.0.1")


def test_key_store_and_pem_file_are_for_their_owner_only_and_stay(layout: Layout) -> None:
    files = (layout.connect_keystore, layout.connect_certificate)
    before = [file.read_bytes() for file in files]
    make_certificate(layout, Java(Path("/nowhere"), 17, ()))
    assert [file.read_bytes() for file in files] == before
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_java_without_the_tool_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / "jars")
    make_secrets(layout)
    with pytest.raises(StackError, match="/nowhere/bin/keytool cannot be run .*JAVA_HOME"):
        make_certificate(layout, Java(Path("/nowhere"), 17, ()))
