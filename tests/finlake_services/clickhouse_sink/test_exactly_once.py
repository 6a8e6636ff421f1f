"""Exactly once against a log, a group and a ClickHouse that fail at any step; and that the model sees it when it is not."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from finlake_services.clickhouse_sink.exactly_once import (
    CommitRefusedError,
    CorruptPlanError,
    Gap,
    InFlightBlock,
    Partition,
    PartitionStream,
    Resumption,
    TopicReplacedError,
    resumption,
)
from finlake_services.clickhouse_sink.records import LogRecord

PARTITION = Partition("trades", 0)
Offsets = tuple[int, ...]


class CrashError(Exception):
    """The process is killed here."""


@dataclass
class World:
    """What outlives every process: the log (with holes), the group's offsets, ClickHouse's two tables and their tokens."""

    log: list[LogRecord] = field(default_factory=list)
    end: int = 0
    committed: int | None = None
    metadata: str = ""
    generation: int = 0
    rows: Counter[int] = field(default_factory=Counter)
    row_tokens: set[str] = field(default_factory=set)
    view: Counter[int] = field(default_factory=Counter)
    view_tokens: set[str] = field(default_factory=set)
    late: list[tuple[str, Offsets]] = field(default_factory=list)

    def append(self, holes: Sequence[int]) -> None:
        for hole in holes:
            self.end += hole
            self.log.append(LogRecord(self.end, b"", 0, 0))
            self.end += 1

    def insert_rows(self, token: str, offsets: Offsets) -> None:
        if token not in self.row_tokens:
            self.row_tokens.add(token)
            self.rows.update(offsets)

    def insert_into_view(self, token: str, offsets: Offsets) -> None:
        if token not in self.view_tokens:
            self.view_tokens.add(token)
            self.view.update(offsets)

    def insert(self, token: str, offsets: Offsets) -> None:
        self.insert_rows(token, offsets)
        self.insert_into_view(token, offsets)


class Process:
    """One sink process. `crash_in` effects from now it is killed, or, when it `gives_up`, the partition is taken from it."""

    stream_type: type[PartitionStream[Offsets]] = PartitionStream

    def __init__(self, world: World, max_rows: int) -> None:
        self.world = world
        self.generation = world.generation
        self.crash_in: int | None = None
        self.delays_insert = self.retries_insert = self.gives_up = False
        resumed = resumption(world.committed, world.metadata, 0, world.end)
        self.stream = self.stream_type(PARTITION, resumed, self, max_rows)

    def _step(self) -> None:
        if self.crash_in is not None:
            if self.crash_in == 0:
                if self.gives_up:
                    self.crash_in = None
                    self.stream.settle()
                raise CrashError
            self.crash_in -= 1

    def prepare(self, partition: Partition, records: Sequence[LogRecord]) -> Offsets:
        self._step()
        return tuple(record.offset for record in records)

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        self._step()
        if self.generation != self.world.generation:
            raise CommitRefusedError
        self.world.committed, self.world.metadata = offset, metadata
        self._step()

    def insert(self, partition: Partition, token: str, prepared: Offsets, confirm: Callable[[], None]) -> None:
        self._step()
        if self.delays_insert:
            self.world.late.append((token, prepared))
            raise CrashError
        if self.retries_insert:
            self.world.insert_rows(token, prepared)
            confirm()
        self.world.insert_rows(token, prepared)
        self._step()
        self.world.insert_into_view(token, prepared)
        self._step()

    def read(self, count: int) -> None:
        self.stream.take([record for record in self.world.log if record.offset >= self.stream.next_offset][:count])


class ExactlyOnce(RuleBasedStateMachine):
    """Processes that read, crash, hang and are replaced, in any order."""

    process_type = Process

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.process: Process | None = None
        self.zombie: Process | None = None

    @rule(holes=st.lists(st.integers(0, 2), min_size=1, max_size=6))
    def records_come(self, holes: list[int]) -> None:
        self.world.append(holes)

    @precondition(lambda self: self.process is None)
    @rule(max_rows=st.integers(1, 4))
    def a_process_starts(self, max_rows: int) -> None:
        self.world.generation += 1
        self.process = self.process_type(self.world, max_rows)

    @precondition(lambda self: self.process is not None)
    @rule(count=st.integers(1, 7), crash_in=st.none() | st.integers(0, 9), gives_up=st.booleans(), retries=st.booleans())
    def it_reads(self, count: int, crash_in: int | None, gives_up: bool, retries: bool) -> None:
        assert self.process is not None
        self.process.crash_in, self.process.gives_up, self.process.retries_insert = crash_in, gives_up, retries
        self._run(self.process, lambda process: process.read(count))

    @precondition(lambda self: self.process is not None)
    @rule(count=st.integers(1, 5))
    def it_hangs_with_an_insert_under_way(self, count: int) -> None:
        assert self.process is not None
        self.process.crash_in, self.process.delays_insert = None, True
        self._run(self.process, lambda process: process.read(count))

    @precondition(lambda self: self.process is not None)
    @rule(sees_end=st.booleans(), crash_in=st.none() | st.integers(0, 1))
    def it_settles(self, sees_end: bool, crash_in: int | None) -> None:
        assert self.process is not None
        self.process.crash_in = crash_in
        has_read_all = self.process.stream.next_offset > (self.world.log[-1].offset if self.world.log else -1)
        end = self.world.end if sees_end and has_read_all else None
        self._run(self.process, lambda process: process.stream.settle(end))

    @precondition(lambda self: self.process is not None)
    @rule(max_rows=st.integers(1, 4))
    def the_group_gives_it_up_and_it_does_not_know(self, max_rows: int) -> None:
        self.zombie = self.process
        self.process = None
        self.a_process_starts(max_rows)

    @precondition(lambda self: self.zombie is not None)
    @rule(count=st.integers(1, 5))
    def the_one_given_up_reads_on(self, count: int) -> None:
        assert self.zombie is not None
        self.zombie.crash_in, self.zombie.retries_insert = None, False
        try:
            self.zombie.read(count)
        except (CommitRefusedError, CrashError):
            self.zombie = None

    @precondition(lambda self: self.world.late)
    @rule()
    def a_late_insert_arrives(self) -> None:
        self.world.insert(*self.world.late.pop())

    @invariant()
    def nothing_is_twice(self) -> None:
        assert set(self.world.rows.values()) <= {1}, self.world.rows
        assert set(self.world.view.values()) <= {1}, self.world.view

    def teardown(self) -> None:
        self.world.generation += 1
        last = self.process_type(self.world, max_rows=3)
        last.read(len(self.world.log))
        last.stream.settle(self.world.end)
        while self.world.late:
            self.a_late_insert_arrives()
        everything = Counter(record.offset for record in self.world.log)
        assert self.world.rows == everything
        assert self.world.view == everything

    def _run(self, process: Process, action: Callable[[Process], None]) -> None:
        try:
            action(process)
        except CrashError:
            self.process = None


def run(machine: type[ExactlyOnce], *phases: Phase) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=300,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=phases,
        ),
    )


@pytest.mark.slow
def test_every_record_is_in_both_tables_once_whatever_is_killed_when() -> None:
    run(ExactlyOnce, Phase.generate, Phase.shrink)


class _WithoutPlan(PartitionStream[Offsets]):
    def _announce(self, plan: InFlightBlock) -> None:
        self._effects.commit(self.partition, plan.first, "")
        self._in_flight = plan


class _WithoutToken(PartitionStream[Offsets]):
    def _insert(self, plan: InFlightBlock, prepared: Offsets) -> None:
        self._effects.insert(self.partition, f"{len(self._effects.world.row_tokens)}", prepared, lambda: None)  # type: ignore[attr-defined]
        self._in_flight, self._done = None, plan.last + 1


class _CommittingAfterwards(PartitionStream[Offsets]):
    def _announce(self, plan: InFlightBlock) -> None:
        self._in_flight = plan

    def _insert(self, plan: InFlightBlock, prepared: Offsets) -> None:
        super()._insert(plan, prepared)
        self._effects.commit(self.partition, plan.last + 1, "")


@pytest.mark.parametrize("broken", [_WithoutPlan, _WithoutToken, _CommittingAfterwards])
def test_the_model_sees_it_when_plan_or_token_is_missing(broken: type[PartitionStream[Offsets]]) -> None:
    process = type("BrokenProcess", (Process,), {"stream_type": broken})
    machine = type("BrokenMachine", (ExactlyOnce,), {"process_type": process})
    with pytest.raises(AssertionError):
        run(machine, Phase.generate)


@pytest.mark.parametrize(
    ("committed", "metadata", "low", "high", "wanted"),
    [
        (None, "", 0, 0, Resumption(0)),
        (None, "", 40, 90, Resumption(40)),
        (50, "", 0, 90, Resumption(50)),
        (50, "50-59", 0, 90, Resumption(50, InFlightBlock(50, 59))),
        (90, "", 0, 90, Resumption(90)),
        (50, "", 70, 90, Resumption(70, None, Gap(50, 69))),
        (50, "50-59", 55, 90, Resumption(55, InFlightBlock(50, 59), Gap(50, 54))),
        (50, "50-59", 60, 90, Resumption(60, None, Gap(50, 59))),
    ],
)
def test_a_partition_is_taken_up_where_the_group_left_it(
    committed: int | None,
    metadata: str,
    low: int,
    high: int,
    wanted: Resumption,
) -> None:
    assert resumption(committed, metadata, low, high) == wanted


def test_a_log_that_ends_before_the_commit_is_another_topic() -> None:
    with pytest.raises(TopicReplacedError, match="91"):
        resumption(91, "", 0, 90)


@pytest.mark.parametrize("metadata", ["x", "9-5", "5-", "-5", "6-9", "5-9 "])
def test_metadata_that_the_sink_did_not_write_is_not_guessed_at(metadata: str) -> None:
    with pytest.raises(CorruptPlanError):
        resumption(5, metadata, 0, 90)


class Recording:
    """Effects that only record."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, str]] = []
        self.inserts: list[tuple[str, Offsets]] = []

    def prepare(self, partition: Partition, records: Sequence[LogRecord]) -> Offsets:
        return tuple(record.offset for record in records)

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        self.commits.append((offset, metadata))

    def insert(self, partition: Partition, token: str, prepared: Offsets, confirm: Callable[[], None]) -> None:
        self.inserts.append((token, prepared))


