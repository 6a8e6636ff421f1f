"""How every record gets into ClickHouse exactly once, whatever is killed: one partition's state and its two effects.

A *plan* names a block by its first and last offset. For each block, in this order:

1. commit to Kafka `offset = first, metadata = "first-last"`: everything before `first` is in, this block is in flight;
2. insert it with the deduplication token `topic:partition:first-last`.

There is no third step: the next block's plan says both that this block is in and what is in flight now, in one record of
the group's offsets, so it is there wholly or not at all. Only when no block follows, `settle` commits
`offset = next, metadata = ""`.

Why this is right:

- Killed before 1: nothing happened. The block may be cut differently later; no one has seen it.
- Killed between 1 and 2, or within 2, or after 2 before the next plan: the plan is found, the same offsets are read again
  and inserted with the same token. ClickHouse leaves out what it has, per table: the rows' table, and each materialized
  view's table, which may lack the block although the rows' table has it. That a token is remembered if and only if its
  rows are there is for ClickHouse to hold, killed at whatever instant: ADR 18 says how, here and on a cluster.
- Offsets without a record (transaction markers) change nothing: first and last are offsets of records, and what lies
  between them is the same at each reading.
- The plan must be stored because block sizes depend on timing: cut again, the block would have another token.
- A process that the group has given up cannot commit (its member id or generation is refused), so it cannot begin a
  block. If it had begun one, its plan is what its successor replays, with the same token: the late insert is left out,
  as long as fewer than the remembered number of blocks came between. `confirm` narrows that: an insert that is tried
  again, or late, first commits its plan again.
- A commit whose outcome is unknown is taken as refused: the sink leaves the group and rejoins it, so that the old
  request, should it still arrive, carries a generation that is refused.
- A commit that is refused because the group counts its members did nothing. It is repeated once they are counted, if the
  partition was ours all the while.
- Commits wait for their answer. An unanswered one that is sent again by the client could overtake its successor.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from finlake_services.clickhouse_sink.records import LogRecord


class CorruptPlanError(Exception):
    """The group's offsets hold metadata that this sink did not write."""


class TopicReplacedError(Exception):
    """Offsets went backwards: the topic is not the one that was read before."""


class CommitRefusedError(Exception):
    """The group refused a commit, or its outcome is unknown: nothing may be inserted, the partition's state is void."""


Prepared = TypeVar("Prepared")


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.number}"


