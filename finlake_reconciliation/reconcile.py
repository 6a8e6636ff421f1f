"""The comparison itself: one cut, then every engine asked what it holds below it.

The order makes it exact while the stream goes on. (1) Postgres is held still for a moment: what is committed is exactly
what lies below one LSN. (2) Heartbeats are written; once Kafka shows them, everything before is in Kafka too. (3) The
topics are read up to their ends. (4) The sink is waited for until it has passed the last record read. (5) ClickHouse is
asked for rows below the LSN. (6) Iceberg is asked up to the offset to which it is archived; the rest is taken from Kafka.

Who is not there yet is completed by the engine before it, so that every row is accounted for: behind, or lost. A row that
a snapshot read again after a lost slot has two LSNs and two offsets and is one row: it counts by its id.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from finlake_clients.kafka.topics import KafkaTopics
from finlake_clients.lake_client import LakeClient
from finlake_clients.service_client import ServiceClient, path_text
from finlake_reconciliation.buckets import Bucket, Buckets, Content, by_day, merged, row_count
from finlake_reconciliation.clickhouse_side import LiveTables
from finlake_reconciliation.comparison import RowDifferences, Rows, compare_rows, different_buckets
from finlake_reconciliation.derived import DERIVED
from finlake_reconciliation.derived_comparison import compare_derived
from finlake_reconciliation.kafka_side import ChangeTopics, Offsets, TopicContent
from finlake_reconciliation.lake_side import Archive
from finlake_reconciliation.postgres_side import Cut, Ods, Proof
from finlake_reconciliation.report import DayReport, EngineReport, ReconcileReport
from finlake_settings.processes import ReconciliationSettings
from spark.contracts.speed import TICK_KEPT_DAYS
from spark.contracts.streams import HEARTBEAT_TOPIC, STREAMS, CapturedTable

if TYPE_CHECKING:
    from tenacity import RetryCallState

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXAMINED_ROWS = 200_000
"""Buckets that differ are looked into row by row until so many rows are in memory; the rest is only counted."""
POLL_S = 0.3
CUT_ATTEMPTS = 3


class SnapshotUnderWayError(Exception):
    """Debezium reads the tables again while they are compared, so that rows have LSNs above the cut; try again."""


class Reconciliation(ServiceClient):
    """The stream's engines, to be compared. Passwords are read from files when an engine is asked."""

    market_uri: str
    market_password_file: str
    kafka_bootstrap: str
    kafka_password_file: str | None
    clickhouse_url: str
    clickhouse_password_file: str
    registry_url: str | None = None
    registry_token_file: str | None = None

    @property
    def _topics(self) -> KafkaTopics:
        return KafkaTopics(
            bootstrap=self.kafka_bootstrap,
            password_file=self.kafka_password_file,
            registry_url=self.registry_url,
            registry_token_file=self.registry_token_file,
        )

    @classmethod
    def of(cls, settings: ReconciliationSettings) -> Self:
        """The comparison of the stream of these settings; nothing is opened."""
        kafka = settings.kafka
        return cls(
            market_uri=settings.market.uri,
            market_password_file=str(settings.market.reconcile_password_file),
            kafka_bootstrap=kafka.bootstrap,
            kafka_password_file=path_text(kafka.password_file),
            registry_url=kafka.registry_url,
            registry_token_file=path_text(kafka.registry_token_file),
            clickhouse_url=settings.clickhouse.url,
            clickhouse_password_file=str(settings.clickhouse.reader_password_file),
        )

    def run(
        self, jobs: LakeClient | None, *, wait_s: float = 60, proves_days: bool = False, drops_proven: bool = False
    ) -> ReconcileReport:
        """Compare everything; `jobs` None leaves Iceberg out.

        `wait_s` bounds the wait for Kafka and for the sink. `proves_days` records whole UTC days in the past that are
        archived and equal; `drops_proven` then drops their partitions from Postgres. Raises `CutError`,
        `SnapshotUnderWayError`, and `ServiceUnavailableError` when an engine does not answer.
        """
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

        ods = Ods(self.market_uri, Path(self.market_password_file))
        again = Retrying(
            retry=retry_if_exception_type(SnapshotUnderWayError),
            stop=stop_after_attempt(CUT_ATTEMPTS),
            wait=wait_fixed(wait_s / CUT_ATTEMPTS),
            reraise=True,
        )
        with closing(LiveTables(self.clickhouse_url, Path(self.clickhouse_password_file))) as live:
            engines = Engines(
                ods=ods,
                topics=ChangeTopics(self._topics),
                wait_s=wait_s,
                live=live,
                archive=None if jobs is None else Archive(jobs.lake()),
            )
            report, provable = again(compare, engines, STREAMS)
        if proves_days:
            report = replace(report, days=prove(ods, provable, drops=drops_proven))
        return report

    def drain(self, *, wait_s: float) -> bool:
        """Wait until Kafka shows all that is committed in Postgres now; whether it did so in time."""
        return _kafka_shows_all(Ods(self.market_uri, Path(self.market_password_file)), ChangeTopics(self._topics), wait_s)


