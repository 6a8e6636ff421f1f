"""What a statement does, as the engine's own parser reads it (EXPLAIN AST), remembered for texts that come again."""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from finlake_services.clickhouse_local.engine import NO_STATES, Engine, EngineConnection
from finlake_services.clickhouse_local.errors import ClickHouseError, EngineError
from finlake_services.clickhouse_local.statement_text import check_size, has_unplain_name

REMEMBERED_TEXTS = 1024
REMEMBERED_LENGTH = 8192
_SETTINGS = {"max_ast_depth": "300", "max_parser_backtracks": "50000", **NO_STATES}
"""A tree is printed with an indentation of its depth, so that a deep and broad one is longer than its text a thousandfold; and
twenty `COLUMNS('a') APPLY` one behind the other keep a parser busy for ten seconds that may turn back a million times."""

_BAD_ARGUMENTS = 36
_KILL_USAGE = "KILL QUERY takes WHERE query_id = '…' and nothing else"
_NAME_QUOTE = re.compile('[`"\u201c]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_OR_ESCAPE = re.compile(r"[\x00-\x1f\x7f\\]")
_END_OF_NAME = re.compile(r" \((?:alias |children \d)")


@dataclass(frozen=True)
class Node:
    """One line of EXPLAIN AST: how deep, what kind, the name or value behind it, and of what kind it is a part."""

    depth: int
    kind: str
    name: str
    parent: str


@dataclass(frozen=True)
class SyntaxTree:
    """A statement's nodes from the root down; `query_class` is what the engine finds it to do (see EngineConnection.classify)."""

    query_class: str
    nodes: tuple[Node, ...]
    settings: tuple[tuple[str, str], ...] = ()
    """What the SETTINGS of its text say, in the order of the text."""
    may_be_forged: bool = False
    """A name holds a control character: some of the nodes may be made up by it."""
    makes_temporary: bool = False
    """It makes a table or view that lives as long as its connection."""

    @property
    def root(self) -> str:
        """Kind of statement, such as SelectWithUnionQuery."""
        return self.nodes[0].kind

    @property
    def select_format(self) -> str | None:
        """Format that a SELECT asks for: the only identifier directly below its root."""
        return next((node.name for node in self.nodes if node.depth == 1 and node.kind == "Identifier"), None)


def parse_nodes(explained: str) -> tuple[Node, ...]:
    """Nodes of EXPLAIN AST's output. A name that holds a line break makes more lines, never fewer."""
    nodes: list[Node] = []
    above: list[str] = []
    for line in explained.split("\n"):
        text = line.lstrip(" ")
        if not text:
            continue
        kind, _, rest = text.partition(" ")
        end = _END_OF_NAME.search(" " + rest)
        depth = len(line) - len(text)
        nodes.append(Node(depth, kind, rest[: max(end.start() - 1, 0)] if end else rest, "".join(above[:depth][-1:])))
        above[depth:] = [kind]
    return tuple(nodes)


class Parser:
    """Reads statements with the engine's parser; remembers the trees of short texts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[tuple[object, ...], SyntaxTree] = OrderedDict()
        self._lock = threading.Lock()

    def tree(self, sql: str, parameters: Mapping[str, str]) -> SyntaxTree:
        """The statement's tree. Raises `ClickHouseError` for several statements, `EngineError` for a syntax error.

        It is the tree with every parameter in its place, as it is when the same text is run with the same parameters. A tree is
        remembered for all of them, whatever their types look like: what the braces of a text hold is for the engine to read.
        """
        key = (sql, *sorted(parameters.items())) if "{" in sql else (sql,)
        with self._lock:
            if known := self._kept.get(key):
                self._kept.move_to_end(key)
                return known
        check_size(sql)
        tree = self._read(sql, parameters)
        if sum(len(part) for part in (sql, *parameters, *parameters.values())) <= REMEMBERED_LENGTH:
            with self._lock:
                self._kept[key] = tree
                while len(self._kept) > REMEMBERED_TEXTS:
                    self._kept.popitem(last=False)
        return tree

    def _read(self, sql: str, parameters: Mapping[str, str]) -> SyntaxTree:
        connection = self._engine.connection(None, "default", _SETTINGS)
        try:
            statements, query_class = connection.classify(sql)
            if statements > 1:
                raise ClickHouseError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
            if statements == 0:
                # EXPLAIN could make another statement of what is none by itself: an INTO OUTFILE would become its own.
                raise _syntax_error(connection, sql)
            explained = connection.query(f"EXPLAIN AST {sql}", "TabSeparatedRaw", parameters).output
            nodes = parse_nodes(explained.decode(errors="replace"))
            settings = _settings(connection, sql) if any(node.kind == "Set" for node in nodes) else ()
            forged = may_be_forged(connection, sql, parameters)
            temporary = nodes[0].kind == "CreateQuery" and _makes_temporary(connection, sql)
        finally:
            self._engine.release(connection, None, "default", _SETTINGS)
        return SyntaxTree(query_class, nodes, settings, forged, temporary)


def _settings(connection: EngineConnection, sql: str) -> tuple[tuple[str, str], ...]:
    """Settings in a statement's text, which EXPLAIN AST does not name. One that is set to its default has the value "DEFAULT"."""
    parsed = connection.query("SELECT parseQueryToJSON({text:String})", "TabSeparatedRaw", {"text": _escaped(sql)}).output
    found: list[tuple[str, str]] = []
    statement = json.loads(parsed)
    if statement["type"] == "ExplainQuery":
        # Its options, which have the form of settings.
        statement.pop("settings", None)
    waiting: list[object] = [statement]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(reversed(part))
        elif isinstance(part, dict):
            if part.get("type") == "SetQuery":
                found += [(each["name"], str(each["value"]["value"])) for each in part.get("changes", ())]
                found += [(name, "DEFAULT") for name in part.get("default_settings", ())]
            waiting.extend(reversed(list(part.values())))
    return tuple(found)


def _makes_temporary(connection: EngineConnection, sql: str) -> bool:
    parsed = connection.query("SELECT parseQueryToJSON({text:String})", "TabSeparatedRaw", {"text": _escaped(sql)}).output
    return bool(json.loads(parsed.decode(errors="replace")).get("is_temporary", False))


def may_be_forged(connection: EngineConnection, sql: str, parameters: Mapping[str, str]) -> bool:
    """Whether a name in the text, or a parameter where one is a name, holds a control character, raw or escaped."""
    if "identifier" in sql.lower() and any(_CONTROL_OR_ESCAPE.search(value) for value in parameters.values()):
        return True
    if not (_NAME_QUOTE.search(sql) and _CONTROL_OR_ESCAPE.search(sql)):
        return False
    if has_unplain_name(sql):
        return True
    try:
        parsed = connection.query("SELECT parseQueryToJSON({text:String})", "TabSeparatedRaw", {"text": _escaped(sql)}).output
    except EngineError as error:
        if error.code != _BAD_ARGUMENTS:
            # A statement of which no names are known, because it is too deep or memory is short, is not taken for a good one.
            raise
        # It knows no JSON of this kind of statement.
        return False
    waiting: list[object] = [json.loads(parsed.decode(errors="replace"))]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, dict) and "field_type" not in part:
            waiting.extend(part.values())
        elif isinstance(part, str) and _CONTROL.search(part):
            return True
    return False


