"""Contracts as documents of the Open Data Contract Standard v3, for catalogs and checkers that know nothing of finlake.

Documents are plain dicts in the standard's own words (https://bitol-io.github.io/open-data-contract-standard/); whoever
writes them chooses YAML or JSON.
"""

from collections.abc import Mapping

from spark.contracts.attribution import vendors_of
from spark.contracts.table import Check, Column, ColumnType, Severity, Table, Vendor, WindowKind

# The team object and `metric` came with 3.1; nothing here needs a later one.
STANDARD_VERSION = "v3.1.0"

Document = dict[str, object]

_LOGICAL: dict[ColumnType, str] = {
    "string": "string",
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "date": "date",
    "timestamp": "timestamp",
    "list<string>": "array",
}
_PHYSICAL: dict[ColumnType, str] = {
    "string": "string",
    "boolean": "boolean",
    "int": "int",
    "long": "long",
    "double": "double",
    "date": "date",
    "timestamp": "timestamptz",
    "list<string>": "list<string>",
}
_SEVERITY: dict[Severity, str] = {"error": "error", "warn": "warning"}
_DUE_AFTER: dict[WindowKind, str] = {
    "session": "the close of its XNYS session",
    "day": "the end of its day in America/New_York",
    "stream_day": "the end of its day in UTC",
    "month": "the end of its month",
    "none": "its inputs",
}


def standard_document(table: Table, tables: Mapping[str, Table], version: str) -> Document:
    """The contract of `table` as one document of the standard.

    `tables` (by address) holds at least everything `table` is computed from and decides whose data it is; `version` is
    the version of the contract.
    """
    vendors = vendors_of(table, tables)
    description: Document = {"purpose": table.summary, "usage": "Read `main`: audit branches were never published."}
    if table.notes:
        description["limitations"] = " ".join(table.notes)
    return {
        "apiVersion": STANDARD_VERSION,
        "kind": "DataContract",
        "id": f"finlake.{table.address}",
        "name": table.address,
        "version": version,
        "status": "active",
        "domain": "market-data",
        "tags": [table.layer, *(_tag(vendor) for vendor in vendors)],
        "description": description,
        "schema": [_schema(table)],
        "slaProperties": _service_levels(table),
        "team": _team(table.owner),
        "authoritativeDefinitions": [
            {"type": "dataSource", "url": vendor.url, "description": vendor.citation} for vendor in vendors
        ],
        "customProperties": [
            *({"property": f"license{_camel(vendor)}", "value": vendor.terms} for vendor in vendors),
            *({"property": f"attribution{_camel(vendor)}", "value": vendor.citation} for vendor in vendors),
            {"property": "inputs", "value": list(table.input_addresses)},
        ],
    }


def _schema(table: Table) -> Document:
    return {
        "name": table.name,
        "physicalName": table.address,
        "physicalType": "table",
        "logicalType": "object",
        "description": table.summary,
        "dataGranularityDescription": f"One row per {', '.join(table.grain)}",
        "tags": [table.layer],
        "properties": [_property(column, table) for column in table.columns],
        "quality": [_grain_rule(table), *(_rule(check) for check in table.checks)],
    }


def _property(column: Column, table: Table) -> Document:
    """A column; what the standard leaves at its default is left out."""
    document: Document = {
        "name": column.name,
        "logicalType": _LOGICAL[column.type],
        "physicalType": _PHYSICAL[column.type],
        "required": not column.nullable,
        "description": column.note,
    }
    if column.type == "list<string>":
        document["items"] = {"logicalType": "string", "physicalType": "string"}
    if column.type == "timestamp":
        document["logicalTypeOptions"] = {"timezone": True, "defaultTimezone": "Etc/UTC"}
    if column.name in table.grain:
        document |= {"primaryKey": True, "primaryKeyPosition": table.grain.index(column.name) + 1}
    if table.partitioning is not None and table.partitioning.column == column.name:
        document |= {"partitioned": True, "partitionKeyPosition": 1}
    if column.sources:
        document["transformSourceObjects"] = list(column.sources)
    if column.formula:
        document["transformDescription"] = column.formula
    if column.unit:
        document["customProperties"] = [{"property": "unit", "value": column.unit}]
    return document


def _grain_rule(table: Table) -> Document:
    return {
        "name": "grain_is_unique",
        "type": "library",
        "metric": "duplicateValues",
        "mustBe": 0,
        "unit": "rows",
        "arguments": {"properties": list(table.grain)},
        "dimension": "uniqueness",
        "severity": "error",
        "description": f"One row per {', '.join(table.grain)}",
    }


def _rule(check: Check) -> Document:
    """A check as a count of rows that fail it; a null predicate is no failure, as in the contract."""
    return {
        "name": check.name,
        "type": "sql",
        "query": f"SELECT COUNT(*) FROM ${{table}} WHERE NOT ({check.predicate})",
        "mustBe": 0,
        "unit": "rows",
        "severity": _SEVERITY[check.severity],
        "description": check.why,
    }


def _service_levels(table: Table) -> list[Document]:
    """Freshness as latency of the window column, and retention where rows are not kept for ever."""
    levels: list[Document] = []
    if table.freshness is not None:
        levels.append(
            {
                "property": "latency",
                "value": table.freshness.due_hours,
                "unit": "h",
                "element": f"{table.name}.{table.window_column}",
                "driver": "analytics",
                "description": f"A row is there {table.freshness.due_hours} hours after {_DUE_AFTER[table.window]}.",
            }
        )
    if table.retention_days is not None:
        levels.append(
            {
                "property": "retention",
                "value": table.retention_days,
                "unit": "d",
                "element": f"{table.name}.{table.window_column}",
            }
        )
    return levels


def _team(owner: str) -> Document:
    """`team:name` is a team, anything else the address of a person."""
    kind, _, name = owner.partition(":")
    return {"name": name} if kind == "team" else {"name": owner, "members": [{"username": owner, "role": "owner"}]}


def _tag(vendor: Vendor) -> str:
    return vendor.name.lower().replace(" ", "-")


def _camel(vendor: Vendor) -> str:
    return vendor.name.title().replace(" ", "")
