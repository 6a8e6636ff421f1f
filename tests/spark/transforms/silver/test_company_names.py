"""Which names mean a company: whole normalised names, everyday words only with evidence, tickers never as words."""

import csv
import html
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.universe import Alias, AliasPolicy, Ticker, Universe, UniverseError, parse_universe
from spark.transforms.silver import company_names
from spark.transforms.silver.company_names import (
    LONGEST_TITLE,
    THEME_DISTANCE,
    Article,
    Match,
    MatchedField,
    Matcher,
    MatchRule,
    normalise,
    page_title,
    title_words,
    without_template,
)
from tests.counted_steps import counted_steps

REPOSITORY = Path(__file__).parents[4]
ENTITIES = REPOSITORY / "tests" / "data" / "entities"
SLOT_ARCHIVE = REPOSITORY / "tests" / "data" / "gdelt" / "20230702153000.gkg.csv.zip"
UNIVERSE = Matcher.from_universe(parse_universe((REPOSITORY / "universe.toml").read_text()))
# Trap words that the alias file calls strong.
STRONG_ALTHOUGH_A_TRAP = {"tesla", "intel", "mastercard"}


def rows_of(name: str) -> list[dict[str, str]]:
    with (ENTITIES / name).open(newline="") as opened:
        return list(csv.DictReader(opened))


def wide_universe() -> Universe:
    """The 37 companies of the alias file."""
    aliases: dict[str, list[Alias]] = {}
    for row in rows_of("aliases.csv"):
        policy: AliasPolicy = "strong" if row["policy"] == "strong" else "context"
        aliases.setdefault(row["ticker"], []).append(Alias(name=row["alias_v1_normalized"], policy=policy))
    return Universe(
        tickers=tuple(
            Ticker(
                symbol=symbol,
                company=symbol,
                stooq_code=f"{symbol.lower()}.us",
                title_patterns=(f"NYSE:{symbol}", f"NASDAQ:{symbol}"),
                company_words=(),
                aliases=tuple(names),
            )
            for symbol, names in sorted(aliases.items())
        )
    )


WIDE = Matcher.from_universe(wide_universe())


def article(
    organizations_v1: str = "",
    *,
    all_names: str = "",
    title: str = "",
    day: date = date(2023, 7, 2),
    organizations_v2: str = "",
    themes_v2: str = "",
) -> Article:
    return Article(
        organizations_v1=organizations_v1,
        all_names=all_names,
        title=title,
        day_date=day,
        organizations_v2=organizations_v2,
        themes_v2=themes_v2,
    )


def match(*args: object, **kwargs: object) -> Match | None:
    found = UNIVERSE.matches(article(*args, **kwargs))  # type: ignore[arg-type]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("written", "v1"),
    [
        ("Wells Fargo & Company", "wells fargo company"),
        ("Arthur J. Gallagher & Co.", "arthur j gallagher co"),
        ("U.S. Supreme Court", "u s supreme court"),
        ("Hewlett-Packard Co", "hewlett-packard co"),
        ("McDonald's", "mcdonald"),
        ("Moody’s Corp.", "moody corp"),
        ("Amazon.com,  Inc.", "amazon com inc"),
        ("AT&T", "at t"),
        ("Texas Instruments' Dallas", "texas instruments dallas"),
        ("O'Reilly", "o'reilly"),
        ("", ""),
    ],
)
def test_names_are_written_as_gdelt_writes_them(written: str, v1: str) -> None:
    assert normalise(written) == v1


@settings(deadline=None)
@given(st.text() | st.text(alphabet="as's’ .&,-"))
def test_normalising_twice_changes_nothing(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)


def test_every_real_v1_name_is_its_own_normal_form_and_holds_the_v2_names() -> None:
    with zipfile.ZipFile(SLOT_ARCHIVE) as archive:
        records = [line.split("\t") for line in archive.read("20230702153000.gkg.csv").decode().splitlines()]
    for record in records:
        organizations = set(record[13].split(";"))
        assert {normalise(name) for name in organizations} == organizations
        assert {normalise(block.rpartition(",")[0]) for block in record[14].split(";") if block} <= organizations


