"""A person at the webserver, a sensor without one, and runs that die: on the real stack over the sample sources."""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import httpx
import psutil
import pyarrow as pa
import pytest

from deploy.local.stack import LocalStack
from finlake_services.sample_sources.drop import write_drop
from finlake_services.sample_sources.finnhub import TOKEN_HEADER
from finlake_settings.checkout import CHECKOUT
from tests.integration.dagster.span import BY_SESSION, INDICATORS, LAST, PRICES, SPAN, WINDOW
from tests.integration.dagster.webserver import Webserver, until

if TYPE_CHECKING:
    from spark.lake.storage import Lake

pytestmark = pytest.mark.stack


def test_a_range_of_sessions_is_one_run_that_fills_every_session(
    webserver: Webserver,
    lake: "Lake",
    span_run: str,
) -> None:
    for address in (PRICES, INDICATORS, "gold.ml_features"):
        by_date = lake.content(address).by_date
        assert [str(day) for day in sorted(filter(None, by_date))] == SPAN, address
    for key in SPAN:
        metadata = webserver.newest_metadata("silver/prices_daily", key)
        assert metadata["dagster/partition_row_count"] == lake.content(PRICES).by_date[date.fromisoformat(key)][0]


def test_one_session_is_materialised_by_its_date(webserver: Webserver, lake: "Lake", span_run: str) -> None:
    progress = webserver.run(BY_SESSION, LAST, LAST)

    assert progress.status == "SUCCESS", progress.errors
    assert [check for check in progress.checks if check.severity == "ERROR" and not check.passed] == []
    assert {"silver/prices_daily", "gold/indicators"} <= {check.asset for check in progress.checks}
    written = lake.content(PRICES).by_date[date.fromisoformat(LAST)][0]
    assert progress.row_counts["silver/prices_daily"] == written > 0
    metadata = webserver.newest_metadata("silver/prices_daily", LAST)
    assert metadata["iceberg/snapshot_id"] == str(lake.snapshot_id(PRICES))


def test_a_backfill_of_several_sessions_is_a_single_run(webserver: Webserver, span_run: str) -> None:
    backfill = webserver.backfill("silver/prices_daily", SPAN)

    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert [run["status"] for run in backfill["runs"]] == ["SUCCESS"]
    tags = {tag["key"]: tag["value"] for tag in backfill["runs"][0]["tags"]}
    assert tags["dagster/asset_partition_range_start"] == SPAN[0]
    assert tags["dagster/asset_partition_range_end"] == SPAN[-1]


def test_the_asset_graph_shows_lineage_columns_and_judged_checks(webserver: Webserver, span_run: str) -> None:
    assets = webserver.assets()

    def inputs(asset: str) -> set[str]:
        return {"/".join(key["path"]) for key in assets[asset]["dependencyKeys"]}

    assert {"gold/indicators", "gold/news_daily"} <= inputs("gold/ml_features")
    assert "silver/prices_daily" in inputs("gold/indicators")
    assert {"bronze/stooq_prices", "silver/price_restatements"} & inputs("silver/prices_daily")
    for asset in ("bronze/stooq_prices", "silver/prices_daily", "gold/indicators", "gold/ml_features"):
        schemas = {entry["label"]: entry["schema"] for entry in assets[asset]["metadataEntries"] if "schema" in entry}
        assert "ticker" in [column["name"] for column in schemas["dagster/column_schema"]["columns"]], asset
    checks = assets["gold/indicators"]["assetChecksOrError"]["checks"]
    blocking = [check["executionForLatestMaterialization"] for check in checks if check["blocking"]]
    assert blocking
    assert {execution["status"] for execution in blocking} == {"SUCCEEDED"}


