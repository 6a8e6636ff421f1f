"""A text in Spark SQL for the embedded engine: read as a whole first, and given to the engine in a form made of what was read.

Sail reads any file that a query names, and its parse cannot be asked for alone. So sqlglot reads the text; what is found must
be a query over tables of the lake and nothing else, and the engine gets another text, written from that tree: names of tables
become those of frames that were made for the query, comments are gone, and each literal is quoted in one way. Nothing of the
user's own spelling reaches the engine.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from spark.contracts import lake as contracts

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import DataFrame

    from spark.lake.storage import Lake

CATALOG = "lake"
METADATA_TABLES = ("snapshots", "history", "refs", "files", "manifests", "partitions", "entries")
TABLE_FUNCTIONS = ("range", "explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "stack")
# What a query is made of, besides expressions: a kind that is not here is refused, whatever it does.
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
_REFUSED = (
    exp.DDL,
    exp.DML,
    exp.Command,
    exp.Into,
    exp.QueryTransform,
    exp.Copy,
    exp.Describe,
    exp.Set,
    exp.Use,
    exp.Pragma,
    exp.Cache,
    exp.LoadData,
    exp.Placeholder,
    exp.Parameter,
    exp.SessionParameter,
    exp.Directory,
    exp.Kill,
    exp.Analyze,
)
_SPARK = "spark"
_DESCRIBED = re.compile(r"\s*(?:describe|desc)\s+(?:table\s+)?(?:extended\s+|formatted\s+)?([\w.`]+)\s*;?\s*", re.IGNORECASE)
_DESCRIBED_QUERY = re.compile(r"\s*(?:describe|desc)\s+query\s+(.*)", re.IGNORECASE | re.DOTALL)
_SHOWN = re.compile(
    r"\s*show\s+(?P<what>tables|schemas|databases|namespaces|create\s+table|columns|functions)"
    r"(?:\s+(?:in|from))?(?:\s+(?P<name>[\w.`]+))?\s*;?\s*",
    re.IGNORECASE,
)
_TELLS = "SHOW TABLES, SCHEMAS, COLUMNS, CREATE TABLE and FUNCTIONS, DESCRIBE of a table and DESCRIBE QUERY"

Refuse = Callable[[str], Exception]


class EmbeddedQuery:
    """A statement, judged; `frame` is what it tells.

    Raises what `refuse` makes of a sentence: for what is no reading of the lake, and for a table or version that is not there.
    """

    def __init__(self, lake: "Lake", refuse: Refuse) -> None:
        self._lake = lake
        self._refuse = refuse
        # No name that a query could give to something of its own.
        self._mark, self._views = uuid4().hex, 0

    def query(self, text: str) -> "DataFrame":
        """The rows of a query."""
        return self._lake.spark.sql(self.rewritten(text))

    def explained(self, text: str) -> "DataFrame":
        """The plan of a query, as the engine shows it."""
        return self._lake.spark.sql(f"EXPLAIN {self.rewritten(text)}")

    def described(self, text: str) -> "DataFrame":
        """What a SHOW or DESCRIBE answers: from the contracts and the catalog, not from the engine."""
        import pyarrow as pa

        from spark.schemas import spark_schema

        if found := _DESCRIBED_QUERY.fullmatch(text):
            fields = self.query(found[1]).schema.fields
            return self._frame(
                pa.table(
                    {"col_name": [each.name for each in fields], "data_type": [each.dataType.simpleString() for each in fields]}
                )
            )
        if found := _DESCRIBED.fullmatch(text):
            contract = contracts.table(self._address(found[1]))
            types = {field.name: field.dataType.simpleString() for field in spark_schema(contract).fields}
            return self._frame(
                pa.table(
                    {
                        "col_name": contract.column_names,
                        "data_type": [types[name] for name in contract.column_names],
                        "comment": [
                            " ".join(filter(None, (each.note, each.unit and f"[{each.unit}]"))) for each in contract.columns
                        ],
                    }
                )
            )
        found = _SHOWN.fullmatch(text)
        if found is None:
            raise self._refuse(f"the embedded engine tells {_TELLS} alone; FINLAKE_ENGINE=spark tells more")
        return self._frame(self._shown(" ".join(found["what"].lower().split()), found["name"]))

    def _shown(self, what: str, name: str | None) -> "pa.Table":
        import pyarrow as pa

        layers = sorted({table.layer for table in contracts.TABLES.values()})
        if what in ("schemas", "databases", "namespaces"):
            return pa.table({"namespace": layers})
        if what == "functions":
            return self._lake.spark.sql("show functions").toArrow()
        if what == "tables":
            layer = (name or "").replace("`", "").lower().removeprefix(f"{CATALOG}.")
            if layer and layer != CATALOG and layer not in layers:
                raise self._refuse(f"there is no schema {layer}; there are {', '.join(layers)}")
            shown = [table for _, table in sorted(contracts.TABLES.items()) if layer in ("", CATALOG, table.layer)]
            return pa.table(
                {
                    "namespace": [each.layer for each in shown],
                    "tableName": [each.name for each in shown],
                    "isTemporary": [False] * len(shown),
                }
            )
        if name is None:
            raise self._refuse(f"SHOW {what.upper()} needs the name of a table")
        contract = contracts.table(self._address(name))
        if what == "columns":
            return pa.table({"col_name": contract.column_names})
        return pa.table({"createtab_stmt": [_created(self._lake.table(contract.address), contract.address)]})

    def rewritten(self, text: str) -> str:
        """The query as the engine is given it, over frames that are made here."""
        tree = self._read(text)
        for node in list(tree.walk()):
            if isinstance(node, _REFUSED):
                raise self._refuse(f"`finlake sql` only reads the lake and refuses {node.key.upper()}")
            if isinstance(node, exp.Identifier) and "`" in node.name:
                raise self._refuse(f"the name {node.name!r} has a backtick in it, which no name of the lake has")
        for hint in list(tree.find_all(exp.Hint)):
            hint.pop()
        known = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        for column in list(tree.find_all(exp.Column)):
            self._without_schema(column)
        for table in list(tree.find_all(exp.Table)):
            self._resolve(table, known)
        return tree.sql(_SPARK, comments=False, identify=True)

    def _read(self, text: str) -> exp.Expression:
        try:
            trees = [tree for tree in sqlglot.parse(_as_select(text), read=_SPARK) if tree is not None]
        except SqlglotError as error:
            raise self._refuse(_no_query(str(error).splitlines()[0])) from error
        except RecursionError as error:
            raise self._refuse(_no_query("it is nested too deeply")) from error
        if len(trees) != 1 or not isinstance(trees[0], _QUERIES):
            raise self._refuse(_no_query("it is another kind of statement, or more than one"))
        return trees[0]

    def _resolve(self, table: exp.Table, known: set[str]) -> None:
        """Put a frame in the place of a table of the lake; raises for anything else that is read from."""
        if isinstance(table.this, exp.Func):
            name = table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name()
            if str(name).lower() not in TABLE_FUNCTIONS:
                raise self._refuse(f"`finlake sql` only reads the lake and refuses {name}() in place of a table")
            return
        parts = [part.name for part in table.parts]
        version = table.args.get("version")
        if len(parts) == 1 and parts[0].lower() in known and version is None:
            return
        address, kind = self._named(parts)
        frame = self._at_version(address, version) if kind is None else self._metadata(address, kind)
        self._views += 1
        name = f"finlake_{self._mark}_{self._views}"
        frame.createOrReplaceTempView(name)
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(kind or parts[-1]))
        kept = {key: value for key, value in table.args.items() if key in ("joins", "laterals", "pivots", "sample", "hints")}
        table.replace(exp.Table(this=exp.to_identifier(name), alias=alias, **kept))

    def _named(self, parts: Sequence[str]) -> tuple[str, str | None]:
        """The table of the lake that a name means, and which of its metadata tables."""
        names = [part.lower() for part in parts]
        if len(names) > 2 and names[0] == CATALOG:
            names = names[1:]
        address = ".".join(names[:2])
        kind = names[2] if len(names) == 3 else None
        if address not in contracts.TABLES or len(names) > 3 or (kind is not None and kind not in METADATA_TABLES):
            raise self._refuse(
                f"[TABLE_OR_VIEW_NOT_FOUND] there is no table {'.'.join(parts)}. Tables are {', '.join(sorted(contracts.TABLES))}"
                f", and of each {', '.join(f'TABLE.{each}' for each in METADATA_TABLES)}"
            )
        return address, kind

    def _address(self, name: str) -> str:
        return self._named(name.replace("`", "").split("."))[0]

    def _at_version(self, address: str, version: exp.Expression | None) -> "DataFrame":
        table = self._lake.table(address)
        snapshot = table.current_snapshot()
        if version is not None:
            snapshot_id = self._snapshot_of(table, version)
        elif snapshot is None:
            raise self._refuse(f"{address} has no snapshot although it was created with one; run its step again")
        else:
            snapshot_id = snapshot.snapshot_id
        return self._lake.frame_at(address, snapshot_id)

    def _snapshot_of(self, table: "IcebergTable", version: exp.Expression) -> int:
        value = version.args.get("expression")
        is_time = str(version.this).upper() in ("TIMESTAMP", "SYSTEM_TIME")
        if not isinstance(value, exp.Literal):
            raise self._refuse("a version is a number, the name of a branch or a time in quotes, and nothing that is computed")
        if is_time:
            try:
                at = datetime.fromisoformat(value.name)
            except ValueError as error:
                raise self._refuse(f"{value.name!r} is no time; write '2018-03-27 21:00:00'") from error
            found = table.snapshot_as_of_timestamp(int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000))
            if found is None:
                raise self._refuse(f"Cannot find a snapshot older than {value.name}")
            return found.snapshot_id
        ref = table.metadata.refs.get(value.name)
        if ref is not None:
            return ref.snapshot_id
        if not value.name.isdigit() or table.metadata.snapshot_by_id(int(value.name)) is None:
            raise self._refuse(f"Cannot find snapshot with ID {value.name}")
        return int(value.name)

    def _metadata(self, address: str, kind: str) -> "DataFrame":
        from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

        rows = getattr(self._lake.table(address).inspect, kind)()
        return self._frame(rows.cast(to_arrow_schema(from_arrow_schema(rows.schema))))

    def _frame(self, rows: "pa.Table") -> "DataFrame":
        return self._lake.spark.createDataFrame(rows)

    def _without_schema(self, column: exp.Column) -> None:
        """Name a column by its table alone: the frame has no schema."""
        schema, catalog = column.args.get("db"), column.args.get("catalog")
        if (
            schema is not None
            and f"{schema.name}.{column.table}".lower() in contracts.TABLES
            and (catalog is None or catalog.name.lower() == CATALOG)
        ):
            column.set("db", None)
            column.set("catalog", None)


def engine_name() -> str:
    """What answers, with its version."""
    import pysail

    return f"Sail {pysail.__version__} (embedded)"


def _as_select(text: str) -> str:
    """`TABLE name`, which sqlglot does not read, in its longer form."""
    return re.sub(r"\A\s*table\s+(?=[\w`])", "SELECT * FROM ", text, flags=re.IGNORECASE)


def _no_query(why: str) -> str:
    return (
        "only queries, SHOW, DESCRIBE and EXPLAIN of a query are carried out, tables are written by `finlake run` alone; "
        f"this is no query that was understood: {why}"
    )


def _created(table: "IcebergTable", address: str) -> str:
    """A table's definition in words of SQL."""
    columns = ",\n".join(f"  {field.name} {field.field_type}" for field in table.schema().fields)
    spec = ", ".join(f"{each.transform}({table.schema().find_column_name(each.source_id)})" for each in table.spec().fields)
    return f"CREATE TABLE {CATALOG}.{address} (\n{columns})\nUSING iceberg" + (f"\nPARTITIONED BY ({spec})" if spec else "")
