"""Tables of candles and windows beside their recomputation, while trades go on coming.

A block is in the raw table a moment before it is in the tables made from it. What differs is therefore looked at again, all
of it together: however many symbols differ, the wait for them is one. A window whose trades change while it is looked at is
moving, and is judged by the next comparison.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from finlake_reconciliation.clickhouse_side import LiveTables
from finlake_reconciliation.derived import Derived, described, different_windows, recomputed, since
from finlake_reconciliation.report import DerivedReport

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMED_WINDOWS = 10
LOOKS, PAUSE_S = 10, 0.3


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What was seen of one symbol in one table: windows that differ while their trades held still, and moving ones."""

    window_count: int
    different_count: int = 0
    moving_count: int = 0
    first: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        return self.different_count == self.moving_count == 0


def compare_derived(
    live: LiveTables,
    tables: Sequence[Derived],
    pause: Callable[[float], None] = time.sleep,
) -> tuple[DerivedReport, ...]:
    """Each table beside its recomputation; `pause` passes the seconds until what differs is looked at again."""
    whole_since = live.trades_whole_since()
    start_us = None if whole_since is None else (whole_since - EPOCH) // timedelta(microseconds=1)
    remarks = () if whole_since is None else (f"compared from {whole_since:%Y-%m-%d} on: trades before have expired",)
    symbols = live.symbols()
    seen = [(table, {symbol: _look(live, table, symbol, start_us) for symbol in symbols}) for table in tables]
    for _ in range(LOOKS - 1):
        unequal = [(table, symbol, looks) for table, looks in seen for symbol, look in looks.items() if not look.is_equal]
        if not unequal:
            break
        pause(PAUSE_S)
        for table, symbol, looks in unequal:
            looks[symbol] = _look(live, table, symbol, start_us)
    return tuple(_report(table, list(looks.values()), remarks) for table, looks in seen)


def _look(live: LiveTables, derived: Derived, symbol: str, start_us: int | None) -> _Look:
    before = recomputed(derived, live.trade_sums(symbol, derived.seconds))
    found = since(live.derived_rows(derived, symbol), start_us)
    expected = since(before, start_us)
    different = different_windows(expected, found)
    if not different:
        return _Look(window_count=len(expected))
    after = recomputed(derived, live.trade_sums(symbol, derived.seconds))
    moving = set(different_windows(before, after))
    still = [start for start in different if start not in moving]
    return _Look(
        window_count=len(expected),
        different_count=len(still),
        moving_count=len(moving),
        first=tuple(
            f"{symbol} {EPOCH + timedelta(microseconds=start):%Y-%m-%d %H:%M:%S} "
            f"{described(derived, expected.get(start), found.get(start))}"
            for start in still[:NAMED_WINDOWS]
        ),
    )


def _report(derived: Derived, looks: Sequence[_Look], remarks: tuple[str, ...]) -> DerivedReport:
    first = tuple(words for look in looks for words in look.first)
    return DerivedReport(
        table=derived.table.address,
        window_count=sum(look.window_count for look in looks),
        different_count=sum(look.different_count for look in looks),
        moving_count=sum(look.moving_count for look in looks),
        first=first[:NAMED_WINDOWS],
        remarks=remarks,
    )