@dataclass(frozen=True, kw_only=True)
class Engines:
    """The four engines, and for how many seconds the last changes are waited for."""

    ods: Ods
    topics: ChangeTopics
    live: LiveTables
    archive: Archive | None
    wait_s: float


def compare(engines: Engines, relations: Sequence[CapturedTable]) -> tuple[ReconcileReport, list[Proof]]:
    """The report, and the days that it has proven to be in the archive."""
    proofs = engines.ods.proofs()
    provable: list[Proof] = []
    reports: list[EngineReport] = []
    counts: dict[str, int] = {}
    faults: list[str] = []
    with engines.ods.cut(relations) as cut:
        is_late = not _kafka_shows_all(engines.ods, engines.topics, engines.wait_s)
        for relation in relations:
            one = RelationComparison(engines, relation, cut, proofs, kafka_is_late=is_late)
            counts[relation.name] = row_count(one.expected)
            doubled = cut.doubled_ids(relation)
            if doubled.count:
                faults.append(f"Postgres holds {doubled.count} ids of {relation.name} twice, such as {doubled.first[0]}")
            reports += [one.kafka(), one.clickhouse()]
            if engines.archive is not None:
                archive = one.iceberg(engines.archive)
                reports.append(archive)
                if archive.is_proven:
                    provable += one.archived_days()
        lsn, cut_ts = cut.lsn, cut.cut_ts
    derived = compare_derived(engines.live, DERIVED)
    today = cut_ts.date()
    report = ReconcileReport(
        lsn=lsn, cut_ts=cut_ts, row_counts=counts, engines=tuple(reports), derived=derived, faults=tuple(faults)
    )
    return report, [proof for proof in provable if proof.day < today]


def _kafka_shows_all(ods: Ods, topics: ChangeTopics, wait_s: float) -> bool:
    """Whether Kafka shows everything that is committed in Postgres, within `wait_s`.

    Changes come in order, so that with a heartbeat all before it is there; but the transaction that brings it may be over
    on one topic a moment earlier than on another. The next one begins only when it is over on all: hence a second heartbeat.
    """
    from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

    for _ in range(2):
        known = topics.extent(HEARTBEAT_TOPIC).end
        waiting = Retrying(retry=retry_if_result(_is_below(ods.beat())), wait=wait_fixed(POLL_S), stop=stop_after_delay(wait_s))
        try:
            waiting(topics.newest_lsn, HEARTBEAT_TOPIC, known)
        except RetryError:
            return False
    return True