def test_headings_of_stock_bot_pages_are_cut_from_names() -> None:
    for glued in (
        "insider activity at ibm corp",
        "quarter for ibm corp",
        "news ratings for ibm corp",
        "ibm corp company profile",
    ):
        assert without_template(glued) == "ibm corp"
        assert match(glued) == Match(ticker="IBM", alias="ibm corp", field="organization", rule="strong")


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Apple's “iPhone 15”: what's new?", ("apple", "iphone", "15", "what", "new")),
        ("Microsoft-owned LinkedIn – layoffs", ("microsoft-owned", "linkedin", "layoffs")),
        ("(NYSE:IBM) -- up", ("nyse", "ibm", "up")),
        ("?!", ()),
    ],
)
def test_titles_are_cut_to_words(title: str, words: tuple[str, ...]) -> None:
    assert title_words(title) == words


def test_character_references_of_a_title_are_resolved_exactly_once() -> None:
    assert page_title("<PAGE_LINKS>x</PAGE_LINKS><PAGE_TITLE> A &amp;amp; B &#x2013; C </PAGE_TITLE>") == "A &amp; B – C"
    assert page_title("<PAGE_LINKS>x</PAGE_LINKS>") == ""


@given(parts=st.lists(st.sampled_from(["<PAGE_TITLE>", "</PAGE_TITLE>", "a", "\n", "&lt;", " "]), max_size=12))
def test_a_title_reaches_from_the_first_begin_to_the_next_end(parts: list[str]) -> None:
    found = re.search("<PAGE_TITLE>(.*?)</PAGE_TITLE>", "".join(parts), re.DOTALL)
    assert page_title("".join(parts)) == (html.unescape(found[1]).strip() if found else "")


@pytest.mark.parametrize("flood", ["&#" + "9" * 5_000 + ";", "&amp;" * 5_000, "word " * 5_000])
def test_a_title_without_measure_is_read_up_to_a_bound(flood: str) -> None:
    title = page_title(f"<PAGE_TITLE>Apple Inc {flood}</PAGE_TITLE>")
    assert title.startswith("Apple Inc ")
    assert len(title) <= LONGEST_TITLE


@given(names=st.lists(st.integers(0, 3_000), min_size=1, max_size=6), themes=st.lists(st.integers(0, 3_000), max_size=6))
def test_the_theme_rule_is_about_the_nearest_pair_of_offsets(names: list[int], themes: list[int]) -> None:
    found = UNIVERSE.matches(
        Article(
            organizations_v1="",
            all_names=";".join(f"Apple,{offset}" for offset in names),
            title="",
            day_date=date(2018, 3, 14),
            themes_v2=";".join(f"ECON_STOCKMARKET,{offset}" for offset in themes),
        )
    )
    is_near = any(abs(name - theme) <= 400 for name in names for theme in themes)
    assert [match.rule for match in found] == (["theme"] if is_near else [])


@pytest.mark.parametrize(
    "fields",
    [
        # Names far from all themes, one name again and again, both in the same record.
        lambda count: {"all_names": "Apple,5;" * count, "themes_v2": "ECON_STOCKMARKET,99999;" * count},
        lambda count: {"organizations_v1": "apple;" * count},
        lambda count: {"all_names": "Apple,5;" * count, "organizations_v2": "Apple,5;" * count},
        lambda count: {"title": "apple " * count},
    ],
)
def test_a_record_of_twice_the_length_costs_no_more_than_twice_the_steps(fields: Callable[[int], dict[str, str]]) -> None:
    def steps(count: int) -> int:
        nothing = Article(organizations_v1="", all_names="", title="", day_date=date(2018, 3, 14))
        article = replace(nothing, **fields(count))  # type: ignore[arg-type] # all of them are texts
        with counted_steps() as counted:
            UNIVERSE.matches(article)
        return counted.steps

    assert steps(400) < 2.2 * steps(200)


def test_a_name_that_stands_again_and_again_is_searched_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    monkeypatch.setattr(company_names, "_has_company_word", lambda *told: judged.append(told))
    UNIVERSE.matches(Article(organizations_v1="apple;" * 500, all_names="", title="", day_date=date(2018, 3, 14)))
    assert len(judged) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"organizations_v1": "world bank;microsoft corp"},
        {"all_names": "World Bank,3;Microsoft Corp.,19"},
        {"title": "Why Microsoft Corp. rose"},
    ],
)
def test_a_strong_alias_is_enough_in_every_field(fields: dict[str, str]) -> None:
    found = match(**fields)
    assert found is not None
    assert (found.ticker, found.rule) == ("MSFT", "strong")


