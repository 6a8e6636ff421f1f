"""`python -m deploy.restated_prices`: pairs of downloads made by the vendor's rule, and docs/restatements.md of their verdicts.

The vendor's rule: each split or dividend multiplies the prices *already printed* before its ex-date and prints them again,
with six significant digits or four decimals. Everything is seeded; `--check` only compares, and takes as long.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import VERDICTS
from spark.transforms.silver.adjustments import PRICES, factor_intervals
from spark.transforms.silver.price_restatements import NOTHING, Download, Known, judge, learnt

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "restatements.md"
PAIRS = 12
QUARTER = 63
Event = tuple[int, float]
Fault = Callable[[pl.DataFrame, int, np.random.Generator], pl.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """How a vendor prints: digits of prices, and whether dividends scale volume (splits always do)."""

    digits: str = "six"
    scales_volume: bool = True

    def printed(self, prices: np.ndarray) -> np.ndarray:
        """Prices as the file has them."""
        form = "{:.6g}" if self.digits == "six" else "{:.4f}"
        return np.array([float(form.format(price)) for price in prices.ravel()]).reshape(prices.shape)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of pair. `gap` sessions lie between the downloads; events count sessions from the older one's end.

    `neighbours` are factors applied late on sessions of the older file that follow one another; None is some dividend.
    """

    name: str
    is_fault: bool = False
    span: tuple[int, int] = (250, 2_000)
    level: tuple[float, float] = (5.0, 500.0)
    gap: tuple[int, int] = (5, 60)
    dividends: tuple[int, int] = (0, 0)
    late_dividends: tuple[int, int] = (0, 0)
    others: tuple[float, ...] = ()
    neighbours: tuple[float | None, ...] = ()
    change: Fault | None = None
    is_sequence: bool = False
    vendors: tuple[Vendor, ...] = (Vendor(), Vendor(scales_volume=False), Vendor(digits="four"))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two downloads of one ticker, the newer one as it would be without its fault, and all bars as quoted on their days."""

    older: pl.DataFrame
    newer: pl.DataFrame
    truth: pl.DataFrame
    quoted: pl.DataFrame
    is_fault: bool


@dataclass(kw_only=True)
class Outcome:
    """Verdicts of a kind's pairs, and in how many of them a wrong value would be published."""

    verdicts: Counter[str] = field(default_factory=Counter)
    wrong: int = 0


