"""What a reader's or writer's statement may be made of; everything that is not named here is refused.

Two guards stand one behind the other. The engine itself checks every statement against the grants of the user's role
(configuration.py): databases, tables, DDL, table functions that reach files or the network. What no grant governs in an
in-process engine — the scalar function `file`, INTO OUTFILE, SET ROLE, KILL of somebody else's query, system tables that show
other users' statements — is judged here, on the engine's own syntax tree of the text that is run. The judgement is a list of
what is allowed (statements, parts of an expression, functions by the categories of system.functions, system tables) because
a list of what is forbidden would have to know every spelling (`arrayMap(file, …)` calls a function by its name alone) and
every function of the engine's next version.

Refused although harmless: `* APPLY(f)`, whose function the tree does not show. SETTINGS in the text of a statement are judged
as those of the URL are (settings.py), by the engine's own reading of them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from finlake_services.clickhouse_local.engine import Engine
from finlake_services.clickhouse_local.errors import ClickHouseError, EngineError, access_denied, not_in_readonly
from finlake_services.clickhouse_local.formats import check_format, is_allowed
from finlake_services.clickhouse_local.settings import check_settings_of_text
from finlake_services.clickhouse_local.statement_text import has_word, is_plain_show, named_formats, shown_database
from finlake_services.clickhouse_local.syntax_tree import Node, SyntaxTree
from finlake_services.clickhouse_local.users import User

_FIRST_WORDS: Final = {
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

_CLASSES: Final = {"InsertQuery": ("MUTATING",), "UseQuery": ("CONTROL",), "KillQueryQuery": ("CONTROL",)}
"""What the engine must have judged a statement to do, where that is not to read only."""

_WITHOUT_LITERAL: Final = frozenset(root for roots in _FIRST_WORDS.values() for root in roots if root != "KillQueryQuery")
"""Statements of which a literal is a part only as the name of a file."""

_PARTS: Final = frozenset(
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

_CATEGORIES: Final = (
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

_UNCATEGORISED: Final = frozenset(
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

_TABLE_FUNCTIONS: Final = frozenset(
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
"""None takes the structure of its columns as a text (but `values`, see _check_rows): such a text is an expression that the tree
does not show, because a column of it may be `ALIAS file('…')`."""

_TYPE_TAKERS: Final = frozenset(
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
_TYPE_ARGUMENT: Final = {
    "defaultvalueoftypename": 0,
    "jsonextract": -1,
    "jsonextractcaseinsensitive": -1,
    "jsonextractkeysandvalues": -1,
    "jsonextractkeysandvaluescaseinsensitive": -1,
}
"""Which of their arguments that is, where it is not the second."""
_ROW_FORMATTERS: Final = frozenset({"formatrow", "formatrownonewline"})
"""Functions of which the first argument names a format, in lower case."""
_BY_AGGREGATE_NAME: Final = frozenset({"arrayreduce", "arrayreduceinranges", "initializeaggregation"})
"""Functions of which the first argument names an aggregate function, in lower case."""
_NAME_TAKERS: Final = _TYPE_TAKERS | _ROW_FORMATTERS | _BY_AGGREGATE_NAME
_NOT_AGGREGATES: Final = frozenset({"groupformat"})
"""Aggregate functions that make a text in a format that they name, in lower case."""
_FORMAT_PARENTS: Final = frozenset({"SelectWithUnionQuery", "DescribeQuery", "Explain"})
"""Of what an identifier is a direct part only as its FORMAT."""
_LIBRARY_FORMATS: Final = frozenset({"dataframe", "arrowtable"})
"""Of chDB's Python wrapper, not of its engine."""
_PLAIN_TYPE: Final = re.compile(r"'(?:(?:[^'\\`\"\u201c]|\\.)*|(?:[^'\\]|\\')*)'")
"""A type as a literal in which no quoted name holds an escape: it could be spelled by them."""
_STATE_TYPE: Final = re.compile(r"(?<!simple)aggregatefunction", re.IGNORECASE)
_ROW: Final = re.compile(r"(?:Tuple|Array|U?Int\d+|Float64|Bool)_.*", re.DOTALL)
"""A literal that is no text."""
_ROWS: Final = (("Function", "tuple"), ("Function", "array"))

