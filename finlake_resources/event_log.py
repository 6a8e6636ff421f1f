"""Dagster's event log on Postgres, with what one run over thousands of partitions needs.

Found in Dagster 1.13.27 and dagster-postgres 0.29.27, where 18 years of sessions did not begin within ten minutes:

- A range run plans one event per table and partition, and planned events are written one by one, each with a
  connection and a commit. Here a batch of them is one statement. Needs DAGSTER_EVENT_BATCH_SIZE set.
- A planned check is written once per partition of the run, each time with the list of all partitions, while its
  evaluation bears no partition and so never completes those rows. Here it is written once, without partitions, as the
  checks of finlake are: they look at the whole window of a run.
- An event whose connection breaks while it is stored ends the run, and would be there twice if it were simply stored again.
  Here what came through of it is removed first.
"""

from collections.abc import Callable, Sequence
from itertools import count

from dagster import DagsterEventType
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._serdes import serialize_value
from dagster_postgres import PostgresEventLogStorage

from finlake_resources.dagster_storage import AwaitsPostgres, repeated_when_lost


class RangeEventLogStorage(AwaitsPostgres, PostgresEventLogStorage):
    """`PostgresEventLogStorage` that waits for its server, and stores planned materializations in batches."""

    def store_event(self, event: EventLogEntry) -> None:
        """Store one event."""
        stored = _without_check_partitions(event)
        self._store_once([stored], lambda: super(RangeEventLogStorage, self).store_event(stored))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events that Dagster hands over together; planned materializations in one statement."""
        planned = [event for event in events if _is_planned(event)]
        others = [_without_check_partitions(event) for event in events if not _is_planned(event)]
        if planned:
            self._store_once(planned, lambda: self._store_planned(planned))
        if others:
            self._store_once(others, lambda: super(RangeEventLogStorage, self).store_event_batch(others))

    def _store_once(self, events: Sequence[EventLogEntry], store: Callable[[], None]) -> None:
        """Store events, again when their connection broke meanwhile, after what came through of them is removed."""
        attempts = count()

        def attempt() -> None:
            if next(attempts):
                self._remove(events)
            store()

        repeated_when_lost(attempt)

    def _remove(self, events: Sequence[EventLogEntry]) -> None:
        """Remove every trace of these very events, identified by their run and their whole text."""
        texts, runs = [serialize_value(event) for event in events], {event.run_id for event in events}
        log, checks, tags = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c, AssetEventTagsTable.c
        with self.index_transaction() as connection:
            connection.execute(
                AssetCheckExecutionsTable.delete().where(checks.run_id.in_(runs), checks.evaluation_event.in_(texts))
            )
            removed = (
                connection.execute(
                    SqlEventLogStorageTable.delete().where(log.run_id.in_(runs), log.event.in_(texts)).returning(log.id)
                )
                .scalars()
                .all()
            )
            connection.execute(AssetEventTagsTable.delete().where(tags.event_id.in_(removed)))

    def _store_planned(self, planned: Sequence[EventLogEntry]) -> None:
        insert = self.prepare_insert_event_batch(planned)
        with self._connect() as connection:
            result = connection.execute(insert.returning(SqlEventLogStorageTable.c.id))
            event_ids = [int(row[0]) for row in result.fetchall()]
        newest = {event.get_dagster_event().asset_key: (event, number) for event, number in zip(planned, event_ids, strict=True)}
        with self.index_transaction() as connection:
            for event, number in newest.values():
                self._store_asset_event(connection, event, number)


def _is_planned(event: EventLogEntry) -> bool:
    return event.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED


def _without_check_partitions(event: EventLogEntry) -> EventLogEntry:
    """A planned check without the partitions of its run; any other event as it is."""
    if event.dagster_event_type != DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
        return event
    planned_event = event.get_dagster_event()
    planned = planned_event.asset_check_planned_data
    bare = AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name)
    return event._replace(dagster_event=planned_event._replace(event_specific_data=bare))
