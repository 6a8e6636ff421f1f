"""Sums over the rows of one symbol in one hour: small enough to keep, exact enough that equal sums mean equal rows.

Pure. Postgres and ClickHouse compute the same sums in SQL (postgres_side.py, clickhouse_side.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5
from typing import NamedTuple

from spark.contracts.column_sums import HASH_DIGITS, UNITS_LIMIT
from spark.contracts.speed import UNITS_PER_ONE

US_PER_HOUR = 3_600_000_000
US_PER_DAY = 24 * US_PER_HOUR


class Bucket(NamedTuple):
    """Rows of one symbol received in one UTC hour; `hour` counts from 1970."""

    symbol: str
    hour: int

    @classmethod
    def of(cls, symbol: str, received_us: int) -> "Bucket":
        """The bucket of a row received so many microseconds after 1970 began."""
        return cls(symbol, received_us // US_PER_HOUR)

    @property
    def hour_ts(self) -> datetime:
        """Start of the hour, UTC."""
        return datetime.fromtimestamp(self.hour * 3600, tz=UTC)

    @property
    def day(self) -> int:
        """UTC day, counted from 1970."""
        return self.hour // 24


class Content(NamedTuple):
    """What is compared of one row: its numbers in integer units and the vendor's time in microseconds from 1970."""

    numbers: tuple[int, ...]
    event_us: int


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rows of a bucket add up to; the order of rows plays no part."""

    row_count: int
    number_sums: tuple[int, ...]
    first_event_us: int
    last_event_us: int
    id_hash_sum: int

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.row_count + other.row_count,
            tuple(one + two for one, two in zip(self.number_sums, other.number_sums, strict=True)),
            min(self.first_event_us, other.first_event_us),
            max(self.last_event_us, other.last_event_us),
            self.id_hash_sum + other.id_hash_sum,
        )


Buckets = Mapping[Bucket, Sums]


class Tally:
    """Sums of rows that are seen one after the other; nothing of a row is kept."""

    def __init__(self) -> None:
        # Lists, because a record per row would cost more than the rest of the counting.
        self._sums: dict[Bucket, list[int]] = {}

    def add(self, row_id: str, symbol: str, received_us: int, content: Content) -> None:
        """Count one row."""
        numbers, event_us = content
        bucket = Bucket.of(symbol, received_us)
        sums = self._sums.get(bucket)
        if sums is None:
            self._sums[bucket] = [1, event_us, event_us, id_hash(row_id), *numbers]
            return
        sums[0] += 1
        sums[1], sums[2] = min(sums[1], event_us), max(sums[2], event_us)
        sums[3] += id_hash(row_id)
        for position, number in enumerate(numbers, start=4):
            sums[position] += number

    def buckets(self) -> Buckets:
        """The sums so far."""
        return {
            bucket: Sums(count, tuple(numbers), first, last, hashes)
            for bucket, (count, first, last, hashes, *numbers) in self._sums.items()
        }


def units(number: float) -> int:
    """`number` in exact integer units, halves to the even neighbour; 0 for what `UNITS_LIMIT` excludes, NaN included."""
    scaled = number * UNITS_PER_ONE
    return round(scaled) if abs(scaled) < UNITS_LIMIT else 0


def id_hash(row_id: str) -> int:
    """60 bits of an id's MD5, to be added up."""
    return int(md5(row_id.encode(), usedforsecurity=False).hexdigest()[:HASH_DIGITS], 16)


def merged(parts: Iterable[Buckets]) -> Buckets:
    """The sums of rows that lie in several places, each row in one of them."""
    total: dict[Bucket, Sums] = {}
    for part in parts:
        for bucket, sums in part.items():
            total[bucket] = total[bucket] + sums if bucket in total else sums
    return total


def row_count(buckets: Buckets) -> int:
    """Rows in all buckets."""
    return sum(sums.row_count for sums in buckets.values())


def by_day(buckets: Buckets) -> dict[int, tuple[int, int]]:
    """Row count and hash of ids by UTC day (counted from 1970)."""
    days: dict[int, tuple[int, int]] = {}
    for bucket, sums in buckets.items():
        count, hashes = days.get(bucket.day, (0, 0))
        days[bucket.day] = count + sums.row_count, hashes + sums.id_hash_sum
    return days
