"""Dagster's event log on Postgres, with what one run over thousands of partitions needs.

Found in Dagster 1.13.27 and dagster-postgres 0.29.27, where 18 years of sessions did not begin within ten minutes:

- A range run plans one event per table and partition, and planned events are written one by one, each with a
  connection and a commit. Here a batch of them is one statement. Needs DAGSTER_EVENT_BATCH_SIZE set.
- A planned check is written once per partition of the run, each time with the list of all partitions, while its
  evaluation bears no partition and so never completes those rows. Here it is written once, without partitions, as the
  checks of finlake are: they look at the whole window of a run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import DagsterEventType
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.config import pg_config
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import pg_url_from_config


class RangeEventLogStorage(PostgresEventLogStorage):
    """`PostgresEventLogStorage` that also stores planned materializations in batches."""

    @classmethod
    def config_type(cls) -> Any:
        """The configuration of `PostgresEventLogStorage`."""
        return pg_config()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any],
    ) -> "RangeEventLogStorage":
        """A storage from dagster.yaml."""
        return cls(
            inst_data=inst_data, postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
        )

    def store_event(self, event: EventLogEntry) -> None:
        """Store one event."""
        super().store_event(_without_check_partitions(event))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events that Dagster hands over together; planned materializations in one statement."""
        planned = [event for event in events if _is_planned(event)]
        others = [_without_check_partitions(event) for event in events if not _is_planned(event)]
        if planned:
            self._store_planned(planned)
        if others:
            super().store_event_batch(others)

    def _store_planned(self, planned: Sequence[EventLogEntry]) -> None:
        insert = self.prepare_insert_event_batch(planned)
        with self._connect() as connection:
            result = connection.execute(insert.returning(SqlEventLogStorageTable.c.id))
            event_ids = [int(row[0]) for row in result.fetchall()]
        newest = {event.get_dagster_event().asset_key: (event, number)
                  for event, number in zip(planned, event_ids, strict=True)}
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