def test_the_field_that_says_it_first_is_named() -> None:
    found = match("ibm", all_names="IBM,4", title="IBM rises")
    assert found == Match(ticker="IBM", alias="ibm", field="organization", rule="strong")


@pytest.mark.parametrize(
    "fields",
    [
        {"organizations_v1": "microsoft teams;applebee"},
        {"all_names": "Microsoft Teams,5;Google Maps,9;Paris United Facebook,20"},
        {"title": "Microsofted and Microsoft-like"},
        {"organizations_v1": "micro;soft"},
        {"all_names": "Apple,1;Inc,9"},
    ],
)
def test_names_are_compared_whole(fields: dict[str, str]) -> None:
    assert match(**fields) is None


@pytest.mark.parametrize("word", ["AAPL", "MSFT", "GOOG", "FB", "META"])
def test_ticker_symbols_are_no_words(word: str) -> None:
    assert match(word.lower(), all_names=f"{word},1", title=f"{word} and the others", day=date(2020, 1, 2)) is None


@pytest.mark.parametrize(
    ("title", "ticker"),
    [
        ("Fund buys shares (NASDAQ:AAPL)", "AAPL"),
        ("Fund buys shares (Nasdaq: aapl)", "AAPL"),
        ("NASDAQ:FB - what next", "FB"),
        ("Two (NASDAQ:GOOGL) classes", "GOOG"),
        ("Class C (NASDAQ:GOOG)", "GOOG"),
        ("Up (NASDAQ:META).", "FB"),
    ],
)
def test_an_exchange_pattern_in_the_title_is_exact(title: str, ticker: str) -> None:
    found = match(title=title)
    assert found is not None
    assert (found.ticker, found.field, found.rule) == (ticker, "title", "ticker_pattern")


@pytest.mark.parametrize("title", ["(NASDAQ:AAPLX)", "(NASDAQ:AAPL.B)", "(XNASDAQ:AAPL)", "(NYSE:IBMA)", "NASDAQ AAPL"])
def test_a_longer_symbol_is_another_company(title: str) -> None:
    assert match(title=title) is None


def test_an_everyday_word_alone_means_no_company() -> None:
    for name in ("apple", "google", "facebook", "alphabet", "meta"):
        assert match(name, all_names=f"{name.title()},10", title=f"All about {name}") is None


@pytest.mark.parametrize(
    ("fields", "rule", "field"),
    [
        ({"title": "Big fund (NASDAQ:AAPL)"}, "ticker_pattern", "organization"),
        ({"all_names": "Apple Inc Chief Executive,40"}, "strong_alias", "organization"),
        ({"title": "The new iPhone"}, "company_word", "organization"),
        ({"title": "Apple earnings are out"}, "company_word", "organization"),
        ({"title": "Apple shares fall"}, "company_word", "organization"),
        (
            {"organizations_v2": "Apple,1000", "themes_v2": f"ECON_STOCKMARKET,{1000 + THEME_DISTANCE};"},
            "theme",
            "organization",
        ),
        ({"all_names": "Apple,1000", "themes_v2": "ECON_EARNINGSREPORT,700;"}, "theme", "organization"),
    ],
)
def test_an_everyday_word_with_evidence_means_the_company(fields: dict[str, str], rule: MatchRule, field: MatchedField) -> None:
    assert match("apple", **fields) == Match(ticker="AAPL", alias="apple", field=field, rule=rule)


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "Stock markets and earnings"},
        {"title": "Man shares video of his apple"},
        {"organizations_v2": "Apple,1000", "themes_v2": f"ECON_STOCKMARKET,{1001 + THEME_DISTANCE};"},
        {"organizations_v2": "Apple,1000", "themes_v2": "ECON_INFLATION,1000;"},
        {"organizations_v2": "Apple,1000", "themes_v2": "ECON_STOCKMARKET,;ECON_STOCKMARKET,x;,1000;"},
        {"organizations_v2": "Orange,1000", "themes_v2": "ECON_STOCKMARKET,1000;"},
        {"all_names": "Pineapple Inc,10;Apple,20;Inc,25;World,40"},
    ],
)
def test_evidence_that_is_not_about_the_word_does_not_count(fields: dict[str, str]) -> None:
    assert match("apple", **fields) is None


