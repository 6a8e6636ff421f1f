"""The contract of a stream row, and the places that repeat it as text: Postgres's constraints, Debezium, Kafka."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local import kafka
from deploy.local.services import default_ports
from finlake_clients.connect.change_capture import CONNECTOR_FILE
from finlake_services.trade_feed.trade_stream import LARGEST_MESSAGE_BYTES
from finlake_settings.checkout import CHECKOUT
from spark.contracts.speed import QUOTE_NUMBERS
from spark.contracts.stream_rows import (
    LONGEST_CAPTURED_TEXT,
    MAX_LETTER_BYTES,
    MAX_RECORD_BYTES,
    MAX_VALUE_BYTES,
    UNITS_PER_S,
    WIDEST_ROW_BYTES,
    in_unit,
    moment,
    quote_constraints,
    trade_constraints,
)

DDL = (CHECKOUT / "deploy" / "postgres" / "market.sql").read_text()
CONNECTOR = json.loads(CONNECTOR_FILE.read_text())


@pytest.mark.parametrize(
    ("relation", "wanted"),
    [
        ("finnhub_trades", trade_constraints()),
        ("finnhub_quotes", quote_constraints([column.name for column in QUOTE_NUMBERS])),
    ],
)
def test_postgres_has_the_constraints_of_the_contract_and_no_other(relation: str, wanted: dict[str, str]) -> None:
    found = dict(re.findall(rf"\('{relation}', '(\w+)', \$check\$(.*?)\$check\$\)", DDL))
    assert found == wanted


def test_what_one_part_of_the_chain_lets_in_the_next_one_takes(tmp_path: Path) -> None:
    broker = kafka.broker_properties(tmp_path, default_ports(), "unused")
    assert int(CONNECTOR["producer.override.max.request.size"]) == MAX_RECORD_BYTES
    assert int(CONNECTOR["producer.override.batch.size"]) <= MAX_RECORD_BYTES
    assert isinstance(broker["message.max.bytes"], int)
    assert MAX_RECORD_BYTES < broker["message.max.bytes"] == broker["replica.fetch.max.bytes"]
    assert WIDEST_ROW_BYTES < MAX_VALUE_BYTES < MAX_LETTER_BYTES < MAX_RECORD_BYTES
    # Whatever one message of the vendor holds, each character of it twice as long in JSON's escapes.
    assert 2 * LARGEST_MESSAGE_BYTES <= MAX_RECORD_BYTES


def test_change_capture_passes_on_bounded_texts_and_no_message_of_the_log() -> None:
    assert CONNECTOR[f"column.truncate.to.{LONGEST_CAPTURED_TEXT}.chars"] == "ods[.].*[.].*"
    assert CONNECTOR["message.prefix.exclude.list"] == ".*"
    assert re.search(r"REVOKE ALL ON FUNCTION pg_logical_emit_message\(", DDL)


@given(
    st.integers(1_000_000_000, 4_000_000_000),
    st.integers(0, 999_999),
    st.sampled_from(sorted(UNITS_PER_S)),
    st.sampled_from(["s", "ms"]),
)
def test_a_time_of_now_is_found_in_any_unit(second: int, micros: int, came_in: str, promised: str) -> None:
    now_us = second * 10**6 + micros
    found = in_unit(now_us * UNITS_PER_S[came_in] // 10**6, promised, now_us)
    # As fine as the coarser of both units.
    per_s = min(UNITS_PER_S[came_in], UNITS_PER_S[promised])
    assert found * per_s // UNITS_PER_S[promised] == now_us * per_s // 10**6


@given(st.integers(946_684_800_000, 9_214_646_399_999), st.integers(0, 10**17))
def test_a_plausible_time_is_left_alone_whenever_it_is_received(stamp: int, received_us: int) -> None:
    assert in_unit(stamp, "ms", received_us) == stamp


@given(st.integers())
def test_no_number_is_too_odd_for_a_moment(stamp: int) -> None:
    found = moment(stamp, "ms")
    assert (found is None) == (not 0 <= stamp < 9_214_646_400_000)
