"""`python -m finlake_proofs.restated_prices`: write docs/restatements.md; `--check` only compares, and takes as long."""

import argparse
import sys

from finlake_proofs.restated_prices.kinds import KINDS, SEQUENCES
from finlake_proofs.restated_prices.outcomes import PAIRS, healed, outcome
from finlake_settings.checkout import CHECKOUT
from spark.contracts.silver import VERDICTS

DOCUMENT = CHECKOUT / "docs" / "restatements.md"

_HEAD = """# What becomes of a download

Written by `python -m finlake_proofs.restated_prices`; change the rule or the generator, not this file.

Every download of prices gets a verdict (`silver.price_restatements`). It follows from the ticker's downloads, in the order
of the time at which they were obtained and, where that is one, of their last session, and from people's decisions
(`silver.price_decisions`), never from the window of a run. The limits and their reasons are in `spark/contracts/price_limits.py`.

| verdict | meaning | used |
|---|---|---|
| first | nothing was known | yes, but for leaps at its edges |
| consistent | equal to what is known, within the vendor's rounding | yes |
| restated | splits and dividends explain the change | yes |
| accepted | a person said so | yes |
| partial | restates, but lacks known sessions: the whole history is asked for | no |
| older | made before what is known | no |
| rejected | nothing explains the change | no |
| dropped | a person said so | no |

**Which value a bar in dispute has.** Of a used file some bars (at most 0.5 %, or two; so many stretches of up to 5 % in all where
none leaps without trading; never the two newest) may disagree with what is known. For each of them the known value stands, times
the factor of its restatement; the row is flagged `is_contested` and the file's own bar is in `silver.quarantine`
(`disputed_bar`), while the rest of the file is used. The first later download that says the same as a disputed bar decides
for it; of three and more in a row, downloads vote. The last known bar is taken from the newer file at once when it is the
old one after more trading: same open, a range as wide or wider, more volume.

**Downloads are votes.** What only one download has ever said is not settled. A later one that agrees with the rest decides
at once when the known bars jump, by 5 % and by eight times the usual overnight move or more, on days of ordinary range and
volume, and its own move less than half as far there. Else its bars are set aside, or all of it is rejected, and remembered,
and the next one that says the same decides with it; against bars that several used downloads have confirmed
it takes three. Such bars are flagged `is_contested` (`corrected_dates`). A statement that leaps so where the known bars do not
never prevails, however often it is made: that takes a person's `accept`.

**Late adjustments.** A late step of more than 5 % must take away a jump that the known prices make at its ex-date; of a
split that volume proves it is enough that the new prices make none: where they jump by most of it and the known ones do not,
nothing was split. A late step over the first 20 sessions of history alone, of any size, needs volume scaled by the same
factor, or such a jump of eight times the usual overnight move; else these bars are in dispute. A split without volumes,
because all are 0, is proven by that jump when it is late, else by a second download that says the same, up to 50:1.

**What cannot be told.** A whole history times 0.6 to 1 is a dividend to any reader, without a later session as well (its limit
does not depend on how long nobody downloaded, until 0.9 a year is less, after five years); so is a last bar
that is lower than the rest by a dividend, and a factor of 0.95 to 1 over more than the first 20 sessions. A special dividend
or spin-off of more than 40 % for which the vendor scales no volume looks like a fault of the unit: it takes a person's
`accept`, which the verdict names. Where four decimals state a price below 0.01 USD, one unit is more than 1 % of it, and
what moves a bar by less than 4 % is rounding. In a file that was printed anew, a bar that is off by two printed units of both
files is rounding: of a 5 USD stock quoted in cents that is 0.8 %, of a 200 USD stock 0.02 %.

**When a ticker stands still.** The check `downloads_are_used` names the ticker, the file, the reason and the commands; a good
later download is taken by itself. `finlake prices verdicts [--ticker T] [--unused]` lists verdicts, `finlake prices
accept|drop|judge FILE_OR_HASH --ticker T --reason WHY` decides, and prints the run that shows it.

**When history is older than its files.** A run shows a restatement in its own sessions alone. Without
`FINLAKE_UNATTENDED=1`, with which the history is rebuilt by itself, `finlake run` ends with the tickers that were restated, since
when, and the command that shows it; the check `restatements_are_shown` warns of them until it is done.

**Jumps.** A file whose sessions after the known ones leap by × 1.8 or more on a day of ordinary range and volume is rejected
until another download says the same; from × 3 on, always: another company's history, or a reverse split that the vendor has
not applied yet. Where the leap undoes the file's own split, its restated bars are used and the later ones wait. The check
`no_unexplained_jump` looks at published prices before anything is computed from them: a stretch of at most 40 sessions that
leaps by × 1.8 or more and comes back, on days of ordinary range and volume, stops the run. Crashes and squeezes trade many
times the usual volume or range; splits are in the prices already.

**Leaps at the edges.** No bar comes before the first one or after the last one, so nothing shows there whether a leap stays.
Where a first download leaps by × 3 or more within 40 sessions of its first or last bar (to the open or to the close, on a
day of ordinary volume; by × 10 or more whatever was traded), the bars on the outer side wait: the rest is published, these
are in `silver.quarantine` (`unproven_leap`), and the verdict names them (`unproven_dates`). So do leaps in history that a
later file adds before the known bars. The next download that is used decides. What it repeats is proven and published: a
reverse split that the vendor has not applied yet, a share that goes on over the counter. What it says otherwise is published
if it does not leap, else it waits again. What it repeats and takes back is no level: that takes a correction, or a person's
`accept`. After the known bars a leap of × 10 to one of the last 40 has the file wait for a second one, whatever was traded.
A wrong price that two downloads say alike is published, and so is a factor below 3 at an edge, until later bars show it.

**Bounds.** A bar with a price below 0.000001 USD or above 1,000,000,000,000 USD is none (`impossible_price`). No share was
quoted above 1,000,000 USD, but prices are adjusted: the oldest bars of a share that was merged again and again stand above
1,000,000,000 USD.

## Verdicts on {total} pairs made by the vendor's rule

{kinds} kinds, {pairs} pairs each: 250 to 10,000 bars, prices of six digits and of four decimals, volume scaled by dividends
and not. For faults, a row is right when the file is rejected or when no wrong value is published.
"""