@cache
def dates(count: int) -> tuple[date, ...]:
    """So many weekdays; which of them are sessions does not matter here."""
    start = date(1985, 1, 1)
    return tuple(day for day in (start + timedelta(days=n) for n in range(count * 7 // 5 + 7)) if day.weekday() < 5)[:count]


def pair(kind: Kind, seed: int) -> Pair:
    """A pair of a kind; the same for the same seed on every machine."""
    random = np.random.default_rng(seed)
    vendor = kind.vendors[seed % len(kind.vendors)]
    known_count, gap = int(random.integers(*kind.span, endpoint=True)), int(random.integers(*kind.gap, endpoint=True))
    count = int(random.integers(*kind.dividends, endpoint=True))
    late = int(random.integers(*kind.late_dividends, endpoint=True))
    gap = max(gap, count * QUARTER)
    between = sorted(random.choice(np.arange(gap * 3 // 4 if kind.is_sequence else 1, gap), count, replace=False).tolist())
    events = [(known_count + position, 1 - float(random.uniform(0.0005, 0.012))) for position in between]
    events += [(known_count + int(random.integers(1, gap)), factor) for factor in kind.others]
    unapplied = [(known_count - 5 - QUARTER * number, 1 - float(random.uniform(0.001, 0.012))) for number in range(late)]
    if kind.neighbours:
        first = int(random.integers(30, known_count - len(kind.neighbours) - 3))
        unapplied += [(first + number, factor or 1 - float(random.uniform(0.002, 0.012)))
                      for number, factor in enumerate(kind.neighbours)]
    splits = (*kind.others, *(factor for factor in kind.neighbours if factor is not None))
    level = float(np.exp(random.uniform(*np.log(kind.level))))
    bars = _as_traded(random, known_count + gap, level, splits, [*unapplied, *events], vendor)
    older = _frame(bars[:known_count])
    truth = newer = _frame(_adjusted(bars, [*unapplied, *events], vendor, splits))
    if kind.change is not None:
        newer = kind.change(newer, known_count, random)
    return Pair(older=older, newer=newer, truth=truth if kind.is_fault else newer, quoted=_frame(bars),
                is_fault=kind.is_fault)


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
        faulty = before[:ends[0]] if kind.change is None else kind.change(before[:ends[0]], known_count, random)
        files = [made.older, faulty, before[:ends[1]], made.newer]
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
        both.select(f"{name}_right" for name in PRICES).to_numpy(), both.select(PRICES).to_numpy(), 10.0)
    return bool(np.any((lowest > 1) | (highest < 1)))


def _is_wrong(before: Known, after: Known, made: Pair) -> bool:
    """Whether a used file leads to a value that is not the true one; bars in dispute may also have the known value, moved."""
    if after.bars is before.bars:
        return False
    both = after.bars.join(made.truth, on="session_date", suffix="_true").filter(
        pl.col("session_date") <= made.older["session_date"][-1])
    shown, true = both.select(PRICES).to_numpy(), both.select(f"{name}_true" for name in PRICES).to_numpy()
    lowest, highest = factor_intervals(true, shown, 10.0)
    in_dispute = both["session_date"].is_in(list(after.disputed)).to_numpy()
    return bool(np.any(((lowest > 1) | (highest < 1)) & ~(in_dispute & (not made.is_fault))))


def _as_traded(random: np.random.Generator, count: int, level: float, splits: Sequence[float], events: Sequence[Event],
               vendor: Vendor) -> np.ndarray:
    """Bars (n × 5) as quoted on their days: a split of the future has not touched them."""
    close = level * np.exp(np.cumsum(random.normal(0, 0.015, count)))
    close *= level / close[len(close) // 2]
    opened = close * np.exp(random.normal(0, 0.004, count))
    high = np.maximum(opened, close) * np.exp(np.abs(random.normal(0, 0.004, count)))
    low = np.minimum(opened, close) * np.exp(-np.abs(random.normal(0, 0.004, count)))
    volume = np.floor(np.exp(random.normal(14, 0.5, count)))
    for position, factor in events:
        if factor in splits:
            for prices in (opened, high, low, close):
                prices[:position] /= factor
            volume[:position] = np.floor(volume[:position] * factor)
    prices = np.stack([opened, high, low, close], axis=1)
    quoted = np.round(prices, 2) if level >= 1 else vendor.printed(prices)
    return np.column_stack([quoted, volume])


def _adjusted(bars: np.ndarray, events: Sequence[Event], vendor: Vendor, splits: Sequence[float]) -> np.ndarray:
    """The bars after the vendor applied each event, in the order of ex-dates, to what it had printed."""
    printed = bars.copy()
    for position, factor in sorted(events):
        printed[:position, :4] = vendor.printed(printed[:position, :4] * factor)
        if vendor.scales_volume or factor in splits:
            printed[:position, 4] = np.round(printed[:position, 4] / factor, 4)
    return printed


def _frame(bars: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"session_date": dates(len(bars)), **{
        name: bars[:, number] for number, name in enumerate(BAR_COLUMNS)}})


def _download(bars: pl.DataFrame, name: str, days: int) -> Download:
    return Download(ticker="SYN", file_sha256=name * 64, source_name=f"{name}_us_d.csv",
                    fetched_ts=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days),
                    span=(bars["session_date"][0], bars["session_date"][-1]), bars=bars)


def multiplied(positions: Sequence[int], factor: float, names: Sequence[str] = PRICES) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A change of the bars at these positions."""
    def change(bars: pl.DataFrame) -> pl.DataFrame:
        here = pl.int_range(pl.len()).is_in(list(positions))
        return bars.with_columns(pl.when(here).then(pl.col(name) * factor).otherwise(pl.col(name)) for name in names)
    return change


def _corrected(fewest: int, most: int) -> Fault:
    """The vendor corrects the high of some bars."""
    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        count = int(random.integers(fewest, most, endpoint=True))
        positions = random.choice(np.arange(2, known_count - 3, 4), count, replace=False).tolist()
        return multiplied(positions, float(random.uniform(1.005, 1.02)), ["high_usd"])(bars)
    return change


def _one_bar(factor: float, names: Sequence[str] = PRICES) -> Fault:
    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        return multiplied([int(random.integers(1, known_count - 2))], factor, names)(bars)
    return change


def _stretch(factor: float, count: int) -> Fault:
    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        first = (0, int(random.integers(1, known_count - count)), known_count - count)[int(random.integers(3))]
        return multiplied(range(first, first + count), factor)(bars)
    return change


def _missing(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    lost = int(random.integers(1, known_count - 2))
    return bars.filter(pl.int_range(pl.len()) != lost)


def _shifted(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    return bars.with_columns(pl.col(name).shift(1).fill_null(strategy="backward") for name in BAR_COLUMNS)


def _swapped(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    return bars.with_columns(open_usd=pl.col("close_usd"), close_usd=pl.col("open_usd"))


def _another_company(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    begin = int(random.integers(known_count // 4, known_count - 10))
    other = pair(KINDS[0], int(random.integers(1_000, 2_000))).newer.head(bars.height - begin)
    return pl.concat([bars[:begin], other.with_columns(bars["session_date"][begin:begin + other.height])])


def _unfinished(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    """Of the newer file's view, the older file's last bar was not over: the day went on by up to half a percent."""
    last = pl.int_range(pl.len()) == known_count - 1
    move = float(random.uniform(1.001, 1.005))
    return bars.with_columns(
        high_usd=pl.when(last).then(pl.max_horizontal("high_usd", pl.col("close_usd") * move)).otherwise("high_usd"),
        close_usd=pl.when(last).then(pl.col("close_usd") * move).otherwise("close_usd"),
        volume_shares=pl.when(last).then(pl.col("volume_shares") * 3).otherwise("volume_shares"))


def _new_bars(factor: float, where: str) -> Fault:
    """Some of the new bars at another price level: the first, one within, the last, three within, or all from the third on."""
    def change(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
        within = int(random.integers(known_count + 1, bars.height - 4))
        positions = {"the first": range(known_count, known_count + 1), "one within": range(within, within + 1),
                     "the last": range(bars.height - 1, bars.height), "three within": range(within, within + 3),
                     "all from the third on": range(known_count + 2, bars.height)}[where]
        return multiplied(positions, factor)(bars)
    return change


def _another_company_after(bars: pl.DataFrame, known_count: int, random: np.random.Generator) -> pl.DataFrame:
    other = pair(KINDS[0], int(random.integers(1_000, 2_000))).newer.head(bars.height - known_count)
    return pl.concat([bars[:known_count], other.with_columns(bars["session_date"][known_count:known_count + other.height])])


_SPLITS = (1 / 2, 1 / 3, 2 / 3, 1 / 4, 1 / 10, 1 / 20)

KINDS: tuple[Kind, ...] = (
    Kind(name="unchanged"),
    Kind(name="unchanged, 250 to 10,000 bars", span=(250, 10_000)),
    Kind(name="unchanged, last bar was unfinished", change=_unfinished),
    Kind(name="unchanged, one to two highs corrected", change=_corrected(1, 2)),
    Kind(name="unchanged, one bar missing", change=_missing),
    Kind(name="1 to 4 dividends", dividends=(1, 4)),
    Kind(name="5 to 15 dividends", dividends=(5, 15)),
    Kind(name="16 to 40 dividends", dividends=(16, 40)),
    Kind(name="1 to 4 dividends applied late", late_dividends=(1, 4)),
    Kind(name="dividends, 3,000 to 10,000 bars", span=(3_000, 10_000), dividends=(1, 8)),
    *(Kind(name=f"split {1 / factor:.3g}:1 and dividends", dividends=(0, 4), others=(factor,)) for factor in _SPLITS),
    Kind(name="two splits and 10 to 20 dividends", dividends=(10, 20), others=(0.25, 0.1), span=(500, 1_500)),
    Kind(name="reverse split 1:10", others=(10.0,)),
    Kind(name="special dividend of 30 %", others=(0.7,)),
    Kind(name="dividends of a penny stock", level=(0.05, 0.9), dividends=(1, 4), vendors=(Vendor(),)),
    Kind(name="dividends of 3 % below 0.1 USD", level=(0.02, 0.09), others=(0.97,), vendors=(Vendor(digits="four"),)),
    Kind(name="splits and dividends below 0.1 USD, four decimals", level=(0.02, 0.09), dividends=(0, 2), others=(0.5,),
         vendors=(Vendor(digits="four"),)),
    Kind(name="two late dividends on neighbouring days", neighbours=(None, None), level=(4.0, 60.0)),
    Kind(name="three late dividends on neighbouring days", neighbours=(None, None, None), level=(4.0, 60.0)),
    *(Kind(name=f"late split {1 / factor:.3g}:1, a late dividend the day after", neighbours=(factor, None), level=(4.0, 60.0))
      for factor in (1 / 2, 2 / 3, 1 / 10)),
    Kind(name="late dividend, a late split 2:1 the day after", neighbours=(None, 1 / 2), level=(4.0, 60.0)),
    Kind(name="4 late dividends of a share below 4 USD", late_dividends=(4, 4), level=(1.0, 4.0)),
    Kind(name="dividends at 400,000 USD", level=(300_000.0, 500_000.0), dividends=(1, 3)),
    Kind(name="dividends, one to two highs corrected", dividends=(1, 4), change=_corrected(1, 2)),
    Kind(name="dividends, one bar missing", dividends=(1, 4), change=_missing),
    Kind(name="dividends, last bar was unfinished", dividends=(1, 4), change=_unfinished),
    *(Kind(name=f"fault: one bar × {factor}", is_fault=True, change=_one_bar(factor), level=(50.0, 500.0))
      for factor in (1.0002, 1.001, 1.005, 1.02)),
    *(Kind(name=f"fault: one close × {factor}", is_fault=True, change=_one_bar(factor, ["close_usd"]))
      for factor in (1.0005, 1.002, 1.01)),
    Kind(name="fault: one bar × 1.005 in a restated file", is_fault=True, dividends=(1, 4), change=_one_bar(1.005),
         level=(50.0, 500.0)),
    *(Kind(name=f"fault: × {factor:g} over {count} bars", is_fault=True, change=_stretch(factor, count))
      for factor in (100.0, 0.01, 2.0, 0.5) for count in (1, 3, 20)),
    Kind(name="fault: × 100 over 3 bars in a restated file", is_fault=True, dividends=(1, 4), change=_stretch(100.0, 3)),
    Kind(name="fault: days shifted by one", is_fault=True, change=_shifted),
    Kind(name="fault: open and close swapped", is_fault=True, change=_swapped),
    Kind(name="fault: another company's bars from a date on", is_fault=True, change=_another_company),
)


# Above 20 USD: what two printed units hide of a cheaper share is no fault of a file.
SEQUENCES: tuple[Kind, ...] = tuple(
    Kind(name=f"{name}{', then a dividend' if dividends else ''}", is_fault=True, is_sequence=True, change=change,
         gap=(40, 120), level=(20.0, 500.0), dividends=(dividends, dividends), span=(250, 1_000))
    for dividends in (0, 1)
    for name, change in (
        *((f"{where} of the new bars × {factor:g}", _new_bars(factor, where))
          for where in ("the first", "one within", "the last", "three within", "all from the third on")
          for factor in (100.0, 2.0, 0.5, 1.2, 0.85)),
        ("another company's bars after the known ones", _another_company_after)))


def document() -> str:
    """docs/restatements.md."""
    outcomes = {kind.name: outcome(kind) for kind in KINDS}
    shown = [verdict for verdict in VERDICTS if any(each.verdicts[verdict] for each in outcomes.values())]
    rows = ["| pairs of | " + " | ".join(shown) + " | wrong value published |",
            "|---|" + "---:|" * (len(shown) + 1)]
    for name, found in outcomes.items():
        counts = " | ".join(str(found.verdicts[verdict] or "") for verdict in shown)
        rows.append(f"| {name} | {counts} | {found.wrong or ''} |")
    sequences = ["| faulty new bars | wrong after the faulty file | after one good file | after two |", "|---|---:|---:|---:|"]
    for kind in SEQUENCES:
        counts = " | ".join(str(count or "") for count in healed(kind))
        sequences.append(f"| {kind.name} | {counts} |")
    return "\n".join([_HEAD.format(pairs=PAIRS, kinds=len(KINDS), total=PAIRS * len(KINDS)), *rows,
                      _SEQUENCES_HEAD.format(sequences=PAIRS), *sequences, ""])


_HEAD = """# What becomes of a download

Written by `python -m deploy.restated_prices`; change the rule or the generator, not this file.

Every download of prices gets a verdict (`silver.price_restatements`). It follows from the ticker's downloads, in the order
of the time at which they were obtained, and from people's decisions (`silver.price_decisions`), never from the window of a
run. The limits and their reasons are in `spark/contracts/price_limits.py`.

| verdict | meaning | used |
|---|---|---|
| first | nothing was known | yes |
| consistent | equal to what is known, within the vendor's rounding | yes |
| restated | splits and dividends explain the change | yes |
| accepted | a person said so | yes |
| partial | restates, but lacks known sessions: the whole history is asked for | no |
| older | made before what is known | no |
| rejected | nothing explains the change | no |
| dropped | a person said so | no |

**Which value a bar in dispute has.** Of a used file a few bars (at most 0.5 %, or two, never three in a row nor the two
newest) may disagree with what is known. For each of them the known value stands, times the factor of its restatement; the
row is flagged `is_contested` and the file's own bar is in `silver.quarantine` (`disputed_bar`). The first later download
that says the same as the disputed bar decides for it. The last known bar is taken from the newer file at once when it is the
old one after more trading: same open, a range as wide or wider, more volume.

**Downloads are votes.** What only one download has ever said is not settled. A later one that agrees with the rest decides
at once when the known bars leap by × 1.8 or more on days of ordinary range and volume and its own do not. Else it is rejected
and remembered, and the next one that says the same decides with it; against bars that several used downloads have confirmed
it takes three. Such bars are flagged `is_contested` (`corrected_dates`). A statement that leaps so where the known bars do not
never prevails, however often it is made: that takes a person's `accept`.

**What cannot be told.** A whole history times 0.9 to 1 without a later session is a dividend to any reader; so is a last bar
that is lower than the rest by a dividend. In a file that was printed anew, a bar that is off by two printed units of both
files is rounding: of a 5 USD stock quoted in cents that is 0.8 %, of a 200 USD stock 0.02 %.

**When a ticker stands still.** The check `downloads_are_used` names the ticker, the file, the reason and the commands; a good
later download is taken by itself. `finlake prices verdicts [--ticker T] [--unused]` lists verdicts, `finlake prices
accept|drop|judge FILE_OR_HASH --ticker T --reason WHY` decides, and prints the run that shows it.

**Jumps.** A file whose sessions after the known ones leap by × 1.8 or more on a day of ordinary range and volume is rejected
until another download says the same; from × 3 on, always: another company's history, or a reverse split that the vendor has
not applied yet. The check
`no_unexplained_jump` looks at published prices before anything is computed from them: a stretch of at most 40 sessions that
leaps by × 1.8 or more and comes back, on days of ordinary range and volume, stops the run. Crashes and squeezes trade many
times the usual volume or range; splits are in the prices already.

## Verdicts on {total} pairs made by the vendor's rule

{kinds} kinds, {pairs} pairs each: 250 to 10,000 bars, prices of six digits and of four decimals, volume scaled by dividends
and not. For faults, a row is right when the file is rejected or when no wrong value is published.
"""


_SEQUENCES_HEAD = """
## What later downloads heal

{sequences} sequences of each kind: a good download, one whose new bars are faulty, and two good ones. A number is of how many
sequences wrong prices are published then.
"""


def main(arguments: list[str]) -> int:
    """Write the document, or with `--check` only compare; 1 when it is not current."""
    parser = argparse.ArgumentParser(prog="python -m deploy.restated_prices", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the document is not current")
    text = document()
    if parser.parse_args(arguments).check:
        is_current = DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == text
        print("current" if is_current else f"{DOCUMENT.name} is not current; run python -m deploy.restated_prices")
        return 0 if is_current else 1
    DOCUMENT.write_text(text, encoding="utf-8")
    print(f"{DOCUMENT.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
