"""Missing bars on a real lake: what is found, that order and repetition change nothing, and what the end of a run tells."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from finlake_clients.lake_client import LakeClient
from finlake_services.sample_sources import prices
from spark.contracts import silver
from spark.contracts.report import Window
from spark.contracts.universe import Suspension, Universe
from spark.jobs.shortfalls import Asked, NotBuilt, before_history, not_built, shortfalls
from spark.lake.storage import Lake
from tests.integration.lake.chain import Chain, dropped, price_file, published, universe

pytestmark = pytest.mark.stack

ADDRESS = silver.COMPLETENESS.address
FIRST, LAST = date(2018, 3, 19), date(2018, 3, 27)
HOLE = date(2018, 3, 21)
SATURDAY = date(2018, 3, 24)
FETCHED = date(2018, 3, 28)
NOW = datetime(2018, 6, 1, tzinfo=UTC)
WINDOW = Window(start=FIRST, end=LAST)


def bars(ticker: str, first: date = date(2018, 3, 1)) -> list[prices.Bar]:
    return [bar for bar in prices.history(ticker) if first <= bar.session_date <= LAST]


def build(chain: Chain, window: Window) -> None:
    for address in ("silver.prices_daily", ADDRESS):
        chain.build(address, window)


def test_gaps_are_found_in_any_order_and_told_at_the_end_of_a_run(empty_lake: Lake, lake_jobs: LakeClient) -> None:
    symbols = universe("AAPL", "IBM", "MSFT").tickers
    suspended = (Suspension(start=date(2018, 3, 22), end=date(2018, 3, 23)),)
    tickers = Universe(tickers=tuple(replace(each, suspended=suspended) if each.symbol == "IBM" else each for each in symbols))
    chain = Chain(lake_jobs, tickers)
    apple = [bar for bar in bars("AAPL") if bar.session_date != HOLE]
    microsoft = bars("MSFT")
    # A Saturday's bar among good ones.
    microsoft.insert(-2, replace(microsoft[-3], session_date=SATURDAY))
    # IBM has no file at all.
    chain.load_prices(price_file("AAPL", apple, FETCHED), price_file("MSFT", microsoft, FETCHED))

    build(chain, WINDOW)
    at_once = published(empty_lake, ADDRESS)
    gaps = {(gap.ticker, gap.state, gap.reason): (gap.first_date, gap.last_date, gap.count) for gap in lake_jobs.bar_gaps(NOW)}
    assert gaps == {
        ("AAPL", "missing", "no_bar"): (HOLE, HOLE, 1),
        ("IBM", "missing", "no_bar"): (FIRST, LAST, 5),
        ("MSFT", "unexpected", "closed_day"): (SATURDAY, SATURDAY, 1),
    }
    assert lake_jobs.empty_sessions(NOW) == ([], 7)

    # Day by day, newest first, and one of them twice: the same rows.
    for session in reversed(chain.calendar.sessions(FIRST, LAST)):
        chain.build(ADDRESS, Window(start=session, end=session))
    chain.build(ADDRESS, Window(start=HOLE, end=HOLE))
    assert published(empty_lake, ADDRESS).equals(at_once)

    # After the end of the files nobody has a bar.
    monday = Window(start=date(2018, 4, 2), end=date(2018, 4, 2))
    build(chain, monday)
    assert lake_jobs.empty_sessions(NOW, monday) == ([monday.start], 1)
    assert lake_jobs.empty_sessions(datetime(2018, 4, 2, 21, tzinfo=UTC), monday) == ([], 0)
    (verdict,) = {check.judged_count for check in lake_jobs.check("silver.prices_daily", monday)}
    assert verdict == 0

    # The end of a run tells all of it, beside a file that cannot be read, and no earlier rejection of other dates.
    before = empty_lake.snapshot_id("silver.quarantine")
    chain.load_prices(dropped("MSFT", prices.csv_body(bars("MSFT")) + b"rubbish\r\n", date(2018, 3, 29)))
    asked = Asked(
        addresses=("bronze.stooq_prices", "silver.price_restatements", "silver.prices_daily", ADDRESS),
        sessions=WINDOW,
        days=None,
        tickers=tickers.symbols,
        before=before,
    )
    told = [(each.kind, each.subject, each.reason, each.count) for each in shortfalls(empty_lake, asked, NOW)]
    assert [each for each in told if each[0] != "quarantined"] == [
        ("missing", "IBM", "no_bar", 5),
        ("missing", "AAPL", "no_bar", 1),
        ("unexpected", "MSFT", "closed_day", 1),
    ]
    assert any(kind == "quarantined" and "msft_us_d.csv" in subject for kind, subject, _, _ in told)
    after = replace(asked, sessions=None, before=empty_lake.snapshot_id("silver.quarantine"))
    assert shortfalls(empty_lake, after, NOW) == []

    # A ticker that begins within the run although its file goes further back.
    assert not_built(empty_lake, asked, date(2000, 1, 3)) == [
        NotBuilt(ticker=name, first_in_files=date(2018, 3, 1), first_built=FIRST) for name in ("AAPL", "MSFT")
    ]
    assert before_history(empty_lake, asked, date(2018, 3, 2)) == dict.fromkeys(("AAPL", "MSFT"), date(2018, 3, 1))
    assert before_history(empty_lake, asked, date(2018, 3, 1)) == {}
    assert not_built(empty_lake, replace(asked, sessions=Window(start=LAST, end=LAST)), date(2000, 1, 3)) == []
