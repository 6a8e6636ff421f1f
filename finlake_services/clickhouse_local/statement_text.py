"""The outside of a statement's text: its first word, where an INSERT ends and its data begins, the FORMAT at its end.

The engine takes an INSERT's data apart from its text, a client sends both as one. What a statement *does* is never read
here: the engine's parser says that (syntax_tree.py), of exactly the text that is then run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from finlake_services.clickhouse_local.errors import ClickHouseError

_TOKEN = re.compile(
    rb"\s+|--[^\n]*\n?|\#[ !][^\n]*\n?|/\*(?:.*?\*/|.*)"
    rb"|'(?:[^'\\]|\\.|'')*+(?:'|\Z)|\"(?:[^\"\\]|\\.)*+(?:\"|\Z)|`(?:[^`\\]|\\.)*+(?:`|\Z)"
    rb"|[A-Za-z_][A-Za-z0-9_]*|[0-9][0-9A-Za-z_.]*|.",
    re.DOTALL,
)
"""What is opened and not closed goes on to the end, so that any text is read once."""
_NAME = r"""(?:[A-Z_][A-Z0-9_]*|`[^`'"\\\n]*`|"[^`'"\\\n]*")"""
_SHOWN_FROM = rf"(?: (?:FROM|IN) {_NAME}(?: \. {_NAME})?)"
_LIKE = r"(?: (?:NOT )?I?LIKE '[^'\\\n]*')?"
_PLAIN_SHOW = re.compile(
    rf"SHOW (?:(?:FULL )?TABLES{_SHOWN_FROM}?{_LIKE}|DATABASES{_LIKE}|FUNCTIONS{_LIKE}|(?:CHANGED )?SETTINGS{_LIKE}"
    rf"|(?:EXTENDED )?(?:FULL )?(?:COLUMNS|FIELDS){_SHOWN_FROM}{_SHOWN_FROM}?{_LIKE}"
    rf"|(?:EXTENDED )?(?:INDEX|INDEXES|INDICES|KEYS){_SHOWN_FROM}{_SHOWN_FROM}?"
    rf"|DICTIONARIES{_SHOWN_FROM}?{_LIKE}|CREATE (?:(?:TABLE|VIEW|DATABASE) )?{_NAME}(?: \. {_NAME})?|PROCESSLIST)"
    r"(?: FORMAT [A-Z0-9_]+)?(?: ;)?",
    re.IGNORECASE | re.ASCII,
)
"""Whole SHOW statements, a space between their tokens. Of WHERE and LIMIT, and what these hold, the engine's tree is silent."""
_INSERT_FORMAT = re.compile(rb"\s*([A-Za-z0-9_]+)[ \t\f]*;?[ \t\f]*\r?\n?")
_TAIL_FORMAT = re.compile(rb"FORMAT ([A-Za-z0-9_]+)(?: SETTINGS [^']*+)?(?: ;)*", re.IGNORECASE)
LONGEST_HEAD_BYTES = 1 << 16
"""What is read here word by word: comments before the first word, and of an INSERT what stands before its rows or its SELECT."""

DEEPEST_BRACKETS = 200
MOST_ELEMENTS = 50_000
_ELEMENT = re.compile(
    r"--[^\n]*|\#[ !][^\n]*|/\*(?:.*?\*/|.*)"
    r"|(?P<quoted>'(?:[^'\\]|\\.)*+(?:'|\Z)|\"(?:[^\"\\]|\\.)*+(?:\"|\Z)|`(?:[^`\\]|\\.)*+(?:`|\Z)"
    r"|\u2018[^\u2019]*+(?:\u2019|\Z)|\u201c[^\u201d]*+(?:\u201d|\Z))"
    r"|(?P<heredoc>\$\w*\$)|(?P<word>[^\W\d][\w$]*)|(?P<opening>[(\[{])|(?P<closing>[)\]}])|(?P<comma>,)|(?P<end>;)|\s+|\w+|.",
    re.DOTALL,
)
"""One element of the engine's lexer: its comments, its quotes, how a heredoc begins, a word, a bracket, a sign.

What is opened and not closed goes on to the end, where the engine's lexer stops with an error, so that any text is read once."""
MOST_HEREDOCS = 100
"""The end of each is looked for to the end of the text."""
_UNPLAIN_NAME = re.compile(r"[\x00-\x1f\x7f]|\\[^\"'`\\x]|\\x(?![2-9a-fA-F][0-9a-fA-F])|\\x7[fF]")
"""A control character, or an escape that may stand for one."""


