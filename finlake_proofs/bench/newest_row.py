"""When could a row be queried? A reader asks for the newest offset again and again, and notes when it had the answer."""

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from finlake_clients.clickhouse.connection import reader
from finlake_proofs.bench.synthetic_trades import symbol_of
from finlake_services.trade_feed.clock import wall_us
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.speed import STOCK_REALTIME

PAUSE_S = 0.05
# Of the symbol with which every message ends, which the table's order finds at once: the newest offset of it says that all
# before it are there, because a sink's block is there as a whole and after those before it.
NEWEST = (
    f"SELECT max(kafka_offset) FROM {STOCK_REALTIME.address} WHERE symbol = '{symbol_of(0)}' "
    "AND trade_ts > now64(3) - INTERVAL 60 SECOND AND connection_id = {connection_id:String}"
)


class RowsNeverSeenError(Exception):
    """Rows were committed and the reader never saw them."""


@dataclass(frozen=True)
class Sight:
    """At Unix microsecond `seen_us` a reader had the answer that rows up to `offset` are there."""

    seen_us: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class Sights:
    """What a reader saw, in order, and the processor time it took for it."""

    sights: tuple[Sight, ...]
    query_count: int
    cpu_s: float


def watch(environment: Mapping[str, str], connection_id: str, at_least_s: float, quiet_s: float) -> Sights:
    """Watch a connection's rows for `at_least_s`, and on until nothing new was seen for `quiet_s`."""
    sights: list[Sight] = []
    query_count = 0
    began, cpu_began = time.perf_counter(), time.process_time()
    last_new = began
    with reader(settings_from(Settings, environment).clickhouse) as client:
        while time.perf_counter() - began < at_least_s or time.perf_counter() - last_new < quiet_s:
            newest = int(client.query(NEWEST, parameters={"connection_id": connection_id}).result_rows[0][0])
            seen_us = wall_us()
            query_count += 1
            if newest and (not sights or newest > sights[-1].offset):
                sights.append(Sight(seen_us, newest))
                last_new = time.perf_counter()
            time.sleep(PAUSE_S)
    return Sights(sights=tuple(sights), query_count=query_count, cpu_s=time.process_time() - cpu_began)


def waits_ms(sights: Sequence[Sight], rows: Sequence[tuple[int, int]]) -> list[float]:
    """For rows given as (offset, commit in Unix microseconds): milliseconds from commit to the first sight of each.

    An upper bound: the row was there at some time before the answer in which it was seen. Raises `RowsNeverSeenError`.
    """
    offsets = [sight.offset for sight in sights]
    waits = []
    for offset, committed_us in rows:
        index = bisect_left(offsets, offset)
        if index == len(sights):
            raise RowsNeverSeenError(f"offset {offset} was committed and never seen; the reader stopped too early")
        waits.append((sights[index].seen_us - committed_us) / 1000)
    return waits


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
