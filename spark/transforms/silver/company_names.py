"""The alias policy: which names in a GDELT record mean a company of the universe.

Names are compared whole and normalised, never by substring. A `strong` alias is enough alone, wherever it stands. A
`context` alias is an everyday word or a share button ("apple", "facebook") and needs one of

* `ticker_pattern`: the exchange pattern in the title, such as "(NASDAQ:AAPL)", which is also enough without any alias;
* `strong_alias`: a strong alias of the same ticker inside a longer name, such as "Apple Inc Chief Executive";
* `company_word`: a word of the company in the title ("iphone"), or the alias itself in the title beside a word of the
  stock market ("apple earnings");
* `theme`: a stock-market theme within `THEME_DISTANCE` characters of the alias in the article's text.

Ticker symbols are never matched as words. A one-word alias that is also an everyday word should be `context` in the
universe file: a strong one matches any title it stands in.
"""

import html
import re
import string
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

from spark.contracts.universe import Alias, Ticker, Universe, UniverseError

MatchedField = Literal["organization", "name", "title"]
MatchRule = Literal["strong", "ticker_pattern", "strong_alias", "company_word", "theme"]

THEME_DISTANCE = 400
MARKET_THEMES = frozenset({"ECON_STOCKMARKET", "ECON_EARNINGSREPORT"})
# "shares" and "share" are absent: "man shares video on Facebook". Directly after the alias they do count.
MARKET_WORDS = ("stock", "stocks", "earnings", "revenue", "dividend", "buyback", "shareholders", "nasdaq", "nyse")
_AFTER_ALIAS = ("shares", "share price", "profit", "profits", "sales", "results")
# Stock-bot pages glue their headings to the company's name: "Insider Activity at Arthur J. Gallagher & Co.".
_TEMPLATE_PREFIXES = ("insider activity at ", "quarter for ", "news ratings for ")
_TEMPLATE_SUFFIXES = (" company profile", " stock performance")

_FIELD_ORDER: tuple[MatchedField, ...] = ("organization", "name", "title")
_RULE_ORDER: tuple[MatchRule, ...] = ("strong", "ticker_pattern", "strong_alias", "company_word", "theme")
_VANISHING = str.maketrans("&.,", "   ")
_POSSESSIVE = re.compile(r"['’]+s?(?!\w)")
_SEPARATORS = str.maketrans(
    dict.fromkeys(string.punctuation.replace("-", "") + "‘’‚“”„«»‹›–—…•·|¡¿。、，！？：；（）「」『』【】।", " ")
)
_OFFSET = re.compile(r"[0-9]{1,9}")
LONGEST_TITLE = 4_000
"""Characters of a title that are read; a headline has some hundred. Python refuses references of more than 4,300 digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Article:
    """What a GKG record says of names: its fields as they came, its title with character references resolved.

    `day_date` decides which aliases are valid. The V2 fields give offsets and may be left out to find candidates.
    """

    organizations_v1: str
    all_names: str
    title: str
    day_date: date
    organizations_v2: str = ""
    themes_v2: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Why an article is about a ticker: the normalised name that matched, where it stood, by which rule."""

    ticker: str
    alias: str
    field: MatchedField
    rule: MatchRule


def normalise(name: str) -> str:
    """A name in the form of GDELT's V1 columns.

    Lower case; `&`, `.` and `,` vanish; apostrophe-s is cut; hyphens stay; white space is single. Idempotent.
    Character references (`&amp;`) must be resolved before.
    """
    return " ".join(_POSSESSIVE.sub("", name.lower().translate(_VANISHING)).split())


def without_template(name: str) -> str:
    """A normalised name without the headings that stock-bot pages glue to it."""
    for prefix in _TEMPLATE_PREFIXES:
        name = name.removeprefix(prefix)
    for suffix in _TEMPLATE_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def title_words(title: str) -> tuple[str, ...]:
    """The normalised words of a title without punctuation; a hyphenated word is one word."""
    words = (word.strip("-") for word in normalise(title).translate(_SEPARATORS).split())
    return tuple(word for word in words if word)


