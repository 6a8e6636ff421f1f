"""Where an INSERT's text ends and its rows begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.clickhouse_local import statement_text
from finlake_services.clickhouse_local.errors import ClickHouseError
from finlake_services.clickhouse_local.statement_text import (
    MOST_HEREDOCS,
    StatementText,
    check_size,
    first_word,
    has_unplain_name,
    has_word,
    shown_database,
    split_statement,
    tail_format,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"SELECT 1", StatementText(b"SELECT 1")),
        (b"  /* INSERT */ SELECT 'INSERT INTO t VALUES'", StatementText(b"  /* INSERT */ SELECT 'INSERT INTO t VALUES'")),
        (b"INSERT INTO t VALUES (1)", StatementText(b"INSERT INTO t ", "Values", b" (1)")),
        (b"insert into t (a, b) values(1, 'VALUES')", StatementText(b"insert into t (a, b) ", "Values", b"(1, 'VALUES')")),
        (b"INSERT INTO t FORMAT Native\n\x00\x01", StatementText(b"INSERT INTO t ", "Native", b"\x00\x01")),
        (b"INSERT INTO t FORMAT CSV ;\r\n1", StatementText(b"INSERT INTO t ", "CSV", b"1")),
        (b"INSERT INTO t FORMAT CSV\n\n1", StatementText(b"INSERT INTO t ", "CSV", b"\n1")),
        (b"INSERT INTO format FORMAT CSV\n1", StatementText(b"INSERT INTO format ", "CSV", b"1")),
        (
            b'INSERT INTO d.values (`format`, "values") VALUES (1)',
            StatementText(b'INSERT INTO d.values (`format`, "values") ', "Values", b" (1)"),
        ),
        (b"INSERT INTO t (a) -- FORMAT CSV\nFORMAT TSV\n1", StatementText(b"INSERT INTO t (a) -- FORMAT CSV\n", "TSV", b"1")),
        (
            b"INSERT INTO t SETTINGS a = 'FORMAT CSV' FORMAT TSV\n1",
            StatementText(b"INSERT INTO t SETTINGS a = 'FORMAT CSV' ", "TSV", b"1"),
        ),
        (b"INSERT INTO t SELECT 1 FORMAT CSV", StatementText(b"INSERT INTO t SELECT 1 FORMAT CSV")),
        (b"INSERT INTO t WITH 1 AS x SELECT x", StatementText(b"INSERT INTO t WITH 1 AS x SELECT x")),
        (b"INSERT INTO t FROM INFILE 'f' FORMAT CSV", StatementText(b"INSERT INTO t FROM INFILE 'f' FORMAT CSV")),
        (b"INSERT INTO FUNCTION f('x') VALUES (1)", StatementText(b"INSERT INTO FUNCTION f('x') ", "Values", b" (1)")),
        (b"INSERT INTO t (a)", StatementText(b"INSERT INTO t (a)", "Values")),
        (b"", StatementText(b"")),
    ],
)
def test_rows_are_taken_off_an_insert_and_off_nothing_else(text: bytes, expected: StatementText) -> None:
    assert split_statement(text) == expected


@given(st.binary(max_size=200))
def test_any_rows_stay_as_they_are(data: bytes) -> None:
    split = split_statement(b"INSERT INTO t (a, `b)`) FORMAT RowBinary\n" + data)
    assert (split.input_format, split.data) == ("RowBinary", data)


@given(st.binary(max_size=100))
def test_any_text_is_split_without_loss(text: bytes) -> None:
    split = split_statement(text)
    assert text.startswith(split.sql)
    assert text.endswith(split.data)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"SELECT 1", "SELECT"),
        (b"\n -- SHOW\n # x\n /* KILL */ describe t", "DESCRIBE"),
        (b"(SELECT 1)", "("),
        (b" -- nothing", ""),
        (b"", ""),
        (b"'x'", "'X'"),
    ],
)
def test_the_first_word_is_found_behind_comments(text: bytes, word: str) -> None:
    assert first_word(text) == word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SHOW TABLES FORMAT JSON", "JSON"),
        ("SHOW TABLES format JSON SETTINGS a = 1;", "JSON"),
        ("SHOW TABLES", None),
        ("SHOW TABLES LIKE 'FORMAT JSON'", None),
        ("SHOW TABLES -- FORMAT Native", None),
        ("SHOW TABLES # FORMAT Native", None),
        ("SHOW TABLES /* FORMAT Native */", None),
        ("SHOW TABLES FORMAT/**/JSON -- FORMAT Native\n;", "JSON"),
        ("SHOW TABLES FORMAT JSON /* x */ SETTINGS a = 1 -- '", "JSON"),
        ("EXISTS a.format", None),
    ],
)
def test_the_format_at_the_end_is_found(text: str, expected: str | None) -> None:
    assert tail_format(text) == expected


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("SHOW TABLES", ""),
        ("SHOW DATABASES", ""),
        ("SHOW TABLES FROM a", "a"),
        ("show full tables in `a b` like 'FROM c'", "a b"),
        ("SHOW COLUMNS FROM t", ""),
        ("SHOW COLUMNS FROM a.t", "a"),
        ("SHOW COLUMNS/**/FROM t FROM `a`", "a"),
        ("SHOW INDEX FROM t IN a", "a"),
        ("SHOW DICTIONARIES FROM a FORMAT JSON", "a"),
        ("SHOW CREATE TABLE a.t", ""),
        ("SHOW TABLES -- FROM a", ""),
    ],
)
def test_the_database_of_a_show_is_found(text: str, database: str) -> None:
    assert shown_database(text) == database


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1 INTO OUTFILE 'x'", True),
        ("SELECT 1 into/**/outfile 'x'", True),
        ("SELECT 'INTO OUTFILE'", False),
        ("SELECT 1 -- INTO OUTFILE", False),
        ("SELECT `OUTFILE`, $$ OUTFILE $$, OUTFILES /* OUTFILE */", False),
    ],
)
def test_a_word_of_the_text_is_told_from_one_in_quotes_or_comments(text: str, expected: bool) -> None:
    assert has_word(text, "OUTFILE") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT `a\nb`", True),
        ('SELECT "a\rb"', True),
        ("SELECT \u201ca\nb\u201d", True),
        (r"SELECT `a\nb`", True),
        (r"SELECT `a\x0ab`", True),
        (r"SELECT `a\xZab`", True),
        ("SELECT a$b$, `x\n`, a$b$", True),
        ("SELECT $a$, `x\n`", True),
        ("SELECT\n`a`,\n\"b\",\n'a\nb'", False),
        (r"SELECT `a\x41\`\\`", False),
        ("SELECT $a$ `x\n` $a$, $$`\n`$$", False),
        ("SELECT 1 -- `\n, `b`", False),
        ("/* `\n */ SELECT `b`", False),
    ],
)
def test_a_name_with_a_control_character_is_found(text: str, expected: bool) -> None:
    assert has_unplain_name(text) is expected


CLOSED_BY = {"'": "'", '"': '"', "`": "`", "\u2018": "\u2019", "\u201c": "\u201d", "/*": "*/"}


@given(st.sampled_from(sorted(CLOSED_BY)), st.text(alphabet="a1 ,;()'\"`\u2018\u2019\u201c\u201d/*-#$\n", max_size=80))
def test_what_is_opened_and_not_closed_is_one_step_to_the_end(opened: str, rest: str) -> None:
    """A step that looks to the end and takes less would look again from each sign after it: time with the square of the text."""
    text = opened + rest.replace(CLOSED_BY[opened], "").replace("*/", "")
    step = statement_text._ELEMENT.match(text)
    assert step is not None
    assert step.end() == len(text)
    if opened.isascii():
        token = statement_text._TOKEN.match(text.encode())
        assert token is not None
        assert token.end() == len(text.encode())


def test_heredocs_without_an_end_are_few() -> None:
    check_size(" ".join(f"$a{number}$" for number in range(MOST_HEREDOCS)))
    with pytest.raises(ClickHouseError, match="heredocs"):
        check_size(" ".join(f"$a{number}$" for number in range(50_000)))
