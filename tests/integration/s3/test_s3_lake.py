"""The same lake with its warehouse and its drop location in an S3-compatible store."""

import io
import zipfile
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow.fs import FileSelector, FileType

from finlake_clients.lake_client import LakeClient
from finlake_clients.source_errors import HalfWrittenFileError, SourceUnavailableError
from finlake_clients.stooq.feed import StooqPrices
from finlake_resources.build import build_resources
from finlake_services.sample_sources import prices
from spark.contracts import lake as contracts
from spark.contracts import silver
from spark.contracts.report import AuditFailedError, Window
from spark.lake import embedded
from spark.lake.storage import Lake
from spark.schemas import arrow_schema
from tests.integration.lake.bars import ADDRESS, bars, frame
from tests.integration.lake.chain import PROVENANCE, Chain, empty, jobs_of, published, settings_of, universe

if TYPE_CHECKING:
    from tests.integration.s3.conftest import S3Server

pytestmark = [pytest.mark.stack, pytest.mark.both_engines]

HISTORY = Window(start=date(2018, 1, 2), end=date(2018, 3, 27))
WEEK = Window(start=date(2018, 3, 12), end=date(2018, 3, 16))


@pytest.fixture(scope="session")
def s3_jobs(s3_environment: dict[str, str]) -> Iterator[LakeClient]:
    jobs = jobs_of(s3_environment)
    yield jobs
    if jobs.engine == "spark":
        jobs.lake().spark.stop()
    else:
        embedded.stop()


@pytest.fixture
def s3_lake(s3_jobs: LakeClient) -> Iterator[Lake]:
    lake = s3_jobs.lake()
    empty(lake)
    yield lake
    empty(lake)


def history(ticker: str) -> tuple[prices.Bar, ...]:
    return prices.between(prices.history(ticker), HISTORY.start, HISTORY.end)


def put_into_drop(server: "S3Server") -> None:
    """A file, a bulk archive with a member, and a file that is still being written."""
    bulk = io.BytesIO()
    with zipfile.ZipFile(bulk, "w") as archive:
        archive.writestr("data/daily/us/nasdaq stocks/2/msft.us.txt", prices.bulk_body("MSFT", history("MSFT")))
    contents = {
        "aapl_us_d.csv": prices.csv_body(history("AAPL")),
        "d_us_txt.zip": bulk.getvalue(),
        "ibm_us_d.csv": prices.csv_body(history("AAPL"))[:-9],
    }
    for name, content in contents.items():
        with server.filesystem().open_output_stream(f"finlake/drop/{name}") as stream:
            stream.write(content)


def test_files_dropped_in_s3_become_published_tables_in_s3_that_the_engine_and_pyiceberg_read_alike(
    s3_server: "S3Server",
    s3_environment: dict[str, str],
    s3_jobs: LakeClient,
    s3_lake: Lake,
) -> None:
    stooq = build_resources(settings_of(s3_environment))["stooq"]
    assert isinstance(stooq, StooqPrices)
    # A new installation: no object has the prefix. A bucket that is not there is a mistake.
    assert (stooq.list_drop(), stooq.dropped_files({}).problems) == ([], [])
    elsewhere = stooq.model_copy(update={"drop_location": "s3://no-such-bucket/drop"})
    with pytest.raises(SourceUnavailableError, match="no-such-bucket"):
        elsewhere.list_drop()
    put_into_drop(s3_server)
    chain = Chain(s3_jobs, universe("AAPL", "IBM", "MSFT"))

    assert [entry.name for entry in stooq.list_drop()] == ["aapl_us_d.csv", "d_us_txt.zip", "ibm_us_d.csv"]
    batch = stooq.dropped_files(chain.universe.stooq_codes)
    assert [(file.ticker, file.source_kind) for file in batch.files] == [("AAPL", "drop"), ("MSFT", "bulk")]
    assert [type(problem) for problem in batch.problems] == [HalfWrittenFileError]
    chain.load_prices(*batch.files)
    chain.build("silver.prices_daily", HISTORY)
    chain.build("gold.indicators", Window(start=HISTORY.start, end=date(2018, 2, 28)))
    # An increment beside kept rows of its month, and the same again.
    increment = [chain.build("gold.indicators", Window(start=date(2018, 3, 1), end=HISTORY.end)) for _ in range(2)]

    assert [report.table("gold.indicators").is_changed for report in increment] == [True, False]
    for address in ("silver.prices_daily", "gold.indicators"):
        by_pyiceberg = s3_lake.rows(address)
        assert by_pyiceberg.num_rows == len(history("AAPL")) + len(history("MSFT"))
        assert sorted_rows(s3_lake.frame(address).toArrow(), address) == sorted_rows(by_pyiceberg, address)
        assert s3_lake.table(address).location() == f"s3://finlake/warehouse/{address.replace('.', '/')}"
    # Data and metadata are objects of the store.
    objects = s3_server.filesystem().get_file_info(FileSelector("finlake/warehouse/gold/indicators", recursive=True))
    names = [found.path for found in objects if found.type == FileType.File]
    assert {name.rsplit(".", 1)[-1] for name in names} == {"parquet", "avro", "json"}


def sorted_rows(rows: pa.Table, address: str) -> list[dict[str, object]]:
    contract = contracts.table(address)
    order = [(name, "ascending") for name in contract.grain]
    alike = rows.select(contract.column_names).cast(arrow_schema(contract))
    listed: list[dict[str, object]] = alike.sort_by(order).to_pylist()
    return listed


def test_a_failed_audit_in_s3_publishes_nothing_and_keeps_the_branch(s3_lake: Lake) -> None:
    s3_lake.replace_window(ADDRESS, frame(s3_lake, bars(WEEK, 10.0)), window=WEEK, provenance=PROVENANCE)
    before = published(s3_lake, ADDRESS)
    bad = pa.Table.from_pylist(
        [{**row, "high_usd": 0.5} for row in bars(WEEK, 20.0).to_pylist()], arrow_schema(silver.PRICES_DAILY)
    )

    with pytest.raises(AuditFailedError, match="high_is_highest.*session_date=2018-03-1") as failure:
        s3_lake.replace_window(ADDRESS, frame(s3_lake, bad), window=WEEK, provenance=PROVENANCE)

    assert published(s3_lake, ADDRESS).equals(before)
    assert s3_lake.frame(ADDRESS).where("close_usd <> 10").count() == 0
    assert s3_lake.content(ADDRESS, branch=failure.value.branch).row_count == 10
