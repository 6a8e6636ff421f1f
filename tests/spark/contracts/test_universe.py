"""The universe file: what a good one gives, and that a bad one is refused with the entry and the mend named."""

import ast
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_clients.universe_file import MOST_BYTES, UniverseFile
from spark.contracts.universe import Alias, Suspension, UniverseError, parse_universe
from tests.counted_steps import counted_steps

REPOSITORY = Path(__file__).resolve().parents[3]

APPLE = """
[[ticker]]
symbol = "AAPL"
company = "Apple Inc."
title_patterns = ["NASDAQ:AAPL"]
company_words = ["iphone"]
aliases = [
  { name = "apple inc", policy = "strong" },
  { name = "apple computer", to = 2007-01-09 },
  { name = "apple", policy = "context", from = 1980-12-12 },
]
"""
BERKSHIRE = '[[ticker]]\nsymbol = "BRK.B"\n'
IBM = '[[ticker]]\nsymbol = "IBM"\nstooq = "IBM.US"\n'

BLOCK = '[[ticker]]\nsymbol = "AAPL"\n'

REFUSED = {
    "not TOML": ("symbol = ", ["not TOML", "universe.toml"]),
    "empty": ("", ["names no ticker", "[[ticker]]"]),
    "no symbol": ('[[ticker]]\ncompany = "Apple Inc."', ["line 1 [[[ticker]]]", "no symbol", 'symbol = "AAPL"']),
    "lower case symbol": ('[[ticker]]\nsymbol = "aapl"', ["'aapl'", "upper case"]),
    "symbol is a number": ("[[ticker]]\nsymbol = 7", ["symbol 7", 'symbol = "AAPL"']),
    "misspelt key": (BLOCK + "alias = []", ["ticker AAPL", "unknown key alias", "did you mean aliases"]),
    "aliases as text": (BLOCK + 'aliases = "apple"', ["ticker AAPL", "aliases must be a list"]),
    "alias as text": (BLOCK + 'aliases = ["apple"]', ["ticker AAPL", 'name = "apple inc"']),
    "alias without name": (BLOCK + 'aliases = [{ policy = "strong" }]', ["ticker AAPL", "alias name", "write a text"]),
    "unknown policy": (
        BLOCK + 'aliases = [{ name = "apple", policy = "weak" }]',
        ["ticker AAPL", "alias 'apple'", "'weak'", "strong or context"],
    ),
    "date in quotes": (
        BLOCK + 'aliases = [{ name = "apple", from = "2021-10-28" }]',
        ["ticker AAPL", "alias 'apple'", "'2021-10-28'", "from = 2021-10-28"],
    ),
    "company is empty": (BLOCK + 'company = " "', ["ticker AAPL", "company", "write a text"]),
    "words as text": (BLOCK + 'company_words = "iphone"', ["ticker AAPL", "company_words", "list of texts"]),
    "pattern is a number": (BLOCK + "title_patterns = [1]", ["ticker AAPL", "title_patterns", "write a text"]),
    "blank within a symbol": (BLOCK + '[[ticker]]\nsymbol = "K O"', ['line 4 [symbol = "K O"]', "without blanks"]),
    "blank before a symbol": ('[[ticker]]\nsymbol = " KO"', ['line 2 [symbol = " KO"]', "without blanks"]),
    "blank after a symbol": ('[[ticker]]\nsymbol = "KO"\n[[ticker]]\nsymbol = "KO "', ["line 4", "without blanks"]),
    "symbol is a path": ('[[ticker]]\nsymbol = "../KO"', ['line 2 [symbol = "../KO"]', "letters and digits"]),
    "mistyped symbol": ('[[ticker]]\nsymbl = "KO"', ['line 2 [symbl = "KO"]', "did you mean symbol?"]),
    "mistyped key of an alias": (
        BLOCK + 'aliases = [\n  { name = "apple inc" },\n  { name = "apple", polcy = "strong" },\n]',
        ['line 5 [{ name = "apple", polcy = "strong" },]', "did you mean policy?"],
    ),
    "mistyped block": ('[[tickers]]\nsymbol = "KO"', ["line 1 [[[tickers]]]", "[[ticker]] blocks"]),
    "spelt otherwise twice": (
        BERKSHIRE + '[[ticker]]\nsymbol = "BRK-B"\nstooq = "other.us"',
        ["line 4", "also in line 2", "keep one block"],
    ),
    "code with a blank": (BLOCK + 'stooq = "ko us"', ['line 3 [stooq = "ko us"]', "no code of Stooq"]),
    "code is a path": (BLOCK + 'stooq = "../ko.us"', ["line 3", "no code of Stooq"]),
    "pattern without a colon": (BLOCK + 'title_patterns = [\n"NYSE:A",\n"KO"]', ['line 5 ["KO"]]', "EXCHANGE:SYMBOL"]),
    "pattern with two colons": (BLOCK + 'title_patterns = ["NYSE:KO:X"]', ["line 3", "one colon"]),
    "pattern without exchange": (BLOCK + 'title_patterns = [":KO"]', ["line 3", "EXCHANGE:SYMBOL"]),
    "pattern twice": (BLOCK + 'title_patterns = ["NYSE:KO", "nyse:ko"]', ["line 3", "twice"]),
    "blank after a company": (BLOCK + 'company = "Apple "', ["line 3", "write 'Apple'"]),
    "alias twice": (BLOCK + 'aliases = [{ name = "at&t" },\n{ name = "AT T", from = 2020-01-01 }]', ["line 4", "stands twice"]),
    "ends before it begins": (
        BLOCK + "listed = 2020-01-02\ndelisted = 2019-01-02",
        ["line 4 [delisted = 2019-01-02]", "swap the dates"],
    ),
    "listed with a time": (BLOCK + "listed = 2020-01-02T09:30:00", ["line 3", "listed = 2021-10-28"]),
    "suspension without its start": (BLOCK + "suspended = [{ to = 2020-01-02 }]", ["line 3", "from = 2020-03-02"]),
    "suspension swapped": (BLOCK + "suspended = [{ from = 2020-01-03, to = 2020-01-02 }]", ["line 3", "swap the dates"]),
    "suspension mistyped": (BLOCK + "suspended = [{ from = 2020-01-03, til = 2020-01-02 }]", ["line 3", "unknown key til"]),
    "number of 5,000 digits": (BLOCK + "\nx = " + "1" * 5_000, ["line 4 [x = 111", "more than 4,300 digits", "remove it"]),
    "long number in another base": (BLOCK + "company = 0x" + "f" * 5_000, ["line 3", "too large to be shown", "write a text"]),
    "brackets in brackets": (BLOCK + "x = " + "[" * 3_000 + "]" * 3_000, ["line 3 [x = [[[", "brackets within brackets"]),
    "brackets over lines": (BLOCK + "x = " + "[\n" * 3_000 + "]" * 3_000, ["line 53 [[]", "brackets within brackets"]),
    "aliases in brackets": (BLOCK + "aliases = " + "[" * 150 + "]" * 150, ["line 3", "an alias is a table"]),
    "symbol in brackets": ("[[ticker]]\nsymbol = " + "[" * 150 + "]" * 150, ["line 2", "[[[…", 'symbol = "AAPL"']),
    "sign without a width": (BLOCK + 'aliases = [{ name = "apple\u200b inc" }]', ["line 3", "write 'apple inc'"]),
    "no-break blank": (BLOCK + 'aliases = [{ name = "apple\u00a0inc" }]', ["line 3", "write 'apple inc'"]),
    "nothing to be seen": (BLOCK + 'aliases = [{ name = "\u200b" }]', ["line 3", "alias name is", "write a text"]),
    "key twice": (BLOCK + 'symbol = "KO"\n\n', ['line 3 [symbol = "KO"]', "not TOML"]),
    "symbol twice": (
        BERKSHIRE + '[[ticker]]\nsymbol = "BRK.B"\nstooq = "other.us"',
        ["line 4", "symbol BRK.B", "also in line 2", "keep one block"],
    ),
    "stooq code twice": (
        IBM + '[[ticker]]\nsymbol = "IBMX"\nstooq = "ibm.us"',
        ["line 6", "stooq ibm.us", "also in line 3", "keep one block"],
    ),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_file_is_refused_with_entry_and_mend(text: str, words: list[str]) -> None:
    with pytest.raises(UniverseError) as refusal:
        parse_universe(text)
    assert [word for word in words if word not in str(refusal.value)] == []


@given(text=st.text(min_size=1, max_size=12))
def test_a_company_is_taken_as_it_is_written_or_with_the_mend_that_the_refusal_names(text: str) -> None:
    def company(written: str) -> str:
        return parse_universe(BLOCK + f"company = {json.dumps(written, ensure_ascii=False)}").tickers[0].company

    if text == text.strip() and text.isprintable():
        assert company(text) == text
        return
    with pytest.raises(UniverseError) as refusal:
        company(text)
    mend = re.search(r"; write ('.*'|\".*\")$", str(refusal.value))
    if mend is None:
        assert re.search("write a text|not TOML", str(refusal.value))
        return
    assert ast.literal_eval(mend[1]) != text
    assert company(ast.literal_eval(mend[1])) == ast.literal_eval(mend[1])


def _steps(text: str) -> int:
    with counted_steps() as counted:
        parse_universe(text)
    return counted.steps


def _tickers(count: int) -> str:
    return "".join(
        f'[[ticker]]\nsymbol = "T{number}"\nlisted = 2000-01-03\nsuspended = [{{ from = 2001-01-02 }}]\n'
        f'title_patterns = ["NYSE:T{number}"]\ncompany_words = ["word{number}"]\n'
        f'aliases = [{{ name = "company {number}" }}, {{ name = "other {number}", policy = "context" }}]\n'
        for number in range(count)
    )


def _aliases(count: int) -> str:
    entries = "".join(f'  {{ name = "company {number}" }},\n' for number in range(count))
    return f"{BLOCK}aliases = [\n{entries}]\n"


def _renewals(count: int) -> str:
    entries = "".join(f'  {{ name = "apple", from = {year:04}-01-01, to = {year:04}-02-01 }},\n' for year in range(1, count + 1))
    return f"{BLOCK}aliases = [\n{entries}]\n"


def _words(count: int) -> str:
    return f"{BLOCK}company_words = {json.dumps([f'word {number}' for number in range(count)])}\n"


@pytest.mark.parametrize("file_of", [_tickers, _aliases, _renewals, _words])
def test_a_file_of_twice_the_entries_takes_no_more_than_twice_the_steps(file_of: Callable[[int], str]) -> None:
    assert _steps(file_of(160)) < 2.2 * _steps(file_of(80))


def _is_in_order(span: tuple[date | None, date | None]) -> bool:
    return span[0] is None or span[1] is None or span[0] <= span[1]


DAYS = st.none() | st.dates(date(2020, 1, 1), date(2020, 1, 9))


@given(spans=st.lists(st.tuples(DAYS, DAYS).filter(_is_in_order), max_size=4))
def test_aliases_of_the_same_letters_are_refused_when_a_day_is_in_two_of_them(
    spans: list[tuple[date | None, date | None]],
) -> None:
    entries = ", ".join(
        '{ name = "apple"' + (f", from = {start}" if start else "") + (f", to = {end}" if end else "") + " }"
        for start, end in spans
    )
    days = [date(2020, 1, day) for day in range(1, 10)]
    holders = [sum((start or days[0]) <= day <= (end or days[-1]) for start, end in spans) for day in days]
    if max(holders) < 2:
        assert len(parse_universe(f"{BLOCK}aliases = [{entries}]").tickers[0].aliases) == len(spans)
        return
    with pytest.raises(UniverseError, match="stands twice"):
        parse_universe(f"{BLOCK}aliases = [{entries}]")


def test_a_block_becomes_a_ticker_with_its_aliases() -> None:
    (apple,) = parse_universe(APPLE).tickers
    assert (apple.symbol, apple.company, apple.stooq_code) == ("AAPL", "Apple Inc.", "aapl.us")
    assert (apple.title_patterns, apple.company_words) == (("NASDAQ:AAPL",), ("iphone",))
    assert apple.aliases == (
        Alias(name="apple inc", policy="strong"),
        Alias(name="apple computer", policy="strong", valid_to=date(2007, 1, 9)),
        Alias(name="apple", policy="context", valid_from=date(1980, 12, 12)),
    )


def test_what_a_block_leaves_out_follows_from_its_symbol() -> None:
    (berkshire,) = parse_universe(BERKSHIRE).tickers
    assert berkshire.stooq_code == "brk-b.us"
    assert berkshire.company == "BRK.B"
    assert berkshire.aliases == ()


def test_vendor_codes_lead_back_to_symbols() -> None:
    assert parse_universe(IBM + BERKSHIRE).stooq_codes == {"ibm.us": "IBM", "brk-b.us": "BRK.B"}


@given(blocks=st.permutations([APPLE, BERKSHIRE, IBM]))
def test_the_order_of_blocks_changes_nothing(blocks: list[str]) -> None:
    universe = parse_universe("\n".join(blocks))
    assert universe.symbols == ("AAPL", "BRK.B", "IBM")
    assert universe.sha256 == parse_universe(APPLE + BERKSHIRE + IBM).sha256


LISTING = """listed = 1980-12-12
delisted = 2030-01-04
suspended = [{ from = 2020-03-02, to = 2020-03-06 }, { from = 2029-12-03 }]
"""


def test_a_block_says_when_its_ticker_traded() -> None:
    (apple,) = parse_universe(BLOCK + LISTING).tickers
    assert (apple.listed, apple.delisted) == (date(1980, 12, 12), date(2030, 1, 4))
    assert apple.suspended == (Suspension(start=date(2020, 3, 2), end=date(2020, 3, 6)), Suspension(start=date(2029, 12, 3)))
    days = [date(2020, 3, 1), date(2020, 3, 2), date(2020, 3, 6), date(2020, 3, 7)]
    assert [apple.suspended[0].holds(day) for day in days] == [False, True, True, False]
    assert apple.suspended[1].holds(date(2040, 1, 2))


def test_a_listing_changes_which_bars_are_expected_and_not_which_news_are_kept() -> None:
    plain, listed = parse_universe(BLOCK), parse_universe(BLOCK + LISTING)
    assert listed.sha256 == plain.sha256
    assert listed.listings_sha256 != plain.listings_sha256


def test_slots_loaded_by_earlier_versions_count_as_loaded_with_the_same_universe() -> None:
    assert parse_universe(BLOCK).sha256 == "21481eb9e50fab52c7071713c2c49885c0ce1d384955b974f7ee583df896e8ed"


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "universe.toml"
    file.write_bytes(b"\xef\xbb\xbf" + APPLE.replace("\n", "\r\n").encode())
    assert UniverseFile(path=str(file)).read() == parse_universe(APPLE)


def test_a_file_in_another_encoding_or_of_another_kind_is_refused_with_the_mend(tmp_path: Path) -> None:
    file = tmp_path / "universe.toml"
    file.write_bytes(b'[[ticker]]\nsymbol = "A"\ncompany = "Soci\xe9t\xe9"')
    with pytest.raises(UniverseError, match=r"line 3: this is not UTF-8; save"):
        UniverseFile(path=str(file)).read()
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(UniverseError, match="larger than"):
        UniverseFile(path=str(file)).read()
    with pytest.raises(UniverseError, match="cannot be read"):
        UniverseFile(path=str(tmp_path)).read()


SYMBOLS = st.from_regex(r"\A[A-Z]{1,5}(\.[A-Z])?\Z")


@given(symbols=st.lists(SYMBOLS, min_size=2, max_size=5, unique=True), wrong=st.integers(0, 4), text=st.text(max_size=8))
def test_a_symbol_is_taken_as_it_is_written_or_refused_with_its_line(symbols: list[str], wrong: int, text: str) -> None:
    position = wrong % len(symbols)
    written = [*symbols[:position], text, *symbols[position + 1 :]]
    file = "".join(f"[[ticker]]\nsymbol = {json.dumps(symbol)}\n" for symbol in written)
    if re.fullmatch(r"[A-Z0-9]{1,10}([.-][A-Z0-9]{1,5})?", text) and len({*written}) == len(written):
        assert parse_universe(file).symbols == tuple(sorted(written))
        return
    with pytest.raises(UniverseError) as refusal:
        parse_universe(file)
    assert any(said in str(refusal.value) for said in (f"line {2 * position + 2} ", "stands twice", "not TOML"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"apple inc"', '"apple incorporated"'),
        ('policy = "context"', 'policy = "strong"'),
        ("2007-01-09", "2007-01-10"),
        ('["iphone"]', '["ipad"]'),
        ("NASDAQ:AAPL", "NYSE:AAPL"),
    ],
)
def test_the_hash_changes_with_whatever_decides_which_news_are_kept(before: str, after: str) -> None:
    assert parse_universe(APPLE).sha256 != parse_universe(APPLE.replace(before, after)).sha256


def test_the_universe_of_the_project_is_good() -> None:
    universe = parse_universe((REPOSITORY / "universe.toml").read_text())
    assert {"AAPL", "MSFT", "IBM", "GOOG", "FB"} <= set(universe.symbols)
    assert [ticker.symbol for ticker in universe.tickers if not ticker.aliases] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ticker]\nsymbol = 'A'", "double brackets"),
        ("ticker = ['A']", "double brackets"),
        ("ticker = 3", "double brackets"),
        ("tickers = 1", "tickers"),
        ("[[ticker]]\nsymbol = 'A'\naliases = [{ name = 'a corp', since = 2020-01-01 }]", "since"),
        ("[[ticker]]\nsymbol = 'A'\naliases = [{ name = 'a corp', from = 2021-01-01, to = 2020-01-01 }]", "swap the dates"),
        ("[[ticker]]\nsymbol = 'A'\naliases = [{ name = 'a corp', from = 2021-01-01T00:00:00 }]", "write it bare"),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused_with_the_mend(text: str, said: str) -> None:
    with pytest.raises(UniverseError, match=said):
        parse_universe(text)
