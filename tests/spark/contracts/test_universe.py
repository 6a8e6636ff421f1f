"""The universe file: what a good one gives, and that a bad one is refused with the entry and the mend named."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.universe import Alias, UniverseError, parse_universe

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
    "no symbol": ('[[ticker]]\ncompany = "Apple Inc."', ["symbol None", "upper case"]),
    "lower case symbol": ('[[ticker]]\nsymbol = "aapl"', ["'aapl'", "upper case"]),
    "symbol is a number": ("[[ticker]]\nsymbol = 7", ["symbol 7", 'symbol = "AAPL"']),
    "misspelt key": (BLOCK + 'alias = []', ["ticker AAPL", "unknown keys alias", "aliases"]),
    "aliases as text": (BLOCK + 'aliases = "apple"', ["ticker AAPL", "aliases must be a list"]),
    "alias as text": (BLOCK + 'aliases = ["apple"]', ["ticker AAPL", 'name = "apple inc"']),
    "alias without name": (BLOCK + 'aliases = [{ policy = "strong" }]', ["ticker AAPL", "alias name", "write a text"]),
    "unknown policy": (
        BLOCK + 'aliases = [{ name = "apple", policy = "weak" }]',
        ["ticker AAPL", "alias 'apple'", "'weak'", "strong or context"]),
    "date in quotes": (
        BLOCK + 'aliases = [{ name = "apple", from = "2021-10-28" }]',
        ["ticker AAPL", "alias 'apple'", "'2021-10-28'", "from = 2021-10-28"]),
    "company is empty": (BLOCK + 'company = " "', ["ticker AAPL", "company", "write a text"]),
    "words as text": (BLOCK + 'company_words = "iphone"', ["ticker AAPL", "company_words", "list of texts"]),
    "pattern is a number": (BLOCK + 'title_patterns = [1]', ["ticker AAPL", "title_patterns", "write a text"]),
    "symbol twice": (
        BERKSHIRE + '[[ticker]]\nsymbol = "BRK.B"\nstooq = "other.us"', ["symbol BRK.B", "keep one block"]),
    "stooq code twice": (
        IBM + '[[ticker]]\nsymbol = "IBMX"\nstooq = "ibm.us"', ["stooq_code ibm.us", "keep one block"]),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_file_is_refused_with_entry_and_mend(text: str, words: list[str]) -> None:
    with pytest.raises(UniverseError) as refusal:
        parse_universe(text)
    assert [word for word in words if word not in str(refusal.value)] == []


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


@pytest.mark.parametrize(("before", "after"), [
    ('"apple inc"', '"apple incorporated"'), ('policy = "context"', 'policy = "strong"'), ("2007-01-09", "2007-01-10"),
    ('["iphone"]', '["ipad"]'), ("NASDAQ:AAPL", "NYSE:AAPL"),
])
def test_the_hash_changes_with_whatever_decides_which_news_are_kept(before: str, after: str) -> None:
    assert parse_universe(APPLE).sha256 != parse_universe(APPLE.replace(before, after)).sha256


def test_the_universe_of_the_project_is_good() -> None:
    universe = parse_universe((REPOSITORY / "universe.toml").read_text())
    assert {"AAPL", "MSFT", "IBM", "GOOG", "FB"} <= set(universe.symbols)
    assert [ticker.symbol for ticker in universe.tickers if not ticker.aliases] == []


@pytest.mark.parametrize(("text", "said"), [
    ("[ticker]\nsymbol = 'A'", "double brackets"),
    ("ticker = ['A']", "double brackets"),
    ("ticker = 3", "double brackets"),
    ("tickers = 1", "tickers"),
    ("[[ticker]]\nsymbol = 'A'\naliases = [{ name = 'a corp', since = 2020-01-01 }]", "since"),
    ("[[ticker]]\nsymbol = 'A'\naliases = [{ name = 'a corp', from = 2021-01-01, to = 2020-01-01 }]", "swap the dates"),
    ("[[ticker]]\nsymbol = 'A'\naliases = [{ name = 'a corp', from = 2021-01-01T00:00:00 }]", "write it bare"),
])
def test_a_file_of_the_wrong_shape_is_refused_with_the_mend(text: str, said: str) -> None:
    with pytest.raises(UniverseError, match=said):
        parse_universe(text)