class RelationComparison:
    """One relation at one cut. Reads Kafka when made, since every later step needs to know how far it goes."""

    def __init__(
        self,
        engines: Engines,
        relation: CapturedTable,
        cut: Cut,
        proofs: Sequence[Proof],
        *,
        kafka_is_late: bool,
    ) -> None:
        self.engines, self._relation, self._cut, self._kafka_is_late = engines, relation, cut, kafka_is_late
        self._proofs = {day_number(proof.day): proof for proof in proofs if proof.relation == relation.name}
        self.expected = cut.buckets(relation)
        self._live_since = day_number(cut.cut_ts.date()) - TICK_KEPT_DAYS + 1
        self._extent = engines.topics.extent(relation.topic)
        self._records = self._content(self._extent.first, self._known_to_clickhouse(self._extent.first))
        self._archived: Buckets = {}
        if self._records.snapshot_lsn >= cut.lsn:
            raise SnapshotUnderWayError(
                f"Debezium is reading {relation.market_table} again; wait until its snapshot has ended and reconcile again"
            )

    def kafka(self) -> EngineReport:
        """What Kafka holds; records that have expired are taken from ClickHouse, which notes each row's offset."""
        records, first = self._records, self._extent.first
        remarks = []
        older: Buckets = {}
        if any(first.values()):
            older = self.engines.live.buckets(self._relation, below_lsn=self._cut.lsn, below=first)
            remarks.append(f"{row_count(older)} rows are older than what Kafka keeps and were taken from ClickHouse")
        if records.reread_count:
            remarks.append(f"{records.reread_count} records repeat rows that a snapshot read again")
        if records.altered_ids:
            remarks.append(f"{len(records.altered_ids)} rows were deleted or updated in Postgres")
        if records.unreadable:
            remarks.append(f"{len(records.unreadable)} records are unreadable, such as {records.unreadable[0]}")

        def rows(buckets: Sequence[Bucket]) -> Rows:
            return self._with_tail(self._live_rows(buckets, first) if older else {}, first, buckets)

        return self._report("Kafka", records.buckets, older, rows, remarks, since_day=self._live_since if older else 0)

    def clickhouse(self) -> EngineReport:
        """What ClickHouse holds, once the sink has passed the last record, or up to where it has come in time."""
        reached = self._sink_passes(self._records.last_offsets)
        is_late = not _has_passed(reached, self._records.last_offsets)
        below = reached if is_late else None
        own = self.engines.live.buckets(self._relation, below_lsn=self._cut.lsn, below=below)
        tail = self._content(reached, self._known_to_clickhouse(reached)).buckets if is_late else {}
        gap_count = self.engines.live.gaps(self._relation)
        remarks = [f"{gap_count} offsets had expired in Kafka before the sink read them"] if gap_count else []
        if any(bucket.day < self._live_since for bucket in self.expected):
            remarks.append(f"rows received before {day_of(self._live_since)} were left out: ClickHouse lets them go")

        def rows(buckets: Sequence[Bucket]) -> Rows:
            held = self._live_rows(buckets, below)
            return self._with_tail(held, reached, buckets) if is_late else held

        dead_ids = self._records.dead_ids
        if dead_ids:
            remarks.append(f"{len(dead_ids)} rows are among the dead letters, such as {min(dead_ids)}: see `finlake replay`")
        report = self._report("ClickHouse", own, tail, rows, remarks, since_day=self._live_since, explained=dead_ids)
        return replace(
            report,
            behind_count=row_count(tail),
            is_late=is_late or self._kafka_is_late,
            faults=tuple(self._wrong_proven_days(own)),
        )

    def iceberg(self, archive: Archive) -> EngineReport:
        """What silver holds, up to the offset to which it is built."""
        reached, first_day = archive.end_offsets(self._relation), min((bucket.day for bucket in self.expected), default=None)
        self._archived = (
            {} if first_day is None else archive.buckets(self._relation, below_lsn=self._cut.lsn, first_day=day_of(first_day))
        )
        tail = self._content(reached, lambda: archive.id_hashes(self._relation)).buckets
        remarks = [
            f"Kafka has lost offsets {reached.get(number, 0)} to {first - 1} before they were archived"
            for number, first in self._extent.first.items()
            if reached.get(number, 0) < first
        ]

        def rows(buckets: Sequence[Bucket]) -> Rows:
            held = _joined(archive.rows(self._relation, bucket, below_lsn=self._cut.lsn) for bucket in buckets)
            return self._with_tail(held, reached, buckets)

        report = self._report("Iceberg", self._archived, tail, rows, remarks)
        return replace(report, behind_count=row_count(tail))

    def archived_days(self) -> list[Proof]:
        """Days of Postgres that the archive holds completely, given that it was found equal."""
        archived = by_day(self._archived)
        return [
            Proof(relation=self._relation.name, day=day_of(day), row_count=count, id_hash=hashes)
            for day, (count, hashes) in sorted(by_day(self.expected).items())
            if archived.get(day) == (count, hashes)
        ]

    def _report(
        self,
        engine: str,
        own: Buckets,
        completed_by: Buckets,
        rows: Callable[[Sequence[Bucket]], Rows],
        remarks: Sequence[str],
        *,
        since_day: int = 0,
        explained: Collection[str] = (),
    ) -> EngineReport:
        """Compare bucket by bucket, and row by row where sums differ; `rows` gives the rows found in some buckets.

        Ids in `explained`, and of rows that were altered, may differ without fault.
        """
        expected, found = (self._comparable(side, since_day) for side in (self.expected, merged([own, completed_by])))
        different = different_buckets(expected, found)
        examined = _within_memory(different, expected, found)
        differences = RowDifferences()
        if examined:
            wanted = _joined(self._cut.rows(self._relation, bucket) for bucket in examined)
            differences = compare_rows(wanted, rows(examined), {*self._records.altered_ids, *explained})
        return EngineReport(
            engine=engine,
            relation=self._relation.name,
            row_count=row_count(own),
            bucket_count=len(expected.keys() | found.keys()),
            different_bucket_count=len(different),
            unexamined_bucket_count=len(different) - len(examined),
            differences=differences,
            remarks=tuple(remarks),
            is_late=self._kafka_is_late,
            may_still_come=self._kafka_is_late,
        )

    def _comparable(self, buckets: Buckets, since_day: int) -> Buckets:
        """Buckets from a day on, without the days that Postgres has dropped after their proof."""
        held = {bucket.day for bucket in self.expected}
        return {
            bucket: sums
            for bucket, sums in buckets.items()
            if bucket.day >= since_day and (bucket.day in held or bucket.day not in self._proofs)
        }

    def _wrong_proven_days(self, own: Buckets) -> list[str]:
        """Days that Postgres has dropped after their proof, and of which ClickHouse holds other rows than were proven."""
        held, days = {bucket.day for bucket in self.expected}, by_day(own)
        return [
            f"of {proof.day}, dropped from Postgres, there are {days.get(day, (0, 0))[0]} rows; {proof.row_count} were proven"
            for day, proof in self._proofs.items()
            if day not in held and day >= self._live_since and days.get(day, (0, 0)) != (proof.row_count, proof.id_hash)
        ]

    def _sink_passes(self, last: Offsets) -> Offsets:
        """The sink's offsets when it has passed the last records, or after the timeout."""
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

        waiting = Retrying(
            retry=retry_if_result(lambda reached: not _has_passed(reached, last)),
            wait=wait_fixed(POLL_S),
            stop=stop_after_delay(self.engines.wait_s),
            retry_error_callback=_last_result,
        )
        reached: Offsets = waiting(self.engines.topics.sink_offsets, self._relation.topic)
        return reached

    def _content(self, start: Offsets, known_hashes: Callable[[], Iterable[int]]) -> TopicContent:
        """What Kafka holds from some offsets on."""
        return self.engines.topics.content(
            self._relation, self._from(start), self._extent.end, below_lsn=self._cut.lsn, known_hashes=known_hashes
        )

    def _with_tail(self, held: Rows, start: Offsets, buckets: Sequence[Bucket]) -> Rows:
        """Rows that an engine holds with those that Kafka holds from some offsets on."""
        rows, again = self.engines.topics.rows(
            self._relation, self._from(start), self._extent.end, buckets, below_lsn=self._cut.lsn
        )
        together = _joined([held, rows])
        return {**{row_id: [content] for row_id, content in again.items()}, **together}

    def _from(self, start: Offsets) -> Offsets:
        return {number: max(first, start.get(number, 0)) for number, first in self._extent.first.items()}

    def _live_rows(self, buckets: Sequence[Bucket], below: Offsets | None) -> Rows:
        live = self.engines.live
        return _joined(live.rows(self._relation, bucket, below_lsn=self._cut.lsn, below=below) for bucket in buckets)

    def _known_to_clickhouse(self, below: Offsets) -> Callable[[], Iterable[int]]:
        return lambda: self.engines.live.id_hashes(self._relation, below=below)


