"""However a history is cut, ordered and repeated, the tables end up the same to the last bit."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random
from typing import TypeVar

import pyarrow as pa
import pytest

from finlake_resources.spark_jobs import SparkJobs
from finlake_services.sample_sources import prices
from spark.jobs.report import Window
from spark.storage import Lake, WindowContent
from tests.integration.lake.chain import Chain, empty, generated_slot, price_file, published, universe

pytestmark = pytest.mark.stack

TICKERS = ("AAPL", "MSFT")
# Long enough for the windows of 200 sessions to be full and for states to be carried on.
HISTORY = Window(start=date(2016, 9, 1), end=date(2018, 3, 27))
NEWS = Window(start=date(2018, 3, 13), end=date(2018, 3, 19))
NEWS_SESSIONS = Window(start=date(2018, 3, 1), end=HISTORY.end)
# Two labels a day, before and after the close, over a week-end.
LABELS = [datetime(2018, 3, 13, 15, tzinfo=UTC) + timedelta(hours=12 * n) for n in range(13)]
FILES = [
    price_file(ticker, bars, fetched)
    for ticker in TICKERS
    for history in [prices.between(prices.history(ticker), HISTORY.start, HISTORY.end)]
    for bars, fetched in [
        (prices.between(history, None, date(2017, 12, 29)), date(2018, 1, 2)),
        (prices.restated(history, "dividend") if ticker == "MSFT" else history, date(2018, 3, 28)),
    ]
]
MONTHS = [Window(start=date(2016, 9, 1), end=date(2017, 7, 31)), Window(start=date(2017, 8, 1), end=date(2018, 3, 31))]
TABLES = (
    "bronze.stooq_prices", "bronze.gdelt_gkg", "bronze.gdelt_slots", "silver.price_restatements", "silver.prices_daily",
    "silver.news_mentions", "gold.indicators", "gold.news_daily", "gold.stock_analytics", "gold.monthly_summary",
    "gold.ml_features", "gold.ml_labels",
)

Step = Callable[[], object]
T = TypeVar("T")
State = Mapping[str, tuple[WindowContent, pa.Table]]


@pytest.fixture(scope="module")
def built_at_once(lake_jobs: SparkJobs) -> Iterator[State]:
    """Every table, built in one range after one load."""
    lake, chain = lake_jobs.lake(), Chain(lake_jobs, universe(*TICKERS))
    empty(lake)
    chain.load_slots(map(generated_slot, LABELS))
    chain.load_prices(*FILES)
    chain.build("silver.news_mentions", NEWS)
    chain.build("silver.prices_daily", HISTORY)
    chain.build("gold.news_daily", NEWS_SESSIONS)
    for address in ("gold.indicators", "gold.stock_analytics", "gold.ml_features", "gold.ml_labels"):
        chain.build(address, HISTORY)
    chain.build("gold.monthly_summary", Window(start=MONTHS[0].start, end=MONTHS[1].end))
    yield state(lake)
    empty(lake)


@pytest.mark.parametrize("seed", [1, 2])
def test_any_mix_of_pieces_orders_and_repeats_gives_the_same_bits(
    built_at_once: State, lake_jobs: SparkJobs, empty_lake: Lake, seed: int,
) -> None:
    chain = Chain(lake_jobs, universe(*TICKERS))

    for step in mixed(chain, Random(seed)):
        step()

    rebuilt = state(empty_lake)
    assert {address: content for address, (content, _) in rebuilt.items()} == {
        address: content for address, (content, _) in built_at_once.items()}
    for address, (_, rows) in rebuilt.items():
        assert rows.equals(built_at_once[address][1]), address


def mixed(chain: Chain, random: Random) -> Iterator[Step]:
    """Steps that build everything in pieces, in any order that respects the graph, some of them twice."""
    halves = [[generated_slot(label) for label in LABELS[first::2]] for first in (0, 1)]
    yield from shuffled(random, [partial(chain.load_slots, half) for half in halves])
    yield from shuffled(random, built(chain, "silver.news_mentions", pieces(chain, random, NEWS)))
    files = random.sample(FILES, len(FILES))
    yield from again(random, [partial(chain.load_prices, *files[:2]), partial(chain.load_prices, *files[2:])])
    # Later sessions first: what was built on them is built again when the earlier ones arrive.
    *early, last = pieces(chain, random, HISTORY)
    for piece in (last, *shuffled(random, early)):
        yield from again(random, built(chain, "silver.prices_daily", [piece]))
        yield from built(chain, "gold.indicators", [piece])
    yield from shuffled(random, built(chain, "gold.news_daily", pieces(chain, random, NEWS_SESSIONS)))
    yield from again(random, shuffled(random, built(chain, "gold.stock_analytics", pieces(chain, random, HISTORY))))
    for address in ("gold.ml_features", "gold.ml_labels"):
        yield from shuffled(random, built(chain, address, pieces(chain, random, HISTORY)))
    yield from shuffled(random, built(chain, "gold.monthly_summary", MONTHS))


def built(chain: Chain, address: str, windows: list[Window]) -> list[Step]:
    """Steps that build one table window by window."""
    return [partial(chain.build, address, window) for window in windows]


def pieces(chain: Chain, random: Random, window: Window) -> list[Window]:
    """The window in three pieces, in order; the middle one is a single session."""
    alone = random.choice(chain.calendar.sessions(window.start, window.end)[1:-1])
    day = timedelta(days=1)
    return [Window(start=window.start, end=alone - day), Window(start=alone, end=alone),
            Window(start=alone + day, end=window.end)]


def shuffled(random: Random, steps: list[T]) -> list[T]:
    """The steps in any order."""
    return random.sample(steps, len(steps))


def again(random: Random, steps: list[Step]) -> list[Step]:
    """The steps, and one of them once more."""
    return [*steps, random.choice(steps)]


def state(lake: Lake) -> State:
    """Every table's fingerprint and its rows by value."""
    return {address: (lake.content(address), published(lake, address)) for address in TABLES}
