"""Whose data a table holds follows from what it is computed from."""

from pathlib import Path

import pytest

from spark.contracts.attribution import BRONZE_TABLES, FINNHUB, GDELT, STOOQ, VENDORS, vendors_of
from spark.contracts.lake import TABLES, table
from spark.contracts.table import Vendor, upstream

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
        ("silver.quarantine", VENDORS),
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


def test_a_table_has_one_vendor_who_lists_it() -> None:
    listed = [each.address for vendor in VENDORS for each in vendor.tables]
    assert len(listed) == len(set(listed))
    assert {each.address for each in BRONZE_TABLES} == {address for address, each in TABLES.items() if each.layer == "bronze"}


def test_the_attributions_page_leads_to_the_terms_and_citation_of_every_vendor() -> None:
    assert "(data-dictionary.md#vendors)" in (REPOSITORY / "docs/attributions.md").read_text()
    page = (REPOSITORY / "docs/data-dictionary.md").read_text()
    rows = [f"| [{each.name}]({each.url}) | {each.terms} | {each.citation} |" for each in VENDORS]
    assert [row for row in rows if row not in page] == []
