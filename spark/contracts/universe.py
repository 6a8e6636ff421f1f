"""The shape of the universe file: which tickers the lake follows, what vendors call them, which names mean them.

The file is TOML and edited by hand; adding a ticker is one `[[ticker]]` block and a backfill. Whatever could be a slip
of the hand is refused, with its line.
"""

import difflib
import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Literal, TypedDict

from spark.contracts.universe_text import LINE_CHARACTERS, MOST_DIGITS, UniverseText

AliasPolicy = Literal["strong", "context"]

TICKER_KEYS = ("symbol", "company", "stooq", "title_patterns", "company_words", "aliases", "listed", "delisted", "suspended")
ALIAS_KEYS = ("name", "policy", "from", "to")
SPAN_KEYS = ("from", "to")
# What a ticker's listing says decides which bars are expected, not which news are kept.
LISTING_FIELDS = ("listed", "delisted", "suspended")

# Symbols and codes become parts of file names, URLs and table rows.
_SYMBOL = re.compile(r"[A-Z0-9]{1,10}(?:[.-][A-Z0-9]{1,5})?")
_STOOQ_CODE = re.compile(r"\^?[a-z0-9]{1,12}(?:[._-][a-z0-9]{1,8}){0,3}")
_TITLE_PATTERN = re.compile(r"[A-Za-z][A-Za-z ]*:\s*[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*")
_NOT_TOML_LINE = re.compile(r"at line (\d+)")
_NO_LETTERS = str.maketrans("&.,", "   ")


class UniverseError(ValueError):
    """The universe file cannot be used; the message shows the line and what to write instead."""


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
class Suspension:
    """Sessions on which a listed ticker did not trade, both inclusive; open when `end` is None."""

    start: date
    end: date | None = None

    def holds(self, day: date) -> bool:
        """Whether the ticker was suspended on a day."""
        return self.start <= day and (self.end is None or day <= self.end)