_SYSTEM_TABLES: Final = frozenset(
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

_COSTLY: Final = frozenset(
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

_REASONS: Final = {
    **dict.fromkeys(
        (*_COSTLY, "levenshteinDistance", "levenshteinDistanceUTF8"),
        "edit distances are not allowed: one of two long texts takes minutes in which no limit of time holds; "
        "ngramDistance and jaroWinklerSimilarity are",
    ),
    "getServerSetting": "getServerSetting is not allowed: the server's configuration is for its administrator; settings of "
    "statements are in system.settings",
    "defaultRoles": "defaultRoles is not allowed: it would name all users; currentRoles() tells your own",
}

_KILL_USAGE: Final = "KILL QUERY takes WHERE query_id = '…' and nothing else"


_KNOWN_DATABASES: Final = ("system", "information_schema", "default")
"""Databases of which everybody knows, in lower case."""
_TELLING_CODES: Final = (47, 60, 81, 497)
_NAMED_DATABASE: Final = re.compile(
    r"(?:the grant [A-Z ]+(?:\([^)]*\))? ON |table expression identifier [`']|Database |Table )`?"
    r"(?P<database>[^`'.]+?)`?(?:\.| does not exist)"
)
"""What the engine's refusals are about. A name in an IN may be a table's or a column's: the engine finds out."""


class _Function(NamedTuple):
    name: str
    alias_to: str
    categories: str
    case_insensitive: str
    is_aggregate: str
    higher_order: str


class Judge:
    """The rules, with the functions of the engine that is running."""

    def __init__(self, engine: Engine) -> None:
        functions = [
            _Function(*row.split("\t"))
            for row in engine.ask(
                "SELECT name, alias_to, categories, case_insensitive, is_aggregate, higher_order FROM system.functions"
            )
            .decode()
            .splitlines()
        ]
        scalar = [function for function in functions if function.is_aggregate == "0"]
        direct = {function.name for function in scalar if function.categories in _CATEGORIES} | _UNCATEGORISED
        self._functions = (
            _TABLE_FUNCTIONS
            | _UNCATEGORISED
            | _spellings(
                function
                for function in scalar
                if (function.name in direct or function.alias_to in direct)
                and not _COSTLY.intersection((function.name, function.alias_to))
            )
        )
        self._aggregates = _spellings(
            function for function in functions if function.is_aggregate == "1" and function.name.lower() not in _NOT_AGGREGATES
        )
        self._refused_formats = _LIBRARY_FORMATS | {
            name.lower() for name in engine.ask("SELECT name FROM system.formats").decode().split() if not is_allowed(name)
        }
        self._combinators = tuple(engine.ask("SELECT name FROM system.aggregate_function_combinators").decode().split())
        self._scalar = frozenset(function.name.lower() for function in scalar)
        takers = {function.name for function in functions if function.higher_order == "1"}
        self._function_takers = frozenset(
            function.name.lower() for function in functions if function.name in takers or function.alias_to in takers
        )

    def check(self, user: User, first_word: str, tree: SyntaxTree, sql: str) -> None:
        """Raise `ClickHouseError` (497 or 164) unless every part of the statement is allowed to the user."""
        if user.rights == "admin":
            return
        if tree.may_be_forged:
            raise access_denied(
                user.name, "a name, or a parameter beside one that is a name, may not hold control characters or escapes of them"
            )
        if tree.root not in _FIRST_WORDS.get(first_word, ()):
            raise _refused_statement(user, first_word, tree)
        if tree.root == "InsertQuery" and user.rights == "reader":
            raise not_in_readonly(user.name, "Cannot execute INSERT")
        if tree.root == "InsertQuery" and tree.nodes[1:] and tree.nodes[1].kind == "Function":
            raise access_denied(user.name, "INSERT INTO FUNCTION reaches files and other machines; insert into a table")
        if tree.query_class not in _CLASSES.get(tree.root, ("READ_ONLY",)):
            raise access_denied(
                user.name,
                "INTO OUTFILE would write a file of this machine"
                if has_word(sql, "OUTFILE")
                else f"the engine takes this {first_word} for one that changes something",
            )
        if tree.root.startswith("Show") and not is_plain_show(sql):
            raise access_denied(
                user.name,
                "SHOW takes FROM, LIKE and FORMAT, with plain names and a pattern without a "
                "backslash; for conditions read system.tables, system.columns or system.functions",
            )
        if tree.root.startswith("Show") and (database := shown_database(sql)):
            _check_database(user, database)
        self._check_formats(tree, sql)
        # The first part of an EXPLAIN may be its options, which are no settings.
        has_options = tree.root == "Explain" and len(tree.nodes) > 1 and tree.nodes[1].kind == "Set"
        nodes = tree.nodes[2 if has_options else 1 :]
        self._check_settings(user, tree, sum(node.kind == "Set" for node in nodes))
        takes_functions = any(node.kind == "Function" and node.name.lower() in self._function_takers for node in nodes)
        for at, node in enumerate(nodes):
            self._check_node(user, node, takes_functions)
            if node.kind == "Function" and node.name.lower() == "values":
                _check_rows(user, _arguments(nodes, at))
            if node.kind == "Function" and node.name.lower() in _NAME_TAKERS:
                self._check_name(user, node.name.lower(), _arguments(nodes, at))

    def _check_formats(self, tree: SyntaxTree, sql: str) -> None:
        """Raise for a FORMAT that is not allowed. Of some statements the tree does not tell it apart, so the text is read too."""
        for node in tree.nodes:
            if node.kind == "Identifier" and node.parent in _FORMAT_PARENTS:
                check_format(node.name)
        for named in named_formats(sql):
            # A column may be called `format`: then any other word stands behind it.
            if named.lower() in self._refused_formats or "\\" in named:
                check_format(named)

    def _check_name(self, user: User, function: str, arguments: Sequence[Node]) -> None:
        """Raise unless the type, format or aggregate function that an argument names is written out and allowed."""
        if function in _TYPE_TAKERS:
            _check_type(user, function, arguments)
        elif arguments:
            named = arguments[0].name.strip("'") if arguments[0].kind == "Literal" else ""
            if function in _ROW_FORMATTERS:
                check_format(named)
            elif not self._is_aggregate(named.partition("(")[0].strip()):
                raise access_denied(
                    user.name, f"{function} takes the name of an aggregate function, written out, as its first argument"
                )

    def _check_settings(self, user: User, tree: SyntaxTree, clauses: int) -> None:
        """Raise unless each of the text's settings, every time that it is set, is one that the user may send by URL."""
        if clauses and not tree.settings:
            raise not_in_readonly(user.name, "Cannot take these SETTINGS from the text of a statement, send them by URL,")
        if clauses:
            for name, value in tree.settings:
                check_settings_of_text(user, {name: value})

    def _check_node(self, user: User, node: Node, takes_functions: bool) -> None:
        if node.kind == "Set":
            # Which they are is judged for the whole statement.
            return
        if node.kind == "Literal" and node.parent in _WITHOUT_LITERAL:
            raise access_denied(user.name, "INTO OUTFILE and FROM INFILE reach files of this machine")
        if node.kind not in _PARTS:
            raise access_denied(user.name, f"a statement with {node.kind} is not allowed")
        if node.kind == "Function" and not self._may_call(node.name):
            raise access_denied(user.name, _REASONS.get(node.name) or f"function {node.name} is not allowed")
        if node.kind in ("Identifier", "TableIdentifier"):
            database, _, table = node.name.partition(".")
            if database.lower() == "system" and table and table.split(".")[0] not in _SYSTEM_TABLES:
                raise access_denied(user.name, f"SELECT ON {node.name}")
            if node.kind == "TableIdentifier" and table:
                _check_database(user, database)
        # A column may be called as a function is; but a higher-order function takes another by its bare name.
        if (
            takes_functions
            and node.kind == "Identifier"
            and node.name.lower() in self._scalar
            and (not self._may_call(node.name) or node.name.lower() in _NAME_TAKERS)
        ):
            raise access_denied(user.name, f"function {node.name} is not allowed")

    def _may_call(self, name: str) -> bool:
        return name in self._functions or name.lower() in self._functions or self._is_aggregate(name)

    def _is_aggregate(self, name: str) -> bool:
        return (
            name in self._aggregates
            or name.lower() in self._aggregates
            or any(name.endswith(suffix) and self._is_aggregate(name.removesuffix(suffix)) for suffix in self._combinators)
        )


def _check_database(user: User, database: str) -> None:
    """Raise unless the database is one of which the user may know; whether any other is there is not looked at."""
    if not _may_know(user, database):
        raise _hidden(user, database)


def concealed(user: User, error: EngineError) -> ClickHouseError:
    """What the engine said, in the same words for what is not granted as for what is not there."""
    found = _NAMED_DATABASE.search(str(error)) if error.code in _TELLING_CODES else None
    return error if found is None or _may_know(user, found["database"]) else _hidden(user, found["database"])


def _may_know(user: User, database: str) -> bool:
    return user.rights == "admin" or database in user.databases or database.lower() in _KNOWN_DATABASES


def _hidden(user: User, database: str) -> ClickHouseError:
    return access_denied(user.name, f"database {database} is not there, or not granted")


def _arguments(nodes: Sequence[Node], at: int) -> list[Node]:
    """The nodes of a function's arguments, without what is below them."""
    arguments: list[Node] = []
    depth = nodes[at].depth
    for node in nodes[at + 1 :]:
        if node.depth <= depth or (node.depth == depth + 1 and arguments):
            break
        if node.depth == depth + 2:
            arguments.append(node)
    return arguments


def _check_rows(user: User, arguments: Iterable[Node]) -> None:
    """Raise unless each argument of `values` is a row: a text may be a structure, which is not judged."""
    for node in arguments:
        is_row = _ROW.fullmatch(node.name) if node.kind == "Literal" else (node.kind, node.name) in _ROWS
        if not is_row:
            raise access_denied(
                user.name,
                "values takes no structure of columns and no row but a tuple: values((1, 'x'), (2, 'y')) names them c1, c2",
            )


def _check_type(user: User, function: str, arguments: Sequence[Node]) -> None:
    """Raise unless the type that a function makes is a plain literal and no state of an aggregate function.

    A state made of bytes is memory of the engine as the client wrote it: forged ones end the process, or read from it.
    """
    position = _TYPE_ARGUMENT.get(function, 1)
    if not -len(arguments) <= position < len(arguments):
        # Not called as it is to be; the engine says so.
        return
    node = arguments[position]
    if node.kind != "Literal" or not _PLAIN_TYPE.fullmatch(node.name):
        raise access_denied(user.name, f"the type that {function} takes must be written out, with no escapes in quoted names")
    if _STATE_TYPE.search(node.name):
        raise access_denied(user.name, "a state of an aggregate function is made by its -State, not out of a value")


def _refused_statement(user: User, first_word: str, tree: SyntaxTree) -> ClickHouseError:
    what = first_word if first_word.isalpha() else tree.root
    if user.rights == "reader":
        return not_in_readonly(user.name, f"Cannot execute {what}")
    return access_denied(user.name, f"{what} is not allowed")


def _spellings(functions: Iterable[_Function]) -> frozenset[str]:
    """Names of functions; of a case-insensitive one also that in lower case."""
    known = list(functions)
    return frozenset(function.name for function in known) | frozenset(
        function.name.lower() for function in known if function.case_insensitive == "1"
    )


def killed_query_id(tree: SyntaxTree) -> str:
    """The query id that a KILL QUERY names. Raises `ClickHouseError` (36) for any other condition."""
    condition = [(node.kind, node.name) for node in tree.nodes[1:]]
    match condition:
        case [("Function", "equals"), ("ExpressionList", _), ("Identifier", "query_id"), ("Literal", literal)]:
            return _unquoted(literal)
        case _:
            raise ClickHouseError(36, "BAD_ARGUMENTS", _KILL_USAGE)


def used_database(nodes: Iterable[Node]) -> str:
    """The database that a USE names."""
    return next(node.name for node in nodes if node.kind == "Identifier")


def _unquoted(literal: str) -> str:
    if len(literal) < 2 or not (literal[0] == literal[-1] == "'"):
        raise ClickHouseError(36, "BAD_ARGUMENTS", _KILL_USAGE)
    return literal[1:-1].replace("\\'", "'").replace("\\", "\\")