_SEQUENCES_HEAD = """
## What later downloads heal

{sequences} sequences of each kind: a good download, one whose new bars are faulty, and two good ones. A number is of how many
sequences wrong prices are published then.
"""


def document() -> str:
    """docs/restatements.md."""
    outcomes = {kind.name: outcome(kind) for kind in KINDS}
    shown = [verdict for verdict in VERDICTS if any(each.verdicts[verdict] for each in outcomes.values())]
    rows = ["| pairs of | " + " | ".join(shown) + " | wrong value published |", "|---|" + "---:|" * (len(shown) + 1)]
    for name, found in outcomes.items():
        counts = " | ".join(str(found.verdicts[verdict] or "") for verdict in shown)
        rows.append(f"| {name} | {counts} | {found.wrong or ''} |")
    sequences = ["| faulty new bars | wrong after the faulty file | after one good file | after two |", "|---|---:|---:|---:|"]
    for kind in SEQUENCES:
        counts = " | ".join(str(count or "") for count in healed(kind))
        sequences.append(f"| {kind.name} | {counts} |")
    return "\n".join(
        [
            _HEAD.format(pairs=PAIRS, kinds=len(KINDS), total=PAIRS * len(KINDS)),
            *rows,
            _SEQUENCES_HEAD.format(sequences=PAIRS),
            *sequences,
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the document, or with `--check` only compare; 1 when it is not current."""
    parser = argparse.ArgumentParser(prog="python -m finlake_proofs.restated_prices", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the document is not current")
    text = document()
    if parser.parse_args(arguments).check:
        is_current = DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == text
        print("current" if is_current else f"{DOCUMENT.name} is not current; run python -m finlake_proofs.restated_prices")
        return 0 if is_current else 1
    DOCUMENT.write_text(text, encoding="utf-8")
    print(f"{DOCUMENT.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
