"""What the rule says of pairs and sequences, and in how many of them wrong prices would be published."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from finlake_proofs.restated_prices.pairs import Kind, Pair, pair
from spark.transforms.silver.adjustments import PRICES, factor_intervals
from spark.transforms.silver.known_prices import learnt
from spark.transforms.silver.price_verdicts import judge
from spark.transforms.silver.price_votes import NOTHING, Download, Known

PAIRS = 12


@dataclass(kw_only=True)
class Outcome:
    """Verdicts of a kind's pairs, and in how many of them a wrong value would be published."""

    verdicts: Counter[str] = field(default_factory=Counter)
    wrong: int = 0


def outcome(kind: Kind, pairs: int = PAIRS, first_seed: int = 0) -> Outcome:
    """What the rule says of pairs of a kind."""
    found = Outcome()
    for seed in range(first_seed, first_seed + pairs):
        made = pair(kind, seed)
        first, second = _download(made.older, "a", 0), _download(made.newer, "b", 1)
        known = learnt(NOTHING, first, judge(NOTHING, first))
        verdict = judge(known, second)
        found.verdicts[verdict["verdict"][0]] += 1
        found.wrong += _is_wrong(known, learnt(known, second, verdict), made)
    return found


def healed(kind: Kind, sequences: int = PAIRS) -> list[int]:
    """In how many sequences wrong prices are published after a faulty download, and after each of two good ones that follow.

    The older download of the kind's pairs is followed by one whose new bars are faulty, and by two good ones of more bars.
    """
    wrong = [0, 0, 0]
    for seed in range(sequences):
        made = pair(replace(kind, change=None), seed)
        random = np.random.default_rng(seed)
        known_count, new_count = made.older.height, made.newer.height - made.older.height
        ends = [known_count + new_count * part // 4 for part in (2, 3, 4)]
        # Events lie in the last quarter only where the kind has them: what is before it is printed as it was.
        before = pl.concat([made.older, made.quoted[known_count:]])
        faulty = before[: ends[0]] if kind.change is None else kind.change(before[: ends[0]], known_count, random)
        files = [made.older, faulty, before[: ends[1]], made.newer]
        known = NOTHING
        for number, bars in enumerate(files):
            download = _download(bars, "abcd"[number], number)
            known = learnt(known, download, judge(known, download))
            if number:
                # The last file's level is the truth for all where the file was used.
                right = files[3] if number == 3 else before
                wrong[number - 1] += _differs(known.bars, right)
    return wrong


def _differs(shown: pl.DataFrame, right: pl.DataFrame) -> bool:
    both = shown.join(right, on="session_date", suffix="_right")
    lowest, highest = factor_intervals(
        both.select(f"{name}_right" for name in PRICES).to_numpy(), both.select(PRICES).to_numpy(), 10.0
    )
    return bool(np.any((lowest > 1) | (highest < 1)))


def _is_wrong(before: Known, after: Known, made: Pair) -> bool:
    """Whether a used file leads to a value that is not the true one; bars in dispute may also have the known value, moved."""
    if after.bars is before.bars:
        return False
    both = after.bars.join(made.truth, on="session_date", suffix="_true").filter(
        pl.col("session_date") <= made.older["session_date"][-1]
    )
    shown, true = both.select(PRICES).to_numpy(), both.select(f"{name}_true" for name in PRICES).to_numpy()
    lowest, highest = factor_intervals(true, shown, 10.0)
    in_dispute = both["session_date"].is_in(list(after.disputed)).to_numpy()
    return bool(np.any(((lowest > 1) | (highest < 1)) & ~(in_dispute & (not made.is_fault))))


def _download(bars: pl.DataFrame, name: str, days: int) -> Download:
    return Download(
        ticker="SYN",
        file_sha256=name * 64,
        source_name=f"{name}_us_d.csv",
        fetched_ts=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days),
        span=(bars["session_date"][0], bars["session_date"][-1]),
        bars=bars,
    )
