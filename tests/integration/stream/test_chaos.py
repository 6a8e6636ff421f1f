"""Ten processes are killed, two of them at once, and one stands still while trades flow: then every row is everywhere, once.

Dagster is left out for the sake of time: the archive is made by the jobs that a run of Dagster carries out. The command
`finlake chaos` kills its daemon and its runs too.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from deploy.local.stack import LocalStack
from finlake_cli.main import app
from finlake_proofs.bench.lake_steps import lake_jobs
from finlake_proofs.bench.synthetic_trades import SyntheticTrades
from finlake_proofs.bench.temporary_lake import temporary_stack
from finlake_proofs.chaos.plan import Mix, stream_services, stream_targets
from finlake_proofs.chaos.run import ChaosReport, Options, run_chaos
from finlake_reconciliation.reconcile import Reconciliation
from finlake_services.trade_feed.ods_writer import OdsAccess, OdsWriter
from finlake_services.trade_feed.rows import TradeRow
from finlake_settings.checkout import CHECKOUT
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.streams import TRADES

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

TEN_KILLS = Options(
    kills=10,
    seed=20261121,
    seconds_between=2.5,
    has_dagster=False,
    mix=Mix(has_kills_during_up=False, longest_freeze_s=6, disks=()),
)
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
YESTERDAYS_ROWS = 500


@dataclass(frozen=True)
class Survivor:
    """A stack after the kills, and what was found then."""

    stack: LocalStack
    outcome: ChaosReport


@pytest.fixture(scope="module")
def survivor() -> Iterator[Survivor]:
    with temporary_stack(CHECKOUT / ".finlake" / "jars", stream_services(), print) as stack:
        noon_us = int(datetime(YESTERDAY.year, YESTERDAY.month, YESTERDAY.day, 12, tzinfo=UTC).timestamp()) * 1_000_000
        write(stack, SyntheticTrades("yesterday", seed=1).message(YESTERDAYS_ROWS, noon_us))
        yield Survivor(stack, run_chaos(stack, TEN_KILLS, print))


def write(stack: LocalStack, rows: list[TradeRow]) -> None:
    """Rows into Postgres, as the feed writes them."""
    stream = settings_from(Settings, stack.environment())

    async def put() -> None:
        writer = OdsWriter(OdsAccess(stream.market.uri, "feed", stream.market.feed_password_file))
        writing = asyncio.create_task(writer.run())
        await writer.put(rows)
        writer.close()
        await writing

    asyncio.run(put())


def test_ten_kills_lose_nothing_and_double_nothing(survivor: Survivor) -> None:
    outcome = survivor.outcome
    assert set(outcome.kills) == set(stream_targets())
    assert outcome.kills.total() == 10
    assert sorted(len(fault.targets) for fault in outcome.faults if fault.kind == "kill") == [1] * 8 + [2]
    assert [fault.kind for fault in outcome.faults if fault.kind != "kill"] == ["freeze"]
    assert outcome.acknowledged_rows > 1000
    assert outcome.comparison.is_proven, outcome.verdict
    assert outcome.is_survived, outcome.verdict
    # The feed's own rows beside those of the writer: it came back too.
    assert outcome.comparison.row_counts[TRADES.name] > outcome.acknowledged_rows + YESTERDAYS_ROWS
    archived = next(each for each in outcome.comparison.engines if (each.engine, each.relation) == ("Iceberg", TRADES.name))
    assert archived.row_count >= outcome.acknowledged_rows + YESTERDAYS_ROWS
    assert all(each.window_count > 0 for each in outcome.comparison.derived)


def test_a_past_day_found_in_the_archive_is_proven_and_dropped_and_still_known(survivor: Survivor) -> None:
    environment = survivor.stack.environment()
    stream = settings_from(Settings, environment)
    reconciliation, jobs = Reconciliation.of(stream), lake_jobs(environment)
    first = reconciliation.run(jobs, proves_days=True, drops_proven=True)
    assert first.is_proven, first.verdict
    assert (TRADES.name, YESTERDAY, YESTERDAYS_ROWS, True) in [
        (day.relation, day.day, day.row_count, day.is_dropped) for day in first.days
    ]
    password = stream.market.reconcile_password_file.read_text(encoding="utf-8").strip()
    with psycopg.connect(stream.market.uri, user="reconcile", password=password) as connection:
        partition = connection.execute("SELECT to_regclass(%s)", [f"ods.finnhub_trades_p{YESTERDAY:%Y%m%d}"]).fetchone()
    assert partition == (None,)
    # What Postgres no longer holds is compared with the proof, and is nobody's surplus.
    second = reconciliation.run(jobs, proves_days=True)
    assert second.is_proven, second.verdict
    assert YESTERDAY not in [day.day for day in second.days]
    assert second.row_counts[TRADES.name] >= first.row_counts[TRADES.name] - YESTERDAYS_ROWS


def test_the_hops_of_the_trades_that_came_can_be_looked_at(survivor: Survivor) -> None:
    result = CliRunner().invoke(app, ["latency", "--home", str(survivor.stack.layout.home), "--window", "2h"])
    assert result.exit_code == 0, result.output
    assert "received → committed" in result.stdout
    assert "total" in result.stdout
