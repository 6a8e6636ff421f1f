"""Each way out of a reader's or writer's rights, tried against the running endpoint."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.finlake_services.clickhouse_local.endpoint import Server
from tests.finlake_services.clickhouse_local.statements import ALL_WAYS, ALLOWED, SCALAR_FILE

pytestmark = pytest.mark.slow

REFUSALS = (400, 403, 404, 500, 501)
NEVER = Path("/tmp/finlake_never")


@pytest.mark.parametrize("statement", ALL_WAYS)
@pytest.mark.parametrize("user", ["reader", "sink"])
def test_neither_a_reader_nor_the_writer_gets_out_of_its_rights(
    clients: dict[str, httpx.Client],
    user: str,
    statement: str,
) -> None:
    for session in ({}, {"session_id": f"{user}-tries"}):
        answer = clients[user].post("/", content=statement, params=session)
        assert answer.status_code in REFUSALS, answer.text
        assert "x-clickhouse-exception-code" in answer.headers
        assert "root:x:" not in answer.text
    assert not NEVER.exists()


def test_without_the_rules_the_ways_into_files_would_work(admin: httpx.Client) -> None:
    open_ways = [statement for statement in SCALAR_FILE if admin.post("/", content=statement).status_code == 200]
    assert len(open_ways) > len(SCALAR_FILE) * 0.6


@pytest.mark.parametrize("statement", ALLOWED)
def test_what_dashboards_and_analysts_ask_is_allowed_to_a_reader(
    reader: httpx.Client,
    writer: httpx.Client,
    statement: str,
) -> None:
    answer = reader.post("/", content=statement)
    assert answer.status_code == 200, answer.text
    if "serving" not in statement:
        assert writer.post("/", content=statement).status_code == 200


def test_a_reader_sees_the_names_of_its_own_databases_only(clients: dict[str, httpx.Client]) -> None:
    asked = "SELECT DISTINCT database FROM system.tables WHERE lower(database) NOT IN ('system', 'information_schema') ORDER BY 1"
    assert clients["reader"].post("/", content=asked).text.split() == ["serving", "speed"]
    assert clients["other_reader"].post("/", content=asked).text.split() == ["serving"]
    refused = clients["other_reader"].post("/", content="SELECT * FROM speed.ticks")
    assert refused.headers["x-clickhouse-exception-code"] == "497"


@pytest.mark.parametrize(
    "form",
    [
        "SELECT * FROM {}",
        "SELECT nothing FROM {}",
        "SELECT 1 FROM speed.ticks, {}",
        "SELECT 1 IN ({})",
        "SELECT 1 IN {}",
        "SELECT 1 NOT IN {}",
        "WITH x AS (SELECT * FROM {}) SELECT * FROM x",
        "DESCRIBE {}",
        "EXISTS {}",
        "SHOW CREATE TABLE {}",
        "SHOW COLUMNS FROM {}",
        "SHOW INDEX FROM {}",
        "EXPLAIN SELECT * FROM {}",
        "EXPLAIN SYNTAX SELECT * FROM {}",
        "INSERT INTO {} VALUES ('x')",
        "INSERT INTO {} SELECT 'x'",
    ],
)
def test_what_is_hidden_is_answered_as_what_is_not_there(clients: dict[str, httpx.Client], form: str) -> None:
    for user in ("reader", "sink"):
        told = set()
        for table in ("hidden.salaries", "hidden.salarie", "hiden.salaries"):
            answer = clients[user].post("/", content=form.format(table))
            told.add(
                (
                    answer.status_code,
                    answer.headers["x-clickhouse-exception-code"],
                    answer.text.replace(table.partition(".")[0], "…"),
                )
            )
        assert len(told) == 1, told


@pytest.mark.parametrize("form", ["SHOW TABLES FROM {}", "EXISTS DATABASE {}", "SHOW CREATE DATABASE {}", "USE {}"])
def test_a_hidden_database_is_answered_as_one_that_is_not_there(clients: dict[str, httpx.Client], form: str) -> None:
    for user in ("reader", "sink"):
        hidden, missing = (clients[user].post("/", content=form.format(name)) for name in ("hidden", "hiden"))
        assert hidden.headers["x-clickhouse-exception-code"] == "497"
        assert hidden.text.replace("hidden", "") == missing.text.replace("hiden", "")


@pytest.mark.parametrize(
    "call",
    [
        "editDistance('a', 'b')",
        "levenshteinDistance('a', 'b')",
        "editDistanceUTF8('a', 'b')",
        "damerauLevenshteinDistance('a', 'b')",
        "arrayMap(editDistance, ['a'], ['b'])",
        "arraySimilarity(['a'], ['b'], [1.], [1.])",
        "arrayLevenshteinDistance(['a'], ['b'])",
        "levenshteinDistanceUTF8('a', 'b')",
        "arrayLevenshteinDistanceWeighted(['a'], ['b'], [1.], [1.])",
    ],
)
def test_a_call_that_no_limit_of_time_would_end_is_refused(clients: dict[str, httpx.Client], call: str) -> None:
    for user in ("reader", "sink"):
        answer = clients[user].post("/", content=f"SELECT {call}")
        assert answer.headers["x-clickhouse-exception-code"] == "497", answer.text
    assert clients["admin"].post("/", content=f"SELECT {call}").status_code == 200


def test_a_view_shows_no_more_than_its_reader_may_read(clients: dict[str, httpx.Client]) -> None:
    assert clients["reader"].post("/", content="SELECT sum(ticks) FROM serving.symbols").text == "10\n"
    assert clients["other_reader"].post("/", content="SELECT * FROM serving.symbols").status_code == 403


def test_an_iceberg_table_is_read_by_a_reader_through_its_engine_but_not_by_its_path(
    server: Server,
    admin: httpx.Client,
    reader: httpx.Client,
) -> None:
    path = server.warehouse / "gold" / "candles"
    for statement in (
        f"CREATE TABLE serving.candles (symbol String, price_usd Float64) ENGINE = IcebergLocal('{path}', 'Parquet')",
        "INSERT INTO serving.candles VALUES ('AAPL', 1.5)",
    ):
        admin.post("/", content=statement, params={"allow_insert_into_iceberg": "1"}).raise_for_status()
    assert reader.post("/", content="SELECT * FROM serving.candles").text == "AAPL\t1.5\n"
    assert reader.post("/", content=f"SELECT * FROM icebergLocal('{path}')").status_code == 403
    assert reader.post("/", content="INSERT INTO serving.candles VALUES ('AAPL', 1.5)").status_code in (403, 500)


def test_a_name_given_as_a_parameter_is_judged_like_one_in_the_text(reader: httpx.Client) -> None:
    statement = "SELECT count() FROM {database:Identifier}.{table:Identifier}"
    allowed = {"param_database": "speed", "param_table": "ticks"}
    assert reader.post("/", content=statement, params=allowed).text == "10\n"
    for database, table in (("system", "processes"), ("hidden", "salaries"), ("default", "/etc/passwd")):
        answer = reader.post("/", content=statement, params={"param_database": database, "param_table": table})
        assert answer.status_code in (403, 404), answer.text
    assert reader.post("/", content=statement, params=allowed).text == "10\n"


@pytest.mark.parametrize(
    "braces",
    [
        "{%s:Identifier}",
        "{%s:/**/Identifier}",
        "{/* a */ %s /* : */ : -- b\n Identifier\n}",
        "{ %s\u00a0: Identifier }",
    ],
)
def test_a_verdict_counts_for_one_set_of_parameters_however_they_are_spelled(reader: httpx.Client, braces: str) -> None:
    def ask(statement: str, **parameters: str) -> httpx.Response:
        return reader.post("/", content=statement, params={f"param_{name}": value for name, value in parameters.items()})

    called = f"SELECT arrayMap({braces % 'f'}, [{{p:String}}])"
    table = f"SELECT count() FROM {braces % 'd'}.{braces % 't'}"
    for _ in range(2):
        assert ask(called, f="upper", p="/etc/passwd").text == "['/ETC/PASSWD']\n"
        assert ask(called, f="file", p="/etc/passwd").status_code == 403
        assert ask(table, d="speed", t="ticks").text == "10\n"
        for database, name in (("system", "processes"), ("system", "query_log"), ("hidden", "salaries")):
            assert ask(table, d=database, t=name).status_code == 403


@pytest.mark.parametrize(
    "setting",
    [
        ("readonly", "0"),
        ("readonly", "2"),
        ("format_schema", "/etc/passwd"),
        ("format_template_resultset", "/etc/passwd"),
        ("output_format_schema", "/tmp/finlake_never"),
        ("input_format_record_errors_file_path", "x"),
        ("allow_introspection_functions", "1"),
        ("dialect", "prql"),
        ("profile", "default"),
        ("allow_ddl", "1"),
        ("compile_expressions", "1"),
        ("enable_url_encoding", "1"),
        ("input_format_values_interpret_expressions", "1"),
        ("output_format_native_encode_types_in_binary_format", "1"),
        ("max_threads=1, readonly", "0"),
        ("user_files_path", "/"),
        ("format_display_secrets_in_show_and_select", "1"),
    ],
)
def test_a_setting_that_could_widen_rights_is_refused_in_the_url(
    clients: dict[str, httpx.Client],
    setting: tuple[str, str],
) -> None:
    for user in ("reader", "sink"):
        if (user, setting) == ("sink", ("readonly", "0")):
            continue
        answer = clients[user].post("/", content="SELECT 1", params=dict([setting]))
        assert answer.status_code in (404, 500), answer.text
        assert answer.headers["x-clickhouse-exception-code"] in ("164", "115")


def test_a_limit_asked_for_is_taken_down_to_the_users_own(reader: httpx.Client) -> None:
    asked = "SELECT getSetting('max_execution_time'), getSetting('max_result_rows')"
    assert reader.post("/", content=asked, params={"max_execution_time": "600", "max_result_rows": "0"}).text == "30\t10000000\n"
    assert reader.post("/", content=asked, params={"max_execution_time": "5"}).text == "5\t10000000\n"


LIMITS = ("max_execution_time", "max_result_rows", "max_result_bytes", "max_memory_usage", "max_threads", "max_block_size")
SPELLINGS = (
    "0",
    "1",
    "5",
    "'5'",
    "0.5",
    "'0.5'",
    "0.0000001",
    "1e-9",
    "'1e-9'",
    "1e1",
    "'1e1'",
    "0x1",
    "'0x1'",
    "0b1",
    "0x0.8p0",
    "-1",
    "'-1'",
    "'+5'",
    "' 5'",
    "'5 '",
    "1_0",
    "'1_0'",
    "true",
    "false",
    "NULL",
    "DEFAULT",
    "'auto'",
    "'1K'",
    "'1Gi'",
    "'5s'",
    "18446744073709551615",
    "18446744073709551616",
    "'18446744073709551616'",
    "1e300",
    "inf",
    "nan",
    "'inf'",
    "'nan'",
    "''",
    "'\u0665'",
    "'\u00bd'",
    "'0'",
    "'00'",
    "'007'",
    "0.9999999999999999999999",
    "5.9",
    "{p:Float64}",
    "{p:String}",
)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("session", [{}, {"session_id": "limits"}])
def test_no_spelling_of_a_limit_lifts_it(reader: httpx.Client, name: str, session: dict[str, str]) -> None:
    asked = f"SELECT toFloat64OrZero(toString(getSetting('{name}')))"
    cap, parameters = float(reader.post("/", content=asked).text), {**session, "param_p": "0.5"}
    assert cap >= 1
    effective = []
    for spelled in SPELLINGS:
        bare = spelled.strip("'")
        for answer in (
            reader.post("/", content=f"{asked} SETTINGS {name} = {spelled}", params=parameters),
            reader.post("/", content=f"SELECT * FROM ({asked} SETTINGS {name} = {spelled})", params=parameters),
            reader.post("/", content=asked, params={**session, name: bare}),
            reader.post("/", files={"query": (None, asked), name: (None, bare)}, params=session),
        ):
            assert answer.status_code == 200 or "x-clickhouse-exception-code" in answer.headers
            if answer.status_code == 200:
                effective.append((spelled, float(answer.text)))
    assert not [found for found in effective if not 1 <= found[1] <= cap]
    assert ("1", 1.0) in effective


def test_get_cannot_change_anything(admin: httpx.Client) -> None:
    insert = "INSERT INTO speed.ticks SELECT 'x', now(), 1"
    for statement in ("DROP TABLE speed.ticks", insert, "KILL QUERY WHERE query_id = 'x'"):
        answer = admin.get("/", params={"query": statement})
        assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert admin.get("/", params={"query": "SELECT count() FROM speed.ticks"}).text == "10\n"


@pytest.mark.parametrize(
    "login",
    [
        ("reader", "wrong"),
        ("nobody", "wrong"),
        ("", ""),
        ("admin", ""),
        ("default", ""),
        ("engine", ""),
    ],
)
def test_a_wrong_login_is_refused_without_saying_what_was_wrong(server: Server, login: tuple[str, str]) -> None:
    answer = httpx.post(server.url, content="SELECT 1", auth=login)
    assert answer.status_code == 403
    assert answer.headers["x-clickhouse-exception-code"] == "516"
    assert "password is incorrect, or there is no user with such name" in answer.text


def test_no_login_is_no_user(server: Server) -> None:
    assert httpx.post(server.url, content="SELECT 1").status_code == 403


def test_logins_come_by_headers_and_by_url_too(server: Server) -> None:
    password = server.passwords["reader"]
    by_header = httpx.post(server.url, content="SELECT 1", headers={"X-ClickHouse-User": "reader", "X-ClickHouse-Key": password})
    by_url = httpx.post(server.url, content="SELECT 1", params={"user": "reader", "password": password})
    assert by_header.text == by_url.text == "1\n"


def test_no_secret_is_in_the_log_or_the_engines_files(server: Server, reader: httpx.Client) -> None:
    reader.post("/", content="SELECT 1", params={"user": "reader", "password": server.passwords["reader"]})
    written = [server.log().encode(), *(path.read_bytes() for path in server.home.iterdir() if path.is_file())]
    assert all(password.encode() not in text for password in server.passwords.values() for text in written)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("SELECT b FROM values({p:String}, (1))", "a UInt8, b String ALIAS file('/etc/passwd')"),
        ("SELECT CAST('abcdefgh', {p:String})", "AggregateFunction(sum, UInt64)"),
        ("SELECT finalizeAggregation({p:AggregateFunction(sum, UInt64)})", "abcdefgh"),
        (r"SELECT finalizeAggregation({p:`Aggregate\x46unction`(sum, UInt64)})", "abcdefgh"),
    ],
)
def test_a_structure_or_a_type_in_a_parameter_is_judged_too(clients: dict[str, httpx.Client], statement: str, value: str) -> None:
    for user in ("reader", "sink"):
        answer = clients[user].post("/", content=statement, params={"param_p": value})
        assert "7523094288207667809" not in answer.text
        assert "root:x:" not in answer.text
        assert answer.status_code in REFUSALS, answer.text


FORGED_SUM = b"abcdefgh"
"""As the memory of a sum of UInt64 it would be 7523094288207667809."""


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("INSERT INTO speed.states FORMAT TSV\n", FORGED_SUM),
        ("INSERT INTO speed.states FORMAT RowBinary\n", FORGED_SUM),
        ("INSERT INTO speed.states FORMAT Native\n", b"\x01\x01\x05state\x1eAggregateFunction(sum, UInt64)" + FORGED_SUM),
        ("INSERT INTO speed.states FORMAT Native\n", b"\x01\x01\x05state\x06String\x08" + FORGED_SUM),
        ("INSERT INTO speed.numbers FORMAT Native\n", b"\x01\x01\x06number\x1eAggregateFunction(sum, UInt64)" + FORGED_SUM),
        ("INSERT INTO speed.texts FORMAT Native\n", b"\x01\x01\x04text\x1eAggregateFunction(sum, UInt64)" + FORGED_SUM),
        ("INSERT INTO speed.states VALUES ", b"('abcdefgh')"),
        ("INSERT INTO speed.states FORMAT JSONEachRow\n", b'{"state": "abcdefgh"}'),
        ("INSERT INTO speed.states SELECT 'abcdefgh'", b""),
    ],
)
def test_rows_of_a_writer_never_become_a_state(admin: httpx.Client, writer: httpx.Client, statement: str, rows: bytes) -> None:
    for table in ("states (state AggregateFunction(sum, UInt64))", "numbers (number UInt64)", "texts (text String)"):
        admin.post("/", content=f"CREATE OR REPLACE TABLE speed.{table} ENGINE = MergeTree ORDER BY tuple()").raise_for_status()
    writer.post("/", content=statement.encode() + rows)
    forged = "SELECT count() FROM speed.states WHERE finalizeAggregation(state) = 7523094288207667809"
    try:
        assert admin.post("/", content=forged).text == "0\n"
        assert admin.post("/", content="SELECT count() FROM speed.texts").text == "0\n"
    finally:
        for table in ("states", "numbers", "texts"):
            admin.post("/", content=f"DROP TABLE speed.{table}").raise_for_status()


@pytest.mark.parametrize(
    "column_type",
    [
        "Dynamic(max_types=0)",
        "Array(Dynamic(max_types=0))",
        "Tuple(a Dynamic(max_types=0), `b` Array(UInt8))",
        "Map(String, Dynamic(max_types=0))",
        "Variant(AggregateFunction(sum, UInt64), String)",
    ],
)
@pytest.mark.parametrize("named", ["Native", "RowBinaryWithNamesAndTypes"])
def test_rows_bring_no_states_within_other_types(
    admin: httpx.Client,
    writer: httpx.Client,
    column_type: str,
    named: str,
) -> None:
    value = "sumState(toUInt64(number))"
    held = {"A": f"[{value}]", "T": f"({value}::Dynamic(max_types=0), [1])", "M": f"map('a', {value})"}.get(column_type[0], value)
    rows = admin.post("/", content=f"SELECT CAST({held}, '{column_type}') AS symbol FROM numbers(2) FORMAT {named}")
    rows.raise_for_status()
    before = admin.post("/", content="SELECT count() FROM speed.ticks").text
    answer = writer.post("/", content=f"INSERT INTO speed.ticks (symbol) FORMAT {named}\n".encode() + rows.content)
    assert answer.headers["x-clickhouse-exception-code"] == "497", answer.text
    assert admin.post("/", content="SELECT count() FROM speed.ticks").text == before


@pytest.mark.parametrize(
    "sent",
    [
        {
            "content": "SELECT unhex('010100104669786564537472696e67282d323029') "
            "AS `x\n Identifier Native (alias z` FORMAT RawBLOB"
        },
        {"content": r"SELECT 1 AS `x\n Identifier Native (alias z` FORMAT RawBLOB"},
        {"content": r'SELECT 1 AS "x\x0a Identifier Native (alias z" FORMAT RawBLOB'},
        {"content": "SELECT 1 AS \u201cx\n Identifier Native (alias z\u201d FORMAT RawBLOB"},
        {"content": "SELECT 1 AS a$b$, 2 AS `x\n Identifier Native (alias z`, 3 AS a$b$ FORMAT RawBLOB"},
        {"content": "SELECT 1 AS `x\n Identifier JSON\rX-Evil: 1`, 2 FORMAT TSV"},
        {"content": "SELECT 1 AS {p:Identifier} FORMAT RawBLOB", "params": {"param_p": "x\n Identifier Native (alias z"}},
        {"content": "SELECT 1 AS {p:Identifier} FORMAT RawBLOB", "params": {"param_p": r"x\n Identifier Native (alias z"}},
        {"content": "DESCRIBE (SELECT 1 AS `x\n Identifier JSON`)"},
    ],
)
def test_a_name_cannot_forge_a_part_of_a_statement(clients: dict[str, httpx.Client], sent: dict[str, Any]) -> None:
    for user in ("reader", "sink"):
        answer = clients[user].post("/", **{**sent, "params": {**sent.get("params", {}), "client_protocol_version": "54500"}})
        assert answer.headers["x-clickhouse-exception-code"] == "497", answer.text
        assert "x-evil" not in answer.headers


def test_an_insert_into_a_function_is_refused_by_name(writer: httpx.Client) -> None:
    for rows in ("VALUES (1)", "SELECT 1", "FORMAT CSV\n1"):
        answer = writer.post("/", content=f"INSERT INTO FUNCTION file('/tmp/finlake_never', 'CSV', 'x Int8') {rows}")
        assert "INSERT INTO FUNCTION" in answer.text


def test_names_and_texts_over_several_lines_are_allowed(reader: httpx.Client) -> None:
    asked = "SELECT\n  `symbol`,\n\t'a\\nb' AS \"text\", {p:String} AS p\nFROM `speed`.`ticks`\nLIMIT 1\n"
    assert reader.post("/", content=asked, params={"param_p": "a\\nb"}).text == "AAPL\ta\\nb\ta\\nb\n"
    assert reader.post("/", content="DESCRIBE TABLE\n`speed`.`ticks`\n").status_code == 200


def test_an_administrators_name_does_not_get_into_a_header(admin: httpx.Client) -> None:
    answer = admin.post("/", content="SELECT 1 AS `x\n Identifier JSON\rX-Evil: 1`, 2 FORMAT TSV")
    assert answer.headers["x-clickhouse-exception-code"] == "73"
