"""The engine in the process is heard by this process alone."""

import socket
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.column_sums import half_even
from spark.contracts.engine import MOST_FILE_BYTES, MOST_ROWS, InputTooLargeError, require_room
from spark.lake import embedded
from spark.lake.embedded import EngineNotPrivateError


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    embedded.stop()
    yield
    embedded.stop()


def listening() -> set[int]:
    return {each.laddr.port for each in psutil.Process().net_connections("tcp") if each.status == psutil.CONN_LISTEN}


def test_the_engine_answers_and_nobody_else_can_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before, close = listening(), embedded._close_port
    ports: list[int] = []

    def closed(port: int) -> None:
        ports.append(port)
        close(port)

    monkeypatch.setattr(embedded, "_close_port", closed)
    session = embedded.session({})
    assert [tuple(row) for row in session.sql("select 1 + 1").collect()] == [(2,)]
    assert listening() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[-1]), timeout=5)
    # It goes on answering those who are connected, and they are one.
    assert embedded.session({}) is session
    assert session.range(3).count() == 3


def test_a_start_beside_another_connection_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger who connects before the port is closed is seen in the count of connections, and one who then says nothing
    keeps nobody waiting."""
    strangers: list[socket.socket] = []
    close = embedded._close_port

    def close_after_a_stranger(port: int) -> None:
        if not strangers:
            strangers.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            while [each.laddr.port for each in psutil.Process().net_connections("tcp") if each.raddr].count(port) < 2:
                time.sleep(0.01)
        close(port)

    monkeypatch.setattr(embedded, "_close_port", close_after_a_stranger)
    session = embedded.session({})
    assert session.range(2).count() == 2
    # The server that he had reached is gone.
    (stranger,) = strangers
    with stranger:
        stranger.settimeout(10)
        assert _ends(stranger)


def _ends(connection: socket.socket) -> bool:
    """Whether the other side goes, after whatever it says."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return True


def test_where_strangers_never_stop_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, before = iter(range(0, 10**9, 2)), listening()
    monkeypatch.setattr(embedded, "STARTED_WITHIN_S", 0.2)
    monkeypatch.setattr(embedded, "_connections_ever", lambda: next(counts))
    with pytest.raises(EngineNotPrivateError, match="FINLAKE_ENGINE=spark"):
        embedded.session({})
    assert listening() == before


@given(numbers=st.lists(st.one_of(st.floats(allow_nan=False), st.integers(-(2**53), 2**53).map(lambda n: n / 2)), min_size=1))
@settings(max_examples=60, deadline=None)
def test_numbers_are_rounded_half_to_even_as_numpy_does(numbers: list[float]) -> None:
    frame = embedded.session({}).createDataFrame(pa.table({"number": pa.array(numbers, pa.float64())}))
    rounded = [row[0] for row in frame.selectExpr(half_even("number")).collect()]
    assert rounded == np.rint(numbers).tolist()


def test_more_than_the_engine_takes_is_refused_in_words_that_help() -> None:
    require_room("bronze.stooq_prices", MOST_ROWS, MOST_FILE_BYTES)
    for rows, file_bytes in ((MOST_ROWS + 1, 0), (1, MOST_FILE_BYTES + 1)):
        with pytest.raises(InputTooLargeError, match="bronze.stooq_prices.*Nothing was read.*FINLAKE_ENGINE=spark"):
            require_room("bronze.stooq_prices", rows, file_bytes)
