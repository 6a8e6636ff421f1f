"""What reaches outside the lake is found in a statement's text and in Spark's parse of it, and is named."""

import pytest

from finlake_cli.reading import asked_query, only_tells, outside_in_plan, outside_in_text
from tests.deploy.outside_statements import BY_TEXT, HARMLESS

# As Spark 4.1.4 told them.
SCRIPT = """== Parsed Logical Plan ==
CTE [asked]
:  +- 'SubqueryAlias asked
:     +- 'Project [*]
:        +- 'RelationTimeTravel 'UnresolvedRelation [lake, silver, tt], [], false, scalar-subquery#161 []
:              +- 'ScriptTransformation touch /tmp/x, [x#160], ScriptInputOutputSchema(List(),List(),None,None,List(),List(),None)
"""
FILTER = """== Parsed Logical Plan ==
CTE [asked]
:  +- 'SubqueryAlias asked
:     +- 'Project [unresolvedalias('count(1, ('system.builtin.REFLECT(java.lang.Math, abs, 1) = 1)))]
"""
FILE = """== Parsed Logical Plan ==
:     +- 'Project [*]
:        +- 'UnresolvedRelation [csv, /etc/passwd], [], false
"""
NAMED = """== Parsed Logical Plan ==
:     +- 'Project [unresolvedalias(expressionwithunresolvedidentifier(concat(refl, ect), a, b))]
"""
TABLE = """== Parsed Logical Plan ==
:     +- 'Project [('a / 'b), 'transform('array(1), lambdafunction(x)), transform using 'ScriptTransformation (x)]
:        +- 'UnresolvedRelation [lake, silver, quotes], [], false
"""


@pytest.mark.parametrize("statement", BY_TEXT)
def test_what_reaches_outside_is_seen_in_the_text(statement: str) -> None:
    assert outside_in_text(statement)


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_only_looks_like_it_is_left_alone(statement: str) -> None:
    assert outside_in_text(statement) is None


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        (SCRIPT, "TRANSFORM"),
        (FILTER, "reflect()"),
        (FILE, "a file in place of a table (csv, /etc/passwd)"),
        (NAMED, "IDENTIFIER()"),
        ("Error occurred during query planning", "a query whose parse Spark does not tell"),
        ("", "does not tell"),
    ],
)
def test_what_reaches_outside_is_named_from_the_parse(plan: str, what: str) -> None:
    assert what in str(outside_in_plan(plan))


def test_a_table_is_no_file_and_a_division_no_path() -> None:
    assert outside_in_plan(TABLE) is None


@pytest.mark.parametrize(
    "text",
    ["show: begin", "describe : begin", "desc.a: begin", "show", "showing tables", "/* a */ show tables", "explain select 1"],
)
def test_only_a_show_or_describe_with_an_object_tells(text: str) -> None:
    assert not only_tells(text)
    assert only_tells("\n SHOW  tables")
    assert only_tells("desc `silver`.quotes")


def test_what_is_explained_has_to_be_a_query_and_stays_on_its_line() -> None:
    assert asked_query("explain\nextended\nselect 1") == "\n\nselect 1"
    assert asked_query("EXPLAIN execute immediate 'x'") == "execute immediate 'x'"
    assert asked_query("select 1") == "select 1"
