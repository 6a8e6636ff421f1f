"""`finlake sql` carries out nothing that reaches outside the lake, tried on both engines."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.errors import ParseException
from sqlglot import exp

from finlake_cli.embedded_query import EmbeddedQuery
from finlake_cli.query import Query, QueryRefusedError
from finlake_cli.reading import OUTSIDE_FUNCTIONS, SETTINGS, parse_of
from finlake_cli.time_travel import at_version
from finlake_clients.lake_client import LakeClient
from spark.lake.storage import Lake
from tests.deploy.outside_statements import BY_SAIL, BY_SPARK, BY_TEXT, HARMLESS, NOT_OF_SAIL, PROPERTY
from tests.integration.lake.bars import ADDRESS
from tests.integration.lake.test_time_travel import WEEK, write

pytestmark = pytest.mark.stack

EXAMINED = tuple(Path(__file__).with_name(f"{engine}_functions.txt") for engine in ("spark", "sail"))


@contextmanager
def nothing_happens(lake: Lake, marker: Path) -> Iterator[None]:
    """No file is made, no Java method called, no table written, and Spark still answers."""
    before = lake.catalog.load_table(ADDRESS).metadata
    yield
    assert not marker.exists()
    if lake.has_spark:
        touched = lake.spark.sql(f"select reflect('java.lang.System', 'getProperty', '{PROPERTY}') from values (1)").first()
        assert touched is not None
        assert touched[0] in (None, "null")
    else:
        assert lake.spark.sql("select 1").first() is not None
    assert lake.catalog.load_table(ADDRESS).metadata == before
    assert not lake.catalog.table_exists("silver.mine")


@pytest.mark.both_engines
def test_what_reaches_outside_is_refused_and_nothing_has_happened(
    lake_jobs: LakeClient,
    empty_lake: Lake,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    write(empty_lake, WEEK, 20.0)
    marker = tmp_path / "made"
    for statement in (*BY_TEXT, *BY_SPARK, *BY_SAIL):
        with subtests.test(statement), nothing_happens(empty_lake, marker):
            with pytest.raises(QueryRefusedError) as refusal:
                Query.of(lake_jobs, statement.replace("MARKER", str(marker)).replace("ADDRESS", ADDRESS)).page(5).collect()
            assert "\n" not in str(refusal.value)


@pytest.mark.spark_alone
def test_a_judgement_of_spark_analyses_nothing(
    lake_jobs: LakeClient,
    empty_lake: Lake,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    write(empty_lake, WEEK, 20.0)
    spark, marker = lake_jobs.lake().spark, tmp_path / "made"
    script = f"select transform(1) using 'touch {marker}; date +%F' as (x string)"
    for attack in (
        f"select * from {ADDRESS} timestamp as of ({script})",
        f"select reflect('java.lang.System', 'setProperty', '{PROPERTY}', 'yes') from values (1)",
    ):
        with subtests.test(attack), nothing_happens(empty_lake, marker):
            (told,), *_ = spark.sql(parse_of(attack)).collect()
            assert "MISSING_WINDOW_SPECIFICATION" in told
    with pytest.raises(ParseException):
        spark.sql(parse_of("select 1) select 1 -- \\"))


@pytest.mark.both_engines
def test_harmless_statements_are_carried_out(lake_jobs: LakeClient, empty_lake: Lake, subtests: pytest.Subtests) -> None:
    snapshot = write(empty_lake, WEEK, 20.0)
    second = datetime.fromtimestamp(empty_lake.catalog.load_table(ADDRESS).metadata.last_updated_ms // 1000 + 1, UTC)
    query = f"select * from {ADDRESS}"
    pinned = (at_version(query, snapshot_id=snapshot), at_version(query, as_of_ts=second))
    refused = () if lake_jobs.engine == "spark" else NOT_OF_SAIL
    for statement in (*(each for each in HARMLESS if each not in refused), *pinned):
        with subtests.test(statement):
            assert Query.of(lake_jobs, statement).page(5).collect() is not None
    assert [tuple(row) for row in Query.of(lake_jobs, "select '${env:PATH}'").frame.collect()] == [("${env:PATH}",)]


@pytest.mark.both_engines
def test_every_function_of_an_engine_was_looked_at(lake_jobs: LakeClient) -> None:
    """A name missing in the file is added there, and to OUTSIDE_FUNCTIONS when it reaches files, Java or other machines."""
    known = {row[0] for row in lake_jobs.lake().spark.sql("show system functions").collect()}
    examined = {name for file in EXAMINED for name in file.read_text(encoding="utf-8").split()}
    assert known - examined == set()
    if lake_jobs.engine == "spark":
        assert set(OUTSIDE_FUNCTIONS) <= known
        assert SETTINGS["spark.sql.runSQLOnFiles"] == "false"


TEXTS = st.text(alphabet=st.sampled_from("a'\\\"`\n\t-/*{}%_;é☃"), max_size=12)


@given(text=TEXTS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_reaches_the_embedded_engine_as_it_was_meant(lake_jobs: LakeClient, text: str) -> None:
    """What sqlglot takes for one literal is one literal to Sail, whatever is in it: nothing breaks out of it."""
    asked = EmbeddedQuery(lake_jobs.lake(), AssertionError)
    written = exp.select(exp.Literal.string(text).as_("told")).sql("spark")
    (row,) = asked.query(written).collect()
    assert row[0] == text
