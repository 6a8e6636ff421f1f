"""Daily news: dense, per distinct story, the same bits however the range is cut."""

import itertools
import math
import random
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.gold import NEWS_DAILY
from spark.schemas import arrow_schema
from spark.transforms.gold.news_daily import compute

SESSIONS = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
FIRST = SESSIONS[20]
TICKERS = ("IBM", "AAPL")
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "gkg_record_id": pl.String,
    "ticker": pl.String,
    "session_date": pl.Date,
    "tone": pl.Float64,
    "themes": pl.List(pl.String),
    "syndication_group": pl.String,
    "is_stock_bot": pl.Boolean,
}
SERIALS = itertools.count()
Mention = tuple[str, str, date, float, list[str], str, bool]


def mention(
    session: date,
    tone: float,
    *,
    ticker: str = "IBM",
    story: str | None = None,
    themes: tuple[str, ...] = (),
    is_stock_bot: bool = False,
) -> Mention:
    record_id = f"{session:%Y%m%d}000000-{next(SERIALS)}"
    return (record_id, ticker, session, tone, list(themes), story or record_id, is_stock_bot)


def frame(*mentions: Mention) -> pl.DataFrame:
    return pl.DataFrame(list(mentions), schema=SCHEMA, orient="row")


def daily(*mentions: Mention, sessions: list[date] = SESSIONS, first: date = FIRST) -> pl.DataFrame:
    return compute(frame(*mentions), TICKERS, sessions, first)


def row(rows: pl.DataFrame, session: date, ticker: str = "IBM") -> dict[str, object]:
    [found] = rows.filter((pl.col("session_date") == session) & (pl.col("ticker") == ticker)).to_dicts()
    return found


def bits(rows: pl.DataFrame) -> list[tuple[object, ...]]:
    """Rows with floats as hexadecimal text, so that equality means the same bits."""
    return [tuple(value.hex() if isinstance(value, float) else value for value in values) for values in rows.iter_rows()]


def test_there_is_a_row_for_every_ticker_and_session_of_the_window_in_contract_order() -> None:
    rows = daily()
    assert rows.select("ticker", "session_date").rows() == [(ticker, day) for ticker in sorted(TICKERS) for day in SESSIONS[20:]]
    assert rows.schema == pl.DataFrame(arrow_schema(NEWS_DAILY).empty_table()).schema
    assert row(rows, FIRST) == {
        "ticker": "IBM",
        "session_date": FIRST,
        "article_count": 0,
        "distinct_story_count": 0,
        "stock_bot_count": 0,
        "tone_mean": None,
        "tone_sd": None,
        "tone_min": None,
        "tone_max": None,
        "earnings_count": 0,
        "stock_market_count": 0,
        "legal_count": 0,
        "layoff_count": 0,
        "cyber_count": 0,
        "tone_decayed": 0.0,
        "sentiment_sum": 0.0,
        "sentiment_avg": 0.0,
        "polarity_ratio": 0.5,
    }


def test_a_syndicated_story_weighs_once_with_the_mean_tone_of_its_copies() -> None:
    found = row(
        daily(
            mention(FIRST, 4, story="a"),
            mention(FIRST, 2, story="a"),
            mention(FIRST, -3, story="b"),
            mention(FIRST, 0.5),
        ),
        FIRST,
    )
    assert (found["article_count"], found["distinct_story_count"]) == (4, 3)
    assert (found["tone_min"], found["tone_max"]) == (-3.0, 3.0)
    assert found["tone_mean"] == pytest.approx(0.5 / 3)
    assert found["tone_sd"] == pytest.approx(math.sqrt(((3 - 0.5 / 3) ** 2 + (-3 - 0.5 / 3) ** 2 + (0.5 - 0.5 / 3) ** 2) / 2))
    assert (found["sentiment_sum"], found["sentiment_avg"], found["polarity_ratio"]) == (0.0, 0.0, 0.5)


def test_sentiment_counts_stories_beyond_one_percent_in_either_direction() -> None:
    found = row(daily(*(mention(FIRST, tone) for tone in (1.0, 1.01, 5, 2, -1.0, -1.01))), FIRST)
    assert (found["sentiment_sum"], found["polarity_ratio"]) == (2.0, 0.75)
    assert found["sentiment_avg"] == pytest.approx(2 / 6)


def test_one_story_has_a_mean_and_no_deviation() -> None:
    found = row(daily(mention(FIRST, 2)), FIRST)
    assert (found["tone_mean"], found["tone_sd"]) == (2.0, None)


