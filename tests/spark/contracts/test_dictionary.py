"""The data dictionary holds every fact of every contract, and its tables keep their shape."""

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from spark.contracts.attribution import VENDORS
from spark.contracts.dictionary import render_dictionary, render_graph
from spark.contracts.lake import TABLES, table
from spark.contracts.table import Check, Column, Freshness, Partitioning, Table, Vendor

DICTIONARY = render_dictionary(TABLES)

every_table = pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())


def chapter(page: str, address: str) -> str:
    """Text between the heading of a table and the next heading."""
    return re.split(r"^#+ ", page.split(f"\n## {address}\n")[1], flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, list[str]]:
    """Cells as a reader sees them, by first cell, as a Markdown parser finds them."""
    found, cells = {}, list[str]()
    for token in MarkdownIt().enable("table").parse(text):
        if token.type == "tr_open":
            cells = []
        elif token.type == "inline":
            cells.append("".join(child.content for child in token.children or [] if child.type != "html_inline"))
        elif token.type == "tr_close":
            found[cells[0]] = cells
    return found


@every_table
def test_every_column_stands_with_type_unit_and_meaning(contract: Table) -> None:
    found = rows(chapter(DICTIONARY, contract.address))
    for column in contract.columns:
        name, kind, unit, nullable, meaning = found[column.name]
        assert (name, kind, unit, nullable) == (column.name, column.type, column.unit, "yes" if column.nullable else "")
        assert column.note in meaning
        assert column.formula in meaning
        assert all(source.rpartition(".")[2] in meaning for source in column.sources)


@every_table
def test_every_check_stands_with_predicate_and_reason(contract: Table) -> None:
    found = rows(chapter(DICTIONARY, contract.address))
    assert [found[check.name] for check in contract.checks] == [
        [check.name, check.predicate, check.severity, check.why] for check in contract.checks
    ]


@every_table
def test_the_chapter_begins_with_the_summary_and_holds_the_notes(contract: Table) -> None:
    text = chapter(DICTIONARY, contract.address)
    assert text.lstrip().startswith(contract.summary)
    assert [note for note in contract.notes if f"\n- {note}" not in text] == []


def test_a_table_names_what_it_is_computed_from_and_who_reads_it() -> None:
    text = chapter(DICTIONARY, "gold.stock_analytics")
    facts = rows(text)
    assert facts["computed from"][1] == "silver.prices_daily, gold.news_daily"
    assert facts["read by"][1] == "gold.monthly_summary, gold.ml_features"
    assert facts["grain"][1] == "ticker × session_date"
    assert facts["files"][1] == "partitioned by month of session_date, sorted by ticker, session_date"
    assert facts["data of"][1] == "Stooq, The GDELT Project"


@pytest.mark.parametrize(
    ("change", "fact", "told"),
    [
        ({"freshness": Freshness(due_hours=7), "window": "day"}, "freshness", "due 7 hours after the end of the day"),
        ({"freshness": Freshness(due_hours=7), "window": "session"}, "freshness", "due 7 hours after the session's close"),
        ({"freshness": None}, "freshness", "no promise"),
        ({"retention_days": 30}, "retention", "30 days"),
        ({"retention_days": None}, "retention", "kept for ever"),
        ({"partitioning": None}, "files", "not partitioned, sorted by ticker"),
        (
            {"partitioning": Partitioning(column="ticker", transform="identity")},
            "files",
            "partitioned by ticker, sorted by ticker",
        ),
    ],
)
def test_promises_are_told_in_words(change: dict[str, object], fact: str, told: str) -> None:
    contract = replace(table("bronze.stooq_prices"), sort_order=("ticker",), **change)  # type: ignore[arg-type]
    page = render_dictionary({contract.address: contract})
    assert rows(chapter(page, contract.address))[fact][1] == told


def test_signs_of_markup_in_a_contract_do_not_break_its_table() -> None:
    contract = replace(
        table("bronze.stooq_prices"),
        columns=(Column(name="odd", type="list<string>", unit="a|b", note="x < y and *z* | w", formula="a * b * c"),),
        checks=(Check(name="either", predicate="odd = 'a|b'", why="a | b"),),
    )
    found = rows(chapter(render_dictionary({contract.address: contract}), contract.address))
    assert found["odd"] == ["odd", "list<string>", "a|b", "", "x < y and *z* | w= a * b * c"]
    assert found["either"] == ["either", "odd = 'a|b'", "error", "a | b"]


def test_the_drawing_has_every_input_as_an_arrow() -> None:
    arrows = set(re.findall(r"(\w+)(?:\(\[.*\]\))? (-->|-\.->) (\w+)", render_graph(TABLES)))
    expected = {
        (address.replace(".", "_"), "-.->" if t.name == "quarantine" else "-->", t.address.replace(".", "_"))
        for t in TABLES.values()
        for address in t.input_addresses
    }
    vendors = {(name_of(each), "-->", table.address.replace(".", "_")) for each in VENDORS for table in each.tables}
    assert arrows == expected | {arrow for arrow in vendors if arrow[2].startswith("bronze_")}
    assert ("the_gdelt_project", "-->", "bronze_gdelt_slots") in arrows


def name_of(vendor: Vendor) -> str:
    return vendor.name.lower().replace(" ", "_")