def _syntax_error(connection: EngineConnection, sql: str) -> ClickHouseError:
    """The engine's words about a text that is no statement."""
    try:
        connection.query("SELECT formatQuery({text:String})", params={"text": _escaped(sql)})
    except EngineError as error:
        return EngineError(str(error).partition(": In scope SELECT formatQuery(")[0] + " (SYNTAX_ERROR)")
    return ClickHouseError(62, "SYNTAX_ERROR", "Syntax error: this is not a statement")


def _escaped(text: str) -> str:
    """`text` as the value of a parameter."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def killed_query_id(tree: SyntaxTree) -> str:
    """The query id that a KILL QUERY names. Raises `ClickHouseError` (36) for any other condition."""
    condition = [(node.kind, node.name) for node in tree.nodes[1:]]
    match condition:
        case [("Function", "equals"), ("ExpressionList", _), ("Identifier", "query_id"), ("Literal", literal)]:
            return _unquoted(literal)
        case _:
            raise ClickHouseError(_BAD_ARGUMENTS, "BAD_ARGUMENTS", _KILL_USAGE)


def used_database(nodes: Iterable[Node]) -> str:
    """The database that a USE names."""
    return next(node.name for node in nodes if node.kind == "Identifier")


def _unquoted(literal: str) -> str:
    if len(literal) < 2 or not (literal[0] == literal[-1] == "'"):
        raise ClickHouseError(_BAD_ARGUMENTS, "BAD_ARGUMENTS", _KILL_USAGE)
    return literal[1:-1].replace("\\'", "'").replace("\\", "\\")
