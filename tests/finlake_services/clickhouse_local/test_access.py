"""Each way out of a reader's or writer's rights, tried against the running endpoint."""

from pathlib import Path

import httpx
import pytest

from tests.finlake_services.clickhouse_local.endpoint import Server

pytestmark = pytest.mark.slow

READS_A_FILE = [
    "SELECT * FROM default.`/etc/passwd`",
    "SELECT * FROM `/etc/passwd`",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM file('/etc/passwd', LineAsString, 's String')",
    "DESCRIBE file('/etc/passwd', 'LineAsString')",
    "DESCRIBE TABLE default.`/etc/passwd`",
    "SELECT count() FROM fileCluster('default', '/etc/passwd', 'LineAsString')",
    "SELECT * FROM filesystem('/etc')",
    "SELECT * FROM icebergLocal('/tmp/x')",
    "SELECT * FROM deltaLakeLocal('/tmp/x')",
    "SELECT * FROM sqlite('/tmp/x.db', 't')",
    "SELECT * FROM executable('cat /etc/passwd', 'LineAsString', 's String')",
    "SELECT * FROM python('x')",
    "SELECT * FROM eval('SELECT file(\\'/etc/passwd\\')')",
    "EXPLAIN SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT 1 WHERE '1' IN (SELECT * FROM file('/etc/passwd', 'LineAsString'))",
    "SELECT * FROM view(SELECT * FROM file('/etc/passwd', 'LineAsString'))",
    "SELECT * FROM merge('default', '.*')",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT * FROM dictionary('d')",
    "SELECT catboostEvaluate('/etc/passwd', 1)",
]
SCALAR_FILE = [
    "SELECT file('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    'SELECT "file"(\'/etc/passwd\')',
    "SELECT `\\x66ile`('/etc/passwd')",
    "SELECT/**/file/**/('/etc/passwd')",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT arrayMap(`file`, ['/etc/passwd'])",
    "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
    "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS path)",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd' AS path)",
    "SELECT COLUMNS('path') APPLY file FROM (SELECT '/etc/passwd' AS path)",
    "SELECT * REPLACE(file('/etc/passwd') AS path) FROM (SELECT 'x' AS path)",
    "WITH file('/etc/passwd') AS f SELECT f",
    "WITH file AS f SELECT arrayMap(f, ['/etc/passwd'])",
    "SELECT arrayMap(a.file, ['/etc/passwd']) FROM (SELECT 1 AS x) AS a",
    "SELECT ARRAYMAP(file, ['/etc/passwd'])",
    "SELECT mapApply(file, map('a', 'b'))",
    "SELECT arrayFold(file, ['/etc/passwd'], '')",
    "WITH x -> file(x) AS f SELECT f('/etc/passwd')",
    "SELECT 1 WHERE file('/etc/passwd') != ''",
    "SELECT 1 PREWHERE file('/etc/passwd') != '' FROM speed.ticks",
    "SELECT symbol FROM speed.ticks PREWHERE file('/etc/passwd') != ''",
    "SELECT 1 HAVING file('/etc/passwd') != ''",
    "SELECT symbol FROM speed.ticks QUALIFY file('/etc/passwd') != ''",
    "SELECT 1 GROUP BY file('/etc/passwd')",
    "SELECT 1 GROUP BY GROUPING SETS ((file('/etc/passwd')))",
    "SELECT 1 ORDER BY file('/etc/passwd')",
    "SELECT number FROM numbers(2) ORDER BY number WITH FILL FROM length(file('/etc/passwd'))",
    "SELECT number, 1 AS x FROM numbers(2) ORDER BY number WITH FILL TO 5 INTERPOLATE (x AS length(file('/etc/passwd')))",
    "SELECT number FROM numbers(2) LIMIT length(file('/etc/passwd'))",
    "SELECT number FROM numbers(2) LIMIT 1 OFFSET length(file('/etc/passwd'))",
    "SELECT number FROM numbers(2) LIMIT length(file('/etc/passwd')) BY number",
    "SELECT number FROM numbers(length(file('/etc/passwd')))",
    "SELECT quantile(length(file('/etc/passwd')))(1)",
    "SELECT sum(1) OVER (PARTITION BY file('/etc/passwd'))",
    "SELECT sum(1) OVER w FROM numbers(2) WINDOW w AS (ORDER BY file('/etc/passwd'))",
    "SELECT sum(1) OVER (ROWS BETWEEN length(file('/etc/passwd')) PRECEDING AND CURRENT ROW)",
    "SELECT * FROM numbers(1) AS a JOIN numbers(1) AS b ON file('/etc/passwd') != ''",
    "SELECT x FROM numbers(1) ARRAY JOIN [file('/etc/passwd')] AS x",
    "SELECT DISTINCT ON (file('/etc/passwd')) 1",
    "SELECT CASE file('/etc/passwd') WHEN '' THEN 1 END",
    "SELECT file('/etc/passwd')::String",
    "SELECT (file('/etc/passwd'), 1).1",
    "SELECT if(1, file('/etc/passwd'), '')",
    "SELECT 1 UNION ALL SELECT length(file('/etc/passwd'))",
    "SELECT 1 INTERSECT SELECT length(file('/etc/passwd'))",
    "SELECT EXISTS(SELECT file('/etc/passwd'))",
    "SELECT * FROM values('x String', (file('/etc/passwd')))",
    "SELECT substring(file('/etc/passwd') FROM 1 FOR 5)",
    "SELECT concat('x\nLiteral y', file('/etc/passwd')) AS `a (children 1)\n  Function plus`",
    "EXPLAIN SYNTAX SELECT file('/etc/passwd')",
    "EXPLAIN PLAN SELECT file('/etc/passwd')",
    "DESCRIBE (SELECT file('/etc/passwd'))",
    "FROM numbers(1) SELECT file('/etc/passwd')",
    "(SELECT file('/etc/passwd'))",
    "SELECT x FROM (SELECT file('/etc/passwd') AS x)",
    "file('/etc/passwd')",
    "optimize = 0 SELECT file('/etc/passwd')",
    "SELECT 1 FORMAT Null; SELECT file('/etc/passwd')",
]
LEAVES_THE_MACHINE = [
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM urlCluster('default', 'http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM s3('http://127.0.0.1:1/b/k', 'LineAsString')",
    "SELECT * FROM gcs('http://127.0.0.1:1/b/k', 'LineAsString')",
    "SELECT * FROM azureBlobStorage('http://127.0.0.1:1/', 'c', 'b', 'LineAsString')",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1:1', system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM clusterAllReplicas('default', system.processes)",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'x String')",
    "SELECT * FROM redis('127.0.0.1:1', 'x', 'x String')",
    "SELECT * FROM jdbc('x', 'y', 'z')",
    "SELECT * FROM odbc('x', 'y', 'z')",
    "SELECT * FROM iceberg('http://127.0.0.1:1/b/k')",
    "SELECT * FROM arrowflight('127.0.0.1:1', 'x')",
    "SELECT aiGenerate('x', 'y')",
    "SELECT reverseDNSQuery('127.0.0.1')",
]
WRITES_A_FILE = [
    "SELECT 1 INTO OUTFILE '/tmp/finlake_never'",
    "SELECT 1 INTO/**/OUTFILE '/tmp/finlake_never' FORMAT CSV",
    "SELECT 1 INTO\nOUTFILE '/tmp/finlake_never' APPEND",
    "(SELECT 1) INTO OUTFILE '/tmp/finlake_never' TRUNCATE AND STDOUT",
    "SHOW TABLES FROM speed INTO OUTFILE '/tmp/finlake_never'",
    "DESCRIBE speed.ticks INTO OUTFILE '/tmp/finlake_never'",
    "EXISTS speed.ticks INTO OUTFILE '/tmp/finlake_never'",
    "SHOW CREATE TABLE speed.ticks INTO OUTFILE '/tmp/finlake_never'",
    "EXPLAIN SELECT 1 INTO OUTFILE '/tmp/finlake_never'",
    "EXPLAIN AST SELECT 1 INTO OUTFILE '/tmp/finlake_never'",
    "EXPLAIN AST EXPLAIN AST SELECT 1 INTO OUTFILE '/tmp/finlake_never'",
    "(SELECT 1 INTO OUTFILE '/tmp/finlake_never')",
    "USE speed INTO OUTFILE '/tmp/finlake_never'",
    "SET max_threads = 1 INTO OUTFILE '/tmp/finlake_never'",
    "KILL QUERY WHERE query_id = 'x' INTO OUTFILE '/tmp/finlake_never'",
    "1 INTO OUTFILE '/tmp/finlake_never'",
    "INSERT INTO FUNCTION file('/tmp/finlake_never', 'CSV', 'x Int8') VALUES (1)",
    "INSERT INTO FUNCTION file('/tmp/finlake_never', 'CSV', 'x Int8') SELECT 1",
    "INSERT INTO TABLE FUNCTION url('http://127.0.0.1:1/', 'CSV', 'x Int8') VALUES (1)",
    "INSERT INTO speed.ticks FROM INFILE '/etc/passwd' FORMAT LineAsString",
    "INSERT INTO speed.ticks SELECT file('/etc/passwd'), now(), 1",
    "INSERT INTO speed.ticks VALUES (file('/etc/passwd'), now(), 1)",
    "INSERT INTO speed.ticks VALUES ('x', now(), 1), (file('/etc/passwd'), now(), length(file('/etc/passwd')))",
    "INSERT INTO speed.ticks VALUES ((SELECT file('/etc/passwd')), now(), 1)",
    "INSERT INTO speed.ticks SETTINGS input_format_values_interpret_expressions = 1 VALUES (file('/etc/passwd'), now(), 1)",
    "WITH file('/etc/passwd') AS f INSERT INTO speed.ticks SELECT f, now(), 1",
    "BACKUP TABLE speed.ticks TO File('/tmp/finlake_never')",
]
CHANGES_THE_SESSION = [
    "SET readonly = 0", "SET readonly = 2", "SET max_result_rows = 0", "SET ROLE user_admin", "SET ROLE ALL", "SET ROLE engine",
    "SET ROLE NONE", "SET DEFAULT ROLE ALL TO default", "SET allow_introspection_functions = 1", "EXECUTE AS default SELECT 1",
    "EXECUTE AS default", "SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_threads = 1",
    "SELECT 1 FROM (SELECT 1 SETTINGS max_execution_time = 0)", "SELECT 1 FORMAT JSON SETTINGS readonly = 0",
    "EXPLAIN SELECT 1 SETTINGS readonly = 0", "USE system", "USE hidden", "BEGIN TRANSACTION",
    "SELECT * FROM speed.ticks SETTINGS format_template_row = '/etc/passwd' FORMAT Template",
]
CHANGES_THE_SERVER = [
    "CREATE TABLE speed.t (x Int8) ENGINE = Memory", "CREATE TEMPORARY TABLE t (x Int8)", "CREATE DATABASE d",
    "CREATE VIEW speed.v AS SELECT 1", "CREATE VIEW speed.v AS SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "CREATE MATERIALIZED VIEW speed.v TO speed.ticks AS SELECT 1", "CREATE FUNCTION f AS (x) -> file(x)",
    "CREATE DICTIONARY speed.d (id UInt64) PRIMARY KEY id SOURCE(FILE(path '/etc/passwd' format 'LineAsString')) LAYOUT(FLAT())",
    "CREATE USER u", "CREATE ROLE r", "CREATE NAMED COLLECTION c AS a = 1",
    "CREATE OR REPLACE TABLE speed.ticks (x Int8) ENGINE=Log",
    "DROP TABLE speed.ticks", "TRUNCATE TABLE speed.ticks", "ALTER TABLE speed.ticks DELETE WHERE 1",
    "DELETE FROM speed.ticks WHERE 1",
    "UPDATE speed.ticks SET price_usd = 0 WHERE 1", "RENAME TABLE speed.ticks TO speed.gone",
    "EXCHANGE TABLES speed.a AND speed.b",
    "OPTIMIZE TABLE speed.ticks FINAL", "ATTACH TABLE speed.x FROM '/etc' (x Int8) ENGINE = Log", "DETACH TABLE speed.ticks",
    "UNDROP TABLE speed.ticks", "GRANT ALL ON *.* TO default", "REVOKE ALL ON *.* FROM default", "MOVE USER u TO x",
    "SYSTEM FLUSH LOGS", "SYSTEM SHUTDOWN", "SYSTEM STOP MERGES", "KILL MUTATION WHERE 1", "CHECK TABLE speed.ticks",
    "INSERT INTO hidden.salaries VALUES ('y')", "INSERT INTO serving.symbols VALUES ('y', 1)",
    "INSERT INTO system.one VALUES (1)",
    "SELECT 1; DROP TABLE speed.ticks", "SELECT 1 PARALLEL WITH DROP TABLE speed.ticks", "WATCH speed.v",
]
SEES_OTHERS = [
    "SELECT * FROM hidden.salaries", "SELECT * FROM speed.ticks WHERE symbol IN hidden.salaries", "DESCRIBE hidden.salaries",
    "SHOW CREATE TABLE hidden.salaries", "SELECT * FROM loop(hidden.salaries)", "SHOW PROCESSLIST",
    "SELECT * FROM system.processes", "SELECT * FROM `system`.`processes`", "SELECT * FROM system.query_log",
    "SELECT * FROM system.user_processes", "SELECT * FROM system.user_query_log", "SELECT * FROM system.session_query_ids",
    "SELECT * FROM system.users", "SELECT * FROM system.grants", "SELECT * FROM system.named_collections",
    "SELECT * FROM system.server_settings", "SELECT * FROM system.stack_trace", "SELECT * FROM system.query_cache",
    "SELECT * FROM system.statements", "SELECT * FROM system.errors", "SELECT * FROM system.dictionaries",
    "SELECT * FROM system.remote_data_paths", "SELECT * FROM system.text_log", "SELECT 1 IN system.processes",
    "SELECT '' IN (system.query_log)", "SELECT * FROM merge('system', 'proc.*')", "SELECT getServerSetting('users_config')",
    "SELECT showCertificate()", "SELECT getMacro('x')", "SHOW GRANTS", "SHOW USERS", "SHOW CREATE USER default", "SHOW ACCESS",
    "SHOW ENGINES INTO OUTFILE '/tmp/finlake_never'",
    "SELECT obfuscateQuery('x')", "SELECT addressToSymbol(1)", "SELECT __getScalar('x')", "SELECT sleepEachRow(3)",
]
ALL_WAYS = (*READS_A_FILE, *SCALAR_FILE, *LEAVES_THE_MACHINE, *WRITES_A_FILE, *CHANGES_THE_SESSION, *CHANGES_THE_SERVER,
            *SEES_OTHERS)
REFUSALS = (400, 403, 404, 500, 501)
NEVER = Path("/tmp/finlake_never")


@pytest.mark.parametrize("statement", ALL_WAYS)
@pytest.mark.parametrize("user", ["reader", "sink"])
def test_neither_a_reader_nor_the_writer_gets_out_of_its_rights(
    clients: dict[str, httpx.Client], user: str, statement: str,
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


ALLOWED = [
    "SELECT 1",
    "WITH toStartOfInterval(trade_ts, INTERVAL 1 minute) AS minute_ts SELECT symbol, minute_ts, "
    "argMin(price_usd, trade_ts) AS o, max(price_usd) AS h, min(price_usd) AS l, argMax(price_usd, trade_ts) AS c "
    "FROM speed.ticks GROUP BY symbol, minute_ts ORDER BY 2",
    "SELECT symbol, sum(ticks) FROM speed.totals GROUP BY symbol",
    "SELECT * FROM serving.symbols",
    "SELECT *, t.symbol, COLUMNS('price') FROM speed.ticks AS t ORDER BY 1 LIMIT 1 BY symbol LIMIT 1 WITH TIES",
    "SELECT * EXCEPT (price_usd) FROM speed.ticks",
    "SELECT * REPLACE (round(price_usd) AS price_usd) FROM speed.ticks",
    "SELECT arrayMap((x, y) -> x + y, [1, 2], [3, 4]), arrayMap(toString, [1]), map('a', 1)['a'], "
    "tuple(1, 'a').2, [1][1]",
    "SELECT countIf(price_usd > 1), quantileTDigest(0.9)(price_usd), uniqExact(symbol), sumOrNull(price_usd), avgArrayIf([1], 1) "
    "FROM speed.ticks",
    "SELECT row_number() OVER (PARTITION BY symbol ORDER BY trade_ts), lagInFrame(price_usd) OVER w FROM speed.ticks "
    "WINDOW w AS (PARTITION BY symbol ORDER BY trade_ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)",
    "SELECT count() FROM speed.ticks AS a ASOF JOIN speed.ticks AS b ON a.symbol = b.symbol AND a.trade_ts >= b.trade_ts",
    "SELECT count() FROM speed.ticks WHERE symbol IN (SELECT symbol FROM speed.totals) AND trade_ts BETWEEN now() - 1 AND now()",
    "SELECT toDateTime64(trade_ts, 3), formatDateTime(trade_ts, '%F'), dateDiff('second', trade_ts, now64()), trade_ts::Date, "
    "CAST(price_usd AS Decimal(18, 4)), toInt64(toUnixTimestamp64Milli(trade_ts)) FROM speed.ticks",
    "SELECT CASE WHEN price_usd > 100 THEN 'a' ELSE 'b' END, multiIf(1, 2, 3, 4, 5), if(1, 2, 3), "
    "coalesce(NULL, 1) FROM speed.ticks",
    "SELECT number FROM numbers(3) ORDER BY number WITH FILL FROM 0 TO 10 STEP 2",
    "SELECT symbol FROM speed.ticks UNION DISTINCT SELECT 'x' AS symbol ORDER BY symbol DESC NULLS LAST LIMIT 3 OFFSET 1",
    "SELECT symbol, count() FROM speed.ticks GROUP BY symbol WITH ROLLUP HAVING count() > 0",
    "SELECT a.1, b FROM (SELECT (1, 2) AS a) ARRAY JOIN [1, 2] AS b",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t",
    "SELECT toTypeName(1), version(), timezone(), displayName(), revision(), currentUser(), currentDatabase(), user(), "
    "hostName()",
    "SELECT JSONExtractString('{\"a\": \"b\"}', 'a'), splitByChar(',', 'a,b'), "
    "replaceRegexpOne('a', 'b', 'c'), lower('A'), 'a' LIKE '%a'",
    "SELECT file, query_id, connection_id, version, `user` FROM "
    "(SELECT 1 AS file, 2 AS query_id, 3 AS connection_id, 4 AS version, 5 AS user)",
    "SELECT symbol AS file_name, 'file' AS x, 'INTO OUTFILE' AS y FROM speed.ticks",
    "SHOW DATABASES", "SHOW TABLES", "SHOW TABLES FROM speed LIKE '%'", "SHOW CREATE TABLE speed.ticks",
    "SHOW COLUMNS FROM speed.ticks",
    "SHOW FUNCTIONS", "SHOW SETTINGS LIKE 'max_threads'",
    "DESCRIBE TABLE speed.ticks", "DESC speed.ticks", "EXISTS speed.ticks", "EXISTS DATABASE speed", "DESCRIBE (SELECT 1 AS a)",
    "EXPLAIN SELECT * FROM speed.ticks", "EXPLAIN indexes = 1 SELECT * FROM speed.ticks WHERE symbol = 'AAPL'",
    "EXPLAIN AST SELECT 1",
    "EXPLAIN PIPELINE SELECT 1", "EXPLAIN ESTIMATE SELECT * FROM speed.ticks",
    "SELECT name, engine FROM system.databases", "SELECT database, name, engine, create_table_query FROM system.tables",
    "SELECT name, type, comment FROM system.columns WHERE database = 'speed'", "SELECT name FROM system.functions",
    "SELECT * FROM system.parts", "SELECT metric FROM system.metrics",
    "SELECT name, value, readonly FROM system.settings LIMIT 10000", "SELECT * FROM system.view_refreshes",
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'speed'",
    "SELECT column_name FROM INFORMATION_SCHEMA.COLUMNS WHERE table_name = 'ticks'",
    "-- a comment\nSELECT 1 /* another */ # and\n", "(SELECT 1) UNION ALL (SELECT 2)", "FROM speed.ticks SELECT symbol",
    "SELECT 1 FORMAT JSONCompact", "SELECT 1;", "USE speed",
]


@pytest.mark.parametrize("statement", ALLOWED)
def test_what_dashboards_and_analysts_ask_is_allowed_to_a_reader(
    reader: httpx.Client, writer: httpx.Client, statement: str,
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


def test_a_view_shows_no_more_than_its_reader_may_read(clients: dict[str, httpx.Client]) -> None:
    assert clients["reader"].post("/", content="SELECT sum(ticks) FROM serving.symbols").text == "10\n"
    assert clients["other_reader"].post("/", content="SELECT * FROM serving.symbols").status_code == 403


def test_an_iceberg_table_is_read_by_a_reader_through_its_engine_but_not_by_its_path(
    server: Server, admin: httpx.Client, reader: httpx.Client,
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


@pytest.mark.parametrize("braces", [
    "{%s:Identifier}", "{%s:/**/Identifier}", "{/* a */ %s /* : */ : -- b\n Identifier\n}", "{ %s\u00a0: Identifier }",
])
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


@pytest.mark.parametrize("setting", [
    ("readonly", "0"), ("readonly", "2"), ("format_schema", "/etc/passwd"), ("format_template_resultset", "/etc/passwd"),
    ("output_format_schema", "/tmp/finlake_never"), ("input_format_record_errors_file_path", "x"),
    ("allow_introspection_functions", "1"),
    ("dialect", "prql"), ("profile", "default"), ("allow_ddl", "1"), ("compile_expressions", "1"), ("enable_url_encoding", "1"),
    ("input_format_values_interpret_expressions", "1"), ("output_format_native_encode_types_in_binary_format", "1"),
    ("max_threads=1, readonly", "0"), ("user_files_path", "/"), ("format_display_secrets_in_show_and_select", "1"),
])
def test_a_setting_that_could_widen_rights_is_refused_in_the_url(
    clients: dict[str, httpx.Client], setting: tuple[str, str],
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


def test_get_cannot_change_anything(admin: httpx.Client) -> None:
    insert = "INSERT INTO speed.ticks SELECT 'x', now(), 1"
    for statement in ("DROP TABLE speed.ticks", insert, "KILL QUERY WHERE query_id = 'x'"):
        answer = admin.get("/", params={"query": statement})
        assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert admin.get("/", params={"query": "SELECT count() FROM speed.ticks"}).text == "10\n"


@pytest.mark.parametrize("login", [
    ("reader", "wrong"), ("nobody", "wrong"), ("", ""), ("admin", ""), ("default", ""), ("engine", ""),
])
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
