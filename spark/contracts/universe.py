"""The shape of the universe file: which tickers the lake follows, what vendors call them, which names mean them.

The file is TOML and edited by hand; adding a ticker is one `[[ticker]]` block and a backfill.
"""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Literal

AliasPolicy = Literal["strong", "context"]


class UniverseError(ValueError):
    """The universe file cannot be used; the message names the entry and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A normalised name of a company: alone enough (`strong`) or only beside other evidence (`context`).

    Valid for articles available from `valid_from` to `valid_to`, both inclusive and open when None.
    """

    name: str
    policy: AliasPolicy
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True, kw_only=True)
class Ticker:
    """One company: its symbol, the vendors' codes, its exchange code in titles, its aliases."""

    symbol: str
    company: str
    stooq_code: str
    title_patterns: tuple[str, ...]
    company_words: tuple[str, ...]
    aliases: tuple[Alias, ...]


@dataclass(frozen=True, kw_only=True)
class Universe:
    """All tickers, ordered by symbol."""

    tickers: tuple[Ticker, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in order."""
        return tuple(ticker.symbol for ticker in self.tickers)

    @property
    def stooq_codes(self) -> dict[str, str]:
        """Stooq code to symbol."""
        return {ticker.stooq_code: ticker.symbol for ticker in self.tickers}

    @property
    def sha256(self) -> str:
        """Hash of everything that decides which news are kept: changes when an alias or a ticker does."""
        text = json.dumps([asdict(ticker) for ticker in self.tickers], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def parse_universe(text: str) -> Universe:
    """The universe from TOML text; raises `UniverseError` that names the entry and the mend."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UniverseError(f"the universe file is not TOML ({error}); see the blocks in universe.toml") from error
    strangers = sorted(set(content) - {"ticker"})
    if strangers:
        raise UniverseError(f"the universe file has {', '.join(strangers)}; it knows [[ticker]] blocks only")
    entries = content.get("ticker", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UniverseError("the universe file must list tickers as [[ticker]] blocks, with double brackets")
    tickers = sorted((_ticker(entry) for entry in entries), key=lambda ticker: ticker.symbol)
    if not tickers:
        raise UniverseError("the universe file names no ticker; add a [[ticker]] block")
    for name in ("symbol", "stooq_code"):
        values = [getattr(ticker, name) for ticker in tickers]
        doubled = sorted({value for value in values if values.count(value) > 1})
        if doubled:
            raise UniverseError(f"{name} {', '.join(doubled)} stands twice in the universe file; keep one block each")
    return Universe(tickers=tuple(tickers))


def _ticker(entry: dict[str, object]) -> Ticker:
    """One `[[ticker]]` block."""
    symbol = entry.get("symbol")
    if not isinstance(symbol, str) or not symbol or symbol != symbol.upper():
        raise UniverseError(f"a [[ticker]] block has symbol {symbol!r}; write it in upper case, like symbol = \"AAPL\"")
    known = {"symbol", "company", "stooq", "title_patterns", "company_words", "aliases"}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise UniverseError(f"ticker {symbol} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    aliases = entry.get("aliases", [])
    if not isinstance(aliases, list):
        raise UniverseError(f"ticker {symbol}: aliases must be a list of tables with name and policy")
    return Ticker(
        symbol=symbol,
        company=_text(entry.get("company", symbol), symbol, "company"),
        stooq_code=_text(entry.get("stooq", f"{symbol.lower().replace('.', '-')}.us"), symbol, "stooq").lower(),
        title_patterns=_texts(entry.get("title_patterns", []), symbol, "title_patterns"),
        company_words=_texts(entry.get("company_words", []), symbol, "company_words"),
        aliases=tuple(_alias(alias, symbol) for alias in aliases),
    )


def _alias(entry: object, symbol: str) -> Alias:
    """One alias of a ticker."""
    if not isinstance(entry, dict):
        raise UniverseError(f"ticker {symbol}: an alias is a table like {{ name = \"apple inc\", policy = \"strong\" }}")
    unknown = sorted(set(entry) - {"name", "policy", "from", "to"})
    if unknown:
        raise UniverseError(f"ticker {symbol}: an alias has unknown keys {', '.join(unknown)}; known are name, policy, from, to")
    name = _text(entry.get("name"), symbol, "alias name")
    policy = entry.get("policy", "strong")
    if policy not in ("strong", "context"):
        raise UniverseError(f"ticker {symbol}: alias {name!r} has policy {policy!r}; write strong or context")
    valid_from, valid_to = entry.get("from"), entry.get("to")
    for bound in (valid_from, valid_to):
        if bound is not None and (not isinstance(bound, date) or isinstance(bound, datetime)):
            raise UniverseError(f"ticker {symbol}: alias {name!r} has date {bound!r}; write it bare, like from = 2021-10-28")
    if valid_from and valid_to and valid_to < valid_from:
        raise UniverseError(f"ticker {symbol}: alias {name!r} ends ({valid_to}) before it begins ({valid_from}); swap the dates")
    return Alias(name=name, policy=policy, valid_from=valid_from, valid_to=valid_to)


def _text(value: object, symbol: str, key: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UniverseError(f"ticker {symbol}: {key} is {value!r}; write a text")
    return value


def _texts(value: object, symbol: str, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UniverseError(f"ticker {symbol}: {key} is {value!r}; write a list of texts")
    return tuple(_text(item, symbol, key) for item in value)
