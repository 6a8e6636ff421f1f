"""Ten processes are killed while trades flow: afterwards every row is everywhere, once.

Dagster is left out for the sake of time: the archive is made by the jobs that a run of Dagster carries out. The command
`finlake chaos` kills its daemon and its runs too.
"""

import pytest

from deploy.bench.temporary_lake import temporary_stack
from deploy.chaos.plan import STREAM_TARGETS
from deploy.chaos.run import STREAM_SERVICES, Options, wreak
from deploy.local.layout import REPOSITORY

pytestmark = pytest.mark.stack

TEN_KILLS = Options(kills=10, seed=20261121, seconds_between=2.5, has_dagster=False)


@pytest.mark.timeout(900)
def test_ten_kills_lose_nothing_and_double_nothing() -> None:
    with temporary_stack(REPOSITORY / ".finlake" / "jars", STREAM_SERVICES, print) as stack:
        outcome = wreak(stack, TEN_KILLS, print)
    assert set(outcome.kills) == set(STREAM_TARGETS)
    assert sum(outcome.kills.values()) == 10
    assert outcome.acknowledged_rows > 1000
    assert outcome.comparison.is_proven, outcome.verdict
    assert outcome.is_survived, outcome.verdict
    rows = outcome.comparison.row_counts["finnhub_trades"]
    # The feed's own rows beside those of the writer: it came back too.
    assert rows > outcome.acknowledged_rows
    archived = next(each for each in outcome.comparison.engines if (each.engine, each.relation) == ("Iceberg", "finnhub_trades"))
    assert archived.row_count >= outcome.acknowledged_rows
    assert all(each.window_count > 0 for each in outcome.comparison.derived)