def prove(ods: Ods, provable: Sequence[Proof], *, drops: bool) -> tuple[DayReport, ...]:
    """Record the days, and drop those whose proof holds when `drops` is set."""
    for proof in provable:
        ods.prove(proof)
        if drops:
            ods.drop(proof.relation, proof.day)
    return tuple(
        DayReport(relation=proof.relation, day=proof.day, row_count=proof.row_count, is_dropped=drops) for proof in provable
    )


def day_number(day: date) -> int:
    """Days from 1970."""
    return (day - EPOCH.date()).days


def day_of(number: int) -> date:
    """The date that is so many days after 1970 began."""
    return EPOCH.date() + timedelta(days=number)


def _is_below(lsn: int) -> Callable[[int], bool]:
    return lambda newest: newest < lsn


def _has_passed(reached: Offsets, last: Offsets) -> bool:
    return all(reached.get(number, 0) > offset for number, offset in last.items())


def _within_memory(different: Sequence[Bucket], expected: Buckets, found: Buckets) -> list[Bucket]:
    """The first of the buckets, as many as have `EXAMINED_ROWS` rows together, one at least."""
    taken: list[Bucket] = []
    rows = 0
    for bucket in different:
        rows += sum(side[bucket].row_count for side in (expected, found) if bucket in side)
        if taken and rows > EXAMINED_ROWS:
            break
        taken.append(bucket)
    return taken


def _joined(parts: Iterable[Rows]) -> Rows:
    """Rows of several places together."""
    total: dict[str, list[Content]] = {}
    for part in parts:
        for row_id, contents in part.items():
            total.setdefault(row_id, []).extend(contents)
    return total


def _last_result(state: "RetryCallState") -> Any:
    """What the last attempt gave, for waits that end without what was waited for."""
    return None if state.outcome is None else state.outcome.result()