def page_title(extras_xml: str) -> str:
    """The page title of a GKG record up to `LONGEST_TITLE`, character references resolved once; empty when there is none."""
    # A begin without an end after it leaves none for later begins either, so that none of them needs a look.
    title, end, _ = extras_xml.partition("<PAGE_TITLE>")[2].partition("</PAGE_TITLE>")
    return html.unescape(title[:LONGEST_TITLE]).strip() if end else ""


class Matcher:
    """The aliases of a universe, ready to be looked up. Immutable and cheap to share.

    Raises `UniverseError` for an alias or company word without a word in it, and for a title pattern that is not an
    exchange and a symbol.
    """

    def __init__(self, tickers: Iterable[Ticker]) -> None:
        self._by_name: dict[str, list[tuple[str, Alias]]] = {}
        self._in_titles: list[tuple[str, str, str, Alias]] = []
        self._patterns: list[tuple[str, str, re.Pattern[str]]] = []
        self._company_words: dict[str, tuple[str, ...]] = {}
        self._strong: dict[str, list[tuple[str, Alias]]] = {}
        for ticker in tickers:
            for name in (*(alias.name for alias in ticker.aliases), *ticker.company_words):
                if not title_words(name):
                    raise UniverseError(f"ticker {ticker.symbol}: {name!r} holds no word and would match anything; remove it")
            self._company_words[ticker.symbol] = tuple(_phrase(word) for word in ticker.company_words)
            self._patterns += [(ticker.symbol, pattern.lower(), _exchange_pattern(pattern)) for pattern in ticker.title_patterns]
            for alias in ticker.aliases:
                name = normalise(alias.name)
                self._by_name.setdefault(name, []).append((ticker.symbol, alias))
                self._in_titles.append((ticker.symbol, name, _phrase(name), alias))
                if alias.policy == "strong":
                    self._strong.setdefault(ticker.symbol, []).append((_phrase(name), alias))
        # A text without the longest word of any alias cannot match, and most records end here.
        self._anchors = tuple(sorted({max(phrase.split(), key=len) for _, _, phrase, _ in self._in_titles}))

    @classmethod
    def from_universe(cls, universe: Universe) -> "Matcher":
        """The matcher of a universe file."""
        return cls(universe.tickers)

    def candidates(self, article: Article) -> tuple[str, ...]:
        """Tickers of which any valid alias, strong or context, or any title pattern stands in the article; sorted.

        Always a superset of the tickers of `matches`: what bronze keeps is enough to match in silver.
        """
        return tuple(sorted({ticker for ticker, _, _, _ in self._hits(article)}))

    def matches(self, article: Article) -> tuple[Match, ...]:
        """At most one match per ticker, ordered by ticker: the one with the strongest rule, then the earliest field."""
        best: dict[str, tuple[tuple[int, int, str], Match]] = {}
        evidence = _Evidence(article)
        for ticker, name, field, alias in self._hits(article):
            rule = self._rule(ticker, name, alias, article, evidence)
            if rule is None:
                continue
            order = (_RULE_ORDER.index(rule), _FIELD_ORDER.index(field), name)
            if ticker not in best or order < best[ticker][0]:
                best[ticker] = (order, Match(ticker=ticker, alias=name, field=field, rule=rule))
        return tuple(best[ticker][1] for ticker in sorted(best))

    def _hits(self, article: Article) -> Iterator[tuple[str, str, MatchedField, Alias | None]]:
        """Every valid alias and title pattern in the article, judged by nobody yet; a pattern has no alias."""
        if ":" in article.title:
            for ticker, pattern, expression in self._patterns:
                if expression.search(article.title):
                    yield ticker, pattern, "title", None
        text = f"{article.organizations_v1}\n{article.all_names}\n{article.title}".lower()
        if not any(anchor in text for anchor in self._anchors):
            return
        fields: tuple[tuple[MatchedField, Iterable[str]], ...] = (
            ("organization", _organization_names(article.organizations_v1)),
            ("name", _with_offsets(article.all_names)),
        )
        for field, names in fields:
            for name in names:
                for ticker, alias in self._by_name.get(name, ()):
                    if _is_valid(alias, article.day_date):
                        yield ticker, name, field, alias
        title = _padded(article.title)
        for ticker, name, phrase, alias in self._in_titles:
            if phrase in title and _is_valid(alias, article.day_date):
                yield ticker, name, "title", alias

    def _rule(self, ticker: str, name: str, alias: Alias | None, article: Article, evidence: "_Evidence") -> MatchRule | None:
        """The rule by which a hit is a match, None when a context alias stands without context."""
        if alias is None:
            return "ticker_pattern"
        if alias.policy == "strong":
            return "strong"
        if any(symbol == ticker and expression.search(article.title) for symbol, _, expression in self._patterns):
            return "ticker_pattern"
        if any(
            phrase in evidence.names and _is_valid(strong, article.day_date) for phrase, strong in self._strong.get(ticker, ())
        ):
            return "strong_alias"
        if _has_company_word(_phrase(name), self._company_words[ticker], evidence.title):
            return "company_word"
        if evidence.is_near_market_theme(name):
            return "theme"
        return None