@dataclass(frozen=True, kw_only=True)
class Ticker:
    """One company: its symbol, the vendors' codes, its exchange code in titles, its aliases, when it traded.

    `listed` and `delisted` are the first and the last session on which it traded; None where the file does not say.
    """

    symbol: str
    company: str
    stooq_code: str
    title_patterns: tuple[str, ...]
    company_words: tuple[str, ...]
    aliases: tuple[Alias, ...]
    listed: date | None = None
    delisted: date | None = None
    suspended: tuple[Suspension, ...] = ()


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
        return _sha256(
            [{name: value for name, value in asdict(ticker).items() if name not in LISTING_FIELDS} for ticker in self.tickers]
        )

    @property
    def listings_sha256(self) -> str:
        """Hash of everything that decides which bars are expected."""
        return _sha256([{name: asdict(ticker)[name] for name in ("symbol", *LISTING_FIELDS)} for ticker in self.tickers])


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def parse_universe(text: str) -> Universe:
    """The universe from TOML text, a byte order mark before it or not; raises `UniverseError` with the line and the mend."""
    where = UniverseText(text.removeprefix("\ufeff"))
    content = _content(where)
    for stranger in sorted(set(content) - {"ticker"}):
        raise UniverseError(
            f"{where.said(where.top_level(stranger))}: {stranger} is unknown; the file knows [[ticker]] blocks "
            "only, with double brackets"
        )
    entries = content.get("ticker", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UniverseError(
            f"{where.said(where.top_level('ticker'))}: tickers are listed as [[ticker]] blocks, with double brackets"
        )
    if not entries:
        raise UniverseError("universe file: it names no ticker; add a [[ticker]] block")
    blocks = [_Block(where, number, entry) for number, entry in enumerate(entries)]
    tickers = [block.ticker() for block in blocks]
    _refuse_doubled(blocks, [ticker.symbol.replace("-", ".") for ticker in tickers], "symbol")
    _refuse_doubled(blocks, [ticker.stooq_code.replace("_", ".") for ticker in tickers], "stooq")
    return Universe(tickers=tuple(sorted(tickers, key=lambda ticker: ticker.symbol)))


def _content(where: UniverseText) -> dict[str, object]:
    try:
        return tomllib.loads(where.text)
    except tomllib.TOMLDecodeError as error:
        raise UniverseError(_not_toml(where, error)) from error
    except RecursionError as error:
        raise UniverseError(
            f"{where.said(where.too_deep())}: brackets within brackets, deeper than can be read; compare the "
            "blocks in universe.toml"
        ) from error
    except ValueError as error:
        # The reader gives digits on to Python, which reads no more of them than this.
        raise UniverseError(
            f"{where.said(where.too_long_integer())}: a number has more than {MOST_DIGITS:,} digits; no key of "
            "this file wants a number, remove it"
        ) from error


def _not_toml(where: UniverseText, error: tomllib.TOMLDecodeError) -> str:
    found = _NOT_TOML_LINE.search(str(error))
    # Without a line the reader was at the end of the document.
    line = int(found[1]) if found else len(where.text.rstrip().split("\n"))
    return f"{where.said(line)}: this is not TOML ({error}); compare the blocks in universe.toml"


def _refuse_doubled(blocks: "list[_Block]", values: list[str], key: str) -> None:
    """Two blocks that mean the same thing, however it is spelt."""
    first: dict[str, _Block] = {}
    for block, value in zip(blocks, values, strict=True):
        if value in first:
            raise UniverseError(
                f"{block.location(key)}: {key} {value} stands twice, also in line {first[value].line(key)}; keep one block each"
            )
        first[value] = block


class _Listing(TypedDict):
    """The fields of a ticker that say when it traded."""

    listed: date | None
    delisted: date | None
    suspended: tuple[Suspension, ...]


class _Block:
    """One `[[ticker]]` block: its entries, and where they stand."""

    def __init__(self, where: UniverseText, number: int, entry: Mapping[str, object]) -> None:
        self._where, self._number, self._entry = where, number, entry

    def line(self, key: str) -> int | None:
        """Line of a key, or of the block's header."""
        return self._where.key(self._number, key)

    def location(self, key: str, value: str | None = None) -> str:
        """Line of a key, or of a value under it, in words."""
        line = self.line(key) if value is None else self._where.value(self._number, key, value)
        return self._where.said(line)

    def about(self, key: str, value: str | None = None) -> str:
        """The same, with the ticker."""
        symbol = self._entry.get("symbol")
        return f"{self.location(key, value)}: {f'ticker {symbol}' if isinstance(symbol, str) else 'this block'}"

    def ticker(self) -> Ticker:
        """The block as a ticker; raises `UniverseError`."""
        self._refuse_unknown(self._entry, TICKER_KEYS, None)
        symbol = self._symbol()
        company = self._text(self._entry.get("company", symbol), "company")
        return Ticker(
            symbol=symbol,
            company=company,
            stooq_code=self._stooq_code(symbol),
            title_patterns=self._title_patterns(),
            company_words=self._texts("company_words"),
            aliases=self._aliases(),
            **self._listing(),
        )

    def _symbol(self) -> str:
        symbol = self._entry.get("symbol")
        if symbol is None:
            raise UniverseError(f'{self.location("symbol")}: this block has no symbol; add a line like symbol = "AAPL"')
        if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
            raise UniverseError(
                f"{self.location('symbol')}: symbol {_shown(symbol)} is not one; write it in upper case, letters and digits "
                'without blanks, at most one dot or dash between, like symbol = "AAPL" or "BRK.B"'
            )
        return symbol

    def _stooq_code(self, symbol: str) -> str:
        written = self._text(self._entry.get("stooq", f"{symbol.lower().replace('.', '-')}.us"), "stooq")
        code = written.lower()
        if not _STOOQ_CODE.fullmatch(code):
            raise UniverseError(
                f"{self.about('stooq')}: stooq {written!r} is no code of Stooq; write it as Stooq's pages and "
                'file names do, like stooq = "aapl.us" or "brk-b.us"'
            )
        return code

    def _title_patterns(self) -> tuple[str, ...]:
        patterns = self._texts("title_patterns")
        for pattern in patterns:
            if not _TITLE_PATTERN.fullmatch(pattern):
                raise UniverseError(
                    f"{self.about('title_patterns', pattern)}: title pattern {pattern!r} is not EXCHANGE:SYMBOL; write both "
                    'with one colon between, like "NASDAQ:AAPL": a symbol alone would match an everyday word'
                )
        return patterns

    def _aliases(self) -> tuple[Alias, ...]:
        aliases = self._entry.get("aliases", [])
        if not isinstance(aliases, list):
            raise UniverseError(f"{self.about('aliases')}: aliases must be a list of tables with name and policy")
        found = tuple(self._alias(alias) for alias in aliases)
        # Of the same letters by their first day: whatever meets one of those before meets the one that ends last.
        last: dict[str, Alias] = {}
        for alias in sorted(found, key=lambda alias: alias.valid_from or date.min):
            letters = _letters(alias.name)
            other = last.get(letters)
            if other is not None and (alias.valid_from or date.min) <= (other.valid_to or date.max):
                raise UniverseError(
                    f"{self.about('aliases', alias.name)}: alias {alias.name!r} stands twice for the same time; keep one of them"
                )
            last[letters] = alias
        return found

    def _alias(self, entry: object) -> Alias:
        if not isinstance(entry, dict):
            raise UniverseError(f'{self.about("aliases")}: an alias is a table like {{ name = "apple inc", policy = "strong" }}')
        named = entry.get("name")
        self._refuse_unknown(entry, ALIAS_KEYS, named if isinstance(named, str) else None)
        name = self._text(named, "aliases", "alias name")
        policy = entry.get("policy", "strong")

        def subject() -> str:
            return f"{self.about('aliases', name)}: alias {name!r}"

        if policy not in ("strong", "context"):
            raise UniverseError(f"{subject()} has policy {_shown(policy)}; write strong or context")
        valid_from = _date(entry.get("from"), subject, "from")
        valid_to = _date(entry.get("to"), subject, "to")
        _refuse_swapped(valid_from, valid_to, subject)
        return Alias(name=name, policy=policy, valid_from=valid_from, valid_to=valid_to)

    def _listing(self) -> "_Listing":
        listed = _date(self._entry.get("listed"), lambda: f"{self.about('listed')}: listed", "listed")
        delisted = _date(self._entry.get("delisted"), lambda: f"{self.about('delisted')}: delisted", "delisted")
        _refuse_swapped(listed, delisted, lambda: f"{self.about('delisted')}: the listing")
        spans = self._entry.get("suspended", [])
        if not isinstance(spans, list):
            raise UniverseError(f"{self.about('suspended')}: suspended is a list like [{{ from = 2020-03-02, to = 2020-03-06 }}]")
        return {"listed": listed, "delisted": delisted, "suspended": tuple(self._suspension(span) for span in spans)}

    def _suspension(self, entry: object) -> Suspension:
        def subject() -> str:
            return f"{self.about('suspended')}: a suspension"

        if not isinstance(entry, dict) or "from" not in entry:
            raise UniverseError(
                f"{subject()} is a table like {{ from = 2020-03-02, to = 2020-03-06 }}; without to it has not ended"
            )
        self._refuse_unknown(entry, SPAN_KEYS, None, "suspended")
        start = _date(entry["from"], subject, "from")
        end = _date(entry.get("to"), subject, "to")
        assert start is not None
        _refuse_swapped(start, end, subject)
        return Suspension(start=start, end=end)

    def _refuse_unknown(
        self, entry: Mapping[str, object], known: Collection[str], value: str | None, within: str = "aliases"
    ) -> None:
        for key in sorted(set(entry) - set(known)):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            is_of_block = known is TICKER_KEYS
            place = self.about(key) if is_of_block else self.about(within, value)
            raise UniverseError(f"{place}: unknown key {key}; {hint}")

    def _text(self, value: object, key: str, called: str | None = None) -> str:
        if isinstance(value, str) and value and value == value.strip() and value.isprintable():
            return value
        seen = _as_seen(value) if isinstance(value, str) else ""
        if not isinstance(value, str) or not seen:
            raise UniverseError(f"{self.about(key)}: {called or key} is {_shown(value)}; write a text")
        raise UniverseError(
            f"{self.about(key, value)}: {called or key} {_shown(value)} has blanks at its edge, or characters "
            f"that cannot be seen; write {seen!r}"
        )

    def _texts(self, key: str) -> tuple[str, ...]:
        values = self._entry.get(key, [])
        if not isinstance(values, list):
            raise UniverseError(f"{self.about(key)}: {key} is {_shown(values)}; write a list of texts")
        texts = tuple(self._text(value, key) for value in values)
        before: set[str] = set()
        for text in texts:
            if text.lower() in before:
                raise UniverseError(f"{self.about(key, text)}: {key} holds {text!r} twice; keep one")
            before.add(text.lower())
        return texts


def _date(value: object, subject: Callable[[], str], key: str) -> date | None:
    if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
        raise UniverseError(f"{subject()} has date {_shown(value)}; write it bare, like {key} = 2021-10-28")
    return value


def _refuse_swapped(start: date | None, end: date | None, subject: Callable[[], str]) -> None:
    if start and end and end < start:
        raise UniverseError(f"{subject()} ends ({end}) before it begins ({start}); swap the dates")


def _letters(name: str) -> str:
    """A name as it is compared: lower case, without the signs that vanish in GDELT's names."""
    return " ".join(name.lower().translate(_NO_LETTERS).split())


def _shown(value: object) -> str:
    """A value as it is written, cut to what a message has room for."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):
        return "too large to be shown"
    return shown if len(shown) <= LINE_CHARACTERS else f"{shown[:LINE_CHARACTERS]}…"


def _as_seen(text: str) -> str:
    """A text without what cannot be seen: signs without a width are gone, and blanks of any kind are plain and single."""
    visible = "".join(
        character if character.isprintable() else "" if unicodedata.category(character) == "Cf" else " " for character in text
    )
    return " ".join(visible.split())
