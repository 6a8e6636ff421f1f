"""silver.price_restatements: vendor restatements as measured on real files, synthesised with Stooq's digits."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import PRICE_RESTATEMENTS
from spark.transforms.polars_schema import polars_schema
from spark.transforms.silver import known_prices, price_restatements, price_votes, prices_daily

SESSIONS = [day for day in (date(2023, 1, 2) + timedelta(days=n) for n in range(900)) if day.weekday() < 5][:600]
NONE_YET = pl.DataFrame(schema=polars_schema(PRICE_RESTATEMENTS))
FETCHED = datetime(2026, 1, 1, 22, tzinfo=UTC)
PRICES = ("open_usd", "high_usd", "low_usd", "close_usd")
Frame = pl.DataFrame


def raw_bars(seed: int = 1, level: float = 180.0) -> Frame:
    """600 quotes with two decimals, as traded."""
    random = np.random.default_rng(seed)
    close = level * np.exp(np.cumsum(random.normal(0, 0.015, len(SESSIONS))))
    opened = close * np.exp(random.normal(0, 0.005, len(SESSIONS)))
    return pl.DataFrame(
        {
            "session_date": SESSIONS,
            "open_usd": opened.round(2),
            "high_usd": (np.maximum(opened, close) * 1.004).round(2),
            "low_usd": (np.minimum(opened, close) * 0.996).round(2),
            "close_usd": close.round(2),
            "volume_shares": np.floor(random.uniform(1e6, 9e7, len(SESSIONS))),
        }
    )


def printed(bars: Frame, *events: tuple[int, float]) -> Frame:
    """What the vendor prints after applying (ex-date position, factor) events: six digits, fractional volume.

    A split at 600 was quoted at its own level from its day on: all bars are those of a share before it, times the factor.
    """
    factor = np.ones(bars.height)
    for position, step in events:
        factor[:position] *= step
    return bars.with_columns(
        *(pl.Series(name, [float(f"{price:.6g}") for price in bars[name].to_numpy() * factor]) for name in PRICES),
        pl.Series("volume_shares", [round(volume, 4) for volume in bars["volume_shares"].to_numpy() / factor]),
    )


def as_quoted(bars: Frame, *splits: tuple[int, float]) -> Frame:
    """Bars that a vendor has not adjusted for these splits yet: the price jumps on their days."""
    return printed(bars, *((position, 1 / factor) for position, factor in splits))


def judge(history: Frame, later: Frame) -> Frame:
    """The verdict of a download against one that holds the history."""
    files = [download(history, 0, "known")] if history.height else []
    verdicts = price_restatements.judge_all(pl.concat([*files, download(later, 1, "later")]), NONE_YET)
    assert verdicts.schema == polars_schema(PRICE_RESTATEMENTS)
    return verdicts.filter(file_sha256=sha256_of("later"))


def sha256_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def edited(bars: Frame, position: int, factor: float, names: Sequence[str] = PRICES) -> Frame:
    """One bar multiplied by `factor`."""
    here = pl.int_range(pl.len()) == position
    return bars.with_columns(pl.when(here).then(pl.col(name) * factor).otherwise(pl.col(name)) for name in names)


BARS = raw_bars()
KNOWN = printed(BARS[:580])


def test_the_first_download_is_first() -> None:
    row = judge(KNOWN.head(0), KNOWN).row(0, named=True)
    assert (row["verdict"], row["segment_number"], row["ratio"], row["recompute_from_date"]) == ("first", 0, None, None)
    assert (row["ticker"], row["file_sha256"]) == ("TEST", sha256_of("later"))
    assert row["fetched_ts"] == FETCHED + timedelta(hours=1)


def test_the_same_prices_and_later_sessions_are_consistent_and_change_nothing() -> None:
    row = judge(KNOWN, printed(BARS[500:])).row(0, named=True)
    assert (row["verdict"], row["compared_count"], row["ratio"], row["kind"]) == ("consistent", 80, 1.0, None)
    assert (row["segment_start_date"], row["recompute_from_date"]) == (SESSIONS[500], None)


def test_a_split_is_one_step_with_inverse_volume() -> None:
    (row,) = judge(KNOWN, printed(BARS, (600, 0.1))).iter_rows(named=True)
    assert (row["verdict"], row["kind"], row["boundary_date"]) == ("restated", "split", None)
    assert row["ratio"] == pytest.approx(0.1, rel=1e-6)
    assert row["volume_ratio"] == pytest.approx(10, rel=1e-6)
    assert (row["segment_start_date"], row["recompute_from_date"]) == (SESSIONS[0], SESSIONS[0])


@pytest.mark.parametrize("factor", [1 / 3, 2 / 3, 0.25, 8.0, 0.0999 * 1.0002])
def test_splits_of_small_whole_numbers_are_splits(factor: float) -> None:
    assert judge(KNOWN, printed(BARS, (600, factor)))["kind"].to_list() == ["split"]


def test_a_large_special_dividend_is_no_split() -> None:
    assert judge(KNOWN, printed(BARS, (600, 0.72)))["kind"].to_list() == ["dividend"]
    without_volume_change = printed(BARS, (600, 0.72)).with_columns(BARS["volume_shares"])
    assert judge(KNOWN, without_volume_change)["kind"].to_list() == ["dividend"]


@pytest.mark.parametrize("factor", [0.5, 0.1, 1.001, 2.0, 100.0])
def test_a_factor_that_is_no_dividend_needs_volume_that_moves_against_it(factor: float) -> None:
    without_volume_change = printed(BARS, (600, factor)).with_columns(BARS["volume_shares"])
    (row,) = judge(KNOWN, without_volume_change).iter_rows(named=True)
    assert (row["verdict"], row["recompute_from_date"]) == ("rejected", None)
    assert f"{factor:.6g} times the known ones" in row["message"]


def test_a_dividend_applied_late_is_a_step_up_to_its_ex_date() -> None:
    before, after = judge(KNOWN, printed(BARS, (570, 0.999065))).iter_rows(named=True)
    assert (before["verdict"], before["kind"], before["boundary_date"]) == ("restated", "dividend", SESSIONS[570])
    assert before["ratio"] == pytest.approx(0.999065, rel=1e-5)
    assert before["compared_count"] == 570
    assert (after["segment_number"], after["ratio"], after["kind"], after["boundary_date"]) == (1, 1.0, None, None)
    assert (after["segment_start_date"], after["compared_count"]) == (SESSIONS[570], 10)
    assert {before["recompute_from_date"], after["recompute_from_date"]} == {SESSIONS[0]}


def test_four_dividends_applied_at_once_are_four_steps() -> None:
    positions, factor = (330, 393, 456, 519), 0.99915
    rows = judge(KNOWN, printed(BARS, *((position, factor) for position in positions)))
    assert rows["verdict"].to_list() == ["restated"] * 5
    assert rows["boundary_date"].to_list() == [*(SESSIONS[position] for position in positions), None]
    assert rows["ratio"].to_list() == pytest.approx([factor**n for n in (4, 3, 2, 1, 0)], rel=1e-5)
    assert rows["kind"].to_list() == ["dividend"] * 4 + [None]


def test_a_split_and_a_dividend_a_day_apart_are_believed() -> None:
    rows = judge(as_quoted(BARS[:580], (300, 0.1)), printed(BARS, (301, 0.999)))
    assert rows["boundary_date"].to_list() == [SESSIONS[300], SESSIONS[301], None]
    assert rows["kind"].to_list() == ["split", "dividend", None]


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.75, 4.0])
def test_a_late_split_where_no_known_price_jumped_is_rejected_whatever_the_volume_says(factor: float) -> None:
    assert judge(KNOWN, printed(BARS, (300, factor)))["verdict"].to_list() == ["rejected"]
    assert set(judge(as_quoted(BARS[:580], (300, factor)), printed(BARS))["verdict"]) == {"restated"}


def test_an_ex_date_on_the_last_known_session_is_believed() -> None:
    rows = judge(KNOWN, printed(BARS, (579, 0.995)))
    assert rows["boundary_date"].to_list() == [SESSIONS[579], None]
    assert rows["compared_count"].to_list() == [579, 1]


@pytest.mark.parametrize("level", [0.04, 3.0, 45.0, 2500.0])
def test_rounding_of_any_price_level_is_not_taken_for_a_change(level: float) -> None:
    bars = raw_bars(7, 180.0)
    scale = level / 180.0
    known, again = printed(bars[:580], (600, scale)), printed(bars, (600, scale), (570, 0.995))
    assert judge(known, known)["verdict"].to_list() == ["consistent"]
    assert judge(known, again)["boundary_date"].to_list() == [SESSIONS[570], None]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    steps=st.lists(
        st.one_of(
            st.tuples(st.integers(3, 597), st.floats(0.98, 0.9975)),
            # A leap nearer to an edge waits for the second download, so that nothing known is restated.
            st.tuples(st.integers(41, 559), st.sampled_from([0.1, 0.25, 0.5])),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda step: step[0] // 5,
    ),
)
def test_any_splits_and_dividends_at_once_are_a_restatement_with_their_ex_dates(
    seed: int,
    steps: list[tuple[int, float]],
) -> None:
    bars = raw_bars(seed)
    splits = [step for step in steps if step[1] <= 0.5]
    rows = judge(as_quoted(bars, *splits), printed(bars, *(step for step in steps if step not in splits)))
    assert set(rows["verdict"]) == {"restated"}
    assert rows["boundary_date"].to_list() == [*(SESSIONS[position] for position in sorted(p for p, _ in steps)), None]
    assert rows["compared_count"].sum() == 600


def test_a_ratio_that_is_not_constant_is_rejected_and_says_what_to_do() -> None:
    noisy = raw_bars(2)
    row = judge(KNOWN, noisy).row(0, named=True)
    assert (row["verdict"], row["recompute_from_date"], row["ratio"]) == ("rejected", None, None)
    assert "TEST" in row["message"]
    assert "download the whole history" in row["message"]


@pytest.mark.parametrize("position", [0, 300, 579])
@pytest.mark.parametrize(
    ("factor", "split"),
    [
        # In a file that was printed anew, what two printed units of a quote with two decimals hide cannot be seen.
        (0.995, 1.0),
        (0.9998, 1.0),
        (1.0002, 1.0),
        (1.02, 1.0),
        (0.995, 0.1),
        (0.999, 0.1),
    ],
)
def test_of_a_lone_changed_bar_the_known_value_stands_and_the_rest_is_used(
    position: int,
    factor: float,
    split: float,
) -> None:
    (row,) = judge(KNOWN, edited(printed(BARS, (600, split)), position, factor)).iter_rows(named=True)
    assert row["verdict"] == ("consistent" if split == 1 else "restated")
    assert row["ratio"] == pytest.approx(split, rel=1e-6)
    assert row["carried_dates"] == str(SESSIONS[position])
    assert row["recompute_from_date"] == SESSIONS[position if split == 1 else 0]
    assert str(SESSIONS[position]) in row["message"]


@pytest.mark.parametrize("name", ["open_usd", "high_usd", "low_usd", "close_usd"])
def test_of_a_bar_whose_prices_changed_by_different_factors_the_known_value_stands(name: str) -> None:
    changed = edited(printed(BARS), 200, 1.003 if name == "high_usd" else 0.997, [name])
    (row,) = judge(KNOWN, changed).iter_rows(named=True)
    assert (row["verdict"], row["carried_dates"]) == ("consistent", str(SESSIONS[200]))


@pytest.mark.parametrize("positions", [range(577, 580), range(578, 580), range(200, 230), range(0, 400, 10)])
def test_too_many_changed_bars_or_the_newest_two_keep_the_file_out(positions: range) -> None:
    changed = printed(BARS)
    for position in positions:
        changed = edited(changed, position, 1.005)
    (row,) = judge(KNOWN, changed).iter_rows(named=True)
    assert row["verdict"] == "rejected"
    assert f"on {SESSIONS[positions[0]]} and {len(positions) - 1} more of 580" in row["message"]


@pytest.mark.parametrize("step", [1.0, 0.99, 0.5])
@pytest.mark.parametrize("positions", [range(200, 203), range(300, 320), range(100, 300, 100)], ids=str)
@pytest.mark.parametrize("factor", [1.02, 0.97])
def test_of_a_corrected_stretch_the_known_values_stand_and_the_rest_moves_until_a_second_file_says_the_same(
    factor: float,
    positions: range,
    step: float,
) -> None:
    events = () if step == 1 else ((600, step),)
    corrected = [spoilt(printed(BARS[:until], *events), positions, factor) for until in (590, 595)]
    found, verdicts, prices = verdicts_of(KNOWN, corrected[0])
    assert found[-1] == ("consistent" if step == 1 else "restated")
    assert verdicts["carried_dates"][-1] == ",".join(str(SESSIONS[position]) for position in positions)
    assert shows(prices, printed(BARS[:590], *events))
    assert prices.filter("is_contested")["session_date"].to_list() == [SESSIONS[position] for position in positions]
    _, verdicts, prices = verdicts_of(KNOWN, *corrected)
    assert verdicts["corrected_dates"][-1] == ",".join(str(SESSIONS[position]) for position in positions)
    assert shows(prices, corrected[-1])
    _, _, prices = verdicts_of(KNOWN, corrected[0], printed(BARS, *events))
    assert shows(prices, printed(BARS, *events))


@pytest.mark.parametrize("factor", [100.0, 0.01, 2.0, 0.5])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("first", [0, 300, 560])
def test_a_corrupt_stretch_stays_out(first: int, count: int, factor: float) -> None:
    changed = printed(BARS)
    for position in range(first, first + count):
        changed = edited(changed, position, factor)
    verdicts = judge(KNOWN, changed)
    stretch = {str(day) for day in SESSIONS[first : first + count]}
    assert verdicts["verdict"][0] == ("consistent" if count <= 2 else "rejected")
    assert count > 2 or stretch == set(verdicts["carried_dates"][0].split(","))


def test_a_file_without_a_common_session_cannot_be_compared() -> None:
    (row,) = judge(KNOWN[:100], printed(BARS[100:])).iter_rows(named=True)
    assert row["verdict"] == "rejected"
    assert "download from an earlier date" in row["message"]


def test_a_restated_file_must_hold_the_known_sessions() -> None:
    split = printed(BARS, (600, 0.1))
    for partial in (split[1:], split[:579], pl.concat([split[:50], split[53:]])):
        (row,) = judge(KNOWN, partial).iter_rows(named=True)
        assert row["verdict"] == "partial"
        assert f"holds {partial.height} bars from {partial['session_date'][0]}" in row["message"]
        assert "Download the whole history of TEST" in row["message"]


def test_of_few_sessions_that_a_restated_file_lacks_the_known_bars_move_with_the_rest() -> None:
    split = printed(BARS, (600, 0.1))
    (row,) = judge(KNOWN, pl.concat([split[:50], split[52:]])).iter_rows(named=True)
    assert (row["verdict"], row["carried_dates"]) == ("restated", ",".join(map(str, SESSIONS[50:52])))


def test_too_few_common_sessions_do_not_prove_a_restatement() -> None:
    assert judge(KNOWN[:2], printed(BARS, (600, 0.5)))["verdict"].to_list() == ["rejected"]
    assert judge(KNOWN[:3], printed(BARS, (600, 0.5)))["verdict"].to_list() == ["restated"]


def test_a_repaired_missing_bar_is_consistent_and_recomputed_from() -> None:
    known = pl.concat([KNOWN[:100], KNOWN[102:]])
    (row,) = judge(known, printed(BARS)).iter_rows(named=True)
    assert (row["verdict"], row["recompute_from_date"], row["compared_count"]) == ("consistent", SESSIONS[100], 578)


def test_an_earlier_start_is_consistent_and_recomputed_from() -> None:
    (row,) = judge(KNOWN[50:], KNOWN).iter_rows(named=True)
    assert (row["verdict"], row["recompute_from_date"]) == ("consistent", SESSIONS[0])


def test_a_corrected_volume_or_last_digit_is_consistent_and_recomputed_from() -> None:
    other_digits = printed(BARS).with_columns(pl.col("close_usd") + 1e-5)
    for changed in (edited(printed(BARS), 400, 1.01, ["volume_shares"]), other_digits):
        (row,) = judge(KNOWN, changed).iter_rows(named=True)
        assert (row["verdict"], row["carried_dates"]) == ("consistent", None)
        assert row["recompute_from_date"] == SESSIONS[0 if changed is other_digits else 400]


def test_impossible_rows_take_no_part() -> None:
    broken = edited(printed(BARS), 200, -1.0)
    broken = edited(broken, 201, float("nan"), ["close_usd"])
    (row,) = judge(KNOWN, broken).iter_rows(named=True)
    assert (row["verdict"], row["compared_count"], row["recompute_from_date"]) == ("consistent", 578, None)
    assert judge(broken[200:202], KNOWN)["verdict"].to_list() == ["first"]


def test_a_file_without_volumes_says_so_and_one_with_volumes_heals() -> None:
    bars = raw_bars()
    silent = download(bars.with_columns(volume_shares=pl.lit(None, pl.Float64)), 0, "silent")
    verdicts = price_restatements.judge_all(pl.concat([silent, download(bars, 1, "with")]), NONE_YET)
    assert verdicts["verdict"].to_list() == ["rejected", "first"]
    assert "its bars have no volume" in verdicts["message"][0]
    impossible = download(bars.with_columns(high_usd=pl.lit(0.01)), 0, "impossible")
    assert "no complete, possible bar" in price_restatements.judge_all(impossible, NONE_YET)["message"][0]


def download(bars: Frame, hours: int, name: str) -> Frame:
    return bars.with_columns(
        ticker=pl.lit("TEST"),
        file_sha256=pl.lit(sha256_of(name)),
        fetched_ts=pl.lit(FETCHED + timedelta(hours=hours)).cast(pl.Datetime("us", "UTC")),
    )


def story() -> list[Frame]:
    """A year of downloads: growth, a wrong file, late dividends, a split, a partial file, another wrong file."""
    return [
        download(printed(BARS[:300]), 0, "a"),
        download(printed(BARS[280:320]), 1, "b"),
        download(raw_bars(9)[:400], 2, "wrong ticker"),
        download(printed(BARS[:400], (310, 0.999)), 3, "dividend"),
        download(printed(BARS[:420], (310, 0.999), (600, 0.25)), 4, "split"),
        download(printed(BARS[411:430], (600, 0.25)), 4, "same hour"),
        download(printed(BARS[350:440], (600, 0.25), (600, 0.5)), 5, "partial restatement"),
        download(printed(BARS[:500], (310, 0.999), (600, 0.25), (600, 0.5)), 6, "whole restatement"),
    ]


def judged_at_once() -> Frame:
    return price_restatements.judge_all(pl.concat(story()), NONE_YET)


def test_each_download_is_judged_against_the_accepted_ones_before_it() -> None:
    verdicts = judged_at_once()
    names = {
        hashlib.sha256(name.encode()).hexdigest(): name
        for name in ("a", "b", "wrong ticker", "dividend", "split", "same hour", "partial restatement", "whole restatement")
    }
    found = verdicts.group_by("file_sha256", maintain_order=True).first()
    assert dict(zip((names[sha] for sha in found["file_sha256"]), found["verdict"], strict=True)) == {
        "a": "first",
        "b": "consistent",
        "wrong ticker": "rejected",
        "dividend": "restated",
        "split": "restated",
        "same hour": "consistent",
        "partial restatement": "partial",
        "whole restatement": "restated",
    }
    assert verdicts.schema == polars_schema(PRICE_RESTATEMENTS)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(8)), cuts=st.sets(st.integers(1, 7)))
def test_increments_in_any_order_give_the_verdicts_of_all_at_once(order: list[int], cuts: set[int]) -> None:
    downloads, verdicts = story(), NONE_YET
    for until in [*sorted(cuts), 8]:
        known = pl.concat([downloads[index] for index in order[:until]])
        verdicts = price_restatements.judge_all(known, verdicts)
    assert verdicts.equals(judged_at_once())


def test_verdicts_of_unchanged_downloads_are_kept_as_they_are() -> None:
    downloads = story()
    marked = price_restatements.judge_all(pl.concat(downloads[:4]), NONE_YET).with_columns(message=pl.lit("kept"))
    verdicts = price_restatements.judge_all(pl.concat(downloads), marked)
    assert verdicts["message"].to_list()[: marked.height] == ["kept"] * marked.height
    assert "kept" not in verdicts["message"].to_list()[marked.height :]


def test_withdrawing_a_wrong_first_download_lets_the_right_ones_in() -> None:
    wrong, right = download(raw_bars(9), -1, "wrong first"), story()[0]
    verdicts = price_restatements.judge_all(pl.concat([wrong, right]), NONE_YET)
    assert verdicts["verdict"].to_list() == ["first", "rejected"]
    assert price_restatements.judge_all(right, NONE_YET)["verdict"].to_list() == ["first"]


def ledger_of(downloads: Frame) -> Frame:
    return downloads.group_by("ticker", "file_sha256").agg(
        pl.col("fetched_ts").first(),
        row_count=pl.len(),
        first_session_date=pl.col("session_date").min(),
        last_session_date=pl.col("session_date").max(),
    )


@pytest.mark.parametrize("count", range(1, 9))
def test_rows_of_the_new_downloads_dates_and_the_ledger_suffice(count: int) -> None:
    downloads = pl.concat(story()[:count])
    whole = price_restatements.judge_all(downloads, NONE_YET)
    newest = whole["file_sha256"][-1]
    dates = downloads.filter(pl.col("file_sha256") == newest)["session_date"]
    cut = downloads.filter(pl.col("session_date").is_between(dates.min(), dates.max()))
    earlier = whole.filter(pl.col("file_sha256") != newest)
    assert price_restatements.judge_all(cut, earlier, ledger=ledger_of(downloads)).drop("message").equals(whole.drop("message"))


def test_a_wrong_file_does_not_speak_when_the_good_ones_lie_outside_the_dates() -> None:
    downloads = pl.concat(
        [
            download(KNOWN[:100], 0, "a"),
            download(raw_bars(9)[50:200], 1, "wrong ticker"),
            download(KNOWN[150:300], 2, "no overlap"),
        ]
    )
    verdicts = price_restatements.judge_all(downloads, NONE_YET)
    assert verdicts["verdict"].to_list() == ["first", "rejected", "rejected"]
    cut = downloads.filter(pl.col("session_date") >= SESSIONS[150])
    assert price_restatements.judge_all(cut, verdicts[:2], ledger=ledger_of(downloads)).equals(verdicts)


def test_a_download_of_impossible_rows_alone_is_rejected_and_the_next_one_is_first() -> None:
    broken = edited(KNOWN[:1], 0, -1.0)
    verdicts = price_restatements.judge_all(pl.concat([download(broken, 0, "a"), download(KNOWN, 1, "b")]), NONE_YET)
    assert verdicts["verdict"].to_list() == ["rejected", "first"]


def test_rows_outside_the_sessions_take_no_part() -> None:
    saturday = pl.concat(
        [download(KNOWN[:1].with_columns(session_date=pl.lit(date(2023, 1, day))), 0, "a") for day in (7, 14, 21)]
    )
    split = download(printed(BARS, (600, 0.1)), 1, "split")
    both = pl.concat([download(KNOWN, 0, "a"), saturday, split])
    assert judged_verdicts(both, SESSIONS) == ["first", "restated"]
    assert judged_verdicts(both, None) == ["first", "partial"]
    assert judged_verdicts(saturday, SESSIONS) == ["rejected"]


def judged_verdicts(downloads: Frame, sessions: list[date] | None) -> list[str]:
    return price_restatements.judge_all(downloads, NONE_YET, sessions)["verdict"].to_list()


def test_two_tickers_at_once_are_refused() -> None:
    other = story()[0].with_columns(ticker=pl.lit("OTHER"))
    with pytest.raises(ValueError, match="OTHER, TEST"):
        price_restatements.judge_all(pl.concat([story()[0], other]), NONE_YET)


def test_no_downloads_give_no_verdicts() -> None:
    assert price_restatements.judge_all(story()[0].head(0), NONE_YET).height == 0


def test_a_verdict_of_another_rule_or_under_another_decision_is_given_anew() -> None:
    downloads = pl.concat(story()[:3])
    verdicts = price_restatements.judge_all(downloads, NONE_YET)
    marked = verdicts.with_columns(message=pl.lit("old"))
    assert set(price_restatements.judge_all(downloads, marked)["message"]) == {"old"}
    of_another_rule = marked.with_columns(rule_version=pl.lit(1, pl.Int32))
    assert price_restatements.judge_all(downloads, of_another_rule).equals(verdicts)
    again = price_restatements.judge_all(downloads, marked, decisions=decided("wrong ticker", "drop"))
    assert again["message"].to_list()[:2] == ["old", "old"]
    assert again["verdict"].to_list() == ["first", "consistent", "dropped"]


def decided(name: str, *decisions: str) -> Frame:
    """Rows of silver.price_decisions about one file, one after the other."""
    return pl.DataFrame(
        {
            "ticker": "TEST",
            "file_sha256": sha256_of(name),
            "decision": decisions,
            "decided_ts": [FETCHED + timedelta(days=1, minutes=number) for number in range(len(decisions))],
        },
        schema_overrides={"decided_ts": pl.Datetime("us", "UTC")},
    )


def test_a_decision_counts_until_it_is_taken_back_and_a_withdrawn_first_file_lets_the_right_ones_in() -> None:
    downloads = pl.concat([download(raw_bars(9), -1, "wrong first"), *story()[:2]])
    verdicts = price_restatements.judge_all(downloads, NONE_YET)
    assert verdicts["verdict"].to_list() == ["first", "rejected", "rejected"]
    command = f'finlake prices drop {sha256_of("wrong first")[:12]} --ticker TEST --reason "why"'
    assert verdicts["message"][1].endswith(command)
    dropped = price_restatements.judge_all(downloads, verdicts, decisions=decided("wrong first", "drop"))
    assert dropped["verdict"].to_list() == ["dropped", "first", "consistent"]
    back = price_restatements.judge_all(downloads, dropped, decisions=decided("wrong first", "drop", "judge"))
    assert back["verdict"].to_list() == verdicts["verdict"].to_list()
    accepted = price_restatements.judge_all(downloads, verdicts, decisions=decided("a", "accept"))
    assert accepted["verdict"].to_list()[:2] == ["first", "accepted"]


def test_a_rejection_is_healed_by_the_next_good_download() -> None:
    broken = printed(BARS[:590])
    for position in range(300, 310):
        broken = edited(broken, position, 100.0)
    verdicts = price_restatements.judge_all(
        pl.concat([download(KNOWN, 0, "a"), download(broken, 1, "broken"), download(printed(BARS, (600, 0.1)), 2, "good")]),
        NONE_YET,
    )
    assert verdicts["verdict"].to_list() == ["first", "rejected", "restated"]


def test_an_older_file_copied_later_does_not_put_history_back() -> None:
    older, newer = download(KNOWN, 0, "a"), download(printed(BARS[:580], (579, 0.999065), (580, 0.999065)), 1, "newer")
    copied = download(KNOWN.with_columns(pl.col("volume_shares") + 1), 2, "copied")
    short = download(KNOWN[:500], 3, "short")
    verdicts = price_restatements.judge_all(pl.concat([older, newer, copied, short]), NONE_YET)
    found = verdicts.group_by("file_sha256", maintain_order=True).first()
    assert found["verdict"].to_list() == ["first", "restated", "older", "older"]
    assert "was made before what is known of TEST" in found["message"][2]


def test_the_last_known_bar_may_have_been_unfinished() -> None:
    whole = printed(BARS)
    last = pl.int_range(pl.len()) == 579
    morning = KNOWN.with_columns(
        close_usd=pl.when(last).then(pl.col("open_usd")).otherwise("close_usd"),
        high_usd=pl.when(last).then(pl.col("open_usd") * 1.0005).otherwise("high_usd"),
        low_usd=pl.when(last).then(pl.col("open_usd") * 0.9995).otherwise("low_usd"),
        volume_shares=pl.when(last).then(pl.col("volume_shares") / 3).otherwise("volume_shares"),
    )
    for later in (whole, printed(BARS, (600, 0.1)), printed(BARS, (585, 0.997))):
        (row,) = judge(morning, later).iter_rows(named=True)
        assert (row["corrected_dates"], row["carried_dates"]) == (str(SESSIONS[579]), None)
        assert row["verdict"] in ("consistent", "restated")
    (back,) = judge(whole, morning).iter_rows(named=True)
    assert (back["verdict"], back["carried_dates"]) == ("consistent", str(SESSIONS[579]))


def test_a_correction_is_believed_when_a_later_download_says_the_same() -> None:
    corrected = edited(printed(BARS[:590]), 200, 1.01, ["high_usd"])
    again = edited(printed(BARS, (600, 0.1)), 200, 1.01, ["high_usd"])
    verdicts = price_restatements.judge_all(
        pl.concat([download(KNOWN, 0, "a"), download(corrected, 1, "b"), download(again, 2, "c")]), NONE_YET
    )
    assert verdicts["verdict"].to_list() == ["first", "consistent", "restated"]
    assert verdicts["carried_dates"].to_list() == [None, str(SESSIONS[200]), None]
    assert verdicts["corrected_dates"].to_list() == [None, None, str(SESSIONS[200])]


def eventful() -> list[Frame]:
    """Downloads of every sort: good, corrected, corrected again, broken, restated, older, unfinished, of another company."""
    split = ((600, 0.1),)
    broken = printed(BARS[:560])
    for position in range(100, 108):
        broken = edited(broken, position, 0.5)
    another = pl.concat([printed(BARS[:400]), raw_bars(9)[400:570]])
    whole = edited(edited(printed(BARS, *split), 150, 1.01, ["high_usd"]), 222, 1.02)
    return [
        download(printed(BARS[:300]), 0, "a"),
        download(edited(printed(BARS[:400]), 150, 1.01, ["high_usd"]), 1, "corrected"),
        download(broken, 2, "broken"),
        download(edited(printed(BARS[:560]), 150, 1.01, ["high_usd"]), 3, "corrected again"),
        download(another, 4, "another company from a date on"),
        download(pl.concat([whole[:30], whole[31:]]), 5, "split"),
        download(printed(BARS[:560]), 6, "older"),
        download(printed(BARS, *split)[500:], 7, "window"),
    ]


def published(downloads: Frame, verdicts: Frame) -> tuple[Frame, Frame]:
    numbered = downloads.with_columns(line_number=pl.lit(1, pl.Int64))
    return prices_daily.choose(numbered, verdicts, SESSIONS, prices_daily.exceptions(verdicts))


def test_the_published_bars_are_the_history_that_verdicts_are_judged_by() -> None:
    downloads, verdicts = pl.concat(eventful()), price_restatements.judge_all(pl.concat(eventful()), NONE_YET)
    found = verdicts.group_by("file_sha256", maintain_order=True).first()
    assert found["verdict"].to_list() == [
        "first",
        "consistent",
        "rejected",
        "consistent",
        "rejected",
        "restated",
        "older",
        "consistent",
    ]
    known = price_votes.NOTHING
    for (fetched_ts, sha256, name, span), bars in zip(price_restatements.files_of(downloads), eventful(), strict=True):
        file = price_votes.Download(
            ticker="TEST",
            file_sha256=sha256,
            fetched_ts=fetched_ts,
            source_name=name,
            span=span,
            bars=bars.select("session_date", *BAR_COLUMNS),
        )
        known = known_prices.learnt(known, file, verdicts.filter(file_sha256=sha256))
    prices, rejected = published(downloads, verdicts)
    assert prices.select("session_date", *BAR_COLUMNS).equals(known.bars)
    contested = prices.filter("is_contested")["session_date"].to_list()
    assert contested == [SESSIONS[150], SESSIONS[222]]
    # The bar in dispute and the missing one have the value that was known before, on the new level.
    right = printed(BARS, (600, 0.1))
    for position in (30, 222):
        shown = prices.filter(session_date=SESSIONS[position]).select(PRICES).row(0)
        assert shown == pytest.approx(right.select(PRICES).row(position), rel=1e-5)
    assert rejected.select("reason", "day_date").rows() == [("disputed_bar", SESSIONS[150]), ("disputed_bar", SESSIONS[222])]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(8)),
    cuts=st.sets(st.integers(1, 7), max_size=4),
    decisions=st.lists(
        st.tuples(st.sampled_from(["broken", "split", "a"]), st.sampled_from(["accept", "drop"])),
        max_size=2,
        unique_by=lambda each: each[0],
    ),
)
def test_any_order_of_any_downloads_gives_the_same_verdicts_and_bits(
    order: list[int],
    cuts: set[int],
    decisions: list[tuple[str, str]],
) -> None:
    downloads, verdicts = eventful(), NONE_YET
    said = pl.concat([decided(name, each) for name, each in decisions]) if decisions else None
    for number, until in enumerate([*sorted(cuts), 8]):
        arrived = [downloads[index] for index in order[:until]]
        verdicts = price_restatements.judge_all(
            pl.concat(arrived), verdicts, SESSIONS, decisions=said if number or until == 8 else None
        )
    at_once = price_restatements.judge_all(pl.concat(downloads), NONE_YET, SESSIONS, decisions=said)
    assert verdicts.equals(at_once)
    bars = pl.concat([downloads[index] for index in order])
    for shown, wanted in zip(published(bars, verdicts), published(pl.concat(downloads), at_once), strict=True):
        assert shown.equals(wanted)


@pytest.mark.parametrize(
    ("factor", "volume", "verdict"),
    [
        (10.0, 1.0, "rejected"),
        (0.1, 1.0, "rejected"),
        (0.25, 8.0, "consistent"),
        (2.0, 1.0, "rejected"),
        (0.5, 1.0, "rejected"),
        (0.5, 4.0, "consistent"),
        (1.5, 1.0, "consistent"),
    ],
)
def test_bars_after_the_known_ones_that_go_on_at_another_level_need_the_trading_for_it(
    factor: float,
    volume: float,
    verdict: str,
) -> None:
    later = pl.int_range(pl.len()) >= 580
    bars = (
        printed(BARS)
        .with_columns(
            *(pl.when(later).then(pl.col(name) * factor).otherwise(name) for name in PRICES),
            volume_shares=pl.when(later).then(pl.col("volume_shares") * volume).otherwise("volume_shares"),
        )
        .with_columns(
            # A quiet market, so that the multiple is far from the usual.
            volume_shares=pl.when(~later).then(5e6).otherwise(5e6 * volume)
        )
    )
    (row,) = judge(KNOWN.with_columns(volume_shares=pl.lit(5e6)), bars).iter_rows(named=True)
    assert row["verdict"] == verdict
    if verdict == "rejected":
        assert f"from {SESSIONS[580]} on" in row["message"]


def verdicts_of(*files: Frame, decisions: Frame | None = None) -> tuple[list[str], Frame, Frame]:
    """The verdict of each of some downloads one hour after the other, all verdict rows, and the published bars."""
    downloads = pl.concat([download(bars, number, f"file {number}") for number, bars in enumerate(files)])
    verdicts = price_restatements.judge_all(downloads, NONE_YET, decisions=decisions)
    found = verdicts.group_by("file_sha256", maintain_order=True).first()["verdict"].to_list()
    return found, verdicts, published(downloads, verdicts)[0]


def shows(prices: Frame, right: Frame) -> bool:
    """Whether the published prices are the right ones, but for the vendor's rounding."""
    both = prices.join(right, on="session_date", suffix="_right")
    shown, wanted = both.select(PRICES).to_numpy(), both.select(f"{name}_right" for name in PRICES).to_numpy()
    return both.height == right.height and bool(np.allclose(shown, wanted, rtol=2e-5))


