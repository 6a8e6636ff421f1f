"""Candles and windows are judged when blocks under way have had their time, and that time is waited for once."""

from collections.abc import Callable
from datetime import UTC, datetime

from finlake_reconciliation.clickhouse_side import LiveTables
from finlake_reconciliation.derived import CANDLES, DERIVED, WINDOWS, Derived, Rows, TradeSums, recomputed
from finlake_reconciliation.derived_comparison import LOOKS, NAMED_WINDOWS, PAUSE_S, compare_derived
from finlake_reconciliation.report import DerivedReport

MINUTE_US = 60_000_000
SYMBOLS = [f"S{number}" for number in range(20)]


def sums(start_us: int, trade_count: int = 1) -> TradeSums:
    return TradeSums(
        start_us=start_us,
        trade_count=trade_count,
        first_price=1.0,
        last_price=1.0,
        highest_price=1.0,
        lowest_price=1.0,
        volume=1,
        price=1,
        squared_price=1,
        price_volume=1,
    )


class Live(LiveTables):
    """Three windows of each symbol; `lacks` says of which tables and symbols the middle one is not there after some pauses."""

    def __init__(self, lacks: Callable[[Derived, str, int], bool] = lambda *_: False, *, since: datetime | None = None) -> None:
        self.pauses_s: list[float] = []
        self.lacks, self.since = lacks, since

    def trades_whole_since(self) -> datetime | None:
        return self.since

    def symbols(self) -> list[str]:
        return SYMBOLS

    def trade_sums(self, symbol: str, seconds: int) -> list[TradeSums]:
        return [sums(number * MINUTE_US) for number in range(3)]

    def derived_rows(self, derived: Derived, symbol: str) -> Rows:
        rows = recomputed(derived, self.trade_sums(symbol, derived.seconds))
        is_lacking = self.lacks(derived, symbol, len(self.pauses_s))
        return {start: row for start, row in rows.items() if start != MINUTE_US or not is_lacking}

    def reports(self) -> dict[str, DerivedReport]:
        return {report.table: report for report in compare_derived(self, DERIVED, self.pauses_s.append)}


def test_tables_that_follow_from_their_trades_are_proven_at_the_first_look() -> None:
    live = Live()
    assert {(each.is_proven, each.window_count) for each in live.reports().values()} == {(True, 60)}
    assert live.pauses_s == []


def test_a_block_that_reaches_a_table_a_moment_later_is_no_difference() -> None:
    live = Live(lambda table, symbol, pauses: pauses < 2)
    assert all(each.is_proven for each in live.reports().values())
    assert live.pauses_s == [PAUSE_S] * 2


def test_what_stays_different_is_counted_and_named_and_waited_for_once_for_all_symbols() -> None:
    live = Live(lambda table, symbol, pauses: table in (CANDLES, WINDOWS))
    found = live.reports()
    assert len(live.pauses_s) == LOOKS - 1
    different = {CANDLES.table.address, WINDOWS.table.address}
    assert {name: each.different_count for name, each in found.items()} == {
        name: len(SYMBOLS) if name in different else 0 for name in found
    }
    names = found[CANDLES.table.address].first
    assert len(names) == NAMED_WINDOWS
    assert names[0] == "S0 1970-01-01 00:01:00 is not there"


def test_a_window_whose_trades_change_meanwhile_is_moving_and_not_different() -> None:
    class Busy(Live):
        looks = 0

        def trade_sums(self, symbol: str, seconds: int) -> list[TradeSums]:
            self.looks += 1
            return [sums(0), sums(MINUTE_US, trade_count=self.looks)]

        def derived_rows(self, derived: Derived, symbol: str) -> Rows:
            return recomputed(derived, [sums(0), sums(MINUTE_US, trade_count=0)]) if derived is CANDLES else {}

    (candles,) = compare_derived(Busy(), [CANDLES], lambda _: None)
    assert (candles.is_proven, candles.moving_count, candles.window_count) == (True, len(SYMBOLS), 2 * len(SYMBOLS))


def test_windows_before_the_first_whole_day_are_left_out_and_said_to_be() -> None:
    live = Live(lambda *_: True, since=datetime(1970, 1, 2, tzinfo=UTC))
    assert {(each.is_proven, each.window_count, each.remarks) for each in live.reports().values()} == {
        (True, 0, ("compared from 1970-01-02 on: trades before have expired",))
    }
