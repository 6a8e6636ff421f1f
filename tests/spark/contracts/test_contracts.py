"""Every contract keeps the grammar of names and units, and contracts fit together."""

import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from spark.contracts.lake import TABLES, table
from spark.contracts.table import Column, Layer, Table

REPOSITORY = Path(__file__).resolve().parents[3]

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LAYER_ORDER: tuple[Layer, ...] = ("bronze", "silver", "gold")
NUMBERS = ("int", "long", "double")
PERCENT_UNITS = ("percent", "percent of words", "0..100")

# What a suffix claims: the type, and how the unit begins.
SUFFIXES = {
    "_usd": ("double", ("USD",)),
    "_shares": ("double", ("shares",)),
    "_pct": ("double", PERCENT_UNITS),
    "_ts": ("timestamp", ("UTC",)),
    "_bytes": ("long", ("bytes",)),
    "_count": ("long", ("",)),
    "_date": ("date", ("",)),
}

# GDELT's own stamp, kept as the text the vendor wrote.
NAMED_BY_THE_VENDOR = {("bronze.gdelt_gkg", "gkg_date")}

SAME_NAME_OTHER_UNIT = {
    ("bronze.stooq_prices", "session_date"): "what a file calls a date, before anybody knows that it is a session",
    ("silver.price_restatements", "volume_ratio"): "between two downloads; elsewhere between a session and its mean",
    **{
        (address, name): "live prices are not adjusted; those of a vendor's history are"
        for address, name in (
            ("bronze.finnhub_trades_cdc", "volume_shares"),
            ("silver.trades", "volume_shares"),
            *(
                (address, name)
                for address in ("bronze.finnhub_quotes_cdc", "silver.quotes")
                for name in ("high_usd", "low_usd", "open_usd")
            ),
            *(("gold.candles_1m", name) for name in ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")),
        )
    },
}

# Of tables without a step of their own: quarantine is written by every job that rejects rows.
WRITTEN_ELSEWHERE = {
    "silver.quarantine": "spark/jobs/quarantine.py",
    # By people, through the resource's verb.
    "silver.price_decisions": "finlake_clients/price_ledgers.py",
}
JOB_MODULES_OF_NO_TABLE = {"gold.recursion"}

# Column lineage that skips a table: the address it is declared from, although the job reads a table in between.
SQL_WORDS = {"and", "or", "not", "is", "null", "in", "like", "rlike", "between", "true", "false"}

every_table = pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())


def columns_of(predicate: str) -> set[str]:
    """Names in a predicate that are neither text, number, function nor SQL word."""
    bare = re.sub(r"'[^']*'", "''", predicate)
    names = re.findall(r"(?<![\w.])[a-zA-Z_]\w*\b(?!\s*\()", bare)
    return {name for name in names if name.lower() not in SQL_WORDS}


def columns_named(*, exceptions: set[tuple[str, str]]) -> list[tuple[Table, Column]]:
    return [(t, c) for t in TABLES.values() for c in t.columns if (t.address, c.name) not in exceptions]


@every_table
def test_names_are_snake_case_and_stand_once(contract: Table) -> None:
    names = [contract.name, *contract.column_names, *(check.name for check in contract.checks)]
    assert [name for name in names if not SNAKE_CASE.fullmatch(name)] == []
    assert len(set(contract.column_names)) == len(contract.column_names)
    assert len({check.name for check in contract.checks}) == len(contract.checks)


@every_table
def test_everything_is_explained(contract: Table) -> None:
    assert contract.summary.endswith(".")
    assert [column.name for column in contract.columns if not column.note] == []
    assert [check.name for check in contract.checks if not check.why] == []
    assert contract.owner


@every_table
def test_numbers_have_units_and_names_and_flags_have_none(contract: Table) -> None:
    assert [c.name for c in contract.columns if c.type in NUMBERS and not c.unit] == []
    assert [c.name for c in contract.columns if c.type in ("string", "boolean", "list<string>") and c.unit] == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_suffix_keeps_what_it_claims(suffix: str) -> None:
    kind, units = SUFFIXES[suffix]
    bearers = [(t, c) for t, c in columns_named(exceptions=NAMED_BY_THE_VENDOR) if c.name.endswith(suffix)]
    assert bearers
    assert [f"{t.address}.{c.name}" for t, c in bearers if c.type != kind or not c.unit.startswith(units)] == []


