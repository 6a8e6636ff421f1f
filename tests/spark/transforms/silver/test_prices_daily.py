"""silver.prices_daily: which version of a bar speaks, and what becomes of rows that cannot be one."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.bronze import BAR_COLUMNS, STOOQ_PRICES
from spark.contracts.silver import PRICE_CHECKS, PRICE_RESTATEMENTS, PRICES_DAILY, QUARANTINE
from spark.transforms.polars_schema import polars_schema
from spark.transforms.silver import price_restatements, prices_daily

MONDAY = date(2024, 1, 8)
SESSIONS = [MONDAY + timedelta(days=n) for n in range(5)]
FETCHED = datetime(2024, 1, 13, 12, tzinfo=UTC)
GOOD = (10.0, 11.0, 9.0, 10.5, 1000.0)
Bar = tuple[float | None, float | None, float | None, float | None, float | None]


def rows(file: str, bars: dict[date, Bar], ticker: str = "TEST", hours: int = 0) -> pl.DataFrame:
    """Rows of bronze.stooq_prices of one file."""
    return pl.DataFrame(
        [
            {
                "file_sha256": file * 64,
                "ticker": ticker,
                "session_date": day,
                "fetched_ts": FETCHED + timedelta(hours=hours),
                "line_number": 2 + index,
                **dict(zip(BAR_COLUMNS, bar, strict=True)),
            }
            for index, (day, bar) in enumerate(bars.items())
        ],
        schema_overrides=polars_schema(STOOQ_PRICES),
    ).select(STOOQ_PRICES.column_names)


def verdicts(**by_file: str) -> pl.DataFrame:
    """Rows of silver.price_restatements: one verdict per file of TEST."""
    frame = pl.DataFrame([{"ticker": "TEST", "file_sha256": file * 64, "verdict": verdict} for file, verdict in by_file.items()])
    missing = {name: kind for name, kind in polars_schema(PRICE_RESTATEMENTS).items() if name not in frame.columns}
    return frame.with_columns(pl.lit(None, kind).alias(name) for name, kind in missing.items())


def test_the_latest_accepted_version_of_each_bar_speaks() -> None:
    downloads = pl.concat(
        [
            rows("a", {SESSIONS[0]: GOOD, SESSIONS[1]: GOOD}, hours=2),
            rows("b", {SESSIONS[1]: (20.0, 22.0, 18.0, 21.0, 500.0), SESSIONS[2]: GOOD}, hours=1),
        ]
    )
    prices, rejected = prices_daily.choose(downloads, verdicts(a="restated", b="first"), SESSIONS)
    assert prices.schema == polars_schema(PRICES_DAILY)
    assert prices["session_date"].to_list() == SESSIONS[:3]
    assert prices["close_usd"].to_list() == [10.5, 10.5, 10.5]
    assert [sha[0] for sha in prices["file_sha256"]] == ["a", "a", "b"]
    assert prices["is_restated"].to_list() == [False, True, False]
    assert rejected.height == 0
    assert rejected.schema == polars_schema(QUARANTINE)


def test_of_two_downloads_of_one_moment_that_know_the_same_sessions_the_greater_hash_speaks() -> None:
    other = (10.0, 11.0, 9.0, 10.6, 1000.0)
    downloads = pl.concat([rows("b", {MONDAY: other}), rows("a", {MONDAY: GOOD})])
    prices, _ = prices_daily.choose(downloads, verdicts(a="first", b="consistent"), SESSIONS)
    assert prices["file_sha256"].to_list() == ["b" * 64]


def test_a_bar_names_the_file_that_first_said_it_and_not_one_that_repeats_it() -> None:
    other = (20.0, 22.0, 18.0, 21.0, 500.0)
    downloads = pl.concat(
        [
            rows("a", {MONDAY: GOOD}),
            rows("b", {MONDAY: other}, hours=1),
            rows("c", {MONDAY: GOOD}, hours=2),
            rows("d", {MONDAY: GOOD}, hours=3),
        ]
    )
    accepted = verdicts(a="first", b="restated", c="restated", d="consistent")
    prices, _ = prices_daily.choose(downloads, accepted, SESSIONS)
    assert prices["file_sha256"].to_list() == ["c" * 64]
    assert prices["is_restated"].to_list() == [True]


def test_rejected_and_unjudged_downloads_have_no_say() -> None:
    other = (20.0, 22.0, 18.0, 21.0, 500.0)
    downloads = pl.concat([rows("a", {MONDAY: GOOD}), rows("b", {MONDAY: other}, hours=1), rows("c", {MONDAY: other}, hours=2)])
    prices, rejected = prices_daily.choose(downloads, verdicts(a="first", b="rejected"), SESSIONS)
    assert prices["close_usd"].to_list() == [10.5]
    assert prices["is_restated"].to_list() == [False]
    assert rejected.height == 0


def test_a_verdict_is_of_one_ticker_of_a_file() -> None:
    downloads = pl.concat([rows("a", {MONDAY: GOOD}), rows("a", {MONDAY: GOOD}, ticker="OTHER")])
    prices, _ = prices_daily.choose(downloads, verdicts(a="first"), SESSIONS)
    assert prices["ticker"].to_list() == ["TEST"]


def test_a_restatement_of_several_steps_counts_its_file_once() -> None:
    twice = pl.concat([verdicts(a="restated"), verdicts(a="restated")])
    prices, _ = prices_daily.choose(rows("a", {MONDAY: GOOD}), twice, SESSIONS)
    assert prices.height == 1


@pytest.mark.parametrize(
    ("bar", "reason", "said"),
    [
        ((None, 11.0, 9.0, 10.5, 1000.0), "incomplete_row", "missing"),
        ((10.0, 11.0, 9.0, float("nan"), 1000.0), "incomplete_row", "not a number"),
        ((10.0, float("inf"), 9.0, 10.5, 1000.0), "incomplete_row", "not a number"),
        ((10.0, 11.0, 9.0, 10.5, None), "incomplete_row", "missing"),
        ((10.0, 11.0, 9.0, 10.5, -1.0), "negative_volume", "volume_not_negative"),
        ((0.0, 11.0, 0.0, 10.5, 1000.0), "impossible_price", "prices_positive"),
        ((10.0, 11.0, 9.0, 12.0, 1000.0), "impossible_price", "high_is_highest"),
        ((10.0, 11.0, 10.2, 10.5, 1000.0), "impossible_price", "low_is_lowest"),
        ((1e-320, 1e-320, 1e-320, 1e-320, 1000.0), "impossible_price", "prices_within_bounds"),
        ((10.0, 11.0, 9e-7, 10.5, 1000.0), "impossible_price", "prices_within_bounds"),
        ((9.5e14, 9.5e14, 9.5e14, 9.5e14, 1000.0), "impossible_price", "prices_within_bounds"),
        ((10.0, 1e301, 9.0, 10.5, 1000.0), "impossible_price", "prices_within_bounds"),
    ],
)
def test_an_impossible_later_row_is_quarantined_and_displaces_nothing(bar: Bar, reason: str, said: str) -> None:
    downloads = pl.concat([rows("a", {MONDAY: GOOD}), rows("b", {MONDAY: bar}, hours=1)])
    ledger = pl.DataFrame(
        {
            "ticker": "TEST",
            "file_sha256": ["a" * 64, "b" * 64],
            "last_session_date": MONDAY,
            "source_name": ["d_us_txt.zip/test.us.txt", "test_us_d.csv"],
        }
    )
    prices, rejected = prices_daily.choose(downloads, verdicts(a="first", b="consistent"), SESSIONS, ledger=ledger)
    assert prices["file_sha256"].to_list() == ["a" * 64]
    (row,) = rejected.iter_rows(named=True)
    assert row["reason"] == reason
    assert said in row["message"]
    assert row["message"].startswith("test_us_d.csv: ")
    assert (row["source_table"], row["source_name"]) == ("silver.prices_daily", "test_us_d.csv")
    assert (row["reference"], row["ticker"], row["day_date"]) == (f"{'b' * 12} TEST line 2", "TEST", MONDAY)


def test_rows_of_two_downloads_of_one_name_have_their_own_references() -> None:
    broken: Bar = (0.0, 11.0, 0.0, 10.5, 1000.0)
    downloads = pl.concat([rows("a", {MONDAY: broken}), rows("b", {MONDAY: broken}, hours=1)])
    ledger = pl.DataFrame(
        {
            "ticker": "TEST",
            "file_sha256": ["a" * 64, "b" * 64],
            "last_session_date": MONDAY,
            "source_name": "test_us_d.csv",
        }
    )
    _, rejected = prices_daily.choose(downloads, verdicts(a="first", b="consistent"), SESSIONS, ledger=ledger)
    assert rejected["source_name"].to_list() == ["test_us_d.csv"] * 2
    assert rejected.select(QUARANTINE.grain).is_unique().all()


def test_the_raw_text_of_a_quarantined_row_is_the_bar_as_it_came() -> None:
    downloads = rows("a", {MONDAY: (182.81, None, 9.0, 10.5, 0.5)})
    _, rejected = prices_daily.choose(downloads, verdicts(a="first"), SESSIONS)
    assert rejected["raw_text"].to_list() == ["2024-01-08,182.81,,9.0,10.5,0.5"]


def test_a_row_of_a_day_without_session_is_quarantined() -> None:
    saturday = SESSIONS[-1] + timedelta(days=1)
    prices, rejected = prices_daily.choose(rows("a", {MONDAY: GOOD, saturday: GOOD}), verdicts(a="first"), SESSIONS)
    assert prices["session_date"].to_list() == [MONDAY]
    assert rejected.select("reason", "day_date").rows() == [("not_a_session", saturday)]


def test_a_flat_first_bar_without_volume_is_kept() -> None:
    prices, rejected = prices_daily.choose(
        rows("a", {MONDAY: (17.0, 17.0, 17.0, 17.0, 0.0), SESSIONS[1]: GOOD}), verdicts(a="first"), SESSIONS
    )
    assert (prices.height, rejected.height) == (2, 0)


def test_a_difference_within_the_printed_digits_is_no_restatement() -> None:
    downloads = pl.concat(
        [rows("a", {MONDAY: (10.0, 11.0, 9.0, 10.5123, 1.0)}), rows("b", {MONDAY: (10.0, 11.0, 9.0, 10.5124, 1.0)}, hours=1)]
    )
    prices, _ = prices_daily.choose(downloads, verdicts(a="first", b="consistent"), SESSIONS)
    assert prices["is_restated"].to_list() == [False]


@given(st.tuples(*[st.sampled_from([-1.0, 0.0, 1e-320, 1e-6, 1.0, 2.0, 3.0, 1e12, 1.1e12, 1e301])] * 5))
def test_a_bar_is_possible_exactly_when_the_contract_says_so(bar: tuple[float, float, float, float, float]) -> None:
    opened, high, low, close, volume = bar
    by_check = {
        "prices_positive": min(opened, high, low, close) > 0,
        "prices_within_bounds": min(opened, high, low, close) >= 1e-6 and max(opened, high, low, close) <= 1e12,
        "high_is_highest": high >= max(opened, close, low),
        "low_is_lowest": low <= min(opened, close, high),
        "volume_not_negative": volume >= 0,
    }
    assert set(by_check) == {check.name for check in PRICE_CHECKS}
    frame = rows("a", {MONDAY: bar})
    assert frame.select(prices_daily.is_possible()).item() is all(by_check.values())
    for check in PRICE_CHECKS:
        assert frame.select(pl.sql_expr(check.predicate)).item() is by_check[check.name]


@given(first=st.integers(0, 4), last=st.integers(0, 4))
def test_any_part_of_a_window_gives_the_rows_of_the_whole(first: int, last: int) -> None:
    later: dict[date, Bar] = {day: (5.0, 6.0, 4.0, 5.25, 2000.0) for day in SESSIONS[1:4]}
    later[SESSIONS[3]] = (5.0, 6.0, 7.0, 5.25, 2000.0)
    downloads = pl.concat([rows("a", dict.fromkeys(SESSIONS, GOOD)), rows("b", later, hours=1)])
    judged = verdicts(a="first", b="restated")
    window = SESSIONS[first : last + 1]
    part = prices_daily.choose(downloads.filter(pl.col("session_date").is_in(window)), judged, window)
    whole = prices_daily.choose(downloads, judged, SESSIONS)
    assert part[0].equals(whole[0].filter(pl.col("session_date").is_in(window)))
    assert part[1].equals(whole[1].filter(pl.col("day_date").is_in(window)))


def test_the_chosen_bars_are_the_history_the_verdicts_were_judged_by() -> None:
    halved: Bar = (5.0, 5.5, 4.5, 5.25, 2000.0)
    downloads = pl.concat([rows("a", dict.fromkeys(SESSIONS[:4], GOOD)), rows("b", dict.fromkeys(SESSIONS, halved), hours=1)])
    judged = price_restatements.judge_all(downloads, pl.DataFrame(schema=polars_schema(PRICE_RESTATEMENTS)))
    prices, _ = prices_daily.choose(downloads, judged, SESSIONS)
    assert judged["verdict"].to_list() == ["first", "restated"]
    assert prices["close_usd"].to_list() == [5.25] * 5
    assert prices["is_restated"].to_list() == [True] * 4 + [False]
