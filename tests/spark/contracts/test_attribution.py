"""Whose data a table holds follows from what it is computed from."""

from pathlib import Path

import pytest

from spark.contracts.attribution import FINNHUB, GDELT, STOOQ, VENDORS, Vendor, vendors_of
from spark.contracts.lake import TABLES, table
from spark.contracts.table import upstream

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("address", "vendors"),
    [
        ("bronze.stooq_downloads", (STOOQ,)),
        ("bronze.gdelt_slots", (GDELT,)),
        ("silver.prices_daily", (STOOQ,)),
        ("gold.news_daily", (GDELT,)),
        ("gold.indicators", (STOOQ,)),
        ("gold.stock_analytics", (STOOQ, GDELT)),
        ("gold.monthly_summary", (STOOQ, GDELT)),
        ("silver.quarantine", (STOOQ, GDELT, FINNHUB)),
        ("gold.candles_1m", (FINNHUB,)),
        ("silver.quotes", (FINNHUB,)),
    ],
)
def test_vendors_are_inherited_through_all_inputs(address: str, vendors: tuple[Vendor, ...]) -> None:
    assert vendors_of(table(address), TABLES) == vendors


def test_every_table_has_a_vendor() -> None:
    assert [address for address, contract in TABLES.items() if not vendors_of(contract, TABLES)] == []


def test_upstream_holds_inputs_of_inputs_and_not_the_table_itself() -> None:
    assert upstream(table("gold.news_daily"), TABLES) == {"silver.news_mentions", "bronze.gdelt_gkg"}
    assert upstream(table("bronze.gdelt_gkg"), TABLES) == frozenset()


def test_the_attributions_page_cites_every_vendor() -> None:
    page = (REPOSITORY / "docs/attributions.md").read_text()
    assert [vendor.name for vendor in VENDORS if vendor.citation not in page or f"]({vendor.url})" not in page] == []
