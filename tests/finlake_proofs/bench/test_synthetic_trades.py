"""Made-up trades are the same for the same seed, and can be watched by one symbol."""

from hypothesis import given
from hypothesis import strategies as st

from finlake_proofs.bench.synthetic_trades import SyntheticTrades, symbol_of


@given(st.integers(), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_equal_seeds_give_equal_trades_with_keys_of_their_own(seed: int, sizes: list[int]) -> None:
    one, other = SyntheticTrades("c", seed), SyntheticTrades("c", seed)
    rows = [row for number, size in enumerate(sizes) for row in one.message(size, 1_700_000_000_000_000 + number)]
    assert rows == [row for number, size in enumerate(sizes) for row in other.message(size, 1_700_000_000_000_000 + number)]
    assert len({(row.connection_id, row.message_seq, row.trade_index) for row in rows}) == sum(sizes)
    assert all(row.price_usd > 0 and row.volume_shares > 0 for row in rows)
    assert all(0 <= row.received_us // 1000 - row.trade_ms < 100 for row in rows)


@given(st.integers(), st.integers(1, 60))
def test_every_message_ends_with_the_first_symbol(seed: int, size: int) -> None:
    assert SyntheticTrades("c", seed).message(size, 0)[-1].symbol == symbol_of(0)
