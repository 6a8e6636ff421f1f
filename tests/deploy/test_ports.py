import socket
from collections.abc import Iterator

import pytest

from deploy.local.errors import PortTakenError
from deploy.local.ports import is_free, settle
from deploy.local.services import SERVICES, default_ports, free_ports, owner_of, port_names
from finlake_settings.local_stack import LOOPBACK


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_a_port_is_free_again_when_its_listener_has_gone() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    assert is_free(port)


def test_a_port_taken_on_all_interfaces_is_not_free() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_taken_port_is_named_with_its_service_and_the_way_out(taken_port: int) -> None:
    wanted = free_ports().moved({"dagster_webserver": taken_port})
    with pytest.raises(PortTakenError, match=rf"port {taken_port} of dagster_webserver .*finlake up --free-ports"):
        settle(wanted, ["postgres", "dagster_webserver"], move=False)


def test_only_taken_ports_move(taken_port: int) -> None:
    wanted = free_ports().moved({"spark_connect": taken_port})
    settled = settle(wanted, wanted, move=True)
    assert settled["spark_connect"] != taken_port
    assert is_free(settled["spark_connect"])
    assert settled.moved({"spark_connect": 0}) == wanted.moved({"spark_connect": 0})


def test_the_port_of_a_service_that_is_not_asked_for_does_not_matter(taken_port: int) -> None:
    wanted = free_ports().moved({"sample_sources": taken_port})
    assert settle(wanted, port_names(["postgres"]), move=False) == wanted


def test_the_second_port_of_a_service_counts_too(taken_port: int) -> None:
    wanted = free_ports().moved({"kafka_controller": taken_port})
    assert wanted.taken(port_names(["kafka"])) == {"kafka_controller": taken_port}
    assert wanted.taken(port_names(["postgres"])) == {}
    assert settle(wanted, port_names(["kafka"]), move=True)["kafka_controller"] != taken_port
    assert owner_of("kafka_controller") == "kafka"


def test_free_ports_are_all_different() -> None:
    ports = free_ports()
    assert len(set(ports.values())) == len(ports)


def test_the_usual_ports_are_all_different_and_each_belongs_to_one_service() -> None:
    names = port_names(SERVICES)
    assert sorted(names) == sorted(default_ports())
    assert len(set(names)) == len(names) == len(set(default_ports().values()))


def test_a_service_without_a_listener_has_no_port() -> None:
    assert "dagster_daemon" not in default_ports()


def test_a_port_that_is_not_there_does_not_move() -> None:
    with pytest.raises(ValueError, match="no port is named cassandra"):
        default_ports().moved({"cassandra": 1})
