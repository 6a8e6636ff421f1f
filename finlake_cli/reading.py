"""What `finlake sql` refuses: whatever is no reading of the lake, decided before Spark begins to carry anything out.

Spark works already while it analyses a statement (the time of a `TIMESTAMP AS OF` may be a query, EXECUTE IMMEDIATE under an
EXPLAIN is carried out) and while it plans one (rows of constants are computed). So nothing is analysed that was not judged: its
text, for words that no spelling hides, and Spark's own parse of a query.
"""

import re
from collections.abc import Iterable

# Functions that call Java or read files, addresses or logs; a test compares all that Spark has with those that were looked at.
OUTSIDE_FUNCTIONS = (
    "reflect",
    "try_reflect",
    "java_method",
    # A schema file, or entities and schemas of an XML text, may be anywhere.
    "from_avro",
    "to_avro",
    "schema_of_avro",
    "from_protobuf",
    "to_protobuf",
    "from_xml",
    "schema_of_xml",
    "xpath",
    "xpath_boolean",
    "xpath_double",
    "xpath_float",
    "xpath_int",
    "xpath_long",
    "xpath_number",
    "xpath_short",
    "xpath_string",
    "python_worker_logs",
)
# Settings of the session in which a query is judged and carried out.
SETTINGS = {
    # A name like csv.`/etc/passwd` is no table.
    "spark.sql.runSQLOnFiles": "false",
    # What is judged is what is parsed: ${env:NAME} stays as it is.
    "spark.sql.variable.substitute": "false",
    # No plan is cut.
    "spark.sql.debug.maxToStringFields": "1000000000",
}

# Between a function's name and its bracket only closing quotes, blanks and comments may stand.
_CALLED = r"\W*?(?:\(|/\*|--)"
_SCRIPT = "TRANSFORM, MAP or REDUCE with USING, which runs a program"
_NAMES = "|".join(sorted(OUTSIDE_FUNCTIONS, key=len, reverse=True))
_FUNCTION = (re.compile(rf"({_NAMES}){_CALLED}"), "{}(), which reaches outside the lake")
_HIDDEN_NAME = "IDENTIFIER(), behind which any name can be hidden"
_IN_TEXT = (
    _FUNCTION,
    (re.compile(rf"identifier{_CALLED}"), _HIDDEN_NAME),
    # A join's USING is followed by a bracket.
    (re.compile(r"\b(?:transform|map|reduce)\b.*\busing\b(?!\s*\()", re.DOTALL), _SCRIPT),
)
_IN_PLAN = (
    _FUNCTION,
    (re.compile(r"withunresolvedidentifier"), _HIDDEN_NAME),
    (re.compile(r"^[ :+|-]*'?scripttransformation ", re.MULTILINE), _SCRIPT),
    (re.compile(r"unresolvedrelation \[([^\]\n]*/[^\]\n]*)\]"), "a file in place of a table ({})"),
)

# With a second word: a label before a BEGIN may have any name.
_TELLING = re.compile(r"\s*(?:show|describe|desc)\s+[\w`'\"(]", re.IGNORECASE)
_EXPLAIN = re.compile(r"\s*explain\s+(?:(?:logical|formatted|extended|codegen|cost)\s+)?", re.IGNORECASE)
_PARSED = "== Parsed Logical Plan =="


def only_tells(text: str) -> bool:
    """Whether a statement is a SHOW or DESCRIBE, which have no parts that are carried out."""
    return bool(_TELLING.match(text))


def asked_query(text: str) -> str:
    """What has to be a query in a statement: all of it, or what an EXPLAIN explains, on the lines on which it was."""
    explain = _EXPLAIN.match(text)
    return "\n" * explain[0].count("\n") + text[explain.end() :] if explain else text


def parse_of(query: str) -> str:
    """The statement that tells Spark's parse of a query, whose second line is the query's first.

    In these brackets only a query parses. The window that is not defined ends the analysis before its first look-up of a name.
    A comment that ends with a backslash goes on in the next line, which is left empty for it.
    """
    return f"EXPLAIN EXTENDED WITH asked AS (\n{query}\n\n) SELECT sum(1) OVER nowhere FROM asked WINDOW other AS (ORDER BY 1)"


def outside_in_text(text: str) -> str | None:
    """What in a statement's text reaches outside the lake; in doubt there is something: words in quotes and comments count."""
    # Spark's keywords are compared in upper case and functions in lower case, and both folds know letters beyond ASCII.
    return _first(_IN_TEXT, (text.lower(), text.upper().lower()))


def outside_in_plan(parsed: str) -> str | None:
    """What in an answer to `parse_of` reaches outside the lake."""
    if not parsed.startswith(_PARSED):
        return "a query whose parse Spark does not tell"
    return _first(_IN_PLAN, (parsed.lower(),))


def _first(rules: Iterable[tuple[re.Pattern[str], str]], texts: Iterable[str]) -> str | None:
    seen = tuple(texts)
    found = ((what, pattern.search(text)) for pattern, what in rules for text in seen)
    return next((what.format(*match.groups()) for what, match in found if match), None)
