"""What a vendor may do to printed prices between two downloads, as numbers: the limits of a verdict, each with its reason.

The model: prices are printed with six significant digits or a fixed number of decimals. A split or a dividend multiplies
every price *already printed* before its ex-date, back to the first bar, and prints it again, so rounding accumulates.
Volume moves the other way, at least for splits. Now and then a single bar is corrected, and the last bar of a file made
before the close is not final.
"""

RULE_VERSION = 10
"""Raised whenever the rule of the verdicts changes: verdicts of another version are given again."""

TOLERANCE_UNITS = 2.0
"""Printed units of both prices (known unit × factor + new unit) by which a restated price may miss the factor.

One unit covers two roundings. On consecutive downloads of real files residuals reach 1.82 units where one to three
adjustments lie between them, and every planted fault is still seen at 2 and at 4 units.
"""

TOLERANCE_UNITS_PER_ADJUSTMENT = 0.5
"""Added for every further adjustment: each rounds once more, by at most half a unit."""

HIGHEST_TOLERANCE_UNITS = 10.0
"""However many adjustments lie between: real pairs many years apart reach 8.4 units."""

UNCHANGED_TOLERANCE_UNITS = 0.49
"""Where nearly all bars are equal to the last digit nothing was printed anew: a bar that is one unit off is a correction."""

UNCHANGED_SHARE = 0.9
"""Share of bars with four equal prices from which on a file counts as not printed anew."""

ADJUSTMENTS_PER_YEAR = 4
"""Dividends that are expected in the time between two downloads; monthly payers stay within the units added for these."""

LOWEST_DIVIDEND_FACTOR = 0.6
"""A dividend takes at most 40 % of a price; larger ones are spin-offs, for which vendors scale volume as for a split."""

LOWEST_YEARLY_FACTOR = 0.9
"""Ordinary dividends of a whole year take at most 10 %: what the time between two downloads may take in all.

It counts from where it exceeds `LOWEST_DIVIDEND_FACTOR`, after almost five years: until then the verdict on a dividend does
not depend on how long nobody downloaded.
"""

LARGE_STEP = 0.2
"""A step further from 1 needs proof: inverse volume, or a jump in the known prices at its ex-date that it takes away."""

MODERATE_STEP = 0.05
"""A late step within the known sessions that is further from 1 must take away a jump that the known prices make there."""

EARLIEST_SESSIONS = 20
"""A late step over so few sessions at the beginning of history needs proof, whatever its size.

Nothing comes before them, so a fault of these bars looks like a dividend. Proof is volume scaled by the same factor, or a
jump of the known prices that it takes away.
"""

USUAL_GAPS = 8.0
"""So many times the usual overnight move make a jump that tells which of two statements is right.

The usual move is the median, so this is more than five standard deviations of a calm night.
"""

FEWEST_GAPS = 20
"""Nights that tell what is usual."""

LARGEST_BARE_SPLIT = 50.0
"""A split that no volume proves, because there is none, is believed up to 50:1: prices × 100 are a fault of the unit."""

SPLIT_TOLERANCE = 0.01
"""How far a split may be from n:m, when kinds are named; dividends of the same time are merged into its factor."""

SPLIT_DENOMINATORS = 4
"""Splits are n:m with m (or n) up to this."""

VOLUME_TOLERANCE = 0.02
"""How far the median volume may miss the inverse of a split's factor: vendors correct volumes of single sessions later."""

STEP_SESSIONS = 3
"""Common sessions that prove a step of the staircase.

A shorter step is believed only between two steps that adjustments explain: NVIDIA's split of 2024-06-10 and its dividend
of 2024-06-11 leave one session between them, and an ex-date on the last known session leaves one after it.
"""

DISPUTED_SHARE = 0.005
"""Share of the compared bars that may disagree (or be missing from a restated file) without keeping the file out."""

FEWEST_DISPUTED = 2
"""So many may disagree in any file, however short."""

LONGEST_DISPUTED_STRETCH = 2
"""Consecutive disputed sessions: a vendor corrects single bars; about a longer stretch downloads vote."""

SET_ASIDE_SHARE = 0.05
"""Share of the compared bars that may stay in dispute where they follow one another, but do not leap without trading.

Their known values stand and the rest of the file is used. More of them, or such a leap, speak against the whole file.
"""

SMOOTHER = 2.0
"""By this factor the jumps of the one statement must exceed all moves of the other for it to be the wrong one at once."""

UNFINISHED_MOVE = 0.1
"""How far a close may move from an unfinished last bar to the final one, as a fraction."""

QUIET_LEAP = 1.8
"""A move from one session to the next by this factor, on a day of ordinary range and volume, speaks against a statement.

Halved and doubled prices are seen with room for the day's own move.
"""

VOTES = 2
"""So many downloads that agree with one another decide against the only one that said otherwise."""

VOTES_AGAINST_CONFIRMED = 3
"""So many decide against bars that several used downloads have said alike, however many these are."""

CONTINUATION_LEAP = 3.0
"""How far, as a factor, a bar after the known ones may leap on a day of ordinary range and volume, whoever says so.

A crash or a squeeze of that size trades many times the usual volume; an unadjusted split multiplies it. What remains is
another company's history, or a reverse split that the vendor has not applied yet: the file waits for the next one.
"""

EDGE_SESSIONS = 40
"""A leap that stands within so many sessions of the first or last bar may be a fault that is cut off there.

A stretch that comes back within so many is a fault; a longer one is another level, which may be true.
"""

UNTRADED_LEAP = 10.0
"""From this factor on a leap at an edge waits for a second download, whatever was traded on its day.

One of a hundred ordinary days has three times the usual volume by chance, and prices × 100 are a fault of the unit. A true
move of that size (a share that goes on over the counter, an unadjusted split) is said again by the next download.
"""

LOWEST_PRICE_USD = 0.000001
"""The smallest step in which shares are quoted over the counter; splits and dividends of sixty years leave more."""

HIGHEST_PRICE_USD = 1_000_000_000_000.0
"""No share was quoted above 1,000,000 USD, but history is adjusted: shares that were merged again and again, as DryShips' were,
stand above 1,000,000,000 USD in their oldest bars. Above a thousand times that no bar is believed.
"""
