"""What a reader's or writer's statement may be made of: statements, parts of an expression, functions, system tables.

Belongs here: names, and why one is not among them. Does not belong here: how a statement is compared with them
(statement_policy.py).
"""

from typing import Final

STATEMENTS: Final = {
    "SELECT": {"SelectWithUnionQuery"},
    "WITH": {"SelectWithUnionQuery"},
    "FROM": {"SelectWithUnionQuery"},
    "(": {"SelectWithUnionQuery"},
    "SHOW": {
        "ShowTables",
        "ShowColumns",
        "ShowFunctions",
        "ShowIndexes",
        "ShowCreateTableQuery",
        "ShowCreateViewQuery",
        "ShowCreateDatabaseQuery",
        "ShowProcesslistQuery",
    },
    "DESCRIBE": {"DescribeQuery"},
    "DESC": {"DescribeQuery"},
    "EXISTS": {"ExistsTableQuery", "ExistsDatabaseQuery", "ExistsViewQuery"},
    "EXPLAIN": {"Explain"},
    "USE": {"UseQuery"},
    "KILL": {"KillQueryQuery"},
    "INSERT": {"InsertQuery"},
}
"""Statements by their first word: what the engine must have made of them."""

QUERY_CLASSES: Final = {"InsertQuery": ("MUTATING",), "UseQuery": ("CONTROL",), "KillQueryQuery": ("CONTROL",)}
"""What the engine must have found a statement to do, where that is not to read only."""

WITHOUT_LITERAL: Final = frozenset(root for roots in STATEMENTS.values() for root in roots if root != "KillQueryQuery")
"""Statements of which a literal is a part only as the name of a file."""

EXPRESSION_PARTS: Final = frozenset(
    {
        "ArrayJoin",
        "Asterisk",
        "Collation",
        "ColumnsExceptTransformer",
        "ColumnsListMatcher",
        "ColumnsRegexpMatcher",
        "ColumnsReplaceTransformer",
        "ColumnsReplaceTransformer::Replacement",
        "ColumnsTransformerList",
        "ExpressionList",
        "Function",
        "Identifier",
        "Literal",
        "OrderByElement",
        "QualifiedAsterisk",
        "QualifiedColumnsListMatcher",
        "QualifiedColumnsRegexpMatcher",
        "SampleRatio",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "SelectWithUnionQuery",
        "Subquery",
        "TableExpression",
        "TableIdentifier",
        "TableJoin",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "WindowDefinition",
        "WindowListElement",
        "WithElement",
    }
)

FUNCTION_CATEGORIES: Final = (
    "Arithmetic",
    "Arrays",
    "Bit",
    "Bitmap",
    "Comparison",
    "Conditional",
    "Dates and Times",
    "Distance",
    "Encoding",
    "Financial",
    "Geo",
    "Geo Polygon",
    "Hash",
    "IP Address",
    "JSON",
    "Logical",
    "Map",
    "Mathematical",
    "Null",
    "NumericIndexedVector",
    "Random Number",
    "Rounding",
    "String",
    "String Replacement",
    "String Search",
    "String Splitting",
    "Time Window",
    "Tuple",
    "Type Conversion",
    "URL",
    "UUID",
)
"""Categories of system.functions whose members compute from their arguments alone."""

MORE_FUNCTIONS: Final = frozenset(
    {
        # What the parser itself writes into a tree.
        "_CAST",
        "lambda",
        "nested",
        "exists",
        "untuple",
        "grouping",
        "columns",
        "caseWithExpression",
        "arrayJoin",
        # Of the category Other: what is computed, and what a client asks about the server it speaks to.
        "bar",
        "blockNumber",
        "byteSize",
        "connectionId",
        "countDigits",
        "currentDatabase",
        "currentSchemas",
        "currentRoles",
        "currentUser",
        "enabledRoles",
        "defaultValueOfArgumentType",
        "defaultValueOfTypeName",
        "displayName",
        "errorCodeToName",
        "finalizeAggregation",
        "formatReadableDecimalSize",
        "formatReadableQuantity",
        "formatReadableSize",
        "formatReadableTimeDelta",
        "getSetting",
        "getSizeOfEnumType",
        "getSubcolumn",
        "hasColumnInTable",
        "hostName",
        "identity",
        "ignore",
        "indexHint",
        "initializeAggregation",
        "isConstant",
        "materialize",
        "neighbor",
        "parseReadableSize",
        "parseReadableSizeOrNull",
        "parseReadableSizeOrZero",
        "parseTimeDelta",
        "pgGetUserById",
        "pgTableIsVisible",
        "queryID",
        "revision",
        "rowNumberInAllBlocks",
        "rowNumberInBlock",
        "runningAccumulate",
        "runningDifference",
        "runningDifferenceStartingWithFirstValue",
        "throwIf",
        "toColumnTypeName",
        "toTypeName",
        "transform",
        "uptime",
        "variantElement",
        "variantType",
        "version",
        "visibleWidth",
    }
)

