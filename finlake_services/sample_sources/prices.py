"""Daily prices in Stooq's forms, from public-domain Quandl WIKI prices.

Prices are adjusted for splits and dividends; volume is scaled the other way and so becomes fractional, as Stooq's is.
"""

import csv
import gzip
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.resources import files

WIKI_FILES = {"AAPL": "WIKI-AAPL_20180327.csv.gz", "MSFT": "WIKI-MSFT_20180327.csv.gz"}
BOKEH_TICKERS = ("FB", "GOOG", "IBM")
TICKERS = tuple(sorted((*WIKI_FILES, *BOKEH_TICKERS)))

CSV_HEADER = "Date,Open,High,Low,Close,Volume"
CSV_HEADER_PL = "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen"
BULK_HEADER = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"

RESTATEMENTS = ("split", "dividend", "uneven", "broken")
# As measured between dated Stooq snapshots: one dividend moves the past by about 0.1 percent, four at once by 0.34.
DIVIDEND_FACTOR = 0.999065
SPLIT_FACTOR = 0.25


@dataclass(frozen=True)
class Bar:
    """One session: prices in adjusted USD, volume in inversely adjusted shares."""

    session_date: date
    open: float
    high: float
    low: float
    close: float
    volume: float

    def scaled(self, factor: float) -> "Bar":
        """The same bar after a restatement by `factor`: prices times it, volume divided by it."""
        return replace(
            self,
            open=self.open * factor,
            high=self.high * factor,
            low=self.low * factor,
            close=self.close * factor,
            volume=self.volume / factor,
        )


def stooq_code(ticker: str) -> str:
    """Stooq's code of a US ticker."""
    return f"{ticker.lower()}.us"


@cache
def history(ticker: str) -> tuple[Bar, ...]:
    """All bars of a ticker, oldest first; raises KeyError for a ticker without sample data."""
    if ticker in WIKI_FILES:
        return _wiki_history(WIKI_FILES[ticker])
    return _bokeh_histories()[ticker]


def _wiki_history(file_name: str) -> tuple[Bar, ...]:
    packed = files("finlake_services.sample_sources").joinpath("data", file_name).read_bytes()
    rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode("ascii")))
    bars = [
        Bar(
            session_date=date.fromisoformat(row["Date"]),
            open=float(row["Adj. Open"]),
            high=float(row["Adj. High"]),
            low=float(row["Adj. Low"]),
            close=float(row["Adj. Close"]),
            # WIKI scales volume for splits only; Stooq scales it by the whole factor.
            volume=float(row["Volume"]) * float(row["Close"]) / float(row["Adj. Close"]),
        )
        for row in rows
    ]
    return tuple(sorted(bars, key=lambda bar: bar.session_date))


@cache
def _bokeh_histories() -> dict[str, tuple[Bar, ...]]:
    packed = files("bokeh_sampledata").joinpath("_data", "stocks.csv.gz").read_bytes()
    histories: dict[str, list[Bar]] = {ticker: [] for ticker in BOKEH_TICKERS}
    for row in csv.DictReader(io.StringIO(gzip.decompress(packed).decode("ascii"))):
        if row["Ticker"] in histories:
            raw = Bar(
                session_date=date.fromisoformat(row["Date"]),
                open=float(row["Open"]),
                high=float(row["High"]),
                low=float(row["Low"]),
                close=float(row["Close"]),
                volume=float(row["Volume"]),
            )
            histories[row["Ticker"]].append(raw.scaled(float(row["Adj Close"]) / float(row["Close"])))
    return {ticker: tuple(sorted(bars, key=lambda bar: bar.session_date)) for ticker, bars in histories.items()}


def between(bars: Sequence[Bar], start: date | None, end: date | None) -> tuple[Bar, ...]:
    """The bars from `start` to `end`, both inclusive; None leaves that side open."""
    return tuple(bar for bar in bars if (start or date.min) <= bar.session_date <= (end or date.max))


def restated(bars: Sequence[Bar], kind: str) -> tuple[Bar, ...]:
    """A later version of a whole history, as a vendor would rewrite it.

    split: every bar times 0.25. dividend: every bar before the 10th last, times 0.999065. uneven: four dividends
    applied late at once, at 10, 73, 136 and 199 bars before the end. broken: a ratio that changes from bar to bar.
    """
    if kind == "split":
        return tuple(bar.scaled(SPLIT_FACTOR) for bar in bars)
    if kind == "broken":
        return tuple(bar.scaled(1 + 0.01 * math.sin(index)) for index, bar in enumerate(bars))
    boundaries = {"dividend": (10,), "uneven": (10, 73, 136, 199)}[kind]
    count = len(bars)
    return tuple(
        bar.scaled(DIVIDEND_FACTOR ** sum(index < count - boundary for boundary in boundaries)) for index, bar in enumerate(bars)
    )


def price_text(price: float) -> str:
    """Six significant digits, as the vendor writes prices."""
    return f"{price:.6g}"


def volume_text(volume: float) -> str:
    """Up to four decimals, none when whole."""
    return f"{volume:.4f}".rstrip("0").rstrip(".")


def csv_body(bars: Iterable[Bar], header: str = CSV_HEADER) -> bytes:
    """A download: header, one line a session, CRLF after every line."""
    lines = [header]
    lines += [
        ",".join(
            (
                bar.session_date.isoformat(),
                price_text(bar.open),
                price_text(bar.high),
                price_text(bar.low),
                price_text(bar.close),
                volume_text(bar.volume),
            )
        )
        for bar in bars
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def bulk_body(ticker: str, bars: Iterable[Bar]) -> bytes:
    """A member of the bulk archive."""
    name = stooq_code(ticker).upper()
    lines = [BULK_HEADER]
    lines += [
        ",".join(
            (
                name,
                "D",
                bar.session_date.strftime("%Y%m%d"),
                "000000",
                price_text(bar.open),
                price_text(bar.high),
                price_text(bar.low),
                price_text(bar.close),
                volume_text(bar.volume),
                "0",
            )
        )
        for bar in bars
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
