"""Rows of a lake that is older than a column of state: the next window is right all the same."""

from datetime import date

import pyarrow as pa
import pytest
from pyiceberg.expressions import AlwaysTrue

from finlake_clients.lake_client import LakeClient
from finlake_services.sample_sources import prices
from spark.contracts import gold
from spark.contracts.report import Window
from spark.lake.storage import Lake
from spark.transforms.gold.indicators import LATER_STATE, LOOKBACK_BARS
from tests.integration.lake.chain import PROVENANCE, Chain, price_file, published, universe

pytestmark = pytest.mark.stack

ADDRESS = gold.INDICATORS.address
LAST, FETCHED = date(2018, 3, 27), date(2018, 3, 28)
BARS = prices.history("AAPL")[-LOOKBACK_BARS - 30 :]


def test_a_row_without_the_state_is_no_state_and_the_ticker_is_read_from_its_first_bar(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL"))
    chain.load_prices(price_file("AAPL", BARS, FETCHED))
    whole = Window(start=BARS[0].session_date, end=LAST)
    chain.build("silver.prices_daily", whole)
    chain.build(ADDRESS, whole)
    at_once = published(empty_lake, ADDRESS)

    rows = empty_lake.rows(ADDRESS, columns=gold.INDICATORS.column_names)
    for name in LATER_STATE:
        position = rows.schema.get_field_index(name)
        rows = rows.set_column(position, name, pa.nulls(rows.num_rows, pa.float64()))
    empty_lake.replace_rows(ADDRESS, rows, replaced=AlwaysTrue(), provenance=PROVENANCE)
    chain.build(ADDRESS, Window(start=LAST, end=LAST))

    again = published(empty_lake, ADDRESS)
    newest = again.num_rows - 1
    assert again.slice(newest).equals(at_once.slice(newest))
    assert at_once.slice(newest).column(LATER_STATE[0]).null_count == 0
    assert again.slice(0, newest).column(LATER_STATE[0]).null_count == newest