def records(*offsets: int) -> list[LogRecord]:
    return [LogRecord(offset, b"", 0, 0) for offset in offsets]


def test_blocks_that_follow_each_other_cost_one_commit_each() -> None:
    effects = Recording()
    stream = PartitionStream(PARTITION, Resumption(0), effects, 3)
    stream.take(records(0, 2, 3, 5))
    stream.take(records(6))
    stream.settle(9)
    assert effects.commits == [(0, "0-3"), (5, "5-5"), (6, "6-6"), (9, "")]
    assert effects.inserts == [("trades:0:0-3", (0, 2, 3)), ("trades:0:5-5", (5,)), ("trades:0:6-6", (6,))]


def test_a_replay_waits_for_its_last_record_and_takes_no_more_than_the_plan_says() -> None:
    effects = Recording()
    stream = PartitionStream(PARTITION, Resumption(4, InFlightBlock(4, 8)), effects, 3)
    stream.take(records(4, 5))
    stream.settle()
    assert effects.inserts == []
    assert effects.commits == []
    stream.take(records(7, 8, 10, 11))
    assert effects.inserts == [("trades:0:4-8", (4, 5, 7, 8)), ("trades:0:10-11", (10, 11))]
    assert stream.replays == 1


def test_what_was_taken_before_is_not_taken_again() -> None:
    effects = Recording()
    stream = PartitionStream(PARTITION, Resumption(3), effects, 10)
    stream.take(records(1, 2, 3))
    stream.take(records(2, 3, 4))
    assert [offsets for _, offsets in effects.inserts] == [(3,), (4,)]


def test_settling_commits_what_is_new_and_nothing_twice() -> None:
    effects = Recording()
    stream = PartitionStream(PARTITION, Resumption(0), effects, 10)
    stream.take(records(0))
    stream.settle()
    stream.settle()
    stream.settle(2)  # the end was seen later: a marker follows the record
    stream.settle(2)
    assert effects.commits == [(0, "0-0"), (1, ""), (2, "")]
