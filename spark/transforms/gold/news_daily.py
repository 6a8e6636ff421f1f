"""News volume, tone and themes per ticker and session, dense: a row of zeros where nothing was written.

Sums are `math.fsum`, which is exact before its one rounding: a value does not depend on the order of its terms, so any
cut of the range and any order of the mentions give bit-equal rows.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from spark.contracts.gold import NEWS_DAILY
from spark.transforms.polars_schema import polars_schema

DECAY_SESSIONS = 20
HALF_LIFE_SESSIONS = 3
TONE_THRESHOLD = 1.0

_THEMES: dict[str, frozenset[str]] = {
    "earnings_count": frozenset({"ECON_EARNINGSREPORT"}),
    "stock_market_count": frozenset({"ECON_STOCKMARKET"}),
    "legal_count": frozenset({"TRIAL", "LEGISLATION", "WB_2024_ANTI_CORRUPTION_AUTHORITIES"}),
    "layoff_count": frozenset({"UNEMPLOYMENT", "STRIKE"}),
    "cyber_count": frozenset({"CYBER_ATTACK"}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Story:
    """An article and its syndicated copies within a session: mean tone, union of themes."""

    tone: float
    themes: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Day:
    """One ticker's news of one session."""

    article_count: int
    stock_bot_count: int
    stories: tuple[_Story, ...]


_NO_NEWS = _Day(article_count=0, stock_bot_count=0, stories=())


def compute(mentions: pl.DataFrame, tickers: Iterable[str], sessions: Sequence[date], first_date: date) -> pl.DataFrame:
    """Rows of gold.news_daily for every ticker and every one of `sessions` from `first_date` on, in contract order.

    `sessions` are ascending and hold, before the window, at least the 19 sessions that the decayed tone of its first
    row looks back on; `mentions` are the rows of silver.news_mentions of all of them (others are ignored). Stories
    exclude stock-bot articles: `article_count` and `stock_bot_count` are the only columns that count those.

    Raises `ValueError` when fewer preceding sessions are given, because the rows would then depend on the cut.
    """
    before = sum(session < first_date for session in sessions)
    if before < DECAY_SESSIONS - 1:
        raise ValueError(
            f"news_daily from {first_date} on needs the {DECAY_SESSIONS - 1} sessions before it, was given {before}; "
            "take the preceding sessions from the calendar, whether or not there is news of them"
        )
    days = _days(mentions, sessions[0])
    rows = [
        _row(ticker, session, [days.get((ticker, past), _NO_NEWS) for past in sessions[at - DECAY_SESSIONS + 1 : at + 1]])
        for ticker in sorted(set(tickers))
        for at, session in enumerate(sessions)
        if session >= first_date
    ]
    return pl.DataFrame(rows, schema=polars_schema(NEWS_DAILY), orient="row")


def _days(mentions: pl.DataFrame, first_session: date) -> dict[tuple[str, date], _Day]:
    """Mentions gathered to stories and days."""
    key = ["ticker", "session_date"]
    recent = mentions.filter(pl.col("session_date") >= first_session)
    stories: dict[tuple[str, date], list[_Story]] = {}
    copies = recent.filter(~pl.col("is_stock_bot")).group_by(*key, "syndication_group").agg("tone", "themes")
    for ticker, session, _, tones, themes in copies.iter_rows():
        stories.setdefault((ticker, session), []).append(_Story(tone=_mean(tones), themes=frozenset().union(*themes)))
    counts = recent.group_by(key).agg(pl.len().alias("articles"), pl.col("is_stock_bot").sum().alias("bots"))
    return {
        (ticker, session): _Day(article_count=articles, stock_bot_count=bots, stories=tuple(stories.get((ticker, session), ())))
        for ticker, session, articles, bots in counts.iter_rows()
    }


def _row(ticker: str, session: date, window: Sequence[_Day]) -> dict[str, object]:
    """One row; `window` holds the last `DECAY_SESSIONS` sessions, the row's own last."""
    today = window[-1]
    tones = [story.tone for story in today.stories]
    positive = sum(tone > TONE_THRESHOLD for tone in tones)
    negative = sum(tone < -TONE_THRESHOLD for tone in tones)
    sentiment_sum = float(positive - negative)
    return {
        "ticker": ticker,
        "session_date": session,
        "article_count": today.article_count,
        "distinct_story_count": len(tones),
        "stock_bot_count": today.stock_bot_count,
        "tone_mean": _mean(tones) if tones else None,
        "tone_sd": _sample_sd(tones),
        "tone_min": min(tones, default=None),
        "tone_max": max(tones, default=None),
        **{name: sum(not story.themes.isdisjoint(themes) for story in today.stories) for name, themes in _THEMES.items()},
        "tone_decayed": _decayed(window),
        "sentiment_sum": sentiment_sum,
        "sentiment_avg": sentiment_sum / len(tones) if tones else 0.0,
        "polarity_ratio": positive / (positive + negative) if positive + negative else 0.5,
    }


def _decayed(window: Sequence[_Day]) -> float:
    """Mean of the sessions' tones, weighted by 0.5^(age / 3) and number of stories; 0 without a story."""
    weights = [
        (0.5 ** (age / HALF_LIFE_SESSIONS) * len(day.stories), day) for age, day in enumerate(reversed(window)) if day.stories
    ]
    if not weights:
        return 0.0
    weighted = math.fsum(weight * _mean([story.tone for story in day.stories]) for weight, day in weights)
    return weighted / math.fsum(weight for weight, _ in weights)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _sample_sd(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; None below two values."""
    if len(values) < 2:
        return None
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
