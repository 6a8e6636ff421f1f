"""How long trades take from hop to hop, read from the columns of the rows themselves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from spark.contracts.speed import STOCK_REALTIME

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from rich.table import Table

STATIONS = ("received_ts", "committed_ts", "captured_ts", "appended_ts", "consumed_ts", "inserted_ts")
SPANS = (*zip(STATIONS, STATIONS[1:], strict=False), (STATIONS[0], STATIONS[-1]))
"""From one station to the next, and over all of them."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
CLOCKS_NOTE = (
    "Each station writes its own clock's time: on several machines a hop across two of them holds their clocks' difference. "
    "A row can be queried some milliseconds after its insert began, the last time here."
)


class DurationError(ValueError):
    """A duration is not of the form 30s, 5m, 2h or 1d."""


@dataclass(frozen=True, kw_only=True)
class Hop:
    """Milliseconds between two stations; `negative_count` rows arrived before they left, which only clocks explain."""

    start: str
    end: str
    p50_ms: float
    p99_ms: float
    max_ms: float
    negative_count: int

    @property
    def name(self) -> str:
        """`received → committed`, and `total` for the whole way."""
        return "total" if (self.start, self.end) == SPANS[-1] else f"{_short(self.start)} → {_short(self.end)}"


@dataclass(frozen=True, kw_only=True)
class Hops:
    """The hops of `row_count` trades."""

    row_count: int
    hops: tuple[Hop, ...]

    def named(self, name: str) -> Hop:
        """The hop of a name."""
        return next(hop for hop in self.hops if hop.name == name)


def duration(text: str) -> timedelta:
    """The duration that `30s`, `5m`, `2h` or `1d` say; raises `DurationError`."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None or not int(found[1]):
        raise DurationError(f"{text!r} is no duration; write it like 30s, 5m, 2h or 1d")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def measured_hops(client: "Client", condition: str, parameters: dict[str, object]) -> Hops:
    """The hops of the trades that satisfy a ClickHouse condition."""
    spans = [f"(toUnixTimestamp64Micro({end}) - toUnixTimestamp64Micro({start})) / 1000" for start, end in SPANS]
    aggregates = ", ".join(f"quantilesExact(0.5, 0.99, 1)({span}), countIf({span} < 0)" for span in spans)
    query = f"SELECT count(), {aggregates} FROM {STOCK_REALTIME.address} WHERE {condition}"
    count, *answers = client.query(query, parameters=parameters).result_rows[0]
    pairs = zip(SPANS, zip(answers[::2], answers[1::2], strict=True), strict=True)
    return Hops(
        row_count=count,
        hops=()
        if not count
        else tuple(
            Hop(start=start, end=end, p50_ms=p50, p99_ms=p99, max_ms=longest, negative_count=negative)
            for (start, end), ((p50, p99, longest), negative) in pairs
        ),
    )


def hops_table(hops: Hops, title: str) -> "Table":
    """The hops as a table for a terminal."""
    from rich.table import Table

    view = Table(title=title, title_justify="left")
    for heading in ("hop", "p50 ms", "p99 ms", "max ms"):
        view.add_column(heading, justify="left" if heading == "hop" else "right")
    for hop in hops.hops:
        view.add_row(
            hop.name,
            *(f"{value:.1f}" for value in (hop.p50_ms, hop.p99_ms, hop.max_ms)),
            style="bold" if hop.name == "total" else None,
        )
    return view


def clock_remarks(hops: Hops) -> Sequence[str]:
    """What the figures owe to clocks."""
    wrong = [f"{hop.negative_count} rows have a negative {hop.name}: clocks differ" for hop in hops.hops if hop.negative_count]
    return [*wrong, CLOCKS_NOTE]


def _short(station: str) -> str:
    return station.removesuffix("_ts")
