"""Somebody who reads while others write sees each window whole, old or new, also when the writer is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random

import pytest

from finlake_settings.checkout import CHECKOUT
from spark.lake.storage import Lake, between
from tests.integration.lake.bars import ADDRESS, bars, days
from tests.integration.lake.chain import PROVENANCE, published
from tests.integration.lake.writer import WINDOWS

pytestmark = pytest.mark.stack

ROUNDS = 12
# So many that a killed writer is never at its end.
ENDLESS_ROUNDS = 10_000
KILLS = 3
# Of the states between two windows that change in turns a reader sees these at least.
SEEN_STATES = 5


@contextmanager
def writer(environment: Mapping[str, str], rounds: int = ROUNDS) -> Iterator["subprocess.Popen[str]"]:
    """A writing process, about to write for the first time; it is not there any more afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.lake.writer", str(rounds)],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def seen(lake: Lake) -> tuple[float, ...]:
    """The close of each window as one read of main shows it; 0 for a window without rows.

    Fails when a window shows some but not all of its rows, or rows of two writes.
    """
    rows = lake.rows(ADDRESS, columns=("ticker", "session_date", "close_usd")).to_pylist()
    closes = []
    for window in WINDOWS:
        within = [row["close_usd"] for row in rows if window.start <= row["session_date"] <= window.end]
        assert len(within) in (0, 2 * len(days(window))), f"{len(within)} rows of {window}"
        assert len(set(within)) <= 1, f"{window} shows {set(within)} together"
        closes.append(within[0] if within else 0.0)
    return tuple(closes)


def test_a_reader_sees_whole_windows_only_also_while_writers_are_killed(
    empty_lake: Lake,
    lake_environment: dict[str, str],
) -> None:
    # Undisturbed.
    states = []
    with writer(lake_environment) as process:
        while process.poll() is None:
            states.append(seen(empty_lake))
    assert process.returncode == 0
    assert seen(empty_lake) == (ROUNDS + 1.0,) * 2
    # The reader was quick enough to see the writes pass by, in their order and none of them back.
    assert len(set(states)) >= SEEN_STATES
    assert states == sorted(states)
    undisturbed, content = published(empty_lake, ADDRESS), empty_lake.content(ADDRESS)

    random = Random(20180327)
    for _ in range(KILLS):
        with writer(lake_environment, ENDLESS_ROUNDS) as process:
            for _ in range(random.randint(1, 60)):
                seen(empty_lake)
            assert process.poll() is None
            process.kill()
            process.wait()
        seen(empty_lake)

    with writer(lake_environment) as process:
        assert process.wait(timeout=300) == 0
    assert published(empty_lake, ADDRESS).equals(undisturbed)
    assert empty_lake.content(ADDRESS) == content


def test_a_reader_in_spark_keeps_the_snapshot_it_has_begun_with(empty_lake: Lake) -> None:
    def write(close_usd: float) -> None:
        window = WINDOWS[0]
        empty_lake.replace_rows(ADDRESS, bars(window, close_usd), replaced=between("session_date", window), provenance=PROVENANCE)

    write(10.0)
    begun = empty_lake.frame(ADDRESS)
    write(20.0)
    assert {row[0] for row in begun.select("close_usd").collect()} == {10.0}
    assert {row[0] for row in empty_lake.frame(ADDRESS).select("close_usd").collect()} == {20.0}