def spoilt(bars: Frame, positions: range, factor: float) -> Frame:
    here = pl.int_range(pl.len()).is_in(list(positions))
    return bars.with_columns(pl.when(here).then(pl.col(name) * factor).otherwise(pl.col(name)) for name in PRICES)


NEW_BARS = [range(580, 581), range(589, 590), range(584, 585), range(588, 590), range(582, 590), range(580, 590)]


@pytest.mark.parametrize("step", [1.0, 0.99, 0.5])
@pytest.mark.parametrize("wrong", NEW_BARS, ids=str)
@pytest.mark.parametrize("factor", [100.0, 0.01, 2.0, 0.5, 1.2, 0.85])
def test_wrong_new_bars_of_a_used_file_are_healed_by_later_good_downloads(factor: float, wrong: range, step: float) -> None:
    events = () if step == 1 else ((600, step),)
    good = [printed(BARS[:until], *events) for until in (596, 598, 600)]
    found, _, prices = verdicts_of(KNOWN, spoilt(printed(BARS[:590]), wrong, factor), *good)
    assert found[-1] in ("consistent", "restated")
    assert shows(prices, good[-1])


@pytest.mark.parametrize("factor", [100.0, 0.01, 2.0, 0.5, 1.2, 0.85])
@pytest.mark.parametrize("wrong", [range(579, 580), range(570, 580), range(300, 320), range(3)], ids=str)
def test_a_first_file_with_wrong_bars_is_outvoted_by_two_that_agree(wrong: range, factor: float) -> None:
    good = [printed(BARS[:until]) for until in (585, 590, 600)]
    found, verdicts, prices = verdicts_of(spoilt(KNOWN, wrong, factor), *good)
    assert found[-1] == "consistent"
    assert shows(prices, good[-1])


