"""Which symbols the feed asks for: the universe's and more; a universe that cannot be read is a fault of the settings."""

from pathlib import Path

import pytest

from finlake_services.trade_feed.__main__ import symbols_of
from finlake_settings.checkout import CHECKOUT
from spark.contracts.universe import UniverseError


def test_the_symbols_of_the_universe_come_first_and_each_once() -> None:
    universe = symbols_of(CHECKOUT / "universe.toml", ())
    assert universe
    assert symbols_of(CHECKOUT / "universe.toml", [universe[0], "BINANCE:BTCUSDT"]) == (*universe, "BINANCE:BTCUSDT")


@pytest.mark.parametrize("content", [None, b"no toml at all [", b"\xff\xfe"])
def test_a_file_that_is_no_universe_is_named_with_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "universe.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UniverseError, match=f"{file}.*FINLAKE_UNIVERSE"):
        symbols_of(file, ())