def test_a_schedule_skips_a_holiday_and_says_so(webserver: Webserver, span_run: str) -> None:
    good_friday = webserver.tick("after_close", datetime(2018, 3, 30, 22, 0, tzinfo=UTC).timestamp())
    session = webserver.tick("after_close", datetime(2018, 3, 27, 22, 0, tzinfo=UTC).timestamp())

    assert "2018-03-30" in good_friday["skipReason"]
    assert good_friday["runRequests"] in (None, [])
    assert len(session["runRequests"]) == 1


def test_a_run_that_fails_tells_its_reason_and_not_dagsters_words_about_it(
    webserver: Webserver,
    stack: LocalStack,
    span_run: str,
) -> None:
    def set_fault(method: str, **arguments: object) -> None:
        url = stack.environment()["FINLAKE_SAMPLE_SOURCES_URL"]
        headers = {TOKEN_HEADER: stack.layout.finnhub_token.read_text().strip()}
        httpx.request(method, f"{url}/_faults", timeout=10, headers=headers, **arguments).raise_for_status()  # type: ignore[arg-type]

    set_fault("POST", json={"stooq": {"*": "http_503"}})
    try:
        progress = webserver.run(BY_SESSION, "2018-03-15", "2018-03-15", ("bronze/stooq_prices", "bronze/stooq_downloads"))
    finally:
        set_fault("DELETE")

    assert progress.status == "FAILURE"
    assert any("SourceUnavailableError" in error for error in progress.errors), progress.errors


def test_a_killed_run_launched_again_leaves_the_rows_of_an_undisturbed_one(
    webserver: Webserver,
    lake: "Lake",
    span_run: str,
) -> None:
    undisturbed = {address: lake.content(address, WINDOW) for address in (PRICES, INDICATORS)}
    for address in undisturbed:
        lake.table(address).delete()
    selection = ("silver/prices_daily", "gold/indicators")

    with polling(lake, *undisturbed) as seen:
        killed = webserver.client.launch(BY_SESSION, first_key=SPAN[0], last_key=SPAN[-1], assets=selection)
        kill_in_step(webserver, killed, "gold__indicators")
        again = webserver.run(BY_SESSION, SPAN[0], SPAN[-1], selection)

    assert again.status == "SUCCESS", again.errors
    assert webserver.end_of(killed).status == "FAILURE"
    assert {address: lake.content(address, WINDOW) for address in undisturbed} == undisturbed
    # A reader saw each table empty, then whole, and nothing between.
    assert seen == {address: [0, content.row_count] for address, content in undisturbed.items()}


@pytest.mark.long
def test_what_runs_unattended_ticks_without_a_failure(webserver: Webserver, span_run: str) -> None:
    with ExitStack() as on:
        for sensor in ("stream_health", "run_failures", "stream_ranges", "price_restatements", "months_follow_sessions"):
            on.enter_context(webserver.running_sensor(sensor))
        ticks = until(
            webserver.ticks,
            lambda found: (
                len(found) == 5 and all(any(tick["status"] != "STARTED" for tick in several) for several in found.values())
            ),
            timeout_s=120,
        )
        now = datetime.now(UTC).timestamp()
        dry = {name: webserver.tick(name, now) for name in ("after_close", "news_of_the_day", "month_end")}

    assert {name: tick["error"] for name, several in ticks.items() for tick in several if tick["status"] == "FAILURE"} == {}
    # Every service could be asked everything.
    assert "not judged" not in ticks["stream_health"][0]["skipReason"]
    # The samples end years ago, and some days have no session: what time brings says why it does nothing, and is no failure.
    assert {name: bool(found["skipReason"]) for name, found in dry.items()} == dict.fromkeys(dry, True)