@pytest.mark.parametrize("factor", [100.0, 0.01, 2.0, 0.5])
@pytest.mark.parametrize("wrong", [range(300, 301), range(300, 320), range(585, 586), range(583, 590), range(589, 590)], ids=str)
def test_a_fault_that_leaps_without_trading_convinces_however_often_it_is_said(wrong: range, factor: float) -> None:
    faults = [spoilt(printed(BARS[:until]), wrong, factor) for until in (592, 594, 596)]
    found, _, prices = verdicts_of(KNOWN, printed(BARS[:590]), *faults, printed(BARS))
    assert found[-1] == "consistent"
    assert shows(prices, printed(BARS))


def test_the_message_names_the_file_that_said_the_bars_in_dispute_and_its_commands_heal() -> None:
    files = [KNOWN, spoilt(printed(BARS[:590]), range(583, 590), 1.03), printed(BARS[:595])]
    found, verdicts, _ = verdicts_of(*files)
    assert found == ["first", "consistent", "rejected"]
    assert verdicts["message"][-1].endswith(f'finlake prices drop {sha256_of("file 1")[:12]} --ticker TEST --reason "why"')
    dropped, _, prices = verdicts_of(*files, decisions=decided("file 1", "drop"))
    assert dropped == ["first", "dropped", "consistent"]
    assert shows(prices, files[-1])
    accepted, _, prices = verdicts_of(*files, decisions=decided("file 2", "accept"))
    assert accepted == ["first", "consistent", "accepted"]
    assert shows(prices, files[-1])


