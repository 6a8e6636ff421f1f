"""Contracts as pages for people: the data dictionary and the drawing of which table is computed from which.

Both are Markdown, a pure function of the contracts, so that a test can tell whether the files in docs are current.
"""

import inspect
from collections.abc import Iterable, Mapping

from spark.contracts import bronze, gold, serving, silver, speed
from spark.contracts.attribution import VENDORS, vendors_of
from spark.contracts.table import Check, Column, Layer, Table, WindowKind


def _first_sentence(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "").partition("\n\n")[0]


_ABOUT_LAYER: dict[Layer, str] = {
    "bronze": inspect.cleandoc(bronze.__doc__ or "").removeprefix("Bronze: "),
    "silver": inspect.cleandoc(silver.__doc__ or "").removeprefix("Silver: "),
    "gold": inspect.cleandoc(gold.__doc__ or "").removeprefix("Gold: "),
    "speed": _first_sentence(speed.__doc__).removeprefix("Speed: "),
    "serving": _first_sentence(serving.__doc__).removeprefix("Serving: "),
}
_WINDOW: dict[WindowKind, str] = {
    "session": "XNYS session",
    "day": "calendar day in America/New_York",
    "stream_day": "day of the stream, UTC",
    "month": "calendar month",
    "none": "none",
}
_DUE_AFTER: dict[WindowKind, str] = {
    "session": "the session's close",
    "day": "the end of the day",
    "stream_day": "the end of the day, UTC",
    "month": "the end of the month",
    "none": "its inputs",
}
_IN_CLICKHOUSE: tuple[Layer, ...] = ("speed", "serving")
_EMPTY = "—"


def render_dictionary(tables: Mapping[str, Table]) -> str:
    """The data dictionary of `tables` (by address) as one Markdown page, layer by layer in the given order."""
    pages = [_INTRODUCTION, _contents(tables), _VENDORS_HEADING, _vendors()]
    for layer, about in _ABOUT_LAYER.items():
        pages.append(f"# {layer.capitalize()}\n\n{about[:1].upper()}{about[1:]}")
        pages.extend(_table_page(table, tables) for table in tables.values() if table.layer == layer)
    return "\n\n".join(pages) + "\n"


def render_graph(tables: Mapping[str, Table]) -> str:
    """The inputs of `tables` (by address) as a Markdown page with a Mermaid drawing, vendors on the left."""
    lines = ["flowchart LR"]
    for layer in _ABOUT_LAYER:
        lines.append(f"    subgraph {layer}")
        lines += [f'        {_node(t.address)}["{t.name}"]' for t in tables.values() if t.layer == layer]
        lines.append("    end")
    for table in tables.values():
        if not table.inputs:
            names = [vendor.name for vendor in vendors_of(table, tables)]
            lines += [f'    {_node(name)}(["{name}"]) --> {_node(table.address)}' for name in names]
        arrow = "-.->" if table.address == silver.QUARANTINE.address else "-->"
        lines += [f"    {_node(address)} {arrow} {_node(table.address)}" for address in table.input_addresses]
    drawing = "\n".join(lines)
    return f"{_GRAPH_INTRODUCTION}\n\n```mermaid\n{drawing}\n```\n"


_INTRODUCTION = """\
# Data dictionary

<!-- Written by `python -m finlake_cli.documents` from spark/contracts; change the contracts, not this page. -->

Every table of the lake (bronze, silver, gold: Iceberg) and of ClickHouse (speed, serving), as its contract in
`spark/contracts/` states it. The same contracts give the Iceberg schemas, ClickHouse's tables, the audit before publishing,
and the documents in `docs/contracts/` (Open Data Contract Standard). The drawing is in [asset-graph.md](asset-graph.md).

- **Grain** is the primary key: no two rows share it, and its columns are never null.
- **Window** is the calendar that a run follows. A run replaces exactly the rows of its window, by the window
  column, unless a note says otherwise.
- **Nullable** columns may be null; for all others the audit refuses a null.
- **Units**: a `fraction` of 0.01 is one percent; `percent` of 1 is one percent. `_ts` is an instant in UTC, `_date` a
  calendar date, `_usd` US dollars, `is_` a flag.
- **Checks** are Spark SQL predicates, true for every good row; null counts as true. A failed `error` check stops the
  publication of the whole window, a failed `warn` check is reported.
- **C, H, L, V** in formulas are close, high, low and volume of the session; *sd* is a standard deviation."""

_VENDORS_HEADING = """\
# Vendors

Whoever shows or passes on numbers of a table passes on the citations of those whose data it is."""

