"""Tables follow their inputs by themselves, once these are complete, and never into a session that is not over."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from finlake_assets.asset_specs import asset_spec
from finlake_assets.automation import with_automation
from finlake_assets.gold import indicators, ml_labels, news_daily, stock_analytics
from finlake_assets.partitions import Timeline
from finlake_assets.silver import news_mentions, price_restatements, prices_daily
from finlake_clients.calendar import TradingCalendar
from finlake_resources.resources import UniverseResource
from spark.contracts import lake, silver
from tests.finlake_assets.recording import LakeLog, recording_jobs

pytestmark = pytest.mark.slow

TIMELINE = Timeline(TradingCalendar(), date(2026, 11, 2))
FRIDAY_EVENING = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
SESSIONS = [day.isoformat() for day in TIMELINE.calendar.sessions(date(2026, 11, 2), date(2026, 11, 20))]
FOLLOWERS = ("silver.prices_daily", "gold.indicators", "gold.news_daily", "gold.stock_analytics", "gold.ml_labels")
DAYS = [(date(2026, 10, 1) + timedelta(days=n)).isoformat() for n in range(51)]


class Board:
    """An instance on which inputs are reported, and the requests that conditions make of it."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        modules = (prices_daily, news_mentions, indicators, news_daily, stock_analytics, ml_labels)
        self.defs = dg.Definitions(
            assets=with_automation([module.build(TIMELINE) for module in modules]),
            resources={"jobs": recording_jobs(LakeLog()), "universe": UniverseResource(path="-")},
        )
        self.cursor: dg.AssetDaemonCursor | None = None

    def fill(self, address: str, keys: list[str]) -> None:
        key = dg.AssetKey(address.split("."))
        for partition in keys:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
        contract = lake.table(address)
        promised = [check.name for check in contract.checks if check.severity == "error"]
        for name in ("grain_is_unique", "required_columns_present", *promised):
            self.instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(asset_key=key, check_name=name, passed=True, metadata={})
            )

    def requests(self, now: datetime) -> dict[str, set[str]]:
        result = dg.evaluate_automation_conditions(self.defs, self.instance, evaluation_time=now, cursor=self.cursor)
        self.cursor = result.cursor
        asked = {
            address: {str(key) for key in result.get_requested_partitions(dg.AssetKey(address.split(".")))}
            for address in FOLLOWERS
        }
        return {address: keys for address, keys in asked.items() if keys}


@pytest.fixture
def board() -> Board:
    return Board()


def test_nothing_is_requested_while_inputs_are_missing(board: Board) -> None:
    assert board.requests(FRIDAY_EVENING) == {}
    assert board.requests(SATURDAY) == {}


def test_a_new_session_pulls_its_readers_along(board: Board) -> None:
    board.fill("silver.prices_daily", SESSIONS[:-1])
    board.fill("gold.indicators", SESSIONS[:-1])
    board.fill("gold.ml_labels", SESSIONS[:-1])
    board.requests(FRIDAY_EVENING)
    board.fill("silver.prices_daily", SESSIONS[-1:])
    asked = board.requests(FRIDAY_EVENING + timedelta(minutes=1))
    assert asked["gold.indicators"] == {"2026-11-20"}
    # The labels of the two sessions before waited for this one.
    assert asked["gold.ml_labels"] == {"2026-11-18", "2026-11-19", "2026-11-20"}
    assert board.requests(FRIDAY_EVENING + timedelta(minutes=2)) == {}


def test_the_early_key_of_monday_is_not_requested_on_saturday(board: Board) -> None:
    assert TIMELINE.sessions.get_partition_keys(current_time=SATURDAY)[-1] == "2026-11-23"
    board.requests(FRIDAY_EVENING)
    board.fill("silver.prices_daily", SESSIONS)
    asked = board.requests(SATURDAY)
    assert asked["gold.indicators"] == set(SESSIONS)
    assert not any("2026-11-23" in keys for keys in asked.values())


def test_analytics_wait_for_prices_and_news(board: Board) -> None:
    board.fill("silver.prices_daily", SESSIONS)
    assert "gold.stock_analytics" not in board.requests(SATURDAY)
    board.fill("gold.news_daily", SESSIONS)
    assert board.requests(SATURDAY + timedelta(minutes=1))["gold.stock_analytics"] == set(SESSIONS)


def test_news_of_a_session_wait_for_its_last_day(board: Board) -> None:
    board.requests(FRIDAY_EVENING)
    board.fill("silver.news_mentions", [day for day in DAYS if day < "2026-11-20"])
    asked = board.requests(SATURDAY)
    assert "2026-11-19" in asked["gold.news_daily"]
    assert "2026-11-20" not in asked["gold.news_daily"]
    board.fill("silver.news_mentions", ["2026-11-20"])
    assert board.requests(SATURDAY + timedelta(minutes=1))["gold.news_daily"] == {"2026-11-20"}


@pytest.mark.parametrize(
    ("now", "filled_to"),
    [
        ("2026-11-21T17:00:00+00:00", "2026-11-20"),  # Saturday: Friday is loaded
        ("2026-11-22T17:00:00+00:00", "2026-11-21"),  # Sunday: Saturday is loaded
        ("2026-11-23T23:00:00+00:00", "2026-11-22"),  # Monday evening: the session is over, its day is not
    ],
)
def test_news_of_monday_are_not_requested_before_monday_is_over(board: Board, now: str, filled_to: str) -> None:
    board.requests(FRIDAY_EVENING)
    days = [(date(2026, 10, 1) + timedelta(days=n)).isoformat() for n in range(60)]
    board.fill("silver.news_mentions", [day for day in days if day <= filled_to])
    asked = board.requests(datetime.fromisoformat(now))
    assert "2026-11-20" in asked["gold.news_daily"]
    assert "2026-11-23" not in asked["gold.news_daily"]


def test_a_failed_blocking_check_holds_readers_back(board: Board) -> None:
    board.requests(FRIDAY_EVENING)
    board.fill("silver.prices_daily", SESSIONS)
    board.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(["silver", "prices_daily"]), check_name="prices_positive", passed=False, metadata={}
        )
    )
    assert "gold.indicators" not in board.requests(SATURDAY)


def test_verdicts_wait_for_downloads_and_not_for_decisions_that_nobody_made() -> None:
    instance = dg.DagsterInstance.ephemeral()
    bronze = [dg.AssetSpec(["bronze", name], partitions_def=TIMELINE.sessions) for name in ("stooq_prices", "stooq_downloads")]
    defs = dg.Definitions(
        assets=[*bronze, asset_spec(silver.PRICE_DECISIONS), *with_automation([price_restatements.build(TIMELINE)])],
        resources={"jobs": recording_jobs(LakeLog()), "universe": UniverseResource(path="-")},
    )
    verdicts, before = dg.AssetKey(["silver", "price_restatements"]), None
    asked: list[set[str]] = []
    for keys in ([], SESSIONS[-1:]):
        for spec in bronze:
            for key in keys:
                instance.report_runless_asset_event(dg.AssetMaterialization(spec.key, partition=key))
        result = dg.evaluate_automation_conditions(defs, instance, evaluation_time=FRIDAY_EVENING, cursor=before)
        before = result.cursor
        asked.append({str(key) for key in result.get_requested_partitions(verdicts)})
    assert asked == [set(), {SESSIONS[-1]}]
