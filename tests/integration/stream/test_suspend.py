"""A laptop whose lid is closed: every process of the stack stands still, and a minute later everything flows again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from deploy.local.stack import LocalStack
from deploy.local.supervision import Supervisor
from finlake_clients.clickhouse.connection import admin
from finlake_proofs.bench.temporary_lake import temporary_stack
from finlake_reconciliation.reconcile import Reconciliation
from finlake_settings.checkout import CHECKOUT
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.speed import STOCK_REALTIME

pytestmark = [pytest.mark.stack, pytest.mark.long]

SUSPENDED_S = 75
"""Longer than every timeout between the services that is not meant for a person's patience."""

BACK_WITHIN_S = 60
SERVICES = ("trade_feed", "clickhouse_sink", "capture_keeper")


@contextmanager
def suspended(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("times", [1, 2])
def test_after_a_suspend_everything_flows_again_within_a_minute_and_nothing_is_lost(tmp_path: Path, times: int) -> None:
    with temporary_stack(CHECKOUT / ".finlake" / "jars", SERVICES, print) as stack:
        for _ in range(times):
            _suspend_and_come_back(stack)
        reconciliation = Reconciliation.of(settings_from(Settings, stack.environment()))
        assert reconciliation.drain(wait_s=120)
        report = reconciliation.run(None)
        assert report.is_proven, report.verdict


def _suspend_and_come_back(stack: LocalStack) -> None:
    stream = settings_from(Settings, stack.environment())

    def newest_row() -> float:
        """Unix second at which the newest row of ClickHouse was committed in Postgres."""
        with admin(stream.clickhouse) as client:
            return float(
                client.query(f"SELECT toUnixTimestamp64Micro(max(committed_ts)) / 1e6 FROM {STOCK_REALTIME.address}").result_rows[
                    0
                ][0]
            )

    @retry(stop=stop_after_delay(60), wait=wait_fixed(0.5), reraise=True)
    def flows_since(second: float) -> None:
        assert newest_row() > second

    flows_since(time.time())
    with suspended(Supervisor(stack.layout).leftovers()):
        threading.Event().wait(SUSPENDED_S)
    resumed = time.time()
    flows_since(resumed)
    print(f"flows again {time.time() - resumed:.1f} s after a suspend of {SUSPENDED_S} s")
