"""Whose data a table holds: the vendors, the terms that come with their data, and which tables descend from whom."""

from collections.abc import Mapping
from dataclasses import dataclass

from spark.contracts.table import Table, upstream


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """A source of data: its address, the terms of use in one sentence, the words to cite it with."""

    name: str
    url: str
    terms: str
    citation: str


STOOQ = Vendor(
    name="Stooq",
    url="https://stooq.com/",
    terms="Stooq's own terms apply to whoever downloads the files; finlake contains no data of Stooq and grants no "
    "right to pass it on. The samples are Quandl WIKI prices, public domain.",
    citation="Daily prices: Stooq, https://stooq.com/.",
)

GDELT = Vendor(
    name="The GDELT Project",
    url="https://www.gdeltproject.org/",
    terms="Unlimited use and redistribution, on condition that the GDELT Project is cited with a link to its site.",
    citation="News: the GDELT Project, https://www.gdeltproject.org/.",
)

FINNHUB = Vendor(
    name="Finnhub",
    url="https://finnhub.io/",
    terms="Finnhub's own terms apply to whoever's token the feed uses; finlake grants no right to pass its data on. The "
    "samples are generated in the form of Finnhub's messages.",
    citation="Live trades and quotes: Finnhub, https://finnhub.io/.",
)

VENDORS: tuple[Vendor, ...] = (STOOQ, GDELT, FINNHUB)

_VENDOR_OF: dict[str, Vendor] = {
    "bronze.stooq_prices": STOOQ,
    "bronze.stooq_downloads": STOOQ,
    "bronze.gdelt_gkg": GDELT,
    "bronze.gdelt_slots": GDELT,
    "bronze.finnhub_trades_cdc": FINNHUB,
    "bronze.finnhub_quotes_cdc": FINNHUB,
    "speed.stock_realtime": FINNHUB,
    "speed.quotes_realtime": FINNHUB,
}


def vendors_of(table: Table, tables: Mapping[str, Table]) -> tuple[Vendor, ...]:
    """The vendors whose data the rows of `table` hold or are computed from, in the order of `VENDORS`."""
    addresses = {table.address} | upstream(table, tables)
    return tuple(v for v in VENDORS if any(_VENDOR_OF.get(address) == v for address in addresses))
