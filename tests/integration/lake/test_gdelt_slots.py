"""GDELT's slots through the job: every row accounted for, every missing slot named and asked for again."""

import hashlib
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from pyiceberg.expressions import EqualTo, NotEqualTo

from finlake_clients.gdelt.feed import GdeltFeed, GdeltSlot
from finlake_clients.lake_client import LakeClient
from finlake_settings.checkout import CHECKOUT
from spark.contracts.bronze import GKG_FIELD_NAMES
from spark.contracts.report import Window
from spark.contracts.universe import Alias, Ticker, Universe
from spark.lake.storage import Lake
from tests.integration.lake.chain import Chain, published, universe

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytest_plugins = ["tests.plugins.sample_server"]
pytestmark = pytest.mark.stack

REAL_DAY = date(2023, 7, 2)
REAL_LABEL = datetime(2023, 7, 2, 15, 30, tzinfo=UTC)
DAY = date(2018, 3, 13)


def feed_of(server: "SampleServer") -> GdeltFeed:
    return GdeltFeed(base_url=server.url, delay_seconds=0, backoff_seconds=0, attempts=2)


def test_every_row_of_a_real_slot_is_kept_or_counted(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    sample_server: "SampleServer",
) -> None:
    chain = Chain(lake_jobs, universe("AAPL", "FB", "GOOG", "IBM", "MSFT"))

    report = chain.load_slots(feed_of(sample_server).fetch_day(REAL_DAY))

    ledger = {row["slot_ts"]: row for row in empty_lake.rows("bronze.gdelt_slots").to_pylist()}
    assert len(ledger) == 96
    slot = ledger.pop(REAL_LABEL)
    assert slot["status"] == "loaded"
    assert slot["row_count"] == 951 == slot["kept_count"] + slot["other_count"] + slot["quarantined_count"]
    assert {row["status"] for row in ledger.values()} == {"absent"}
    kept = empty_lake.rows("bronze.gdelt_gkg")
    assert kept.num_rows == slot["kept_count"] == report.table("bronze.gdelt_gkg").row_count > 0
    assert set(kept["is_generated"].to_pylist()) == {False}
    assert report.quarantined_count == slot["quarantined_count"] == empty_lake.rows("silver.quarantine").num_rows
    assert report.notes[0].startswith("95 slots missing: 2023-07-02 04:00Z absent")
    # A warning, not a failure: the slots that are there are published.
    assert [check.name for check in report.table("bronze.gdelt_slots").checks if not check.passed] == ["slot_present"]
    assert lake_jobs.loaded_slots(REAL_DAY, chain.universe) == {REAL_LABEL}


def test_a_day_with_missing_slots_completes_says_which_and_is_resumed_with_those_alone(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    sample_server: "SampleServer",
) -> None:
    chain, feed = Chain(lake_jobs, universe("AAPL", "MSFT")), feed_of(sample_server)
    absent, void, corrupt = (datetime(2018, 3, 13, hour, 15, tzinfo=UTC) for hour in (14, 15, 16))
    sample_server.set_faults("gdelt", {"20180313141500": "absent", "20180313151500": "empty", "20180313161500": "corrupt_zip"})

    report = chain.load_slots(feed.fetch_day(DAY))

    statuses = {row["slot_ts"]: row["status"] for row in empty_lake.rows("bronze.gdelt_slots").to_pylist()}
    assert len(statuses) == 96
    assert {ts: status for ts, status in statuses.items() if status != "loaded"} == {
        absent: "absent",
        void: "empty",
        corrupt: "corrupt",
    }
    assert report.notes == ("2 slots missing: 2018-03-13 14:15Z absent, 2018-03-13 16:15Z corrupt",)
    damaged = empty_lake.rows("silver.quarantine").to_pylist()
    assert [(row["source_name"], row["reason"]) for row in damaged] == [("20180313161500.gkg.csv", "corrupt_file")]
    before = published(empty_lake, "bronze.gdelt_gkg")
    known = lake_jobs.loaded_slots(DAY, chain.universe)
    assert known == set(statuses) - {absent, corrupt}
    assert lake_jobs.loaded_slots(DAY, universe("AAPL")) == set(), "another universe keeps other rows"

    sample_server.clear_faults()
    resumed = list(feed.fetch_day(DAY, skip=known))
    assert [slot.label_ts for slot in resumed] == [absent, corrupt]
    again = chain.load_slots(resumed)

    assert again.notes == ()
    assert lake_jobs.loaded_slots(DAY, chain.universe) == set(statuses)
    assert empty_lake.rows("silver.quarantine").num_rows == 0, "the slot is not corrupt any more"
    after = published(empty_lake, "bronze.gdelt_gkg")
    is_old = [ts not in (absent, corrupt) for ts in after["slot_ts"].to_pylist()]
    assert after.filter(is_old).equals(before)
    assert after.num_rows == sum(empty_lake.rows("bronze.gdelt_slots")["kept_count"].to_pylist()) > before.num_rows
    # Nothing is left to ask for, and a slot loaded again is no second copy.
    assert list(feed.fetch_day(DAY, skip=lake_jobs.loaded_slots(DAY, chain.universe))) == []
    assert not chain.load_slots(resumed).table("bronze.gdelt_gkg").is_changed
    assert published(empty_lake, "bronze.gdelt_gkg").equals(after)


def test_records_of_2015_keep_their_27_fields_the_last_one_empty(empty_lake: Lake, lake_jobs: LakeClient) -> None:
    label = datetime(2015, 2, 18, 23, 0, tzinfo=UTC)
    with zipfile.ZipFile(CHECKOUT / "tests/data/gdelt/rows_2015_2020.gkg.csv.zip") as archive:
        content = archive.read("20150218230000.gkg.csv")
    slot = GdeltSlot(
        label_ts=label,
        status="loaded",
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        zip_bytes=1,
        content=content,
        source_url="",
        attempts=1,
    )
    gazprom = Ticker(
        symbol="GAZP",
        company="Gazprom",
        stooq_code="gazp.ru",
        title_patterns=(),
        company_words=(),
        aliases=(Alias(name="gazprom", policy="strong"),),
    )
    chain = Chain(lake_jobs, Universe(tickers=(gazprom,)))

    following = replace(slot, label_ts=datetime(2015, 2, 18, 23, 15, tzinfo=UTC), status="absent", content=b"")
    chain.load_slots([slot, following])

    (row,) = empty_lake.rows("bronze.gdelt_gkg").to_pylist()
    line = next(line for line in content.split(b"\n") if b"gazprom" in line)
    assert [row[name] for name in GKG_FIELD_NAMES] == line.decode().split("\t")
    assert row["extras_xml"] == ""
    assert row["day_date"] == date(2015, 2, 18)
    (ledger,) = empty_lake.rows("bronze.gdelt_slots", EqualTo("status", "loaded")).to_pylist()
    assert (ledger["row_count"], ledger["kept_count"], ledger["other_count"]) == (50, 1, 49)
    assert empty_lake.rows("bronze.gdelt_slots", NotEqualTo("status", "loaded")).num_rows == 1
    chain.build("silver.news_mentions", Window(start=date(2015, 2, 18), end=date(2015, 2, 18)))
    (mention,) = empty_lake.rows("silver.news_mentions").to_pylist()
    # 18:00 in New York, after the close: news of the next session.
    assert (mention["title"], mention["session_date"]) == ("", date(2015, 2, 19))
