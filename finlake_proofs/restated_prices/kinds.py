"""The kinds of pairs and of sequences that the rule is held against."""

from finlake_proofs.restated_prices.faults import (
    another_company,
    another_company_after,
    corrected,
    first,
    missing,
    new_bars,
    one_bar,
    shifted,
    split_of_nothing,
    stretch,
    swapped,
    unfinished,
)
from finlake_proofs.restated_prices.pairs import Kind
from finlake_proofs.restated_prices.vendor import PrintingVendor

_SPLITS = (1 / 2, 1 / 3, 2 / 3, 1 / 4, 1 / 10, 1 / 20)

KINDS: tuple[Kind, ...] = (
    Kind(name="unchanged"),
    Kind(name="unchanged, 250 to 10,000 bars", span=(250, 10_000)),
    Kind(name="unchanged, last bar was unfinished", change=unfinished),
    Kind(name="unchanged, one to two highs corrected", change=corrected(1, 2)),
    Kind(name="unchanged, one bar missing", change=missing),
    Kind(name="1 to 4 dividends", dividends=(1, 4)),
    Kind(name="5 to 15 dividends", dividends=(5, 15)),
    Kind(name="16 to 40 dividends", dividends=(16, 40)),
    Kind(name="1 to 4 dividends applied late", late_dividends=(1, 4)),
    Kind(name="dividends, 3,000 to 10,000 bars", span=(3_000, 10_000), dividends=(1, 8)),
    *(Kind(name=f"split {1 / factor:.3g}:1 and dividends", dividends=(0, 4), others=(factor,)) for factor in _SPLITS),
    Kind(name="two splits and 10 to 20 dividends", dividends=(10, 20), others=(0.25, 0.1), span=(500, 1_500)),
    Kind(name="reverse split 1:10", others=(10.0,)),
    Kind(name="special dividend of 30 %", others=(0.7,)),
    Kind(name="dividends of a penny stock", level=(0.05, 0.9), dividends=(1, 4), vendors=(PrintingVendor(),)),
    Kind(name="dividends of 3 % below 0.1 USD", level=(0.02, 0.09), others=(0.97,), vendors=(PrintingVendor(digits="four"),)),
    Kind(
        name="splits and dividends below 0.1 USD, four decimals",
        level=(0.02, 0.09),
        dividends=(0, 2),
        others=(0.5,),
        vendors=(PrintingVendor(digits="four"),),
    ),
    Kind(name="two late dividends on neighbouring days", neighbours=(None, None), level=(4.0, 60.0)),
    Kind(name="three late dividends on neighbouring days", neighbours=(None, None, None), level=(4.0, 60.0)),
    *(
        Kind(name=f"late split {1 / factor:.3g}:1, a late dividend the day after", neighbours=(factor, None), level=(4.0, 60.0))
        for factor in (1 / 2, 2 / 3, 1 / 10)
    ),
    Kind(name="late dividend, a late split 2:1 the day after", neighbours=(None, 1 / 2), level=(4.0, 60.0)),
    Kind(name="4 late dividends of a share below 4 USD", late_dividends=(4, 4), level=(1.0, 4.0)),
    Kind(name="dividends at 400,000 USD", level=(300_000.0, 500_000.0), dividends=(1, 3)),
    Kind(name="dividends, one to two highs corrected", dividends=(1, 4), change=corrected(1, 2)),
    Kind(name="dividends, one bar missing", dividends=(1, 4), change=missing),
    Kind(name="dividends, last bar was unfinished", dividends=(1, 4), change=unfinished),
    *(
        Kind(name=f"fault: one bar × {factor}", is_fault=True, change=one_bar(factor), level=(50.0, 500.0))
        for factor in (1.0002, 1.001, 1.005, 1.02)
    ),
    *(
        Kind(name=f"fault: one close × {factor}", is_fault=True, change=one_bar(factor, ["close_usd"]))
        for factor in (1.0005, 1.002, 1.01)
    ),
    Kind(
        name="fault: one bar × 1.005 in a restated file",
        is_fault=True,
        dividends=(1, 4),
        change=one_bar(1.005),
        level=(50.0, 500.0),
    ),
    *(
        Kind(name=f"fault: × {factor:g} over {count} bars", is_fault=True, change=stretch(factor, count))
        for factor in (100.0, 0.01, 2.0, 0.5)
        for count in (1, 3, 20)
    ),
    *(
        Kind(name=f"fault: × {factor:g} over the first 3 to 20 bars", is_fault=True, change=first(factor))
        for factor in (0.97, 0.9)
    ),
    *(
        Kind(
            name=f"fault: late split {1 / factor:.3g}:1 with its volume, where no price jumped",
            is_fault=True,
            change=split_of_nothing(factor),
        )
        for factor in (1 / 2, 3 / 4, 4.0)
    ),
    Kind(name="fault: × 1.03 over 3 bars in a restated file", is_fault=True, dividends=(1, 4), change=stretch(1.03, 3)),
    Kind(name="fault: × 100 over 3 bars in a restated file", is_fault=True, dividends=(1, 4), change=stretch(100.0, 3)),
    Kind(name="fault: days shifted by one", is_fault=True, change=shifted),
    Kind(name="fault: open and close swapped", is_fault=True, change=swapped),
    Kind(name="fault: another company's bars from a date on", is_fault=True, change=another_company),
)

# Above 20 USD: what two printed units hide of a cheaper share is no fault of a file.
SEQUENCES: tuple[Kind, ...] = tuple(
    Kind(
        name=f"{name}{', then a dividend' if dividends else ''}",
        is_fault=True,
        is_sequence=True,
        change=change,
        gap=(40, 120),
        level=(20.0, 500.0),
        dividends=(dividends, dividends),
        span=(250, 1_000),
    )
    for dividends in (0, 1)
    for name, change in (
        *(
            (f"{where} of the new bars × {factor:g}", new_bars(factor, where))
            for where in ("the first", "one within", "the last", "three within", "all from the third on")
            for factor in (100.0, 2.0, 0.5, 1.2, 0.85)
        ),
        ("another company's bars after the known ones", another_company_after),
    )
)
