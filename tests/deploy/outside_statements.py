"""Statements for `finlake sql` that reach outside the lake or write, and harmless ones that look like them."""

# What is carried out makes the file MARKER, or sets a property of the driver's Java. ADDRESS is a table of the lake.
SCRIPT = "'touch MARKER; date +%F'"
PROPERTY = "finlake.touched"
CALL = f"('java.lang.System', 'setProperty', '{PROPERTY}', 'yes')"

# Refused by the words of their text, whatever Spark makes of them.
BY_TEXT = (
    f"select transform(1) using {SCRIPT} as (x string)",
    f"SELECT/**/TRANSFORM(1)USING/* a */{SCRIPT}",
    f"select transform(1) using -- a comment\n{SCRIPT} as (x string)",
    f"select tranſform(1) usıng {SCRIPT} as (x string)",
    f"from (select 1 a) map a using {SCRIPT} as (x string)",
    f"from (select 1 a) reduce a using {SCRIPT} as (x string)",
    f"select * from (select * from (select transform(1) using {SCRIPT} as (x string)))",
    f"with a as (select transform(1) using {SCRIPT} as (x string)) select * from a",
    f"select (select transform(1) using {SCRIPT} as (x string))",
    f"select transform(1) row format delimited fields terminated by ',' using {SCRIPT} as (x string)",
    f"select * from ADDRESS timestamp as of (select transform(1) using {SCRIPT} as (x string))",
    f"describe query select * from ADDRESS timestamp as of (select transform(1) using {SCRIPT} as (x string))",
    f"explain select * from ADDRESS timestamp as of (select transform(1) using {SCRIPT} as (x string))",
    f"select count(*) filter (where exists(from (select 1 a) reduce a using {SCRIPT} as (b int))) from values (1) t(a)",
    f"select reflect{CALL}", f"select REFLECT {CALL}", f"select java_method{CALL}", f"select try_reflect{CALL}",
    f"select `reflect`{CALL}", f"select `reflect`/* /* within */ another */{CALL}",
    f"select reflect -- (\n{CALL}", f"select reflect\u00a0\u3000{CALL}", f"select system.builtin.reflect{CALL}",
    f"select builtin.`Reflect`{CALL}", f"select identifier('reflect'){CALL}", f"select ıdentıfıer('ref' || 'lect'){CALL}",
    f"select identifier('\\u0072eflect'){CALL}", f"explain select reflect{CALL} from values (1)",
    f"explain extended select java_method{CALL} from values (1)", f"describe query select reflect{CALL}",
    f"from values (1) t(a) |> select reflect{CALL}", f"select 1 from values (1) t(a) order by reflect{CALL}",
    f"select transform(array(1), x -> reflect{CALL})", f"with reflect as (select 1 a) select reflect{CALL} from reflect",
    f"select * from values (1) t(a) lateral view explode(array(reflect{CALL})) as z",
    f"with recursive r as (select 1 n, reflect{CALL} t union all select n + 1, t from r where n < 3) select * from r",
    f"select /*+ repartition(2) */ reflect{CALL} from values (1)", f"select * from range(length(reflect{CALL}))",
    "select * from identifier('csv.`/etc/passwd`')", "describe table identifier('csv.`/etc/passwd`')",
    "select xpath_string('<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>', 'a')",
    "select from_xml('<a/>', 'a string', map('rowValidationXSDPath', '/etc/passwd'))",
    "select from_protobuf(x'00', 'A', '/etc/passwd')", "select * from `pythoN_worker_logs`()",
    "select * from `python_wor\u212aer_logs`()",
)
# Refused by Spark's parse of them, or because it makes nothing of them.
BY_SPARK = (
    *(f"select * from {source}.`/etc/passwd`" for source in (
        "csv", "text", "json", "parquet", "orc", "avro", "binaryFile", "xml", "TEXT", "`text`", "iceberg", "lake",
        "org.apache.spark.sql.execution.datasources.text.TextFileFormat")),
    "with a as (select * from text.`/etc/passwd`) select count(*) from a", "table text.`/etc/passwd`",
    "select 1 where exists (select * from text.`file:///etc/passwd`)", "explain select * from csv.`/etc/passwd`",
    "describe text.`/etc/passwd`", "describe query select * from csv.`/etc/passwd`", "select * from text.`/etc/pass\nwd`",
    "execute immediate 'create table lake.silver.mine as select 1 a'",
    "explain execute immediate 'create table lake.silver.mine as select 1 a'",
    "explain extended execute immediate 'create table lake.silver.mine as select 1 a'",
    "begin create table lake.silver.mine as select 1 a; end", "show: begin create table lake.silver.mine as select 1 a; end",
    "describe : begin create table lake.silver.mine as select 1 a; end",
    "explain create table lake.silver.mine as select 1 a", "declare mine = 1", "set var mine = 1",
    "create temporary function mine() returns int return 1", "create temporary view mine as select 1 a",
    "create temporary view mine using csv options (path '/etc/passwd')", "add jar '/etc/passwd'", "list jars",
    "insert overwrite local directory 'MARKER' using csv select 1", "cache table mine as select 1 a",
    "select 1) select 1 -- \\",
)
HARMLESS = (
    "select transform(array(1, 2), x -> x + 1) as more", "select map('a', 1) from values (1) t(a) join values (1) u(a) using (a)",
    "select 'what mirrors reflect, using light' as told", "select reduce(array(1, 2), 0, (a, x) -> a + x)",
    "select 1 as identifier, 2 as reflect", "select * from values ('mapping housing') t(headline) where headline like '%using%'",
    "with recursive r as (select 1 n union all select n + 1 from r where n < 3) select * from r",
    "from values (1) t(a) |> where a = 1 |> select a", "select `a` / `b` from values (1, 2) t(`a`, `b`)",
    "select '${env:PATH}' as unchanged", "describe function reflect", "describe query select 1", "show tables in lake.silver",
    "explain extended\nselect 1", "explain select 1", "select '/etc/passwd' as `csv./etc`", "desc function extended abs",
    "select 1 -- a comment \\", "select 'a\\', value from text.`/etc/passwd` -- '",
)
# What Sail, the embedded engine, would read, make or run if it were given it.
BY_SAIL = (
    *(f"select * from {source}.`/etc/passwd`" for source in (
        "delta", "binaryfile", "`parquet`", "lake.text", "spark_catalog.text")),
    "select * from `/etc/passwd`", "select * from '/etc/passwd'", "select * from `file:///etc/passwd`",
    "select * from text/* a */./* b */`/etc/passwd`", "select * from text -- a\n.`/etc/passwd`",
    "select * from ADDRESS a, text.`/etc/passwd` b", "select (select max(value) from text.`/etc/passwd`)",
    "select 1 union all select count(*) from text.`/etc/passwd`", "with t as (table text.`/etc/passwd`) select * from t",
    "select * from ADDRESS join text.`/etc/passwd` on true", "select * from lateral (select * from text.`/etc/passwd`)",
    "select 1 from ADDRESS where close_usd in (select length(value) from text.`/etc/passwd`)",
    "select 'a\\\\', value from text.`/etc/passwd` -- '",
    "select 'a''', value from text.`/etc/passwd` -- '", "select r'\\', value from text.`/etc/passwd` -- '",
    "select /* ' */ value from text.`/etc/passwd` /* ' */", "select /* /* */ 1 */ from text.`/etc/passwd`",
    "select * from `silver.prices_daily` join `text`.`/etc/passwd` on 1 = 1",
    *(f"select * from {function}('/etc/passwd')" for function in (
        "read_parquet", "read_csv", "read_text", "read_files", "parquet_scan", "parquet_metadata", "iceberg_scan", "glob",
        "cloud_files", "read_kafka", "generate_series")),
    "create external table mine (value string) using text location '/etc/passwd'",
    "create table mine using text location '/etc/passwd'", "create view mine as select * from text.`/etc/passwd`",
    "copy (select 1) to 'MARKER'", "copy mine from '/etc/passwd'", "insert overwrite directory 'MARKER' using csv select 1",
    "insert into text.`MARKER` select 'a'", "create table delta.`MARKER` as select 1 a",
    "load data local inpath '/etc/passwd' into table ADDRESS", "unload (select 1) to 'MARKER'",
    "explain analyze insert overwrite directory 'MARKER' using csv select 1", "explain select * from text.`/etc/passwd`",
    "explain copy (select 1) to 'MARKER'",
    "select * from ADDRESS version as of (select max(length(value)) from text.`/etc/passwd`)",
    "select * from ADDRESS.`/../../../../etc/passwd`", "select * into MARKER from ADDRESS", "prepare p as select 1",
    "show create table text.`/etc/passwd`", "show columns in text.`/etc/passwd`", "describe `/etc/passwd`", "set x = 1", "reset",
    "use text", "refresh table ADDRESS", "analyze table ADDRESS compute statistics", "install httpfs",
    "attach '/etc/passwd' as mine", "pragma database_list", "select * from pg_read_file('/etc/passwd')",
    "select * from stream(text.`/etc/passwd`)", "select * from ADDRESS tablesample (1 rows) join text.`/etc/passwd`",
    "select * from text.`/etc/passwd` pivot (count(1) for value in ('a'))", "select input_file_name() from text.`/etc/passwd`",
    "select 1; select * from text.`/etc/passwd`", "select * from ADDRESS, lateral text.`/etc/passwd`",
)
# Harmless statements that Apache Spark carries out, and Sail or what reads the text for it does not.
NOT_OF_SAIL = (
    "describe function reflect", "desc function extended abs",
    "with recursive r as (select 1 n union all select n + 1 from r where n < 3) select * from r",
)
