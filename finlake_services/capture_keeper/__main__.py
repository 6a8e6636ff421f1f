"""Run the keeper: `python -m finlake_services.capture_keeper --connector NAME --metrics-port N`."""

import time
from contextlib import closing
from typing import Annotated

import structlog
import typer

from finlake_clients.connect.rest import KafkaConnect
from finlake_clients.state_folder import StateFolder
from finlake_services.capture_keeper.keeper import LOOK_S, Keeper
from finlake_services.capture_keeper.metrics import KeeperMetrics
from finlake_services.metrics_server import MetricsServer
from finlake_services.runtime import log_as_json, own_settings, stop_of_threads
from finlake_settings.processes import KeeperSettings

# The keeper asks again by itself.
_TIMEOUT_S = 2.0


def main(
    connector: Annotated[str, typer.Option(help="Name of the connector to look after.")],
    metrics_port: Annotated[int, typer.Option(min=1, max=65535, help="Loopback port of Prometheus metrics.")],
) -> None:
    """Start a failed connector again, until stopped by SIGINT or SIGTERM."""
    log_as_json()
    stop = stop_of_threads()
    settings, metrics = own_settings(KeeperSettings), KeeperMetrics()
    metrics.state_free_bytes.set_function(StateFolder(path=str(settings.home)).free_bytes)
    connect = KafkaConnect(settings.connect.url, settings.connect.certificate_file, timeout_s=_TIMEOUT_S)
    keeper = Keeper(connector, connect, metrics, time.monotonic)
    with closing(MetricsServer(metrics_port, metrics.registry)):
        structlog.get_logger().info("keeper start", connector=connector, connect=settings.connect.url, metrics_port=metrics_port)
        while not stop.is_set():
            keeper.look()
            stop.wait(LOOK_S)


if __name__ == "__main__":
    typer.run(main)