@dataclass(frozen=True)
class InFlightBlock:
    """A block in flight: offsets of its first and last record. Its text is the commit's metadata."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @staticmethod
    def read(metadata: str) -> "InFlightBlock | None":
        """The plan in a commit's metadata, None when there is none; raises CorruptPlanError for anything else."""
        if not metadata:
            return None
        match = re.fullmatch(r"(\d+)-(\d+)", metadata)
        if match is None or int(match[1]) > int(match[2]):
            raise CorruptPlanError(f"the committed metadata {metadata!r} is no plan; something else commits for this group")
        return InFlightBlock(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Gap:
    """Offsets that Kafka deleted before they were known to be in ClickHouse, both inclusive."""

    first: int
    last: int


@dataclass(frozen=True)
class Resumption:
    """Where a partition is taken up: the offset to read from, the plan to replay, and what is missing before it."""

    start: int
    plan: InFlightBlock | None = None
    gap: Gap | None = None


def resumption(committed: int | None, metadata: str, low: int, high: int) -> Resumption:
    """Where to take up a partition whose log holds offsets `low` to `high` - 1, from what the group has committed.

    Without a commit (None) the log is read from its begin. Of a plan whose begin is deleted the rest is replayed, with the
    plan's own token. Raises CorruptPlanError, and TopicReplacedError for a commit beyond the log's end.
    """
    if committed is None:
        return Resumption(low)
    if committed > high:
        raise TopicReplacedError(f"the group has committed offset {committed} but the log ends at {high}")
    plan = InFlightBlock.read(metadata)
    if plan is not None and plan.first != committed:
        raise CorruptPlanError(f"the committed offset {committed} is not the begin of the committed plan {plan}")
    if committed >= low:
        return Resumption(committed, plan)
    return Resumption(low, plan if plan is not None and plan.last >= low else None, Gap(committed, low - 1))


class Effects(Protocol[Prepared]):
    """What one partition does to the world outside."""

    def prepare(self, partition: Partition, records: Sequence[LogRecord]) -> Prepared:
        """Judge and convert a block; the same records give the same rows whenever they are prepared."""

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        """Commit and wait for the answer; raises CommitRefusedError."""

    def insert(self, partition: Partition, token: str, prepared: Prepared, confirm: Callable[[], None]) -> None:
        """Insert under `token`, as often as it takes; calls `confirm` before every attempt but a prompt first one."""


class PartitionStream(Generic[Prepared]):
    """One partition between the log and ClickHouse. After any exception it is void: resume from what is committed."""

    def __init__(self, partition: Partition, resumed: Resumption, effects: Effects[Prepared], max_rows: int) -> None:
        self.partition = partition
        # Offsets below `next_offset` were taken, those below `_done` are in ClickHouse.
        self.next_offset = self._done = resumed.start
        self.replays = 0
        self._effects = effects
        self._max_rows = max_rows
        self._in_flight = resumed.plan
        self._replayed: list[LogRecord] = []
        self._settled: int | None = None

    @property
    def in_flight(self) -> InFlightBlock | None:
        """The plan that is committed and not known to be inserted."""
        return self._in_flight

    def take(self, records: Sequence[LogRecord]) -> None:
        """Insert `records`, which follow those taken before in ascending offsets, in one or more blocks.

        While a plan is replayed they are held until its last record has come. Offsets seen before are left out.
        """
        waiting = [record for record in records if record.offset >= self.next_offset]
        if not waiting:
            return
        self.next_offset = waiting[-1].offset + 1
        if self._in_flight is not None:
            waiting = self._replay(self._in_flight, waiting)
        for begin in range(0, len(waiting), self._max_rows):
            block = waiting[begin : begin + self._max_rows]
            plan = InFlightBlock(block[0].offset, block[-1].offset)
            prepared = self._effects.prepare(self.partition, block)
            self._announce(plan)
            self._insert(plan, prepared)

    def settle(self, end: int | None = None) -> None:
        """Commit what is in, unless a block is in flight, or that is what was committed last.

        May be called at any time, also while `take` waits: what was taken and is not in ClickHouse is left to the successor.
        `end` is the log's end when it was seen: it lies beyond markers after the last record.
        """
        if self._in_flight is not None:
            return
        if self._done == self.next_offset:
            self._done = self.next_offset = max(self.next_offset, end or 0)
        if self._settled == self._done:
            return
        self._effects.commit(self.partition, self._done, "")
        self._settled = self._done

    def _replay(self, plan: InFlightBlock, records: list[LogRecord]) -> list[LogRecord]:
        """Hold what belongs to the plan, insert it when it is complete; returns what comes after it."""
        self._replayed += [record for record in records if record.offset <= plan.last]
        if records[-1].offset < plan.last:
            return []
        self._insert(plan, self._effects.prepare(self.partition, self._replayed))
        self.replays += 1
        self._replayed = []
        return [record for record in records if record.offset > plan.last]

    def _announce(self, plan: InFlightBlock) -> None:
        self._effects.commit(self.partition, plan.first, str(plan))
        self._in_flight, self._settled = plan, None

    def _insert(self, plan: InFlightBlock, prepared: Prepared) -> None:
        self._effects.insert(
            self.partition,
            f"{self.partition}:{plan}",
            prepared,
            lambda: self._effects.commit(self.partition, plan.first, str(plan)),
        )
        self._in_flight, self._done = None, plan.last + 1
