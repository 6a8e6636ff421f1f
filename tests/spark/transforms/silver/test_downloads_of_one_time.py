"""Of downloads of one time the one that knows more sessions is the newer, whatever they are named and whenever they came."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.bronze import BAR_COLUMNS, STOOQ_PRICES
from spark.contracts.silver import PRICE_RESTATEMENTS
from spark.transforms.polars_schema import conform, polars_schema
from spark.transforms.silver.price_restatements import judge_all
from spark.transforms.silver.prices_daily import choose, exceptions

SESSIONS = [day for day in (date(2024, 1, 1) + timedelta(days=n) for n in range(60)) if day.weekday() < 5]
FETCHED_TS = datetime(2024, 6, 1, tzinfo=UTC)
NONE_YET = pl.DataFrame(schema=polars_schema(PRICE_RESTATEMENTS))
LENGTHS = st.lists(st.integers(20, len(SESSIONS)), min_size=2, max_size=4, unique=True)


def history() -> pl.DataFrame:
    """Bars in dollars and shares, as traded."""
    random = np.random.default_rng(5)
    close = (100 * np.exp(np.cumsum(random.normal(0, 0.01, len(SESSIONS))))).round(2)
    return pl.DataFrame(
        {
            "session_date": SESSIONS,
            "open_usd": close,
            "high_usd": (close * 1.01).round(2),
            "low_usd": (close * 0.99).round(2),
            "close_usd": (close * 1.005).round(2),
            "volume_shares": np.floor(random.uniform(1e6, 2e6, len(SESSIONS))),
        }
    )


BARS = history()


def downloaded(length: int, file_sha256: str) -> pl.DataFrame:
    """A file of the first sessions; its last bar was not finished, so that the next file says another one."""
    is_last = pl.int_range(pl.len()) == length - 1
    rows = BARS[:length].with_columns(
        high_usd=pl.when(is_last).then(pl.col("open_usd") * 1.002).otherwise("high_usd"),
        low_usd=pl.when(is_last).then(pl.col("open_usd") * 0.998).otherwise("low_usd"),
        close_usd=pl.when(is_last).then("open_usd").otherwise("close_usd"),
        volume_shares=pl.when(is_last).then(pl.col("volume_shares") / 3).otherwise("volume_shares"),
        file_sha256=pl.lit(file_sha256),
        ticker=pl.lit("TEST"),
        fetched_ts=pl.lit(FETCHED_TS),
        line_number=pl.int_range(2, pl.len() + 2),
    )
    return conform(rows, STOOQ_PRICES)


def published(downloads: pl.DataFrame, verdicts: pl.DataFrame, ledger: pl.DataFrame | None = None) -> pl.DataFrame:
    """The bars of silver.prices_daily, without the file that said them."""
    return choose(downloads, verdicts, SESSIONS, exceptions(verdicts), ledger)[0].select("session_date", *BAR_COLUMNS)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data(), LENGTHS)
def test_the_download_that_goes_furthest_wins_whatever_its_hash_and_whenever_it_came(
    data: st.DataObject,
    lengths: list[int],
) -> None:
    hashes = data.draw(st.permutations([f"{number:x}" * 64 for number in range(len(lengths))]))
    files = [downloaded(length, sha256) for length, sha256 in zip(lengths, hashes, strict=True)]
    verdicts = NONE_YET
    for count in sorted(data.draw(st.sets(st.integers(1, len(files)))) | {len(files)}):
        # One run for those that had arrived by then.
        verdicts = judge_all(pl.concat(files[:count]), verdicts, SESSIONS)
    assert verdicts.equals(judge_all(pl.concat(data.draw(st.permutations(files))), NONE_YET, SESSIONS))

    assert verdicts["file_sha256"].unique(maintain_order=True).to_list() == [
        sha256 for _, sha256 in sorted(zip(lengths, hashes, strict=True))
    ]

    furthest = max(files, key=lambda file: file.height)
    for rows in (pl.concat(files), pl.concat(data.draw(st.permutations(files)))):
        assert published(rows, verdicts).equals(furthest.select("session_date", *BAR_COLUMNS))
    # A window of a run reads a part of the rows, knows the ends from the ledger and chooses as the whole does.
    ledger = pl.DataFrame(
        {
            "ticker": "TEST",
            "file_sha256": list(hashes),
            "last_session_date": [SESSIONS[length - 1] for length in lengths],
            "source_name": "test_us_d.csv",
        }
    )
    window = [SESSIONS[min(lengths) - 1]]
    part = published(pl.concat(files).filter(pl.col("session_date").is_in(window)), verdicts, ledger)
    assert part.equals(furthest.filter(pl.col("session_date").is_in(window)).select("session_date", *BAR_COLUMNS))


def test_a_withdrawn_download_of_the_same_time_has_the_others_judged_again() -> None:
    short, long = downloaded(20, "f" * 64), downloaded(30, "0" * 64)
    both = judge_all(pl.concat([short, long]), NONE_YET, SESSIONS)
    for left in (short, long):
        assert judge_all(left, both, SESSIONS).equals(judge_all(left, NONE_YET, SESSIONS))