def test_a_dropped_file_starts_a_run_and_the_history_it_restates_is_built_again(
    webserver: Webserver,
    stack: LocalStack,
    lake: "Lake",
    span_run: str,
) -> None:
    def closes() -> dict[tuple[str, date], float]:
        rows = lake.rows(PRICES, columns=("ticker", "session_date", "close_usd")).to_pylist()
        return {(row["ticker"], row["session_date"]): row["close_usd"] for row in rows}

    before = closes()
    paths = write_drop(Path(stack.environment()["FINLAKE_STOOQ_DROP"]), ["MSFT"], restatement="split")
    try:
        ingested = webserver.run_of("stooq_arrivals", "arrival")
        recomputed = webserver.run_of("price_restatements", "restatement")
    finally:
        for path in paths:
            path.unlink()

    assert ingested.status == "SUCCESS", ingested.errors
    assert recomputed.status == "SUCCESS", recomputed.errors
    downloads = lake.rows("bronze.stooq_downloads", columns=("ticker", "source_kind")).to_pylist()
    assert [row["ticker"] for row in downloads if row["source_kind"] == "drop"] == ["MSFT"]
    assert {key: close / before[key] for key, close in closes().items() if key in before} == {
        key: pytest.approx(0.25 if key[0] == "MSFT" else 1, rel=1e-5) for key in before
    }


def test_a_checks_only_command_fails_on_a_published_row_that_breaks_the_contract(
    stack: LocalStack,
    lake: "Lake",
    span_run: str,
) -> None:
    assert (before := finlake_check(stack)).returncode == 0, before.stdout
    good = lake.rows(PRICES)
    place = good.schema.get_field_index("high_usd")
    impossible = good.slice(0, 1).set_column(place, good.schema.field(place), pa.array([-1.0]))
    with written_by_hand(lake, PRICES, pa.concat_tables([good, impossible])):
        outcome = finlake_check(stack, "--select", "silver/prices_daily")
    assert outcome.returncode == 1
    assert "prices_positive" in outcome.stdout


def test_a_checks_only_command_fails_on_tables_that_disagree(
    stack: LocalStack,
    lake: "Lake",
    span_run: str,
) -> None:
    with written_by_hand(lake, INDICATORS, lake.rows(INDICATORS).slice(1)):
        outcome = finlake_check(stack, "--select", "gold/indicators")
    assert outcome.returncode == 1
    assert "rows_equal_prices" in outcome.stdout


def test_a_checks_only_command_names_a_table_that_nothing_checks(stack: LocalStack) -> None:
    outcome = finlake_check(stack, "--select", "gold/indicator")
    assert outcome.returncode == 1
    assert "no check of gold/indicator" in outcome.stderr


@contextmanager
def written_by_hand(lake: "Lake", address: str, rows: pa.Table) -> Iterator[None]:
    """A table that holds these rows, which no check has seen, within the block."""
    before = lake.rows(address)
    lake.table(address).overwrite(rows)
    try:
        yield
    finally:
        lake.table(address).overwrite(before)


def finlake_check(stack: LocalStack, *selection: str) -> "subprocess.CompletedProcess[str]":
    """`finlake check`: every check over everything published, or over some tables."""
    command = [sys.executable, "-m", "finlake_cli.main", "check", *selection, "--home", str(stack.layout.home)]
    return subprocess.run(command, cwd=CHECKOUT, check=False, timeout=300, capture_output=True, text=True)


def kill_in_step(webserver: Webserver, run_id: str, step: str) -> None:
    """Kill the run's process and those it has started, once the step has begun."""
    events = webserver.until_step(run_id, step)
    (process_id,) = {pid for event in events for pid in re.findall(r"process for run \(pid: (\d+)\)", event.get("message", ""))}
    worker = psutil.Process(int(process_id))
    for process in (worker, *worker.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def polling(lake: "Lake", *addresses: str) -> Iterator[dict[str, list[int]]]:
    """The row counts that a reader sees while the block runs and once after it, each change of them, per table."""
    seen: dict[str, list[int]] = {address: [] for address in addresses}
    over = Event()

    def read() -> None:
        is_last = False
        while not is_last:
            is_last = over.is_set()
            for address, counts in seen.items():
                count = lake.rows(address, columns=("ticker",)).num_rows
                if counts[-1:] != [count]:
                    counts.append(count)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            yield seen
        finally:
            over.set()
            reading.result()
