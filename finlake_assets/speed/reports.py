"""How far each part of the stream has come, reported to Dagster as events of its external assets.

What has moved since the last report is a materialization, since freshness looks at nothing else; the rest is an
observation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.speed.chain import CAPTURE, ods_key, topic_key
from finlake_assets.speed.health_checks import FOLLOWED, WatchedStream
from finlake_assets.speed.rules import Fact
from finlake_clients.service_errors import ServiceUnavailableError
from spark.contracts.clickhouse import STARTS_OF_WINDOWS
from spark.contracts.streams import HEARTBEAT_TOPIC, SINK_GROUP, TOPIC_DAYS

POSITION = "position"
DATA_VERSION_TAG = "dagster/data_version"

# Rows by the time they were received, windows by their start.
NEWEST: Mapping[str, tuple[str, str]] = {
    **{address: (address, "received_ts") for address in FOLLOWED.values()},
    **STARTS_OF_WINDOWS,
}

Event = dg.AssetMaterialization | dg.AssetObservation


@dataclass(frozen=True, kw_only=True)
class Report:
    """How far an asset has come: a text that changes when it moves, and numbers."""

    asset: dg.AssetKey
    position: str
    facts: Mapping[str, Fact]


def look(stream: WatchedStream) -> tuple[list[Report], list[str]]:
    """Reports of everything that can be asked, and why the rest cannot."""
    reports: list[Report] = []
    silent: dict[str, None] = {}
    for part in (*_ods(), *_topics(), _capture, *_tables()):
        try:
            reports.append(part(stream))
        except ServiceUnavailableError as error:
            silent[str(error)] = None
    return reports, list(silent)


def events(reports: Sequence[Report], instance: dg.DagsterInstance) -> list[Event]:
    """A materialization for what has moved since its last one, an observation for the rest."""
    return [_event(report, instance.get_latest_materialization_event(report.asset)) for report in reports]


def _event(report: Report, last: dg.EventLogEntry | None) -> Event:
    metadata = {POSITION: report.position, **report.facts}
    reported = None if last is None or last.asset_materialization is None else last.asset_materialization.metadata.get(POSITION)
    if reported is not None and reported.value == report.position:
        return dg.AssetObservation(asset_key=report.asset, metadata=metadata)
    return dg.AssetMaterialization(asset_key=report.asset, metadata=metadata, tags={DATA_VERSION_TAG: report.position})


_Part = Callable[[WatchedStream], Report]


def _ods() -> list[_Part]:
    def part(relation: str) -> _Part:
        def report(stream: WatchedStream) -> Report:
            newest = stream.market.newest_received(relation)
            return Report(
                asset=ods_key(relation),
                position=str(newest),
                facts={"newest_received": str(newest), "rows_estimated": stream.market.estimated_rows(relation)},
            )

        return report

    return [part(relation) for relation in FOLLOWED]


def _topics() -> list[_Part]:
    def part(topic: str) -> _Part:
        def report(stream: WatchedStream) -> Report:
            marks = stream.topics.watermarks(topic)
            return Report(
                asset=topic_key(topic),
                position=_offsets(marks),
                facts={
                    "records_kept": sum(end - start for start, end in marks.values()),
                    **(
                        {"sink_lag_records": sum(stream.topics.group_lag(SINK_GROUP, topic).values())}
                        if topic.rpartition(".")[2] in FOLLOWED
                        else {}
                    ),
                },
            )

        return report

    return [part(topic) for topic in TOPIC_DAYS]


def _capture(stream: WatchedStream) -> Report:
    slots = stream.market.slots()
    # The heartbeat passes the slot and the connector whatever the market does.
    return Report(
        asset=CAPTURE,
        position=_offsets(stream.topics.watermarks(HEARTBEAT_TOPIC)),
        facts={
            "slots": ", ".join(f"{slot.name} {slot.wal_status}" for slot in slots) or "none",
            "retained_wal_bytes": max((slot.retained_wal_bytes for slot in slots), default=0),
        },
    )


def _tables() -> list[_Part]:
    def part(address: str, source: str, column: str) -> _Part:
        fact = "newest_received_ts" if address in FOLLOWED.values() else "newest_window_start_ts"

        def report(stream: WatchedStream) -> Report:
            newest = stream.clickhouse.newest(source, column)
            return Report(asset=asset_key(address), position=str(newest), facts={fact: str(newest)})

        return report

    return [part(address, source, column) for address, (source, column) in NEWEST.items()]


def _offsets(marks: Mapping[int, tuple[int, int]]) -> str:
    return ",".join(f"{partition}:{end}" for partition, (_, end) in sorted(marks.items()))