def test_an_alias_is_no_evidence_for_itself() -> None:
    assert match("google", title="Google opens an office") is None
    found = match("alphabet", title="Google opens an office")
    assert found is not None
    assert (found.alias, found.rule) == ("alphabet", "company_word")


@pytest.mark.parametrize(
    ("name", "day", "expected"),
    [
        ("alphabet inc", date(2015, 10, 1), None),
        ("alphabet inc", date(2015, 10, 2), "GOOG"),
        ("apple computer inc", date(2007, 1, 9), "AAPL"),
        ("apple computer inc", date(2007, 1, 10), None),
        ("meta platforms", date(2021, 10, 27), None),
        ("meta platforms", date(2021, 10, 28), "FB"),
    ],
)
def test_a_name_counts_within_its_dates_both_inclusive(name: str, day: date, expected: str | None) -> None:
    found = match(name, day=day)
    assert (found.ticker if found else None) == expected
    assert UNIVERSE.candidates(article(name, day=day)) == ((expected,) if expected else ())


def test_an_article_about_two_companies_has_a_match_for_each_in_order() -> None:
    found = UNIVERSE.matches(article("microsoft;ibm"))
    assert [(one.ticker, one.alias) for one in found] == [("IBM", "ibm"), ("MSFT", "microsoft")]


@pytest.mark.parametrize("term", [part for row in rows_of("false_positive_traps.csv") for part in row["term"].split("/")])
@pytest.mark.parametrize("matcher", [UNIVERSE, WIDE], ids=["universe", "37_companies"])
def test_a_trap_alone_means_no_company(matcher: Matcher, term: str) -> None:
    if matcher is WIDE and term in STRONG_ALTHOUGH_A_TRAP:
        assert matcher.matches(article(term))[0].rule == "strong"
        return
    assert matcher.matches(article(term, all_names=f"{term.title()},100", title=f"The {term} of today")) == ()


def test_the_ford_surnames_of_the_real_slot_mean_no_car_maker() -> None:
    assert (
        WIDE.matches(article(all_names="Gerald Ford,10;Attorney General Aaron Ford,90", title="Attorney General Ford speaks"))
        == ()
    )


@pytest.mark.parametrize(
    "fields",
    [{"aliases": (Alias(name="&", policy="strong"),), "company_words": ()}, {"aliases": (), "company_words": ("?",)}],
)
def test_an_alias_without_a_word_is_refused_with_its_ticker(
    fields: dict[str, tuple[Alias, ...] | tuple[str, ...]],
) -> None:
    with pytest.raises(UniverseError, match="ticker X: '[&?]' holds no word"):
        Matcher((Ticker(symbol="X", company="X", stooq_code="x.us", title_patterns=(), **fields),))  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["KO", ":KO", "NYSE:", "NYSE:KO:X", " : "])
def test_a_title_pattern_that_is_not_an_exchange_and_a_symbol_is_refused(pattern: str) -> None:
    with pytest.raises(UniverseError, match="EXCHANGE:SYMBOL"):
        Matcher((Ticker(symbol="KO", company="KO", stooq_code="ko.us", title_patterns=(pattern,), company_words=(), aliases=()),))


NAMES = st.lists(
    st.sampled_from(
        [
            "apple",
            "Apple Inc",
            "insider activity at ibm",
            "IBM",
            "google",
            "O'Reilly",
            "meta",
            "Big",
            "Facebook's",
            "ΑΣ",
        ]
    ),
    max_size=4,
)


@settings(deadline=None)
@given(organizations=NAMES, names=NAMES, title=NAMES | st.just(["(NASDAQ:AAPL) stock"]), offset=st.integers(0, 900))
def test_what_matches_in_silver_was_a_candidate_in_bronze(
    organizations: list[str], names: list[str], title: list[str], offset: int
) -> None:
    known_early = article(
        ";".join(organizations), all_names=";".join(f"{name},{offset}" for name in names), title=" ".join(title)
    )
    full = replace(
        known_early,
        organizations_v2=";".join(f"{name},{offset}" for name in organizations),
        themes_v2="ECON_STOCKMARKET,400;",
    )
    assert {one.ticker for one in UNIVERSE.matches(full)} <= set(UNIVERSE.candidates(known_early))
