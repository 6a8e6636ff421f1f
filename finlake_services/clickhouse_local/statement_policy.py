"""Whether a reader's or writer's statement is allowed: everything that allow_list.py does not name is refused.

Two guards stand one behind the other. The engine itself checks every statement against the grants of the user's role
(configuration.py): databases, tables, DDL, table functions that reach files or the network. What no grant governs in an
in-process engine — the scalar function `file`, INTO OUTFILE, SET ROLE, KILL of somebody else's query, system tables that show
other users' statements — is checked here, on the engine's own syntax tree of the text that is run. What is allowed is listed
(allow_list.py: statements, parts of an expression, functions by the categories of system.functions, system tables) because a
list of what is forbidden would have to know every spelling (`arrayMap(file, …)` calls a function by its name alone) and every
function of the engine's next version.

Refused although harmless: `* APPLY(f)`, whose function the tree does not show. SETTINGS in the text of a statement are checked
as those of the URL are (settings.py), by the engine's own reading of them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from finlake_services.clickhouse_local import allow_list
from finlake_services.clickhouse_local.engine import Engine
from finlake_services.clickhouse_local.errors import ClickHouseError, EngineError, access_denied, not_in_readonly
from finlake_services.clickhouse_local.formats import check_format, is_allowed
from finlake_services.clickhouse_local.settings import check_settings_of_text
from finlake_services.clickhouse_local.statement_text import has_word, is_plain_show, named_formats, shown_database
from finlake_services.clickhouse_local.syntax_tree import Node, SyntaxTree
from finlake_services.clickhouse_local.users import User

_PLAIN_TYPE: Final = re.compile(r"'(?:(?:[^'\\`\"\u201c]|\\.)*|(?:[^'\\]|\\')*)'")
"""A type as a literal in which no quoted name holds an escape: it could be spelled by them."""
_STATE_TYPE: Final = re.compile(r"(?<!simple)aggregatefunction", re.IGNORECASE)
_ROW: Final = re.compile(r"(?:Tuple|Array|U?Int\d+|Float64|Bool)_.*", re.DOTALL)
"""A literal that is no text."""
_ROWS: Final = (("Function", "tuple"), ("Function", "array"))

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


class StatementPolicy:
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
        direct = {
            function.name for function in scalar if function.categories in allow_list.FUNCTION_CATEGORIES
        } | allow_list.MORE_FUNCTIONS
        self._functions = (
            allow_list.TABLE_FUNCTIONS
            | allow_list.MORE_FUNCTIONS
            | _spellings(
                function
                for function in scalar
                if (function.name in direct or function.alias_to in direct)
                and not allow_list.COSTLY_FUNCTIONS.intersection((function.name, function.alias_to))
            )
        )
        self._aggregates = _spellings(
            function
            for function in functions
            if function.is_aggregate == "1" and function.name.lower() not in allow_list.NOT_AGGREGATES
        )
        self._refused_formats = allow_list.LIBRARY_FORMATS | {
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
        if tree.root not in allow_list.STATEMENTS.get(first_word, ()):
            raise _refused_statement(user, first_word, tree)
        if tree.root == "InsertQuery" and user.rights == "reader":
            raise not_in_readonly(user.name, "Cannot execute INSERT")
        if tree.root == "InsertQuery" and tree.nodes[1:] and tree.nodes[1].kind == "Function":
            raise access_denied(user.name, "INSERT INTO FUNCTION reaches files and other machines; insert into a table")
        if tree.query_class not in allow_list.QUERY_CLASSES.get(tree.root, ("READ_ONLY",)):
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
            if node.kind == "Function" and node.name.lower() in allow_list.NAME_TAKERS:
                self._check_name(user, node.name.lower(), _arguments(nodes, at))

    def _check_formats(self, tree: SyntaxTree, sql: str) -> None:
        """Raise for a FORMAT that is not allowed. Of some statements the tree does not tell it apart, so the text is read too."""
        for node in tree.nodes:
            if node.kind == "Identifier" and node.parent in allow_list.FORMAT_PARENTS:
                check_format(node.name)
        for named in named_formats(sql):
            # A column may be called `format`: then any other word stands behind it.
            if named.lower() in self._refused_formats or "\\" in named:
                check_format(named)

    def _check_name(self, user: User, function: str, arguments: Sequence[Node]) -> None:
        """Raise unless the type, format or aggregate function that an argument names is written out and allowed."""
        if function in allow_list.TYPE_TAKERS:
            _check_type(user, function, arguments)
        elif arguments:
            named = arguments[0].name.strip("'") if arguments[0].kind == "Literal" else ""
            if function in allow_list.ROW_FORMATTERS:
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
            # Which they are is checked for the whole statement.
            return
        if node.kind == "Literal" and node.parent in allow_list.WITHOUT_LITERAL:
            raise access_denied(user.name, "INTO OUTFILE and FROM INFILE reach files of this machine")
        if node.kind not in allow_list.EXPRESSION_PARTS:
            raise access_denied(user.name, f"a statement with {node.kind} is not allowed")
        if node.kind == "Function" and not self._may_call(node.name):
            raise access_denied(user.name, allow_list.REFUSAL_REASONS.get(node.name) or f"function {node.name} is not allowed")
        if node.kind in ("Identifier", "TableIdentifier"):
            database, _, table = node.name.partition(".")
            if database.lower() == "system" and table and table.split(".")[0] not in allow_list.SYSTEM_TABLES:
                raise access_denied(user.name, f"SELECT ON {node.name}")
            if node.kind == "TableIdentifier" and table:
                _check_database(user, database)
        # A column may be called as a function is; but a higher-order function takes another by its bare name.
        if (
            takes_functions
            and node.kind == "Identifier"
            and node.name.lower() in self._scalar
            and (not self._may_call(node.name) or node.name.lower() in allow_list.NAME_TAKERS)
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
    """Raise unless each argument of `values` is a row: a text may be a structure, which is not checked."""
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
    position = allow_list.TYPE_ARGUMENT.get(function, 1)
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
