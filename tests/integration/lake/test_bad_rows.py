"""A row that cannot be is put aside with its reason; a file that contradicts itself stops the batch."""

from datetime import date

import pyarrow as pa
import pytest
from pyiceberg.expressions import EqualTo

from finlake_resources.spark_jobs import SparkJobs
from finlake_services.sample_sources import prices
from spark.jobs.report import AuditFailed, Window
from spark.storage import Lake
from tests.integration.lake.chain import Chain, dropped, price_file, published, universe

pytestmark = pytest.mark.stack

MARCH = Window(start=date(2018, 3, 1), end=date(2018, 3, 27))
FETCHED = date(2018, 3, 28)
IMPOSSIBLE = {
    # Each stands for a session of March 2018, the last for a Saturday.
    "2018-03-06": "2018-03-06,176,175,177,176.5,1000",
    "2018-03-07": "2018-03-07,176,177,0,176.5,1000",
    "2018-03-08": "2018-03-08,176,177,175,nan,1000",
    "2018-03-10": "2018-03-10,176,177,175,176.5,1000",
}


def lines_of(ticker: str) -> dict[str, str]:
    """The lines of a ticker's file of March 2018, by date."""
    content = prices.csv_body(prices.between(prices.history(ticker), MARCH.start, MARCH.end)).decode()
    return {line.split(",")[0]: line for line in content.splitlines()}


def file_content(lines: dict[str, str]) -> bytes:
    header, *days = lines
    return "".join(f"{lines[name]}\r\n" for name in (header, *sorted(days))).encode()


def test_impossible_rows_are_quarantined_once_with_reason_and_text_and_the_rest_is_published(
    empty_lake: Lake, lake_jobs: SparkJobs,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL", "MSFT"))
    bad = dropped("AAPL", file_content(lines_of("AAPL") | IMPOSSIBLE), FETCHED)
    good = price_file("MSFT", prices.between(prices.history("MSFT"), MARCH.start, MARCH.end), FETCHED)

    quarantined = []
    for _ in range(2):
        chain.load_prices(bad, good)
        quarantined.append((chain.build("silver.prices_daily", MARCH), published(empty_lake, "silver.quarantine")))

    (first, rows), (second, rows_again) = quarantined
    assert [(row["source_table"], row["reason"], row["raw_text"], row["ticker"], str(row["day_date"]))
            for row in sorted(rows.to_pylist(), key=lambda row: row["day_date"])] == [
        ("silver.prices_daily", "impossible_price", "2018-03-06,176.0,175.0,177.0,176.5,1000.0", "AAPL", "2018-03-06"),
        ("silver.prices_daily", "impossible_price", "2018-03-07,176.0,177.0,0.0,176.5,1000.0", "AAPL", "2018-03-07"),
        ("bronze.stooq_prices", "unparseable_number", IMPOSSIBLE["2018-03-08"], "AAPL", "2018-03-08"),
        ("silver.prices_daily", "not_a_session", "2018-03-10,176.0,177.0,175.0,176.5,1000.0", "AAPL", "2018-03-10"),
    ]
    assert rows_again.equals(rows)
    assert (first.quarantined_count, second.quarantined_count) == (3, 3)
    assert {sample["reason"] for sample in first.quarantine_samples} == {"impossible_price", "not_a_session"}
    # Everything else is there, and passes the checks of the contract.
    sessions = chain.calendar.sessions(MARCH.start, MARCH.end)
    published_dates = {
        ticker: sorted(empty_lake.rows("silver.prices_daily", EqualTo("ticker", ticker))["session_date"].to_pylist())
        for ticker in ("AAPL", "MSFT")}
    assert published_dates["MSFT"] == list(sessions)
    assert published_dates["AAPL"] == [day for day in sessions if day.isoformat() not in IMPOSSIBLE]
    assert all(check.passed for check in empty_lake.check("silver.prices_daily"))
    assert not second.table("silver.prices_daily").is_changed


def test_a_file_with_two_prices_for_one_date_stops_its_whole_batch_and_is_named_by_its_rows(
    empty_lake: Lake, lake_jobs: SparkJobs,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL", "MSFT"))
    doubled = file_content(lines_of("AAPL")) + b"2018-03-06,1,2,1,1.5,1000\r\n"
    bad = dropped("AAPL", doubled, FETCHED)
    good = price_file("MSFT", prices.between(prices.history("MSFT"), MARCH.start, MARCH.end), FETCHED)

    with pytest.raises(AuditFailed) as failure:
        chain.load_prices(bad, good)

    assert "grain_is_unique" in str(failure.value)
    assert f"file_sha256={bad.sha256}, ticker=AAPL, session_date=2018-03-06, count=2" in str(failure.value)
    for address in ("bronze.stooq_prices", "bronze.stooq_downloads", "silver.price_restatements"):
        assert empty_lake.rows(address).num_rows == 0, address
    assert lake_jobs.known_downloads() == set()
    # Without the file the batch goes through.
    chain.load_prices(good)
    assert lake_jobs.known_downloads() == {("MSFT", good.sha256)}


def test_rows_of_a_run_that_died_before_its_ledger_do_not_count_and_are_not_doubled_by_the_next_run(
    empty_lake: Lake, lake_jobs: SparkJobs, monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL"))
    file = price_file("AAPL", prices.between(prices.history("AAPL"), MARCH.start, MARCH.end), FETCHED)
    whole = Lake.replace_rows

    def dying(lake: Lake, address: str, rows: pa.Table, **arguments: object) -> object:
        if address == "bronze.stooq_downloads":
            raise KeyboardInterrupt
        return whole(lake, address, rows, **arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "replace_rows", dying)
        with pytest.raises(KeyboardInterrupt):
            chain.load_prices(file)
    assert empty_lake.rows("bronze.stooq_prices").num_rows == 19
    chain.build("silver.price_restatements", MARCH)
    assert chain.build("silver.prices_daily", MARCH).table("silver.prices_daily").row_count == 0

    chain.load_prices(file)
    assert empty_lake.rows("bronze.stooq_prices").num_rows == 19
    assert chain.build("silver.prices_daily", MARCH).table("silver.prices_daily").row_count == 19
