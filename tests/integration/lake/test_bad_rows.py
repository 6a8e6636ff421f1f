"""A row that cannot be is put aside with its reason, a file that contradicts itself is left out; the rest goes on."""

from datetime import date

import pyarrow as pa
import pytest
from pyiceberg.expressions import EqualTo

from finlake_clients.lake_client import LakeClient
from finlake_services.sample_sources import prices
from spark.contracts.report import Window
from spark.lake.storage import Lake
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
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL", "MSFT"))
    bad = dropped("AAPL", file_content(lines_of("AAPL") | IMPOSSIBLE), FETCHED)
    good = price_file("MSFT", prices.between(prices.history("MSFT"), MARCH.start, MARCH.end), FETCHED)

    quarantined = []
    for _ in range(2):
        chain.load_prices(bad, good)
        quarantined.append((chain.build("silver.prices_daily", MARCH), published(empty_lake, "silver.quarantine")))

    (first, rows), (second, rows_again) = quarantined
    assert [
        (row["source_table"], row["reason"], row["raw_text"], row["ticker"], str(row["day_date"]))
        for row in sorted(rows.to_pylist(), key=lambda row: row["day_date"])
    ] == [
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
        for ticker in ("AAPL", "MSFT")
    }
    assert published_dates["MSFT"] == list(sessions)
    assert published_dates["AAPL"] == [day for day in sessions if day.isoformat() not in IMPOSSIBLE]
    assert all(check.passed for check in empty_lake.check("silver.prices_daily"))
    assert not second.table("silver.prices_daily").is_changed


def test_a_file_with_two_prices_for_one_date_is_left_out_and_keeps_no_other_file_out(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL", "MSFT"))
    lines = lines_of("AAPL")
    bad = dropped("AAPL", file_content(lines) + b"2018-03-06,1,2,1,1.5,1000\r\n", FETCHED)
    good = price_file("MSFT", prices.between(prices.history("MSFT"), MARCH.start, MARCH.end), FETCHED)

    report = chain.load_prices(bad, good)

    assert set(empty_lake.rows("bronze.stooq_prices")["file_sha256"].to_pylist()) == {good.sha256}
    (row,) = published(empty_lake, "silver.quarantine").to_pylist()
    assert (row["source_name"], row["reason"], row["ticker"]) == ("aapl_us_d.csv", "contradicting_rows", "AAPL")
    assert row["message"].startswith("aapl_us_d.csv: 2018-03-06 stands in lines 5 and 21 with different values")
    assert report.quarantined_count == 1
    ledger = {row["ticker"]: row for row in empty_lake.rows("bronze.stooq_downloads").to_pylist()}
    assert (ledger["AAPL"]["row_count"], ledger["AAPL"]["quarantined_count"]) == (0, 20)
    assert (ledger["MSFT"]["row_count"], ledger["MSFT"]["last_session_date"]) == (19, MARCH.end)
    # Mended and dropped again, it is ingested.
    mended = dropped("AAPL", file_content(lines), FETCHED)
    chain.load_prices(mended, good)
    assert lake_jobs.last_known_session(["AAPL"]) == {"AAPL": MARCH.end}


def test_a_bar_that_was_not_final_when_its_file_came_is_kept_when_the_same_content_comes_later(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL"))
    content = file_content(lines_of("AAPL"))
    too_early = dropped("AAPL", content, MARCH.end)

    chain.load_prices(too_early)
    assert empty_lake.rows("bronze.stooq_prices").num_rows == 18
    assert published(empty_lake, "silver.quarantine")["reason"].to_pylist() == ["session_not_over"]
    chain.load_prices(too_early)
    later = dropped("AAPL", content, FETCHED)
    chain.load_prices(later)

    assert empty_lake.rows("bronze.stooq_prices").num_rows == 19
    assert set(empty_lake.rows("bronze.stooq_prices")["fetched_ts"].to_pylist()) == {later.fetched_ts}
    (row,) = empty_lake.rows("bronze.stooq_downloads").to_pylist()
    assert (row["row_count"], row["quarantined_count"], row["fetched_ts"]) == (19, 0, later.fetched_ts)
    assert published(empty_lake, "silver.quarantine").num_rows == 0


def test_rows_of_a_run_that_died_before_its_ledger_do_not_count_and_are_not_doubled_by_the_next_run(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    monkeypatch: pytest.MonkeyPatch,
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