def test_stock_bot_articles_are_counted_and_otherwise_ignored() -> None:
    bot = mention(FIRST, 9, story="a", themes=("ECON_STOCKMARKET",), is_stock_bot=True)
    found = row(daily(bot, mention(FIRST, -2, story="a")), FIRST)
    assert (found["article_count"], found["stock_bot_count"], found["distinct_story_count"]) == (2, 1, 1)
    assert (found["tone_mean"], found["stock_market_count"]) == (-2.0, 0)
    alone = row(daily(bot), FIRST)
    assert (alone["article_count"], alone["distinct_story_count"], alone["tone_mean"], alone["tone_decayed"]) == (
        1,
        0,
        None,
        0.0,
    )


def test_themes_are_counted_once_per_story_whichever_copy_has_them() -> None:
    found = row(
        daily(
            mention(FIRST, 0, story="a", themes=("TRIAL", "LEGISLATION")),
            mention(FIRST, 0, story="a", themes=("STRIKE", "ECON_EARNINGSREPORT")),
            mention(FIRST, 0, themes=("WB_2024_ANTI_CORRUPTION_AUTHORITIES", "UNEMPLOYMENT")),
            mention(FIRST, 0, themes=("CYBER_ATTACK", "TRIALS")),
        ),
        FIRST,
    )
    assert [found[f"{name}_count"] for name in ("earnings", "stock_market", "legal", "layoff", "cyber")] == [
        1,
        0,
        2,
        2,
        1,
    ]


def test_decayed_tone_halves_the_weight_of_a_story_every_three_sessions() -> None:
    past, now = SESSIONS[22], SESSIONS[25]
    found = row(daily(mention(past, 4), mention(past, 2), mention(now, -3)), now)
    assert found["tone_decayed"] == pytest.approx((0.5 * 2 * 3 + 1 * 1 * -3) / (0.5 * 2 + 1))


def test_decayed_tone_looks_back_on_exactly_twenty_sessions() -> None:
    rows = daily(mention(SESSIONS[21], 4))
    assert row(rows, SESSIONS[20])["tone_decayed"] == 0.0
    assert row(rows, SESSIONS[40])["tone_decayed"] == 4.0
    assert row(rows, SESSIONS[41])["tone_decayed"] == 0.0


def test_the_first_row_of_a_window_uses_the_sessions_before_it() -> None:
    assert row(daily(mention(SESSIONS[19], 4)), FIRST)["tone_decayed"] == 4.0


def test_a_window_without_enough_sessions_before_it_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the 19 sessions before it, was given 18"):
        daily(sessions=SESSIONS[2:])
    assert daily(sessions=SESSIONS[1:]).height == 80


def test_other_tickers_and_other_sessions_are_ignored() -> None:
    rows = daily(
        mention(FIRST, 5, ticker="MSFT"),
        mention(SESSIONS[0] - timedelta(days=1), 5),
        mention(SESSIONS[-1] + timedelta(days=1), 5),
    )
    assert rows.equals(daily())


def test_the_order_of_many_tones_changes_no_bit() -> None:
    chance = random.Random(7)
    many = [mention(FIRST, chance.uniform(-9, 9), story=chance.choice(["a", "b", None])) for _ in range(300)]
    expected = bits(daily(*many))
    for _ in range(5):
        chance.shuffle(many)
        assert bits(daily(*many)) == expected


MENTIONS = st.lists(
    st.builds(
        mention,
        st.sampled_from(SESSIONS),
        st.floats(-30, 30),
        ticker=st.sampled_from(TICKERS),
        story=st.sampled_from(["a", "b", "c", None]),
        themes=st.lists(st.sampled_from(["TRIAL", "STRIKE", "X"]), max_size=2).map(tuple),
        is_stock_bot=st.booleans(),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=40)
@given(mentions=MENTIONS, at=st.integers(20, 59))
def test_forgetting_what_came_after_a_session_changes_no_bit_up_to_it(mentions: list[Mention], at: int) -> None:
    known = [one for one in mentions if one[2] <= SESSIONS[at]]
    up_to = pl.col("session_date") <= SESSIONS[at]
    assert bits(daily(*known).filter(up_to)) == bits(daily(*mentions).filter(up_to))


@settings(deadline=None, max_examples=40)
@given(mentions=MENTIONS, cuts=st.sets(st.integers(21, 59), max_size=4), seed=st.integers(0, 99))
def test_any_cut_of_the_range_and_any_order_of_the_mentions_gives_the_same_bits(
    mentions: list[Mention], cuts: set[int], seed: int
) -> None:
    bounds = [20, *sorted(cuts), 60]
    pieces = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        shuffled = random.Random(seed).sample(mentions, len(mentions))
        pieces.append(compute(frame(*shuffled), TICKERS[::-1], SESSIONS[start - 19 : end], SESSIONS[start]))
    assert bits(pl.concat(pieces).sort("ticker", "session_date")) == bits(daily(*mentions))