def test_instants_dates_and_flags_can_be_told_by_their_names() -> None:
    wrong = [
        f"{t.address}.{c.name}"
        for t, c in columns_named(exceptions=NAMED_BY_THE_VENDOR)
        if (c.type == "timestamp") != c.name.endswith("_ts")
        or (c.type == "date") != c.name.endswith("_date")
        or (c.type == "boolean") != c.name.startswith("is_")
    ]
    assert wrong == []


def test_the_same_name_means_the_same_type_and_unit_everywhere() -> None:
    meanings = defaultdict(set)
    for _, column in columns_named(exceptions=set(SAME_NAME_OTHER_UNIT)):
        meanings[column.name].add((column.type, column.unit))
    assert {name: found for name, found in meanings.items() if len(found) > 1} == {}


@pytest.mark.parametrize(("address", "name"), SAME_NAME_OTHER_UNIT)
def test_a_listed_exception_of_a_name_is_still_one(address: str, name: str) -> None:
    own = table(address).column(name)
    others = [c for t in TABLES.values() if (t.address, name) not in SAME_NAME_OTHER_UNIT for c in t.columns if c.name == name]
    assert others
    assert all((other.type, other.unit) != (own.type, own.unit) for other in others)


@every_table
def test_grain_columns_exist_and_are_required(contract: Table) -> None:
    assert contract.grain
    assert [name for name in contract.grain if contract.column(name).nullable] == []


@every_table
def test_window_partition_and_sort_columns_exist(contract: Table) -> None:
    if contract.window != "none":
        assert contract.column(contract.window_column).type == "date"
    if contract.partitioning is not None and contract.partitioning.transform in ("day", "month"):
        assert contract.column(contract.partitioning.column).type in ("date", "timestamp")
    assert set(contract.sort_order) <= set(contract.column_names)


@every_table
def test_only_windowed_tables_promise_freshness(contract: Table) -> None:
    if contract.freshness is not None:
        assert contract.window != "none"
        assert 0 < contract.freshness.due_hours <= 24


@every_table
def test_inputs_are_tables_of_the_same_or_an_earlier_layer(contract: Table) -> None:
    later = LAYER_ORDER[LAYER_ORDER.index(contract.layer) + 1 :]
    assert [address for address in contract.input_addresses if table(address).layer in later] == []
    assert len(set(contract.input_addresses)) == len(contract.inputs)
    assert contract.inputs or contract.layer == "bronze"


def test_no_table_is_computed_from_itself() -> None:
    order = list(TopologicalSorter({t.address: t.input_addresses for t in TABLES.values()}).static_order())
    assert set(order) == set(TABLES)


@every_table
def test_sources_are_columns_of_inputs(contract: Table) -> None:
    origins = [source.rpartition(".") for column in contract.columns for source in column.sources]
    assert [f"{address}.{name}" for address, _, name in origins if name not in table(address).column_names] == []
    outside = {address for address, _, _ in origins} - set(contract.input_addresses)
    assert outside == set()


@every_table
def test_predicates_mention_only_columns_of_their_table(contract: Table) -> None:
    for check in contract.checks:
        mentioned = columns_of(check.predicate)
        assert mentioned, check.name
        assert mentioned <= set(contract.column_names), check.name


def test_columns_of_a_predicate_are_told_from_texts_functions_and_words() -> None:
    predicate = "abs(tone - (a_pct + b_pct)) < 1e-6 AND status in ('loaded', 'two') or date_format(x_ts, 'yyyy') = y"
    assert columns_of(predicate) == {"tone", "a_pct", "b_pct", "status", "x_ts", "y"}


@every_table
def test_a_job_module_has_the_stem_of_the_table(contract: Table) -> None:
    expected = WRITTEN_ELSEWHERE.get(contract.address, f"spark/jobs/{(contract.step or '').replace('.', '/')}.py")
    constant = contract.name.upper()
    text = (REPOSITORY / expected).read_text()
    assert re.search(rf"\b{constant}\b", text) or f'"{contract.address}"' in text, f"{expected} does not name the table"


def test_every_job_module_of_a_layer_belongs_to_a_table() -> None:
    modules = {
        f"{layer}.{path.stem}"
        for layer in LAYER_ORDER
        for path in (REPOSITORY / "spark/jobs" / layer).glob("*.py")
        if path.stem != "__init__"
    }
    assert modules - set(TABLES) == JOB_MODULES_OF_NO_TABLE


def test_an_unknown_table_or_column_is_answered_with_what_exists() -> None:
    with pytest.raises(KeyError, match=r"no table 'gold\.nothing'.*gold\.indicators"):
        table("gold.nothing")
    with pytest.raises(KeyError, match=r"gold\.ml_labels has no column 'nothing'.*next_day_return"):
        table("gold.ml_labels").column("nothing")