def test_two_downloads_do_not_outvote_bars_that_several_have_confirmed_and_three_do() -> None:
    files = [spoilt(printed(BARS[:until]), range(300, 306), 1.03) for until in (590, 592, 594)]
    found, verdicts, prices = verdicts_of(KNOWN, printed(BARS[:585]), *files)
    assert found == ["first"] + ["consistent"] * 4
    stretch = ",".join(map(str, SESSIONS[300:306]))
    assert verdicts["carried_dates"].to_list() == [None, None, stretch, stretch, None]
    assert verdicts["corrected_dates"][-1] == ",".join(map(str, SESSIONS[300:306]))
    assert prices.filter("is_contested")["session_date"].to_list() == SESSIONS[300:306]
    _, once, _ = verdicts_of(KNOWN, *files)
    assert once["carried_dates"].to_list() == [None, stretch, None, None]
    assert once["corrected_dates"].to_list() == [None, None, stretch, None]


@pytest.mark.parametrize("move", [0.7, 0.85, 1.3])
def test_an_unfinished_last_bar_may_move_as_far_as_a_crash_takes_it(move: float) -> None:
    last = pl.int_range(pl.len()) == 579
    opened = pl.col("open_usd")
    morning = KNOWN.with_columns(
        close_usd=pl.when(last).then(opened).otherwise("close_usd"),
        high_usd=pl.when(last).then(opened * 1.0005).otherwise("high_usd"),
        low_usd=pl.when(last).then(opened * 0.9995).otherwise("low_usd"),
        volume_shares=pl.when(last).then(1e5).otherwise("volume_shares"),
    )

    def crashed(bars: Frame) -> Frame:
        return bars.with_columns(
            close_usd=pl.when(last).then(opened * move).otherwise("close_usd"),
            high_usd=pl.when(last).then(opened * max(1.001, move)).otherwise("high_usd"),
            low_usd=pl.when(last).then(opened * min(0.999, move)).otherwise("low_usd"),
        )

    found, verdicts, _ = verdicts_of(morning, crashed(printed(BARS[:581])), crashed(printed(BARS)))
    assert found == ["first", "consistent", "consistent"]
    assert verdicts["corrected_dates"].to_list() == [None, str(SESSIONS[579]), None]


