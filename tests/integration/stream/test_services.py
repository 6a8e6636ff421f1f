"""The whole stream as `finlake up` starts it: the feed's trades are in ClickHouse, and its services stop by themselves."""

from xmlrpc.client import ServerProxy

import clickhouse_connect
import pytest
from supervisor.xmlrpc import SupervisorTransport
from tenacity import retry, stop_after_delay, wait_fixed

from deploy.local.stack import LocalStack
from finlake_clients.connect.change_capture import CONNECTOR
from finlake_clients.connect.rest import KafkaConnect

pytestmark = pytest.mark.stack

SERVICES = ("trade_feed", "clickhouse_sink", "kafka_connect")

eventually = retry(stop=stop_after_delay(60), wait=wait_fixed(0.2), reraise=True)


@pytest.fixture(scope="module")
def stack(idle_stack: LocalStack) -> LocalStack:
    idle_stack.up(services=SERVICES)
    return idle_stack


def rows_in_clickhouse(stack: LocalStack) -> int:
    client = clickhouse_connect.get_client(
        dsn=stack.environment()["FINLAKE_CLICKHOUSE_URL"],
        username="reader",
        password=stack.layout.password_file("clickhouse_reader").read_text(),
    )
    return int(client.query("SELECT count() FROM speed.stock_realtime").result_rows[0][0])


def test_trades_of_the_feed_arrive_in_clickhouse(stack: LocalStack) -> None:
    before = rows_in_clickhouse(stack)

    @eventually
    def more_rows() -> None:
        assert rows_in_clickhouse(stack) > before

    more_rows()
    connect = KafkaConnect(stack.environment()["FINLAKE_CONNECT_URL"], stack.layout.connect_certificate)
    assert connect.status(CONNECTOR).is_running


@pytest.mark.parametrize("name", ["trade_feed", "clickhouse_sink", "clickhouse"])
def test_a_service_that_is_asked_to_stop_ends_by_itself(stack: LocalStack, name: str) -> None:
    url = f"unix://{stack.layout.supervisor_socket}"
    proxy = ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, url))
    proxy.supervisor.stopProcess(name, True)
    try:
        info = proxy.supervisor.getProcessInfo(name)
        assert isinstance(info, dict)
        assert (info["statename"], info["exitstatus"]) == ("STOPPED", 0)
    finally:
        stack.up(services=SERVICES)