class _Evidence:
    """The article's names and title as padded words, and the offsets that the theme rule needs."""

    def __init__(self, article: Article) -> None:
        self.title = _padded(article.title)
        organizations = _with_offsets(article.organizations_v2)
        all_names = _with_offsets(article.all_names)
        # Two blanks between names keep a phrase, which has single ones, from reaching over the end of one.
        self.names = "".join(_padded(name) for name in (*_organization_names(article.organizations_v1), *all_names))
        self._offsets = {name: [*organizations.get(name, ()), *all_names.get(name, ())] for name in {*organizations, *all_names}}
        self._themes = sorted(offset for name, offset in _pairs(article.themes_v2) if name in MARKET_THEMES)

    def is_near_market_theme(self, name: str) -> bool:
        """Whether a market theme stands within `THEME_DISTANCE` characters of the name."""
        themes = self._themes
        return any(
            bisect_left(themes, offset - THEME_DISTANCE) < bisect_right(themes, offset + THEME_DISTANCE)
            for offset in self._offsets.get(name, ())
        )


def _has_company_word(alias: str, company_words: tuple[str, ...], title: str) -> bool:
    """Whether the title shows that the company is meant; phrases and title are padded with blanks."""
    if any(word in title and word not in alias for word in company_words):
        return True
    return alias in title and (
        any(f" {word} " in title for word in MARKET_WORDS) or any(f"{alias}{word} " in title for word in _AFTER_ALIAS)
    )


def _is_valid(alias: Alias, day: date) -> bool:
    return (alias.valid_from is None or alias.valid_from <= day) and (alias.valid_to is None or day <= alias.valid_to)


def _exchange_pattern(pattern: str) -> re.Pattern[str]:
    """`NASDAQ:AAPL` in a title, blanks around the colon allowed, not as a part of a longer symbol (BRK.B, GOOGL)."""
    exchange, _, symbol = (part.strip() for part in pattern.partition(":"))
    if not exchange or not symbol or ":" in symbol:
        raise UniverseError(
            f"title pattern {pattern!r} is not EXCHANGE:SYMBOL and would match a bare word; write it like NYSE:KO"
        )
    parts = rf"{re.escape(exchange)}\s*:\s*{re.escape(symbol)}"
    return re.compile(rf"(?<![\w:]){parts}(?!\w|[.-]\w)", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _phrase(name: str) -> str:
    """The words of a name between blanks, to be found whole in padded words."""
    return f" {' '.join(title_words(name))} "


def _padded(text: str) -> str:
    return f" {' '.join(title_words(text))} "


def _organization_names(organizations_v1: str) -> list[str]:
    """Normalised V1 organisations, template headings cut, each once: a name is judged against the whole record."""
    return list(dict.fromkeys(without_template(normalise(name)) for name in organizations_v1.split(";") if name))


def _with_offsets(field: str) -> Mapping[str, list[int]]:
    """Normalised names of a `Name,offset;` field with their offsets."""
    found: dict[str, list[int]] = {}
    for name, offset in _pairs(field):
        found.setdefault(without_template(normalise(name)), []).append(offset)
    return found


def _pairs(field: str) -> Iterator[tuple[str, int]]:
    """The blocks of a `Name,offset;` field; a block without a number after its last comma is left out."""
    for block in field.split(";"):
        name, _, offset = block.rpartition(",")
        if name and _OFFSET.fullmatch(offset):
            yield name, int(offset)