@pytest.mark.parametrize("step", [1.0, 0.99, 0.1])
@pytest.mark.parametrize("wrong", [range(580, 600), range(582, 600), range(585, 586), range(599, 600)], ids=str)
@pytest.mark.parametrize("factor", [100.0, 0.01, 2.2, 0.45])
def test_new_bars_that_leap_without_trading_are_not_published(factor: float, wrong: range, step: float) -> None:
    # A market of ordinary days: volume and range say nothing.
    bars = BARS.with_columns(volume_shares=pl.lit(5e6))
    events = () if step == 1 else ((600, step),)
    known = printed(bars[:580])
    found, verdicts, prices = verdicts_of(known, spoilt(printed(bars, *events), wrong, factor))
    assert found == ["first", "rejected"]
    assert f"from {SESSIONS[wrong[0]]} on" in verdicts["message"][-1]
    assert shows(prices, known)
    healed, _, prices = verdicts_of(known, spoilt(printed(bars, *events), wrong, factor), printed(bars, *events))
    assert healed[-1] == ("consistent" if step == 1 else "restated")
    assert shows(prices, printed(bars, *events))


def test_a_true_leap_without_trading_waits_for_a_second_download() -> None:
    bars = spoilt(BARS.with_columns(volume_shares=pl.lit(5e6)), range(585, 600), 0.45)
    found, _, prices = verdicts_of(printed(bars[:580]), printed(bars[:590]), printed(bars[:592]), printed(bars))
    assert found == ["first", "rejected", "consistent", "consistent"]
    assert shows(prices, printed(bars))


