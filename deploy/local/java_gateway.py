"""The machine's Java, asked for what no Python library of the installation does: making keys and signing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.local.jars import spark_home
from deploy.local.java import Java


@contextmanager
def java_gateway(java: Java) -> Iterator[Any]:
    """A JVM of its own whose classes are reached by py4j; only this process knows its token."""
    from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

    jar = next((spark_home() / "jars").glob("py4j-*.jar"))
    port, token, process = launch_gateway(
        jarpath=str(jar), java_path=str(java.executable), enable_auth=True, die_on_exit=True, return_proc=True
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=token))
    try:
        yield gateway
    finally:
        gateway.shutdown()
        # It ends with its standard input.
        process.stdin.close()
        process.wait()