_GRAPH_INTRODUCTION = """\
# Which table is computed from which

<!-- Written by `python -m finlake_cli.documents` from spark/contracts; change the contracts, not this page. -->

From vendors on the left to the tables that people and models read on the right. Dotted lines carry rejected rows. What
the tables hold is in [data-dictionary.md](data-dictionary.md); what Dagster makes of them stands, one line per asset,
in `tests/definitions/graph.txt`."""


def _contents(tables: Mapping[str, Table]) -> str:
    rows = [(f"[{t.address}](#{_anchor(t.address)})", _text(t.summary), _keys(t.grain)) for t in tables.values()]
    return _grid(("table", "what it holds", "grain"), rows)


def _vendors() -> str:
    return _grid(("vendor", "terms", "cite as"), [(f"[{each.name}]({each.url})", each.terms, each.citation) for each in VENDORS])


def _table_page(table: Table, tables: Mapping[str, Table]) -> str:
    readers = [other.address for other in tables.values() if table.address in other.input_addresses]
    facts = [
        ("grain", _keys(table.grain)),
        *(
            []
            if table.layer in _IN_CLICKHOUSE
            else [
                ("window", f"{_WINDOW[table.window]}, by `{table.window_column}`"),
                ("files", _files(table)),
            ]
        ),
        ("freshness", _freshness(table)),
        ("retention", "kept for ever" if table.retention_days is None else f"{table.retention_days} days"),
        ("owner", table.owner),
        ("computed from", _links(table.input_addresses) or "the vendor's files"),
        ("read by", _links(readers) or _EMPTY),
        ("data of", ", ".join(f"[{v.name}]({v.url})" for v in vendors_of(table, tables))),
    ]
    blocks = [
        f"## {table.address}",
        _text(table.summary),
        _grid(("", ""), facts),
        "\n".join(f"- {_text(note)}" for note in table.notes),
        _grid(("column", "type", "unit", "nullable", "meaning"), [_column_row(column) for column in table.columns]),
        _grid(("check", "predicate", "severity", "why"), [_check_row(check) for check in table.checks]),
    ]
    return "\n\n".join(block for block in blocks if block)


def _column_row(column: Column) -> tuple[str, ...]:
    meaning = [_text(column.note)]
    if column.formula:
        meaning.append(f"= {_text(column.formula)}")
    if column.sources:
        meaning.append(f"from {_origins(column.sources)}")
    return (
        f"`{column.name}`",
        column.type.replace("<", "&lt;"),
        _text(column.unit),
        "yes" if column.nullable else "",
        "<br>".join(meaning),
    )


def _check_row(check: Check) -> tuple[str, ...]:
    predicate = check.predicate.replace("|", r"\|")
    return (f"`{check.name}`", f"`{predicate}`", check.severity, _text(check.why))


def _origins(sources: Iterable[str]) -> str:
    """Column addresses, gathered by table."""
    by_table: dict[str, list[str]] = {}
    for source in sources:
        address, _, column = source.rpartition(".")
        by_table.setdefault(address, []).append(column)
    return "; ".join(f"{address}: {', '.join(columns)}" for address, columns in by_table.items())


def _files(table: Table) -> str:
    sorting = f"sorted by {_keys(table.sort_order, ', ')}"
    if table.partitioning is None:
        return f"not partitioned, {sorting}"
    layout = table.partitioning
    by = f"`{layout.column}`" if layout.transform == "identity" else f"{layout.transform} of `{layout.column}`"
    return f"partitioned by {by}, {sorting}"


def _freshness(table: Table) -> str:
    if table.freshness is None:
        return "no promise"
    return f"due {table.freshness.due_hours} hours after {_DUE_AFTER[table.window]}"


def _keys(names: Iterable[str], separator: str = " × ") -> str:
    return separator.join(f"`{name}`" for name in names)


def _links(addresses: Iterable[str]) -> str:
    return ", ".join(f"[{address}](#{_anchor(address)})" for address in addresses)


def _anchor(heading: str) -> str:
    """The anchor that Markdown viewers give to a table's heading."""
    return heading.replace(".", "")


def _node(name: str) -> str:
    return name.lower().replace(".", "_").replace(" ", "_")


def _text(prose: str) -> str:
    """Prose for a Markdown table cell: nothing in it is read as markup."""
    for mark, plain in (("\\", r"\\"), ("|", r"\|"), ("*", r"\*"), ("<", "&lt;")):
        prose = prose.replace(mark, plain)
    return prose


def _grid(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table, empty when there is no row."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *lines]) if lines else ""