def contradictory() -> list[Frame]:
    """Downloads that disagree about the same sessions, in stretches and alone, whole histories and windows."""
    calm = BARS.with_columns(volume_shares=pl.lit(5e6))
    return [
        download(printed(calm[:560]), 0, "a"),
        download(spoilt(printed(calm[:580]), range(565, 580), 1.2), 1, "wrong tail"),
        download(printed(calm[:584])[500:], 2, "good window"),
        download(spoilt(printed(calm[:586]), range(300, 310), 1.1), 3, "wrong stretch"),
        download(printed(calm[:588]), 4, "good"),
        download(spoilt(printed(calm[:590]), range(589, 590), 0.5), 5, "wrong last bar"),
        download(printed(calm[:596], (594, 0.99)), 6, "dividend"),
        download(spoilt(printed(calm[:598], (594, 0.99)), range(597, 598), 1.2)[520:], 7, "wrong window"),
        download(printed(calm[:599], (594, 0.99)), 8, "good again"),
        download(printed(calm, (594, 0.99)), 9, "whole"),
    ]


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(10)), cuts=st.sets(st.integers(1, 9), max_size=4))
def test_votes_count_the_same_whatever_arrives_first(order: list[int], cuts: set[int]) -> None:
    downloads, verdicts = contradictory(), NONE_YET
    for until in [*sorted(cuts), 10]:
        verdicts = price_restatements.judge_all(pl.concat([downloads[index] for index in order[:until]]), verdicts, SESSIONS)
    at_once = price_restatements.judge_all(pl.concat(downloads), NONE_YET, SESSIONS)
    assert verdicts.equals(at_once)
    shown, _ = published(pl.concat(downloads), at_once)
    assert shows(shown, downloads[-1])


def assert_newest_dates_suffice(downloads: pl.DataFrame) -> None:
    """The rows of the newest download's dates, with the verdicts before it, give the verdicts of all rows."""
    whole = price_restatements.judge_all(downloads, NONE_YET)
    newest = pl.col("file_sha256") == whole["file_sha256"][-1]
    dates = downloads.filter(newest)["session_date"]
    cut = downloads.filter(pl.col("session_date").is_between(dates.min(), dates.max()))
    assert (
        price_restatements.judge_all(cut, whole.filter(~newest), ledger=ledger_of(downloads))
        .drop("message")
        .equals(whole.drop("message"))
    )


@pytest.mark.parametrize("count", range(1, 11))
def test_votes_of_the_new_downloads_dates_suffice(count: int) -> None:
    assert_newest_dates_suffice(pl.concat(contradictory()[:count]))


@pytest.mark.parametrize("position", [100, 300])
def test_where_the_known_and_the_new_file_say_the_same_beside_a_dividend_no_third_value_is_published(position: int) -> None:
    restated = printed(BARS, (600, 0.99))
    later = pl.concat([restated[:position], KNOWN[position : position + 1], restated[position + 1 :]])
    _, verdicts, prices = verdicts_of(KNOWN, later)
    assert verdicts["corrected_dates"][-1] == str(SESSIONS[position])
    assert prices.select(PRICES).row(position) == KNOWN.select(PRICES).row(position)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 20), factor=st.floats(0.81, 0.985), level=st.sampled_from([9.0, 180.0]))
def test_a_factor_over_the_earliest_bars_alone_is_no_dividend_unless_something_proves_it(
    seed: int,
    count: int,
    factor: float,
    level: float,
) -> None:
    bars = raw_bars(seed, level)
    wrong = spoilt(printed(bars[:590]), range(count), factor)
    found, verdicts, prices = verdicts_of(printed(bars[:580]), wrong)
    assert found[-1] == "consistent"
    assert verdicts["carried_dates"][-1] == ",".join(map(str, SESSIONS[:count]))
    assert shows(prices, printed(bars[:590]))
    assert prices.filter("is_contested").height == count
    _, _, prices = verdicts_of(printed(bars[:580]), wrong, printed(bars))
    assert shows(prices, printed(bars))
    scaled = wrong.with_columns(
        volume_shares=pl.when(pl.int_range(pl.len()) < count).then(pl.col("volume_shares") / factor).otherwise("volume_shares")
    )
    proven, _, _ = verdicts_of(printed(bars[:580]), scaled)
    # One or two bars are single corrections to any reader.
    assert proven[-1] == ("restated" if count >= 3 else "consistent")


