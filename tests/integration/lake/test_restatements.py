"""The vendor rewrites history: it is noticed, recorded, and everything from there on is as if it had always been so."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest
from pyiceberg.expressions import EqualTo
from typer.testing import CliRunner

from finlake_cli import prices_commands
from finlake_cli.main import app
from finlake_clients.lake_client import LakeClient
from finlake_clients.stooq.prices_file import StooqFile
from finlake_services.sample_sources import prices
from spark.contracts import silver
from spark.contracts.report import Window
from spark.lake.storage import Lake
from tests.integration.lake.chain import Chain, empty, price_file, published, universe

pytestmark = pytest.mark.stack

# All sample tickers have prices up to 2013-03-01; the oldest of the four dividends lies 199 sessions before.
HISTORY = Window(start=date(2012, 1, 3), end=date(2013, 3, 1))
RESTATEMENTS = {"AAPL": "split", "GOOG": "broken", "IBM": "uneven", "MSFT": "dividend"}
BARS = {ticker: prices.between(prices.history(ticker), HISTORY.start, HISTORY.end) for ticker in RESTATEMENTS}
OLD = {ticker: price_file(ticker, bars, date(2013, 3, 2)) for ticker, bars in BARS.items()}
NEW = {ticker: price_file(ticker, prices.restated(BARS[ticker], kind), date(2013, 3, 5)) for ticker, kind in RESTATEMENTS.items()}
DERIVED = ("gold.indicators", "gold.stock_analytics", "gold.ml_features", "gold.ml_labels")
PROVENANCE_COLUMNS = ("file_sha256", "fetched_ts", "is_restated")


def build(chain: Chain, window: Window) -> None:
    for address in ("silver.prices_daily", *DERIVED):
        chain.build(address, window)
    months = Window(start=window.start.replace(day=1), end=window.end.replace(day=31))
    chain.build("gold.monthly_summary", months)


def state(lake: Lake) -> Mapping[str, pa.Table]:
    return {
        address: published(lake, address, without=PROVENANCE_COLUMNS)
        for address in ("silver.prices_daily", *DERIVED, "gold.monthly_summary")
    }


def verdicts(lake: Lake, ticker: str, sha256: str) -> list[dict[str, object]]:
    rows = lake.rows("silver.price_restatements", EqualTo("file_sha256", sha256)).to_pylist()
    return sorted((row for row in rows if row["ticker"] == ticker), key=lambda row: row["segment_number"])


def test_split_dividend_and_four_dividends_at_once_are_recorded_and_recomputed_a_broken_file_changes_nothing(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    chain = Chain(lake_jobs, universe(*RESTATEMENTS))
    chain.load_prices(*OLD.values())
    build(chain, HISTORY)
    assert lake_jobs.pending_restatements() == []
    before = state(empty_lake)

    chain.load_prices(*NEW.values())

    start = HISTORY.start
    assert_recorded(empty_lake, "AAPL", "split", [(0.25, start, None)])
    assert_recorded(
        empty_lake,
        "MSFT",
        "dividend",
        [(prices.DIVIDEND_FACTOR, start, session_from_end("MSFT", 10)), (1, session_from_end("MSFT", 10), None)],
    )
    steps = [session_from_end("IBM", count) for count in (199, 136, 73, 10)]
    assert_recorded(
        empty_lake,
        "IBM",
        "dividend",
        [
            *(
                (prices.DIVIDEND_FACTOR**power, since, until)
                for power, since, until in zip((4, 3, 2, 1), (start, *steps), steps, strict=False)
            ),
            (1, steps[-1], None),
        ],
    )
    (broken,) = verdicts(empty_lake, "GOOG", NEW["GOOG"].sha256)
    assert broken["verdict"] == "rejected"
    (quarantined,) = empty_lake.rows("silver.quarantine").to_pylist()
    assert (quarantined["source_table"], quarantined["reference"], quarantined["ticker"]) == (
        "silver.price_restatements",
        f"GOOG {NEW['GOOG'].sha256}",
        "GOOG",
    )
    assert quarantined["message"] == broken["message"]
    pending = lake_jobs.pending_restatements()
    assert [(each.ticker, each.file_sha256, each.recompute_from_date) for each in pending] == [
        (ticker, NEW[ticker].sha256, start) for ticker in ("AAPL", "IBM", "MSFT")
    ]
    # Until it is recomputed, everything stands as it was.
    assert all(state(empty_lake)[address].equals(rows) for address, rows in before.items())

    build(chain, Window(start=min(each.recompute_from_date for each in pending), end=HISTORY.end))

    assert lake_jobs.pending_restatements() == []
    restated = state(empty_lake)
    assert_flagged(empty_lake)
    # The same files again are the files that are known.
    again = chain.load_prices(*NEW.values(), *OLD.values())
    assert [report.is_changed for report in again.tables] == [False, False, False]
    assert len(lake_jobs.downloads()) == 8
    # A lake that has never known another version; of the broken file's ticker it knows the old one.
    empty(empty_lake)
    chain.load_prices(OLD["GOOG"], *(NEW[ticker] for ticker in RESTATEMENTS if ticker != "GOOG"))
    build(chain, HISTORY)
    for address, rows in state(empty_lake).items():
        assert rows.equals(restated[address]), address
        assert not rows.equals(before[address]) or address in ("gold.ml_features", "gold.ml_labels"), address


@pytest.mark.parametrize(("built_bars", "is_changed"), [(20, True), (10, False)])
def test_of_a_restated_history_only_what_was_built_is_asked_to_be_built_again(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    built_bars: int,
    is_changed: bool,
) -> None:
    chain = Chain(lake_jobs, universe("MSFT"))
    chain.load_prices(OLD["MSFT"])
    first_built = session_from_end("MSFT", built_bars)
    built = Window(start=first_built, end=HISTORY.end)
    chain.build("silver.prices_daily", built)

    chain.load_prices(NEW["MSFT"])

    pending = lake_jobs.pending_restatements()
    assert [each.recompute_from_date for each in pending] == ([first_built] if is_changed else [])
    chain.build("silver.prices_daily", built)
    assert lake_jobs.pending_restatements() == []


def test_a_file_taken_before_the_close_keeps_its_last_bar_to_itself_and_does_not_stand_in_the_way_of_the_next(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    chain = Chain(lake_jobs, universe("AAPL"))
    bars = BARS["AAPL"][-30:]
    unfinished = replace(bars[-1], close=bars[-1].close * 1.02, high=bars[-1].high * 1.02, volume=bars[-1].volume / 3)
    # Midnight of a date is the evening before in New York: the last session had not begun.
    report = chain.load_prices(price_file("AAPL", [*bars[:-1], unfinished], bars[-1].session_date))
    assert [row["reason"] for row in report.quarantine_samples] == ["session_not_over"]
    assert lake_jobs.last_known_session(["AAPL"]) == {"AAPL": bars[-2].session_date}

    chain.load_prices(price_file("AAPL", bars, date(2013, 3, 2)))

    chain.build("silver.prices_daily", Window(start=bars[0].session_date, end=bars[-1].session_date))
    closes = empty_lake.rows("silver.prices_daily").sort_by("session_date")["close_usd"].to_pylist()
    assert closes == pytest.approx([bar.close for bar in bars], rel=1e-5)
    assert {row["verdict"] for row in empty_lake.rows("silver.price_restatements").to_pylist()} == {"first", "consistent"}
    assert lake_jobs.pending_restatements() == []


def session_from_end(ticker: str, count: int) -> date:
    """The session of the `count`-th last bar: the first one that a dividend has left as it was."""
    return BARS[ticker][-count].session_date


def assert_recorded(lake: Lake, ticker: str, kind: str, segments: list[tuple[float, date, date | None]]) -> None:
    rows = verdicts(lake, ticker, NEW[ticker].sha256)
    assert [(row["verdict"], row["segment_start_date"], row["boundary_date"]) for row in rows] == [
        ("restated", since, until) for _, since, until in segments
    ]
    assert [row["ratio"] for row in rows] == pytest.approx([ratio for ratio, _, _ in segments], rel=1e-5)
    assert [row["kind"] for row in rows] == [kind if ratio != 1 else None for ratio, _, _ in segments]
    assert {row["recompute_from_date"] for row in rows} == {HISTORY.start}
    assert rows[0]["volume_ratio"] == pytest.approx(1 / segments[0][0], rel=1e-4)


def assert_flagged(lake: Lake) -> None:
    """Bars that another version had with another close are flagged; each bar names the file that first said it so."""
    shown = {
        (row["ticker"], row["session_date"]): (row["is_restated"], row["file_sha256"])
        for row in lake.rows(silver.PRICES_DAILY.address).to_pylist()
    }
    untouched = {
        "AAPL": set(),
        "GOOG": {bar.session_date for bar in BARS["GOOG"]},
        **{ticker: {bar.session_date for bar in BARS[ticker][-10:]} for ticker in ("IBM", "MSFT")},
    }
    assert shown == {
        (ticker, bar.session_date): (False, OLD[ticker].sha256)
        if bar.session_date in untouched[ticker]
        else (True, NEW[ticker].sha256)
        for ticker, bars in BARS.items()
        for bar in bars
    }


def test_verdicts_and_prices_do_not_depend_on_window_or_order_and_the_printed_remedy_works(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars = BARS["AAPL"][-280:]
    strange = BARS["GOOG"][-130:]
    spoilt = [
        *bars[:150],
        *(replace(other, session_date=bar.session_date) for bar, other in zip(bars[150:], strange, strict=True)),
    ]
    files = [
        price_file("AAPL", bars[:240], date(2013, 1, 10)),
        price_file("AAPL", spoilt, date(2013, 3, 2)),
        price_file(
            "AAPL",
            [
                replace(bar, high=bar.high * 1.02) if number == 40 else bar
                for number, bar in enumerate(prices.restated(bars[:270], "split"))
            ],
            date(2013, 2, 20),
        ),
    ]
    chain = Chain(lake_jobs, universe("AAPL"))
    whole = Window(start=bars[0].session_date, end=bars[-1].session_date)
    early = Window(start=bars[0].session_date, end=bars[30].session_date)
    seen = []
    for order in ((0, 1, 2), (2, 1, 0)):
        empty(empty_lake)
        for number in order:
            file = files[number]
            chain.run(chain.price_inputs(file), early)
            # Bars of later sessions than the run's are judged all the same.
            chain.build("silver.price_restatements", early)
        chain.build("silver.prices_daily", early)
        chain.build("silver.prices_daily", whole)
        seen.append({address: published(empty_lake, address) for address in ("silver.price_restatements", "silver.prices_daily")})
    assert all(seen[0][address].equals(seen[1][address]) for address in seen[0])
    told = {row["file_sha256"]: row for row in empty_lake.rows("silver.price_restatements").to_pylist()}
    assert [told[file.sha256]["verdict"] for file in files] == ["first", "rejected", "restated"]
    assert told[files[2].sha256]["carried_dates"] == str(bars[40].session_date)
    shown = {row["session_date"]: row for row in empty_lake.rows("silver.prices_daily").to_pylist()}
    assert [day for day, row in shown.items() if row["is_contested"]] == [bars[40].session_date]
    assert shown[bars[40].session_date]["high_usd"] == pytest.approx(bars[40].high / 4, rel=1e-5)
    assert lake_jobs.pending_restatements() == []

    # The command of the message, to the letter.
    command = re.search(r"finlake (prices accept \S+ --ticker AAPL --reason \"why\")", told[files[1].sha256]["message"])
    assert command is not None
    monkeypatch.setattr(prices_commands, "lake_jobs", lambda _: lake_jobs)
    result = CliRunner().invoke(app, shlex.split(command.group(1)))
    assert result.exit_code == 0, result.output
    assert f"finlake run --from {whole.start} --to {whole.end} --select silver/price_restatements" in result.output
    chain.build("silver.price_restatements", early)
    (row,) = verdicts(empty_lake, "AAPL", files[1].sha256)
    assert (row["verdict"], row["decided_ts"] is None) == ("accepted", False)
    assert [each.file_sha256 for each in lake_jobs.pending_restatements()] == [files[1].sha256]
    assert CliRunner().invoke(app, ["prices", "drop", files[1].sha256, "--ticker", "AAPL", "--reason", "r"]).exit_code == 0
    chain.build("silver.price_restatements", early)
    chain.build("silver.prices_daily", whole)
    assert [each.verdict for each in lake_jobs.price_verdicts()] == ["first", "restated", "dropped"]
    assert published(empty_lake, "silver.prices_daily").equals(seen[0]["silver.prices_daily"])


def test_a_leap_at_the_end_of_the_first_file_is_published_when_the_next_one_repeats_or_corrects_it(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    bars = BARS["AAPL"][-100:]

    def file(first: int, count: int, factor: float, fetched: date) -> StooqFile:
        last = bars[89]
        leaping = replace(
            last, open=last.open * factor, high=last.high * factor, low=last.low * factor, close=last.close * factor
        )
        return price_file("AAPL", [*bars[first:89], leaping, *bars[90:count]], fetched)

    whole = Window(start=bars[0].session_date, end=bars[-1].session_date)
    since = bars[89].session_date
    for factor in (1.0, 100.0):
        empty(empty_lake)
        chain = Chain(lake_jobs, universe("AAPL"))
        chain.load_prices(file(0, 90, 100.0, date(2013, 3, 2)))
        report = chain.build("silver.prices_daily", whole)
        assert empty_lake.newest("silver.prices_daily") == bars[88].session_date
        assert [(sample["source_name"], sample["reason"]) for sample in report.quarantine_samples] == [
            ("aapl_us_d.csv", "unproven_leap")
        ]
        assert lake_jobs.pending_restatements() == []
        # The next run is about later sessions; prices do not show the one before until it is built again.
        chain.load_prices(file(1, 90 if factor > 1 else 95, factor, date(2013, 3, 3)))
        chain.build("silver.prices_daily", Window(start=bars[90].session_date, end=whole.end))
        if factor == 1:
            assert [each.recompute_from_date for each in lake_jobs.pending_restatements()] == [since]
        chain.build("silver.prices_daily", whole)
        assert lake_jobs.pending_restatements() == []
        (shown,) = empty_lake.rows("silver.prices_daily", EqualTo("session_date", since.isoformat())).to_pylist()
        assert shown["close_usd"] == pytest.approx(bars[89].close * factor, rel=1e-5)
