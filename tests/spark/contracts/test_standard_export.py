"""The exported documents are valid for the standard's own package, and say what the contracts say."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty

from spark.contracts.attribution import GDELT, STOOQ, vendors_of
from spark.contracts.lake import TABLES, table
from spark.contracts.standard_export import standard_document
from spark.contracts.table import Check, Column, Table

REPOSITORY = Path(__file__).resolve().parents[3]
JSON_SCHEMA = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text())

every_table = pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())


def exported(contract: Table) -> OpenDataContractStandard:
    return OpenDataContractStandard.model_validate(standard_document(contract, TABLES, "1.2.3"))


def properties_of(contract: Table) -> list[SchemaProperty]:
    (schema,) = exported(contract).schema_ or []
    return schema.properties or []


def an_odd_table() -> Table:
    """Everything that no table of the lake has: a person as owner, retention, no window of sessions."""
    return Table(
        layer="bronze",
        name="odd",
        summary="Odd.",
        grain=("b", "a"),
        window="none",
        window_column="a",
        columns=(Column(name="a", type="int", unit="1", note="A"), Column(name="b", type="string", note="B")),
        partitioning=None,
        sort_order=("a",),
        owner="ada@example.org",
        retention_days=30,
        checks=(Check(name="small", predicate="a < 3", why="because", severity="warn"),),
    )


@every_table
def test_a_document_is_valid_and_nothing_in_it_is_unknown_to_the_standard(contract: Table) -> None:
    document = standard_document(contract, TABLES, "1.2.3")
    model = OpenDataContractStandard.model_validate(document)
    assert model.model_dump(by_alias=True, exclude_none=True) == document


def test_an_unknown_word_would_be_noticed() -> None:
    document: dict[str, Any] = standard_document(table("gold.indicators"), TABLES, "1.2.3")
    document["schema"][0]["properties"][0]["colour"] = "red"
    model = OpenDataContractStandard.model_validate(document)
    assert model.model_dump(by_alias=True, exclude_none=True) != document


@every_table
def test_words_from_closed_lists_are_the_standards(contract: Table) -> None:
    model, definitions = exported(contract), JSON_SCHEMA["$defs"]
    assert model.apiVersion in JSON_SCHEMA["properties"]["apiVersion"]["enum"]
    assert set(JSON_SCHEMA["required"]) <= model.model_fields_set
    logical_types = definitions["SchemaBaseProperty"]["properties"]["logicalType"]["enum"]
    assert {column.logicalType for column in properties_of(contract)} <= set(logical_types)
    (schema,) = model.schema_ or []
    for rule in schema.quality or []:
        assert rule.type in definitions["DataQuality"]["properties"]["type"]["enum"]
        assert rule.metric is None or rule.metric in definitions["DataQualityLibrary"]["properties"]["metric"]["enum"]
        assert rule.dimension in (None, *definitions["DataQuality"]["properties"]["dimension"]["enum"])


@every_table
def test_columns_carry_key_nullability_unit_and_origin(contract: Table) -> None:
    properties = properties_of(contract)
    assert [p.name for p in properties] == list(contract.column_names)
    keys = {p.name: p.primaryKeyPosition for p in properties if p.primaryKey}
    assert keys == {name: position for position, name in enumerate(contract.grain, start=1)}
    for found, column in zip(properties, contract.columns, strict=True):
        assert found.required is not column.nullable
        assert found.description == column.note
        assert found.transformSourceObjects == (list(column.sources) or None)
        assert found.transformDescription == (column.formula or None)
        units = [entry.value for entry in found.customProperties or [] if entry.property == "unit"]
        assert units == ([column.unit] if column.unit else [])
    partitioned = [p.name for p in properties if p.partitioned]
    assert partitioned == ([contract.partitioning.column] if contract.partitioning else [])


def test_types_are_told_logically_and_as_iceberg_has_them() -> None:
    mentions = {p.name: p for p in properties_of(table("silver.news_mentions"))}
    told = {
        name: (mentions[name].logicalType, mentions[name].physicalType)
        for name in ("title", "is_generated", "word_count", "tone", "session_date", "available_ts", "themes")
    }
    assert told == {
        "title": ("string", "string"),
        "is_generated": ("boolean", "boolean"),
        "word_count": ("integer", "long"),
        "tone": ("number", "double"),
        "session_date": ("date", "date"),
        "available_ts": ("timestamp", "timestamptz"),
        "themes": ("array", "list<string>"),
    }
    assert mentions["available_ts"].logicalTypeOptions == {"timezone": True, "defaultTimezone": "Etc/UTC"}
    items = mentions["themes"].items
    assert items is not None
    assert items.logicalType == "string"


@every_table
def test_checks_count_the_rows_that_fail_them(contract: Table) -> None:
    (schema,) = exported(contract).schema_ or []
    grain, *rules = schema.quality or []
    assert (grain.metric, grain.arguments, grain.mustBe) == ("duplicateValues", {"properties": list(contract.grain)}, 0)
    assert [(rule.name, rule.query, rule.mustBe) for rule in rules] == [
        (check.name, f"SELECT COUNT(*) FROM ${{table}} WHERE NOT ({check.predicate})", 0) for check in contract.checks
    ]
    severities = {"error": "error", "warn": "warning"}
    assert [rule.severity for rule in rules] == [severities[check.severity] for check in contract.checks]


@every_table
def test_freshness_is_a_service_level_of_the_window_column(contract: Table) -> None:
    latencies = [level for level in exported(contract).slaProperties or [] if level.property == "latency"]
    told = [(level.value, level.unit, level.element) for level in latencies]
    element = f"{contract.name}.{contract.window_column}"
    assert told == ([(contract.freshness.due_hours, "h", element)] if contract.freshness else [])


def test_a_person_as_owner_retention_and_warnings_are_told() -> None:
    odd = an_odd_table()
    model = OpenDataContractStandard.model_validate(standard_document(odd, {odd.address: odd}, "1.2.3"))
    assert model.model_dump()["team"]["members"][0]["username"] == "ada@example.org"
    levels = [(level.property, level.value, level.unit) for level in model.slaProperties or []]
    assert levels == [("retention", 30, "d")]
    assert model.authoritativeDefinitions == []


@every_table
def test_terms_and_citation_of_every_vendor_are_carried(contract: Table) -> None:
    model = exported(contract)
    told = {entry.value for entry in model.customProperties or [] if isinstance(entry.value, str)}
    vendors = vendors_of(contract, TABLES)
    assert told == {text for vendor in vendors for text in (vendor.terms, vendor.citation)}
    assert [link.url for link in model.authoritativeDefinitions or []] == [vendor.url for vendor in vendors]


def test_only_tables_with_news_cite_gdelt() -> None:
    citing = {a for a, t in TABLES.items() if GDELT.citation in str(standard_document(t, TABLES, "1.2.3"))}
    assert {"bronze.gdelt_gkg", "silver.news_mentions", "gold.news_daily", "gold.stock_analytics"} <= citing
    assert not {"silver.prices_daily", "gold.indicators"} & citing
    assert STOOQ.citation in str(standard_document(table("gold.indicators"), TABLES, "1.2.3"))


@every_table
def test_the_written_document_is_read_by_the_standards_package(contract: Table) -> None:
    file = REPOSITORY / "docs/contracts" / f"{contract.address}.odcs.yaml"
    assert OpenDataContractStandard.from_file(str(file)).name == contract.address
