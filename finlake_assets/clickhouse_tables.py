"""From a contract to what Dagster shows about a table or view of ClickHouse. Tables of the lake: describe.py."""

import hashlib

import dagster as dg

from finlake_assets.asset_specs import asset_key, column_lineage, column_schema
from spark.contracts.table import Table


def clickhouse_spec(
    table: Table,
    *,
    kinds: frozenset[str],
    statement: str = "",
    deps: tuple[dg.AssetKey, ...] | None = None,
    is_virtual: bool = False,
) -> dg.AssetSpec:
    """The asset of a table in ClickHouse; `statement` is what makes it, where a step does.

    `deps` replace the contract's inputs where the chain before the table is not made of tables.
    """
    lineage = column_lineage(table)
    return dg.AssetSpec(
        key=asset_key(table.address),
        description=_description(table),
        group_name=table.layer,
        kinds={"clickhouse", table.layer, *kinds},
        owners=[table.owner],
        code_version=hashlib.sha256(f"{table!r} {statement}".encode()).hexdigest()[:12] if statement else None,
        deps=[asset_key(address) for address in table.input_addresses] if deps is None else deps,
        metadata={
            "dagster/table_name": table.address,
            "dagster/storage_kind": "clickhouse",
            "dagster/column_schema": column_schema(table),
            **({"dagster/column_lineage": lineage} if lineage else {}),
        },
        tags={"finlake/layer": table.layer},
        is_virtual=is_virtual,
    )


def _description(table: Table) -> str:
    """The contract in Markdown: what a row is, where it comes from, what to know about it."""
    facts = [f"**Grain:** {_names(table.grain)}", f"**Order:** {_names(table.sort_order)}"]
    if table.inputs:
        facts.append(f"**Made of:** {_names(table.input_addresses)}")
    return "\n\n".join([table.summary, "\n".join(f"- {fact}" for fact in facts), *table.notes])


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
