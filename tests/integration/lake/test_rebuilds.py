"""However a history is cut, ordered and repeated, the tables end up the same to the last bit."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import zip_longest
from random import Random
from typing import TypeVar

import pyarrow as pa
import pytest

from finlake_clients.lake_client import LakeClient
from finlake_services.sample_sources import prices
from spark.contracts.report import Window
from spark.lake.audit import WindowContent
from spark.lake.storage import Lake
from tests.integration.lake.chain import Chain, empty, generated_slot, jobs_of, price_file, published, universe

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
BY_SESSION = ("silver.prices_daily", "gold.indicators", "gold.stock_analytics", "gold.ml_features", "gold.ml_labels")
TABLES = (
    "bronze.stooq_prices",
    "bronze.gdelt_gkg",
    "bronze.gdelt_slots",
    "silver.price_restatements",
    "silver.prices_daily",
    "silver.news_mentions",
    "gold.indicators",
    "gold.news_daily",
    "gold.stock_analytics",
    "gold.monthly_summary",
    "gold.ml_features",
    "gold.ml_labels",
)

COMPARED = (*TABLES, "bronze.stooq_downloads", "silver.completeness")

Step = Callable[[], object]
T = TypeVar("T")
State = Mapping[str, tuple[WindowContent, pa.Table]]


def build_at_once(jobs: LakeClient) -> None:
    """Every table, in one range after one load."""
    chain = Chain(jobs, universe(*TICKERS))
    chain.load_slots(map(generated_slot, LABELS))
    chain.load_prices(*FILES)
    chain.build("silver.news_mentions", NEWS)
    chain.build("silver.prices_daily", HISTORY)
    chain.build("gold.news_daily", NEWS_SESSIONS)
    for address in BY_SESSION[1:]:
        chain.build(address, HISTORY)
    chain.build("gold.monthly_summary", Window(start=MONTHS[0].start, end=MONTHS[1].end))
    chain.build("silver.completeness", NEWS_SESSIONS)


@pytest.fixture(scope="module")
def built_at_once(lake_jobs: LakeClient) -> Iterator[State]:
    """Every table, built in one range after one load."""
    lake = lake_jobs.lake()
    empty(lake)
    build_at_once(lake_jobs)
    yield state(lake)
    empty(lake)


@pytest.mark.parametrize(("order", "seed"), [("piece by piece", 1), pytest.param("table by table", 1, marks=pytest.mark.long)])
def test_any_mix_of_pieces_orders_and_repeats_gives_the_same_bits(
    built_at_once: State,
    lake_jobs: LakeClient,
    empty_lake: Lake,
    order: str,
    seed: int,
) -> None:
    chain, random = Chain(lake_jobs, universe(*TICKERS)), Random(seed)

    for step in table_by_table(chain, random) if order == "table by table" else piece_by_piece(chain, random):
        step()

    rebuilt = state(empty_lake)
    assert {address: content for address, (content, _) in rebuilt.items()} == {
        address: content for address, (content, _) in built_at_once.items()
    }
    for address, (_, rows) in rebuilt.items():
        assert rows.equals(built_at_once[address][1]), address


@pytest.mark.spark_alone
def test_both_engines_give_the_same_bits(lake_environment: dict[str, str], empty_lake: Lake) -> None:
    """At once and by an increment beside kept rows; the tables of the stream are compared where Kafka is."""
    seen = []
    for engine in ("spark", "embedded"):
        empty(empty_lake)
        jobs = jobs_of({**lake_environment, "FINLAKE_ENGINE": engine})
        assert jobs.engine == engine
        build_at_once(jobs)
        late = price_file(
            "AAPL", prices.restated(prices.between(prices.history("AAPL"), HISTORY.start, HISTORY.end), "split"), date(2018, 4, 2)
        )
        chain = Chain(jobs, universe(*TICKERS))
        chain.load_prices(late)
        for address in BY_SESSION:
            chain.build(address, Window(start=date(2018, 3, 20), end=HISTORY.end))
        seen.append({address: published(empty_lake, address) for address in COMPARED})
    on_spark, embedded_here = seen
    for address in COMPARED:
        assert on_spark[address].num_rows > 0, address
        assert on_spark[address].equals(embedded_here[address]), address


def piece_by_piece(chain: Chain, random: Random) -> Iterator[Step]:
    """The whole chain for one piece of history, then for another, the earliest not first, one of them twice."""
    labels = shuffled(random, LABELS)
    for some in (labels[:1], labels[1:4], labels[4:]):
        yield partial(chain.load_slots, [generated_slot(label) for label in some])
    yield partial(chain.load_prices, *FILES)
    yield from built(chain, "gold.news_daily", [NEWS_SESSIONS])
    first, *later = pieces(chain, random, HISTORY)
    news_first, *news_later = pieces(chain, random, NEWS)
    prices_in_order = again(random, [*shuffled(random, later), first])
    news_in_order = [*shuffled(random, news_later), news_first]
    for piece, news_piece in zip_longest(prices_in_order, news_in_order):
        if news_piece:
            yield from built(chain, "silver.news_mentions", [news_piece])
            yield from built(chain, "gold.news_daily", [news_piece])
        yield from (partial(chain.build, address, piece) for address in BY_SESSION)
        yield from built(chain, "gold.monthly_summary", [piece.whole_months])


def table_by_table(chain: Chain, random: Random) -> Iterator[Step]:
    """Each table in pieces, in any order that respects the graph, some of them twice."""
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
    return [
        Window(start=window.start, end=alone - day),
        Window(start=alone, end=alone),
        Window(start=alone + day, end=window.end),
    ]


def shuffled(random: Random, steps: list[T]) -> list[T]:
    """The steps in any order."""
    return random.sample(steps, len(steps))


def again(random: Random, steps: list[T]) -> list[T]:
    """The steps, and one of them once more."""
    return [*steps, random.choice(steps)]


def state(lake: Lake) -> State:
    """Every table's fingerprint and its rows by value."""
    return {address: (lake.content(address), published(lake, address)) for address in TABLES}
