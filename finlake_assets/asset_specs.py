"""From a contract to everything Dagster shows about a table: key, text, columns, lineage, partitions, checks, pool."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

import dagster as dg

import spark
from finlake_assets.partitions import Timeline, mapping_of
from spark.contracts import lake
from spark.contracts.table import Column, Table

ENGINE_KIND = {"bronze": "python", "silver": "spark", "gold": "spark"}
GRAIN_CHECK = "grain_is_unique"
COLUMNS_CHECK = "required_columns_present"
WAS_ASKED = "was_asked"
"""Metadata of a check's evaluation: false where nobody was asked, so that it says nothing new."""


class AssetArguments(TypedDict):
    """Keyword arguments of `dg.multi_asset` that a contract decides."""

    name: str
    specs: Sequence[dg.AssetSpec]
    check_specs: Sequence[dg.AssetCheckSpec]
    partitions_def: dg.PartitionsDefinition[str] | None
    backfill_policy: dg.BackfillPolicy
    pool: str
    can_subset: bool


def described_by(
    table: Table,
    *,
    timeline: Timeline,
    outside: Sequence[dg.AssetKey] = (),
) -> AssetArguments:
    """Arguments of the asset whose step writes `table`, and its companions with it.

    `outside` are assets that no contract describes and that the tables are filled from. The checks can run without the
    step's writing: select them alone.
    """
    tables = lake.written_by(table.address)
    return AssetArguments(
        name=f"{table.layer}__{table.name}",
        specs=[asset_spec(each).merge_attributes(deps=outside) for each in tables],
        check_specs=[spec for each in tables for spec in check_specs(each)],
        partitions_def=timeline.partitions(table.window),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=pool_of(table),
        can_subset=True,
    )


def asset_key(address: str) -> dg.AssetKey:
    """`layer.table` as an asset key."""
    return dg.AssetKey(address.split("."))


def pool_of(table: Table) -> str:
    """The pool that lets one step at a time write the table."""
    return f"lake_{table.layer}_{table.name}"


def asset_spec(table: Table) -> dg.AssetSpec:
    """What Dagster shows of a table, all of it from the contract."""
    return dg.AssetSpec(
        key=asset_key(table.address),
        description=description_of(table),
        group_name=table.layer,
        kinds={"iceberg", ENGINE_KIND[table.layer], table.layer},
        owners=[table.owner],
        code_version=code_version(table),
        deps=[dg.AssetDep(asset_key(each.address), partition_mapping=mapping_of(each)) for each in table.inputs],
        metadata={
            "dagster/table_name": f"lake.{table.address}",
            "dagster/column_schema": column_schema(table),
            **({"dagster/column_lineage": lineage} if (lineage := column_lineage(table)) else {}),
        },
        tags={"finlake/layer": table.layer, "finlake/window": table.window},
    )


def description_of(table: Table) -> str:
    """The contract in Markdown: what a row is, where it comes from, what is promised about it."""
    layout = table.partitioning
    facts = [
        f"**Grain:** {_names(table.grain)}",
        f"**Replaced by:** {table.window}, on `{table.window_column}`",
        f"**Files:** {f'{layout.transform} of `{layout.column}`' if layout else 'not partitioned'},"
        f" sorted by {_names(table.sort_order)}",
    ]
    if table.inputs:
        facts.append(f"**Computed from:** {_names(table.input_addresses)}")
    if table.freshness:
        facts.append(f"**Due:** {table.freshness.due_hours} hours after the end of its {table.window}")
    if table.retention_days:
        facts.append(f"**Kept:** {table.retention_days} days")
    parts = [table.summary, "\n".join(f"- {fact}" for fact in facts), *table.notes]
    promises = [
        f"| `{check.name}` | {check.severity} | `{check.predicate.replace('|', '&#124;')}` | {check.why} |"
        for check in table.checks
    ]
    if promises:
        parts.append("\n".join(["| check | severity | every row | why |", "|---|---|---|---|", *promises]))
    return "\n\n".join(parts)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def column_schema(table: Table) -> dg.TableSchema:
    """Columns with their meaning, unit, formula and constraints."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=_column_text(column),
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=table.grain == (column.name,),
                    other=["part of the grain"] if column.name in table.grain else [],
                ),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=[f"one row per {', '.join(table.grain)}"]),
    )


def _column_text(column: Column) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    formula = f". Formula: {column.formula}" if column.formula else ""
    return f"{column.note}{unit}{formula}"


def column_lineage(table: Table) -> dg.TableColumnLineage | None:
    """Which columns each column is computed from; None when the contract names none."""
    deps = {column.name: [_column_dep(source) for source in column.sources] for column in table.columns if column.sources}
    return dg.TableColumnLineage(deps_by_column=deps) if deps else None


def _column_dep(source: str) -> dg.TableColumnDep:
    address, _, column_name = source.rpartition(".")
    return dg.TableColumnDep(asset_key=asset_key(address), column_name=column_name)


def check_specs(table: Table) -> list[dg.AssetCheckSpec]:
    """One check per promise of the contract, its key and its required columns; those of severity error block."""
    key = asset_key(table.address)
    required = [column.name for column in table.columns if not column.nullable]
    return [
        dg.AssetCheckSpec(GRAIN_CHECK, asset=key, blocking=True, description=f"One row per {_names(table.grain)}"),
        dg.AssetCheckSpec(COLUMNS_CHECK, asset=key, blocking=True, description=f"Never null: {_names(required)}"),
        *(
            dg.AssetCheckSpec(
                check.name,
                asset=key,
                blocking=check.severity == "error",
                description=f"{check.why}: `{check.predicate}`",
            )
            for check in table.checks
        ),
    ]


@cache
def code_version(table: Table) -> str:
    """Hash of the contract and of all code that computes and writes tables.

    All of it, because a table also stands on what its transform shares with others, and an unchanged version together
    with unchanged inputs lets a write be skipped.
    """
    return hashlib.sha256(f"{table!r} {_computation()}".encode()).hexdigest()[:12]


@cache
def _computation() -> str:
    """Hash of the sources of the spark room."""
    digest = hashlib.sha256()
    for source in sorted(Path(spark.__path__[0]).rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def contract_of(key: dg.AssetKey) -> Table:
    """The contract of a lake table's asset; raises `KeyError` for any other asset."""
    return lake.table(".".join(key.path))