def test_a_jump_of_the_known_prices_proves_a_dividend_of_the_earliest_bars() -> None:
    quiet = BARS.with_columns(open_usd=pl.col("close_usd").shift(1).fill_null(180.0).round(2))
    quiet = quiet.with_columns(high_usd=pl.max_horizontal(*PRICES), low_usd=pl.min_horizontal(*PRICES))
    quoted = spoilt(quiet, range(12), 1 / 0.9)
    row = judge(printed(quoted[:580]), spoilt(printed(quoted), range(12), 0.9)).row(0, named=True)
    assert (row["verdict"], row["kind"], row["boundary_date"]) == ("restated", "dividend", SESSIONS[12])


@pytest.mark.parametrize("count", [30, 300])
def test_a_large_late_step_takes_a_jump_away_or_is_a_fault(count: int) -> None:
    row = judge(KNOWN, spoilt(printed(BARS), range(count), 0.9)).row(0, named=True)
    assert row["verdict"] == "rejected"


@pytest.mark.parametrize("factor", [1.2, 0.85, 1.5, 0.7])
@pytest.mark.parametrize("wrong", NEW_BARS, ids=str)
def test_new_bars_that_jump_without_trading_are_healed_by_the_first_good_file(wrong: range, factor: float) -> None:
    calm = BARS.with_columns(volume_shares=pl.lit(5e6))
    _, verdicts, prices = verdicts_of(printed(calm[:580]), spoilt(printed(calm[:590]), wrong, factor), printed(calm[:595]))
    assert shows(prices, printed(calm[:595]))
    assert verdicts["corrected_dates"][-1] == ",".join(str(SESSIONS[position]) for position in wrong)


def without_volume(bars: Frame) -> Frame:
    return bars.with_columns(volume_shares=pl.lit(0.0))


@pytest.mark.parametrize("factor", [0.5, 0.1, 2.0, 2 / 3])
def test_a_split_of_a_ticker_without_volumes_waits_for_a_second_download(factor: float) -> None:
    files = [without_volume(printed(BARS[:until], (600, factor))) for until in (590, 595)]
    found, verdicts, prices = verdicts_of(without_volume(KNOWN), *files)
    is_dividend = 0.6 <= factor < 1
    assert found == ["first", "restated" if is_dividend else "rejected", "consistent" if is_dividend else "restated"]
    assert shows(prices, files[-1])
    assert is_dividend or "believed when the next download says the same" in verdicts["message"][1]
    hundredfold = [spoilt(without_volume(KNOWN), range(580), 100.0)] * 2
    assert (
        verdicts_of(
            without_volume(KNOWN),
            *(each.with_columns(open_usd=pl.col("open_usd") + number / 100) for number, each in enumerate(hundredfold)),
        )[0][1:]
        == ["rejected"] * 2
    )


@pytest.mark.parametrize("factor", [0.5, 0.1, 2.0, 4.0])
def test_a_late_split_without_volumes_is_proven_by_the_jump_that_it_takes_away(factor: float) -> None:
    quoted = without_volume(spoilt(BARS, range(300), 1 / factor))
    before, after = judge(printed(quoted[:580]), without_volume(printed(BARS))).iter_rows(named=True)
    assert (before["verdict"], before["kind"], before["boundary_date"]) == ("restated", "split", SESSIONS[300])
    assert after["ratio"] == 1


@pytest.mark.parametrize("factor", [0.5, 0.1])
def test_new_bars_that_were_left_at_the_level_before_the_split_wait_and_the_known_ones_move(factor: float) -> None:
    calm = BARS.with_columns(volume_shares=pl.lit(5e6))
    split = [printed(calm[:until], (582, factor)) for until in (590, 592, 594)]
    found, verdicts, prices = verdicts_of(printed(calm[:580]), *split)
    assert found == ["first", "restated", "consistent", "consistent"]
    assert f"from {SESSIONS[582]} on the file's bars are still at the level before a split" in verdicts["message"][1]
    assert shows(prices, printed(calm[:582], (600, factor)))
    _, _, mended = verdicts_of(printed(calm[:580]), *split, printed(calm, (600, factor)))
    assert shows(mended, printed(calm, (600, factor)))


@pytest.mark.parametrize("gap", [1, 100, 400])
@pytest.mark.parametrize(("factor", "verdict"), [(0.55, "rejected"), (0.65, "restated")])
def test_a_special_dividend_has_the_same_verdict_however_long_nobody_downloaded(
    factor: float,
    verdict: str,
    gap: int,
) -> None:
    known = printed(BARS[: 600 - gap])
    whole = printed(BARS, (600, factor)).with_columns(BARS["volume_shares"])
    found, verdicts, _ = verdicts_of(known, whole)
    assert found == ["first", verdict]
    if verdict == "rejected":
        assert f"finlake prices accept {sha256_of('file 1')[:12]} --ticker TEST" in verdicts["message"][1]
        accepted, _, prices = verdicts_of(known, whole, printed(BARS[:599], (600, factor)), decisions=decided("file 1", "accept"))
        assert accepted == ["first", "accepted", "consistent"]
        assert prices["close_usd"][0] == whole["close_usd"][0]


EDGES = {
    "the last bar × 100": (range(579, 580), 100.0),
    "the first bar × 100": (range(1), 100.0),
    "the last three bars × 0.01": (range(577, 580), 0.01),
    "the last bar 1e10": (range(579, 580), 1e10 / 180),
    "the first forty bars × 4": (range(40), 4.0),
    "the last forty bars × 0.25": (range(540, 580), 0.25),
    "the last bar × 3.5": (range(579, 580), 3.5),
}
each_edge = pytest.mark.parametrize(("wrong", "factor"), EDGES.values(), ids=EDGES)


def untraded() -> Frame:
    """Bars of a market of ordinary days, whose volume says nothing."""
    return BARS.with_columns(volume_shares=pl.lit(5e6))


@each_edge
@pytest.mark.parametrize("volume", [1.0, 2.0])
def test_a_leap_at_an_edge_of_the_first_file_waits_and_the_rest_is_published(wrong: range, factor: float, volume: float) -> None:
    bars = untraded().with_columns(pl.col("volume_shares") * volume)
    bad = spoilt(printed(bars[:580]), wrong, factor)
    found, verdicts, prices = verdicts_of(bad)
    assert found == ["first"]
    assert verdicts["unproven_dates"].to_list() == [",".join(str(SESSIONS[position]) for position in wrong)]
    assert f"finlake prices accept {sha256_of('file 0')[:12]} --ticker TEST" in verdicts["message"][0]
    good = printed(bars[:580])
    assert shows(prices, good.filter(~pl.int_range(pl.len()).is_in(list(wrong))))
    _, rejected = published(download(bad, 0, "file 0"), verdicts)
    assert rejected.select("reason", "day_date").rows() == [("unproven_leap", SESSIONS[position]) for position in wrong]
    assert "until another download says the same" in rejected["message"][0]
    assert f"finlake prices accept {sha256_of('file 0')[:12]} --ticker TEST" in rejected["message"][0]