def _elements(sql: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each element that is no space or comment ("" for a sign). Raises `ClickHouseError` (62)."""
    position = heredocs = 0
    while found := _ELEMENT.match(sql, position):
        kind, text, position = found.lastgroup, found.group(), found.end()
        if kind == "heredoc":
            heredocs += 1
            if heredocs > MOST_HEREDOCS:
                raise ClickHouseError(62, "SYNTAX_ERROR", f"Syntax error: more than {MOST_HEREDOCS} heredocs")
            end = sql.find(text, position)
            if end < 0:
                # The engine reads a lone sign here.
                position = found.start() + 1
                continue
            position = end + len(text)
            text = sql[found.start() : position]
        if kind is not None:
            yield kind, text


def has_unplain_name(sql: str) -> bool:
    """Whether a quoted name holds a control character: the engine tells names raw, and one with a line break would be two."""
    return any(kind == "quoted" and text[0] in '"`\u201c' and _UNPLAIN_NAME.search(text) for kind, text in _elements(sql))


def named_formats(sql: str) -> Iterator[str]:
    """What stands behind each word FORMAT, without quotes: the statement's format, or else what follows a column of that name."""
    previous = ""
    for kind, text in _elements(sql):
        if previous == "FORMAT" and kind == "word":
            yield text
        elif previous == "FORMAT" and kind == "quoted":
            yield text[1:-1]
        previous = text.upper() if kind == "word" else ""


class _Bracket:
    """What stands within one pair of brackets: `operand` elements since the last comma, AND or OR, `total` before it."""

    def __init__(self) -> None:
        self.operand = 0
        self.total = 0
        self.betweens = 0

    def end_operand(self) -> None:
        self.total += self.operand
        self.operand = self.betweens = 0


def check_size(sql: str) -> None:
    """Raise `ClickHouseError` for a text whose tree would be too deep (306) or too big (168), or that goes on after its end (62).

    The engine's parser has such limits too, but looks at them when the tree is there: `a BETWEEN b AND c` becomes
    `a >= b AND a <= c` with two copies of `a`, so that thirty of them one behind the other are a tree of 2^30; brackets that
    nobody closes take it time with the square of their number. Here a tree's size is estimated from below by its text alone.
    """
    brackets = [_Bracket()]
    ended = False
    for kind, text in _elements(sql):
        here = brackets[-1]
        if kind == "end":
            ended = True
            continue
        if ended:
            raise ClickHouseError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        word = text.upper() if kind == "word" else ""
        if kind == "opening" or word == "CASE":
            brackets.append(_Bracket())
            if len(brackets) > DEEPEST_BRACKETS:
                raise ClickHouseError(306, "TOO_DEEP_RECURSION", f"More than {DEEPEST_BRACKETS} brackets within each other")
        elif kind == "closing" or word == "END":
            if len(brackets) > 1:
                brackets.pop()
                brackets[-1].operand += here.total + here.operand + 1
        elif kind == "comma" or word == "OR" or (word == "AND" and not here.betweens):
            here.end_operand()
        elif word == "AND":
            here.betweens -= 1
        elif word == "BETWEEN":
            here.operand = 2 * here.operand + 1
            here.betweens += 1
        else:
            here.operand += 1
        if here.operand + here.total > MOST_ELEMENTS:
            raise ClickHouseError(
                168,
                "TOO_BIG_AST",
                f"The statement has more than {MOST_ELEMENTS} elements (each BETWEEN takes what stands before it twice)",
            )


@dataclass(frozen=True)
class StatementText:
    """A statement as it came: `sql` is what the engine parses, `data` what follows an INSERT that brings its rows along.

    `input_format` is None unless the statement is an INSERT of data.
    """

    sql: bytes
    input_format: str | None = None
    data: bytes = b""


def split_statement(text: bytes) -> StatementText:
    """Separate an INSERT's rows from its text; any other statement is all text. An INSERT without FORMAT takes `Values`.

    Raises `ClickHouseError` (62) when neither is found within LONGEST_HEAD_BYTES.
    """
    position, depth, words, previous = 0, 0, 0, b""
    while position < len(text):
        if position > LONGEST_HEAD_BYTES:
            raise ClickHouseError(
                62,
                "SYNTAX_ERROR",
                f"Syntax error: no statement, or no rows of an INSERT, begin within the first {LONGEST_HEAD_BYTES} bytes",
            )
        found = _TOKEN.match(text, position)
        if found is None:
            break
        token, start, position = found.group(), position, found.end()
        if _is_space_or_comment(token):
            continue
        word = token.upper()
        words += 1
        if words == 1 and word != b"INSERT":
            return StatementText(text)
        depth += {b"(": 1, b")": -1}.get(token, 0)
        # A table may be called `format`: the word after INTO, TABLE or a dot is a name.
        if depth == 0 and previous not in (b"INTO", b"TABLE", b"."):
            if word == b"VALUES":
                return StatementText(text[:start], "Values", text[position:])
            if word == b"FORMAT" and (named := _INSERT_FORMAT.match(text, position)):
                return StatementText(text[:start], named.group(1).decode(), text[named.end() :])
            if word in (b"SELECT", b"WITH", b"WATCH", b"INFILE"):
                return StatementText(text)
        previous = word
    return StatementText(text, "Values" if words else None)


def _is_space_or_comment(token: bytes) -> bool:
    return token[:1].isspace() or token[:2] in (b"--", b"/*") or (token[:1] == b"#" and len(token) > 1)


def first_word(text: bytes) -> str:
    """The statement's first word in capitals, or its first character ("(") ; "" when there is nothing but comments."""
    position = 0
    while found := _TOKEN.match(text, position):
        if not _is_space_or_comment(found.group()):
            return found.group().decode("latin-1").upper()
        position = found.end()
    return ""


def _tokens(sql: str) -> Iterator[bytes]:
    """A statement's tokens without its comments."""
    found = (match.group() for match in _TOKEN.finditer(sql.encode()))
    return (token for token in found if not _is_space_or_comment(token))


def is_plain_show(sql: str) -> bool:
    """Whether a SHOW is one of the forms that hold names, a pattern and a format, and no expression."""
    return _PLAIN_SHOW.fullmatch(b" ".join(_tokens(sql)).decode("latin-1")) is not None


def shown_database(sql: str) -> str:
    """The database of which a plain SHOW tells, "" when it names none; SHOW CREATE is left to the engine."""
    words = list(_tokens(sql))
    names = [at + 1 for at, word in enumerate(words[:-1]) if word.upper() in (b"FROM", b"IN")]
    of_databases = any(word.upper() in (b"TABLES", b"DICTIONARIES") for word in words[1:3])
    is_qualified = bool(names) and words[names[-1] + 1 : names[-1] + 2] == [b"."]
    return words[names[-1]].strip(b'`"').decode() if names and (of_databases or is_qualified or len(names) > 1) else ""


def has_word(sql: str, word: str) -> bool:
    """Whether a word in capitals is one of the text's own, and not of a comment or within quotes."""
    return any(kind == "word" and text.upper() == word for kind, text in _elements(sql))


def tail_format(sql: str) -> str | None:
    """The format that `… FORMAT name` at the end of a statement asks for."""
    tokens = b" ".join(_tokens(sql))
    at = tokens.upper().rfind(b" FORMAT ")
    found = _TAIL_FORMAT.fullmatch(tokens, at + 1) if at >= 0 else None
    return found.group(1).decode() if found else None