TABLE_FUNCTIONS: Final = frozenset(
    {
        "generateSeries",
        "generate_series",
        "numbers",
        "numbers_mt",
        "values",
        "view",
        "zeros",
        "zeros_mt",
    }
)
"""None takes the structure of its columns as a text (but `values`, see statement_policy.py): such a text is an expression that
the tree does not show, because a column of it may be `ALIAS file('…')`."""

TYPE_TAKERS: Final = frozenset(
    {
        "_cast",
        "cast",
        "accuratecast",
        "accuratecastornull",
        "accuratecastordefault",
        "reinterpret",
        "jsonextract",
        "jsonextractcaseinsensitive",
        "jsonextractkeysandvalues",
        "jsonextractkeysandvaluescaseinsensitive",
        "defaultvalueoftypename",
    }
)
"""Functions of which an argument names a type, in lower case."""
TYPE_ARGUMENT: Final = {
    "defaultvalueoftypename": 0,
    "jsonextract": -1,
    "jsonextractcaseinsensitive": -1,
    "jsonextractkeysandvalues": -1,
    "jsonextractkeysandvaluescaseinsensitive": -1,
}
"""Which of their arguments that is, where it is not the second."""
ROW_FORMATTERS: Final = frozenset({"formatrow", "formatrownonewline"})
"""Functions of which the first argument names a format, in lower case."""
_BY_AGGREGATE_NAME: Final = frozenset({"arrayreduce", "arrayreduceinranges", "initializeaggregation"})
"""Functions of which the first argument names an aggregate function, in lower case."""
NAME_TAKERS: Final = TYPE_TAKERS | ROW_FORMATTERS | _BY_AGGREGATE_NAME
NOT_AGGREGATES: Final = frozenset({"groupformat"})
"""Aggregate functions that make a text in a format that they name, in lower case."""
FORMAT_PARENTS: Final = frozenset({"SelectWithUnionQuery", "DescribeQuery", "Explain"})
"""Of what an identifier is a direct part only as its FORMAT."""
LIBRARY_FORMATS: Final = frozenset({"dataframe", "arrowtable"})
"""Of chDB's Python wrapper, not of its engine."""

SYSTEM_TABLES: Final = frozenset(
    {
        "aggregate_function_combinators",
        "build_options",
        "codecs",
        "collations",
        "columns",
        "constraints",
        "contributors",
        "data_skipping_indices",
        "data_type_families",
        "database_engines",
        "databases",
        "events",
        "formats",
        "functions",
        "keywords",
        "licenses",
        "merges",
        "metrics",
        "numbers",
        "numbers_mt",
        "one",
        "parts",
        "parts_columns",
        "projections",
        "replicas",
        "settings",
        "table_engines",
        "table_functions",
        "tables",
        "time_zones",
        "view_refreshes",
        "zeros",
        "zeros_mt",
    }
)
"""System tables without other users' statements and without secrets; the engine shows only rows about granted tables."""

COSTLY_FUNCTIONS: Final = frozenset(
    {
        "arrayLevenshteinDistance",
        "arrayLevenshteinDistanceWeighted",
        "arraySimilarity",
        "damerauLevenshteinDistance",
        "editDistance",
        "editDistanceUTF8",
    }
)
"""Time with the product of their arguments' lengths: one call takes half a minute, in which the engine looks at no limit."""

REFUSAL_REASONS: Final = {
    **dict.fromkeys(
        (*COSTLY_FUNCTIONS, "levenshteinDistance", "levenshteinDistanceUTF8"),
        "edit distances are not allowed: one of two long texts takes minutes in which no limit of time holds; "
        "ngramDistance and jaroWinklerSimilarity are",
    ),
    "getServerSetting": "getServerSetting is not allowed: the server's configuration is for its administrator; settings of "
    "statements are in system.settings",
    "defaultRoles": "defaultRoles is not allowed: it would name all users; currentRoles() tells your own",
}