@each_edge
@pytest.mark.parametrize("step", [1.0, 0.99, 0.5])
def test_a_leap_at_an_edge_is_proven_by_the_next_download_that_repeats_it_and_ended_by_one_that_does_not(
    wrong: range, factor: float, step: float
) -> None:
    events = () if step == 1 else ((600, step),)
    bad = spoilt(printed(untraded()[:580]), wrong, factor)
    level = untraded().height if wrong.stop == 580 else wrong.stop
    true = spoilt(printed(untraded()[:590], *events), range(wrong.start, level), factor)
    _, verdicts, prices = verdicts_of(bad, true)
    assert shows(prices, true)
    assert not prices["is_contested"].any()
    assert verdicts["unproven_dates"][-1] is None
    assert verdicts["recompute_from_date"][-1] == SESSIONS[wrong.start if step == 1 else 0]
    good = printed(untraded()[:590], *events)
    found, verdicts, prices = verdicts_of(bad, good)
    assert found[-1] in ("consistent", "restated")
    assert shows(prices, good)
    assert verdicts["recompute_from_date"][-1] == SESSIONS[wrong.start if step == 1 else 0]


def test_a_leap_that_a_later_file_repeats_and_takes_back_waits_alone_and_the_rest_goes_on() -> None:
    files = [spoilt(printed(untraded()[:until]), range(577, 580), 100.0) for until in (580, 585, 590)]
    found, verdicts, prices = verdicts_of(*files)
    assert found == ["first", "consistent", "consistent"]
    assert verdicts["unproven_dates"].to_list() == [",".join(map(str, SESSIONS[577:580]))] * 3
    good = printed(untraded()[:590])
    assert shows(prices, pl.concat([good[:577], good[580:]]))
    _, _, healed = verdicts_of(*files, printed(untraded()[:595]))
    assert shows(healed, printed(untraded()[:595]))


def test_what_a_second_file_says_otherwise_of_a_leap_waits_again_with_what_follows() -> None:
    files = [spoilt(printed(untraded()[:until]), range(579, until), factor) for until, factor in ((580, 8.0), (583, 12.0))]
    _, verdicts, prices = verdicts_of(*files)
    assert verdicts["unproven_dates"][-1] == ",".join(map(str, SESSIONS[579:583]))
    assert shows(prices, printed(untraded()[:579]))
    again = spoilt(printed(untraded()[:588]), range(579, 588), 12.0)
    _, _, proven = verdicts_of(*files, again)
    assert shows(proven, again)


def test_a_reverse_split_that_the_vendor_applies_later_is_published_whenever_it_is_applied() -> None:
    quoted = as_quoted(BARS, (576, 10.0))
    for files in ([quoted[:580], printed(BARS)], [quoted[:580], quoted[:590], printed(BARS)]):
        found, _, prices = verdicts_of(*files)
        assert found[-1] in ("consistent", "restated")
        assert shows(prices, printed(BARS))


@pytest.mark.parametrize("position", [1, 570, 579])
def test_a_leap_that_was_traded_is_published_at_once(position: int) -> None:
    bars = spoilt(printed(untraded()[:580]), range(position, 580), 3.5).with_columns(
        volume_shares=pl.when(pl.int_range(pl.len()) == position).then(8e7).otherwise(5e6)
    )
    _, verdicts, prices = verdicts_of(bars)
    assert verdicts["unproven_dates"].to_list() == [None]
    assert shows(prices, bars)


def test_history_that_a_later_file_adds_before_the_known_bars_waits_where_it_leaps() -> None:
    bad = spoilt(printed(untraded()[:590]), range(2), 100.0)
    _, verdicts, prices = verdicts_of(printed(untraded()[300:580]), bad)
    assert verdicts["unproven_dates"].to_list() == [None, ",".join(map(str, SESSIONS[:2]))]
    assert shows(prices, printed(untraded()[:590])[2:])
    _, _, proven = verdicts_of(printed(untraded()[300:580]), bad, spoilt(printed(untraded()[:595]), range(2), 100.0))
    assert shows(proven, spoilt(printed(untraded()[:595]), range(2), 100.0))


@pytest.mark.parametrize("factor", [11.0, 100.0, 0.01])
def test_a_new_last_bar_that_leaps_tenfold_is_not_published_whatever_was_traded(factor: float) -> None:
    bad = spoilt(printed(untraded()[:590]), range(589, 590), factor).with_columns(
        volume_shares=pl.when(pl.int_range(pl.len()) == 589).then(1e9).otherwise(5e6)
    )
    found, _, prices = verdicts_of(printed(untraded()[:580]), bad)
    assert found == ["first", "rejected"]
    assert shows(prices, printed(untraded()[:580]))


def test_a_first_file_that_a_person_accepts_is_published_with_its_leap() -> None:
    bad = spoilt(printed(untraded()[:580]), range(579, 580), 100.0)
    found, verdicts, prices = verdicts_of(bad, decisions=decided("file 0", "accept"))
    assert (found, verdicts["unproven_dates"].to_list()) == (["first"], [None])
    assert shows(prices, bad)


@pytest.mark.parametrize("position", [5, 39, 561, 590])
@pytest.mark.parametrize("factor", [0.1, 0.25, 4.0])
def test_a_split_near_an_edge_that_is_applied_late_is_published_as_it_was_applied(position: int, factor: float) -> None:
    found, _, prices = verdicts_of(as_quoted(BARS, (position, factor)), printed(BARS))
    assert found[-1] in ("consistent", "restated")
    assert shows(prices, printed(BARS))


def edged() -> list[Frame]:
    """Downloads with leaps at their edges, repeated, taken back, corrected, and history added before the known bars."""
    bars = untraded()
    return [
        download(spoilt(printed(bars[100:560]), range(459, 460), 100.0), 0, "last bar"),
        download(spoilt(printed(bars[100:570]), range(459, 460), 100.0), 1, "taken back"),
        download(spoilt(printed(bars[:575]), range(3), 0.01), 2, "history before"),
        download(spoilt(printed(bars[:580]), range(3), 0.01)[:300], 3, "history again"),
        download(printed(bars[:585], (583, 0.99)), 4, "corrected"),
        download(printed(bars, (583, 0.99)), 5, "good"),
    ]


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)), cuts=st.sets(st.integers(1, 5), max_size=4), count=st.integers(1, 6))
def test_leaps_at_edges_have_the_same_bits_whatever_arrives_first(order: list[int], cuts: set[int], count: int) -> None:
    downloads, verdicts = edged(), NONE_YET
    order = [index for index in order if index < count]
    for until in [*sorted(cut for cut in cuts if cut < count), count]:
        verdicts = price_restatements.judge_all(pl.concat([downloads[index] for index in order[:until]]), verdicts, SESSIONS)
    at_once = price_restatements.judge_all(pl.concat(downloads[:count]), NONE_YET, SESSIONS)
    assert verdicts.equals(at_once)
    bars = pl.concat([downloads[index] for index in order])
    for shown, wanted in zip(published(bars, verdicts), published(pl.concat(downloads[:count]), at_once), strict=True):
        assert shown.equals(wanted)
    known = known_after(downloads[:count], at_once)
    assert published(bars, verdicts)[0].select("session_date", *BAR_COLUMNS).equals(known.bars)
    if count == 6:
        assert shows(published(bars, verdicts)[0], downloads[-1])


def known_after(downloads: Sequence[Frame], verdicts: Frame) -> price_votes.Known:
    """What is known once all downloads, in the order in which they are judged, have their verdicts."""
    known = price_votes.NOTHING
    for (fetched_ts, sha256, name, span), bars in zip(price_restatements.files_of(pl.concat(downloads)), downloads, strict=True):
        file = price_votes.Download(
            ticker="TEST",
            file_sha256=sha256,
            fetched_ts=fetched_ts,
            source_name=name,
            span=span,
            bars=bars.select("session_date", *BAR_COLUMNS),
        )
        known = known_prices.learnt(known, file, verdicts.filter(file_sha256=sha256))
    return known


@pytest.mark.parametrize("count", range(1, 7))
def test_of_leaps_at_edges_the_rows_of_the_new_downloads_dates_suffice(count: int) -> None:
    assert_newest_dates_suffice(pl.concat(edged()[:count]))
