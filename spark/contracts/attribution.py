"""Whose data a table holds: the vendors, the terms that come with their data, and which tables descend from whom.

`VENDORS` is the one list of them: the lake has their bronze tables, and quarantine what those reject.
"""

from collections.abc import Mapping

from spark.contracts import bronze, speed
from spark.contracts.table import Table, Vendor, upstream

STOOQ = Vendor(
    name="Stooq",
    url="https://stooq.com/",
    terms="Stooq's own terms apply to whoever downloads the files; finlake contains no data of Stooq and grants no "
    "right to pass it on. The samples are Quandl WIKI prices, public domain.",
    citation="Daily prices: Stooq, https://stooq.com/.",
    tables=(bronze.STOOQ_PRICES, bronze.STOOQ_DOWNLOADS),
)

GDELT = Vendor(
    name="The GDELT Project",
    url="https://www.gdeltproject.org/",
    terms="Unlimited use and redistribution, on condition that the GDELT Project is cited with a link to its site.",
    citation="News: the GDELT Project, https://www.gdeltproject.org/.",
    tables=(bronze.GDELT_GKG, bronze.GDELT_SLOTS),
)

FINNHUB = Vendor(
    name="Finnhub",
    url="https://finnhub.io/",
    terms="Finnhub's own terms apply to whoever's token the feed uses; finlake grants no right to pass its data on. The "
    "samples are generated in the form of Finnhub's messages.",
    citation="Live trades and quotes: Finnhub, https://finnhub.io/.",
    tables=(bronze.FINNHUB_TRADES_CDC, bronze.FINNHUB_QUOTES_CDC, speed.STOCK_REALTIME, speed.QUOTES_REALTIME),
)

VENDORS: tuple[Vendor, ...] = (
    STOOQ,
    GDELT,
    FINNHUB,
)

BRONZE_TABLES: tuple[Table, ...] = tuple(each for vendor in VENDORS for each in vendor.tables if each.layer == "bronze")
"""What vendors said, in their order."""


def vendors_of(table: Table, tables: Mapping[str, Table]) -> tuple[Vendor, ...]:
    """The vendors whose data the rows of `table` hold or are computed from, in the order of `VENDORS`."""
    addresses = {table.address} | upstream(table, tables)
    return tuple(vendor for vendor in VENDORS if any(each.address in addresses for each in vendor.tables))
